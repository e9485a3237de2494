/* Group commit: inputs are stepped as they arrive and written into an open transaction; the commit runs when the loop has nothing
 * better to do, or when enough have gathered. Then, in this order: commands leave, notices are told, the timer is set, events and results are
 * accepted. Credit bounds what can gather: nothing is accepted before the commit. */
#include "consumers/policy/policyd_private.h"

#include "consumers/policy/crash.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <stdlib.h>

#define GATHER_MAX 200
#define KEEP_EVERY_S 60
#define KEEP_MORE_S 1 /* while there is more to remove */

static void policyd_fail(Policyd *p, const GError *error)
{
    log_error("policy: %s; nothing is done any more", error->message);
    p->failed = true;
    if (p->on_failed != NULL)
        p->on_failed(error, p->failed_user);
}

int64_t policyd_wall_us(const Policyd *p)
{
    return p->base_wall_us + (clock_now_us() - p->base_mono_us);
}

static void source_clear(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_clear_pointer(source, g_source_unref);
    }
}

static gboolean on_timer(gpointer user)
{
    Policyd *p = user;

    source_clear(&p->timer);
    policyd_feed(p, &(EngineInput){ .kind = INPUT_TIMER }, NULL);
    return G_SOURCE_REMOVE;
}

static void timer_set(Policyd *p)
{
    int64_t due_us = engine_due_us(machine_engine(p->machine)), delay_us = due_us - policyd_wall_us(p);

    source_clear(&p->timer);
    if (due_us == NEVER_US)
        return;
    p->timer = g_timeout_source_new(0);
    g_source_set_ready_time(p->timer, clock_now_us() + MAX(delay_us, 0));
    g_source_set_callback(p->timer, on_timer, p, NULL);
    g_source_attach(p->timer, g_main_context_get_thread_default());
}

/* One line for each decision: what a person reads first. */
static void log_said(const EngineOutput *output)
{
    const char *incident = json_string_or(output->json, "incident", NULL);

    if (output->kind == OUTPUT_COMMAND)
        log_notice("%s: %s, attempt %d (command %s, incident %s)", output->command->entity, output->command->action,
                   (int) json_int_or(output->json, "attempt", 0), output->command->id, incident);
    else if (output->kind == OUTPUT_RECORD)
        log_info("%s%s%s", incident == NULL ? "" : json_string_or(output->json, "entity", ""), incident == NULL ? "" : ": ",
                 json_string_or(output->json, "text", ""));
}

static void outputs_leave(Policyd *p, EngineOutputs *outputs)
{
    for (guint i = 0; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];

        log_said(output);
        if (output->kind == OUTPUT_COMMAND) {
            bus_send(p->bus, output->command);
            p->took_us[p->n_took++ % G_N_ELEMENTS(p->took_us)] = clock_now_us() - p->gathered_since_us;
        } else if (output->kind == OUTPUT_NOTICE)
            notifier_tell(p->notifier, engine_policy(machine_engine(p->machine)), output->json);
    }
}

static gboolean on_commit(gpointer user)
{
    Policyd *p = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) outputs = p->outputs, deliveries = p->deliveries;
    bool result_waits = p->result_waits;

    source_clear(&p->commit);
    p->outputs = engine_outputs_new();
    p->deliveries = g_ptr_array_new();
    p->inputs = 0;
    p->result_waits = false;
    if (p->failed)
        return G_SOURCE_REMOVE;
    if (!machine_commit(p->machine, &error)) {
        policyd_fail(p, error);
        return G_SOURCE_REMOVE;
    }
    for (guint i = 0; i < outputs->len; i++)
        if (((EngineOutput *) outputs->pdata[i])->kind == OUTPUT_COMMAND)
            crash_at(CRASH_JOURNALED);
    if (result_waits)
        crash_at(CRASH_RESULT_JOURNALED);
    outputs_leave(p, outputs);
    timer_set(p);
    for (guint i = 0; i < deliveries->len; i++)
        amqp_delivery_accept(deliveries->pdata[i]);
    if (p->bus != NULL && p->deliveries->len == 0)
        bus_settle(p->bus);
    return G_SOURCE_REMOVE;
}

