#include "consumers/policy/engine/job.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/span.h"
#include "lib/base/json.h"

#include <string.h>

#define BOOT_GRACE_US (2 * US_PER_MINUTE) /* of a VM the policy does not name */
#define BOOT_SETTLES_US (2 * US_PER_S)
#define JOBS_OF_VM_MAX 16 /* a host agent that invents names gets no further */

void job_free(Job *job)
{
    g_free(job->name);
    g_free(job);
}

static Job *job_named(const Engine *engine, const EntityState *vm, const char *name)
{
    for (guint i = 0; i < engine->jobs->len; i++) {
        Job *job = engine->jobs->pdata[i];

        if (job->vm == vm && strcmp(job->name, name) == 0)
            return job;
    }
    return NULL;
}

static Job *job_add(Engine *engine, EntityState *vm, const char *name)
{
    Job *job = g_new0(Job, 1);

    job->vm = vm;
    job->name = g_strdup(name);
    due_init(&job->due, DUE_JOB);
    job->due.name = vm->path;
    g_ptr_array_add(engine->jobs, job);
    return job;
}

static void job_end(Stage *s, Job *job)
{
    due_set(&s->engine->due, &job->due, NEVER_US);
    g_ptr_array_remove(s->engine->jobs, job);
    s->wake |= WAKES(JOB);
}

static unsigned jobs_of(const Engine *engine, const EntityState *vm)
{
    unsigned n = 0;

    for (guint i = 0; i < engine->jobs->len; i++)
        n += ((const Job *) engine->jobs->pdata[i])->vm == vm;
    return n;
}

static void job_begin(Stage *s, EntityState *vm, const char *name, int64_t until_us)
{
    Engine *engine = s->engine;
    Job *job = job_named(engine, vm, name);

    if (job == NULL && jobs_of(engine, vm) >= JOBS_OF_VM_MAX)
        return;
    job = job != NULL ? job : job_add(engine, vm, name);
    job->begun_us = engine->now_us;
    job->until_us = until_us;
    due_set(&engine->due, &job->due, until_us);
    put_record(s, "job.begun", NULL, vm->path, json_pack("{s:s, s:I}", "job", name, "until_us", (json_int_t) until_us),
               "%s of %s holds back what is done to it", name, vm->path);
}

static gint by_length(gconstpointer a, gconstpointer b)
{
    int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;

    return left < right ? -1 : left > right;
}

int64_t boot_grace_us(const Engine *engine, const EntityState *vm)
{
    const AppVm *app_vm = app_vm_of(engine, vm, NULL);
    int64_t grace_us = app_vm == NULL ? BOOT_GRACE_US : app_vm->boot_grace_us;
    const GArray *boots = vm->vm->boots_us;

    if (boots->len >= BOOTS_TO_LEARN_FROM) {
        g_autoptr(GArray) sorted = g_array_copy((GArray *) boots);

        g_array_sort(sorted, by_length);
        grace_us = MAX(grace_us, g_array_index(sorted, int64_t, (sorted->len * 95 + 99) / 100 - 1) * 3 / 2);
    }
    return MIN(grace_us, engine->policy->job_max_us);
}

void boot_begun(Stage *s, EntityState *vm)
{
    if (vm->vm->agent.says == SAYS_NOTHING)
        return; /* nobody would tell the end */
    vm->vm->booting_since_us = s->engine->now_us;
    job_begin(s, vm, "boot", s->engine->now_us + boot_grace_us(s->engine, vm));
}

void boot_over(Stage *s, EntityState *vm)
{
    Job *job = job_named(s->engine, vm, "boot");
    int64_t took_us = s->engine->now_us - vm->vm->booting_since_us;

    if (vm->vm->booting_since_us != 0) {
        if (vm->vm->boots_us->len >= BOOTS_KEPT)
            g_array_remove_index(vm->vm->boots_us, 0);
        g_array_append_val(vm->vm->boots_us, took_us);
    }
    vm->vm->booting_since_us = 0;
    if (job != NULL) {
        job->until_us = s->engine->now_us + BOOT_SETTLES_US;
        due_set(&s->engine->due, &job->due, job->until_us);
    }
}

void job_event(Stage *s, EntityState *vm, const Event *event)
{
    Engine *engine = s->engine;
    const char *name = event_data_string(event, "job"), *says = event_data_string(event, "says");
    Job *job = name == NULL ? NULL : job_named(engine, vm, name);

    if (name != NULL && g_strcmp0(says, "begun") == 0) {
        int64_t max_us = json_int_or(event_data(event), "max_ms", 0), cap_us = engine->policy->job_max_us;

        max_us = max_us > 0 && max_us < cap_us / US_PER_MS ? max_us * US_PER_MS : cap_us;
        job_begin(s, vm, name, engine->now_us + max_us);
    } else if (job != NULL && g_strcmp0(says, "ended") == 0) {
        put_record(s, "job.ended", NULL, vm->path, json_pack("{s:s}", "job", name), "%s of %s has ended", name, vm->path);
        job_end(s, job);
    }
}

void job_due(Stage *s, Job *job)
{
    int64_t lasted_us = s->engine->now_us - job->begun_us;

    if (strcmp(job->name, "boot") == 0 && job->vm->vm->booting_since_us == 0) { /* its agent was heard, and has had its time */
        job_end(s, job);
        return;
    }
    g_autofree char *lasted = span_text(lasted_us);

    put_record(s, "job.overdue", NULL, job->vm->path, json_pack("{s:s, s:I}", "job", job->name, "lasted_us", (json_int_t) lasted_us),
               "%s of %s lasts longer than %s: it holds nothing back any more", job->name, job->vm->path, lasted);
    job_end(s, job);
}

void boot_failed(Stage *s, EntityState *vm)
{
    Job *job = job_named(s->engine, vm, "boot");

    vm->vm->booting_since_us = 0;
    if (job != NULL)
        job_end(s, job);
}

void jobs_over(Stage *s, EntityState *vm)
{
    vm->vm->booting_since_us = 0;
    for (guint i = s->engine->jobs->len; i-- > 0;)
        if (((Job *) s->engine->jobs->pdata[i])->vm == vm)
            job_end(s, s->engine->jobs->pdata[i]);
}

const Job *job_on(Engine *engine, const EntityState *entity)
{
    const EntityState *vm = engine->jobs->len == 0 ? NULL : vm_of(engine, entity);

    for (guint i = 0; vm != NULL && i < engine->jobs->len; i++)
        if (((const Job *) engine->jobs->pdata[i])->vm == vm)
            return engine->jobs->pdata[i];
    return NULL;
}

json_t *jobs_to_json(const Engine *engine)
{
    json_t *all = json_array();

    for (guint i = 0; i < engine->jobs->len; i++) {
        const Job *job = engine->jobs->pdata[i];

        json_array_append_new(all, json_pack("{s:s, s:s, s:I, s:I}", "vm", job->vm->path, "job", job->name, "begun_us",
                                             (json_int_t) job->begun_us, "until_us", (json_int_t) job->until_us));
    }
    return all;
}

void jobs_from_json(Engine *engine, const json_t *all)
{
    size_t i;
    json_t *json;

    json_array_foreach((json_t *) all, i, json) {
        EntityState *vm = entity_find(engine, json_string_or(json, "vm", ""));

        if (vm == NULL)
            continue;
        Job *job = job_add(engine, vm, json_string_or(json, "job", ""));
        job->begun_us = json_int_or(json, "begun_us", 0);
        job->until_us = json_int_or(json, "until_us", 0);
        due_set(&engine->due, &job->due, job->until_us);
    }
}