static void commit_soon(Policyd *p)
{
    if (p->commit != NULL)
        return;
    p->commit = g_idle_source_new();
    g_source_set_priority(p->commit, G_PRIORITY_DEFAULT + 5); /* after the messages that are here already */
    g_source_set_callback(p->commit, on_commit, p, NULL);
    g_source_attach(p->commit, g_main_context_get_thread_default());
}

void policyd_feed(Policyd *p, const EngineInput *input, AmqpDelivery *delivery)
{
    g_autoptr(GError) error = NULL;
    int64_t before_us = clock_now_us();

    if (p->failed)
        return;
    if (!machine_step(p->machine, input, policyd_wall_us(p), p->outputs, &error)) {
        policyd_fail(p, error);
        return;
    }
    p->result_waits |= input->kind == INPUT_RESULT;
    if (delivery != NULL)
        g_ptr_array_add(p->deliveries, delivery);
    if (p->inputs == 0)
        p->gathered_since_us = before_us;
    commit_soon(p);
    if (++p->inputs >= GATHER_MAX)
        g_source_set_priority(p->commit, G_PRIORITY_HIGH);
}

void policyd_commit(Policyd *p)
{
    if (p->commit != NULL)
        on_commit(p);
}

static void keep_in(Policyd *p, guint seconds);

static gboolean on_keep(gpointer user)
{
    Policyd *p = user;
    g_autoptr(GError) error = NULL;
    int64_t before = journal_oldest(machine_journal(p->machine));
    bool more = false;

    source_clear(&p->keeping);
    if (p->failed)
        return G_SOURCE_REMOVE;
    if (!machine_retain(p->machine, &p->keep, policyd_wall_us(p), &more, &error)) {
        policyd_fail(p, error);
        return G_SOURCE_REMOVE;
    }
    if (journal_oldest(machine_journal(p->machine)) > before)
        log_info("policy: the journal begins with record %" G_GINT64_FORMAT " now%s", journal_oldest(machine_journal(p->machine)),
                 more ? ", and there is more to remove" : "");
    keep_in(p, more ? KEEP_MORE_S : KEEP_EVERY_S);
    return G_SOURCE_REMOVE;
}

static void keep_in(Policyd *p, guint seconds)
{
    if (p->keep.keep_us == 0 && p->keep.keep_bytes == 0)
        return;
    p->keeping = g_timeout_source_new_seconds(seconds);
    g_source_set_callback(p->keeping, on_keep, p, NULL);
    g_source_attach(p->keeping, g_main_context_get_thread_default());
}

static bool machine_begin(Policyd *p, const char *data, GError **error)
{
    g_autofree char *file = g_strdup_printf("policy-%s.journal", p->name), *path = g_build_filename(data, file, NULL);
    MachineReport report;

    if (!folder_make(data, 0750, error))
        return false;
    p->machine = machine_open(path, &report, error);
    if (p->machine == NULL)
        return false;
    if (report.replayed > 0)
        log_info("policy: %" G_GINT64_FORMAT " inputs replayed from %s", report.replayed, path);
    if (report.differed > 0)
        log_warning("policy: this program would have decided otherwise in %" G_GINT64_FORMAT " places, first at record %" G_GINT64_FORMAT
                    " of %s; what was done stays done",
                    report.differed, report.first_difference, path);
    return true;
}

/* A notice may have been lost with the process that was to tell it. */
static void remind(const Policyd *p)
{
    g_autoptr(json_t) incidents = engine_incidents(machine_engine(p->machine));
    size_t i;
    json_t *incident;

    json_array_foreach(incidents, i, incident)
        if (g_strcmp0(json_string_or(incident, "state", ""), "needs-human") == 0)
            log_warning("%s still needs a human", json_string_or(incident, "entity", ""));
}

static bool name_is_fine(const char *name, GError **error)
{
    for (const char *c = name; *c != '\0'; c++)
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_') {
            g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "engine name \"%s\": letters, digits, - and _ are wanted", name);
            return false;
        }
    return *name != '\0' || (g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "the engine's name is empty"), false);
}

Policyd *policyd_new(const PolicydOptions *options, GError **error)
{
    g_autoptr(Policyd) p = g_new0(Policyd, 1);

    p->name = g_strdup(options->name == NULL ? "main" : options->name);
    p->policy_path = g_strdup(options->policy_path);
    p->keep = options->keep;
    p->on_failed = options->on_failed;
    p->failed_user = options->failed_user;
    p->outputs = engine_outputs_new();
    p->deliveries = g_ptr_array_new();
    p->notifier = notifier_new();
    if (!name_is_fine(p->name, error))
        return NULL;
    g_autoptr(Policy) checked = policy_of_file(p->policy_path, error);
    if (checked == NULL || !machine_begin(p, options->data, error))
        return NULL;
    g_autofree char *file = g_strdup_printf("definitions-%s", p->name), *folder = g_build_filename(options->data, file, NULL);
    p->keeper = keeper_new(folder, p->machine, error);
    if (p->keeper == NULL)
        return NULL;
    p->base_mono_us = clock_now_us();
    p->base_wall_us = MAX(clock_wall_us(), machine_now_us(p->machine, 0));
    remind(p);
    if (!policy_begin(p, checked, error)) /* before the start: the guard is this policy's */
        return NULL;
    policyd_feed(p, &(EngineInput){ .kind = INPUT_START }, NULL);
    p->shards = shards_new(p, options->shards);
    p->bus = bus_new(p, options);
    keep_in(p, KEEP_MORE_S);
    return g_steal_pointer(&p);
}

void policyd_free(Policyd *p)
{
    if (p == NULL)
        return;
    bus_free(p->bus); /* first: nothing comes in any more */
    source_clear(&p->commit);
    source_clear(&p->timer);
    source_clear(&p->keeping);
    if (p->machine != NULL && !p->failed && p->bus != NULL)
        machine_snapshot(p->machine, NULL); /* spares the next start a replay; the records are enough without it */
    shards_free(p->shards);
    keeper_free(p->keeper);
    machine_free(p->machine);
    notifier_free(p->notifier);
    g_ptr_array_unref(p->outputs);
    g_ptr_array_unref(p->deliveries);
    g_free(p->name);
    g_free(p->policy_path);
    g_free(p);
}

bool policyd_is_acting(const Policyd *p)
{
    return engine_epoch(machine_engine(p->machine)) != 0;
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;

    return (left > right) - (left < right);
}

/* From the oldest input of a batch to the command on its way, the commit included: of the last commands. */
static json_t *took_json(const Policyd *p)
{
    size_t n = MIN(p->n_took, G_N_ELEMENTS(p->took_us));
    g_autofree int64_t *sorted = n == 0 ? NULL : g_memdup2(p->took_us, n * sizeof *sorted);

    if (n == 0)
        return json_null();
    qsort(sorted, n, sizeof *sorted, by_size);
    return json_pack("{s:I, s:I, s:I, s:I}", "commands", (json_int_t) n, "p50_us", (json_int_t) sorted[n / 2], "p99_us",
                     (json_int_t) sorted[(n * 99) / 100], "max_us", (json_int_t) sorted[n - 1]);
}

json_t *policyd_status(const Policyd *p)
{
    json_t *status = engine_status(machine_engine(p->machine));

    json_object_set_new(status, "name", json_string(p->name));
    json_object_set_new(status, "decision", took_json(p));
    json_object_set_new(status, "connected", json_boolean(bus_is_open(p->bus)));
    json_object_set_new(status, "records", json_integer(journal_newest(machine_journal(p->machine))));
    return status;
}
