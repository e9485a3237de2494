#include "consumers/policy/engine/quarantine.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/span.h"
#include "lib/base/json.h"

#include <string.h>

static void failure_free(Failure *failure)
{
    g_free(failure->path);
    g_free(failure);
}

void trouble_free(Trouble *trouble)
{
    g_ptr_array_unref(trouble->failures);
    g_free(trouble);
}

static void failure_add(Trouble *trouble, const char *path, int64_t at_us)
{
    Failure *failure = g_new0(Failure, 1);

    *failure = (Failure){ g_strdup(path), at_us };
    g_ptr_array_add(trouble->failures, failure);
}

static Trouble *trouble_of(const Engine *engine, const EntityState *host)
{
    for (guint i = 0; i < engine->troubles->len; i++)
        if (((Trouble *) engine->troubles->pdata[i])->host == host)
            return engine->troubles->pdata[i];
    return NULL;
}

static Trouble *trouble_add(Engine *engine, EntityState *host)
{
    Trouble *trouble = g_new0(Trouble, 1);

    trouble->host = host;
    trouble->failures = g_ptr_array_new_with_free_func((GDestroyNotify) failure_free);
    due_init(&trouble->due, DUE_QUARANTINE);
    trouble->due.name = host->path;
    g_ptr_array_add(engine->troubles, trouble);
    return trouble;
}

static unsigned in_quarantine(const Engine *engine)
{
    unsigned n = 0;

    for (guint i = 0; i < engine->troubles->len; i++)
        n += ((const Trouble *) engine->troubles->pdata[i])->until_us != 0;
    return n;
}

static void begin(Stage *s, Trouble *trouble)
{
    Engine *engine = s->engine;
    const Quarantine *q = &engine->policy->quarantine;
    unsigned most = engine->hosts->len * q->at_most_percent / 100, now = in_quarantine(engine);
    g_autofree char *length = span_text(q->for_us), *within = span_text(q->within_us);
    json_t *data = json_pack("{s:i, s:I, s:i, s:i, s:i}", "failures", (int) trouble->failures->len, "within_us", (json_int_t) q->within_us,
                             "in_quarantine", (int) now, "hosts", (int) engine->hosts->len, "at_most_percent", (int) q->at_most_percent);

    if (now + 1 > most) {
        put_record(s, "quarantine.refused", NULL, trouble->host->path, data,
                   "%s has failed %u times within %s, but of %u hosts no more than %u may be in quarantine", trouble->host->path,
                   trouble->failures->len, within, engine->hosts->len, most);
        return;
    }
    trouble->until_us = engine->now_us + q->for_us;
    due_set(&engine->due, &trouble->due, trouble->until_us);
    put_record(s, "quarantine", NULL, trouble->host->path, data, "%s has failed %u times within %s: it gets no new VMs for %s", trouble->host->path,
               trouble->failures->len, within, length);
    put_notice(s, "quarantine", "log", NULL, "%s has failed %u times within %s: it gets no new VMs for %s", trouble->host->path,
               trouble->failures->len, within, length);
}

void quarantine_failure(Stage *s, EntityState *host, const char *path, const char *state)
{
    Engine *engine = s->engine;
    const Quarantine *q = &engine->policy->quarantine;

    if (!q->on || q->failures == 0)
        return;
    Trouble *trouble = trouble_of(engine, host);
    if (trouble == NULL)
        trouble = trouble_add(engine, host);
    while (trouble->failures->len > 0 && (((Failure *) trouble->failures->pdata[0])->at_us <= engine->now_us - q->within_us ||
                                          trouble->failures->len >= q->failures))
        g_ptr_array_remove_index(trouble->failures, 0); /* what was long ago, and more than is asked for */
    for (guint i = 0; strcmp(path, host->path) != 0 && i < trouble->failures->len; i++)
        if (strcmp(((Failure *) trouble->failures->pdata[i])->path, path) == 0)
            return; /* a VM that fails again and again says nothing new of its host */
    failure_add(trouble, path, engine->now_us);
    put_record(s, "host.trouble", NULL, host->path, json_pack("{s:s, s:s, s:i, s:i}", "entity", path, "state", state, "failures", (int) trouble->failures->len, "limit",
                                                              (int) q->failures),
               "%s: %u of %u failures before quarantine: %s is %s", host->path, trouble->failures->len, q->failures, path, state);
    if (trouble->until_us == 0 && trouble->failures->len >= q->failures)
        begin(s, trouble);
}

int64_t quarantine_until_us(const Engine *engine, const EntityState *host)
{
    const Trouble *trouble = engine->troubles->len == 0 ? NULL : trouble_of(engine, host);

    return trouble == NULL ? 0 : trouble->until_us;
}

static void end(Stage *s, Trouble *trouble, const char *why)
{
    due_set(&s->engine->due, &trouble->due, NEVER_US);
    trouble->until_us = 0;
    g_ptr_array_set_size(trouble->failures, 0);
    put_record(s, "quarantine.ended", NULL, trouble->host->path, NULL, "%s may take VMs again: %s", trouble->host->path, why);
    s->wake |= WAKES(QUARANTINE) | WAKES(PLACE);
}

bool quarantine_release(Stage *s, const char *path, const char *who)
{
    const EntityState *host = path == NULL ? NULL : entity_find(s->engine, path);
    Trouble *trouble = host == NULL ? NULL : trouble_of(s->engine, host);

    if (trouble == NULL || trouble->until_us == 0)
        return false;
    g_autofree char *why = g_strdup_printf("%s says so", who == NULL ? "an operator" : who);
    end(s, trouble, why);
    return true;
}

void quarantine_due(Stage *s, Trouble *trouble)
{
    end(s, trouble, "its time is over");
}

json_t *quarantine_to_json(const Engine *engine)
{
    json_t *all = json_array();

    for (guint i = 0; i < engine->troubles->len; i++) {
        const Trouble *trouble = engine->troubles->pdata[i];
        json_t *at = json_array();

        for (guint k = 0; k < trouble->failures->len; k++)
            json_array_append_new(at, json_pack("[I, s]", (json_int_t) ((Failure *) trouble->failures->pdata[k])->at_us,
                                                ((Failure *) trouble->failures->pdata[k])->path));
        json_array_append_new(all, json_pack("{s:s, s:I, s:o}", "host", trouble->host->path, "until_us", (json_int_t) trouble->until_us, "failures", at));
    }
    return all;
}

void quarantine_from_json(Engine *engine, const json_t *all)
{
    size_t i, k;
    json_t *json, *at;

    json_array_foreach((json_t *) all, i, json) {
        EntityState *host = entity_find(engine, json_string_or(json, "host", ""));

        if (host == NULL)
            continue;
        Trouble *trouble = trouble_add(engine, host);
        trouble->until_us = json_int_or(json, "until_us", 0);
        due_set(&engine->due, &trouble->due, trouble->until_us == 0 ? NEVER_US : trouble->until_us);
        json_array_foreach(json_object_get(json, "failures"), k, at)
            failure_add(trouble, json_string_value(json_array_get(at, 1)), json_integer_value(json_array_get(at, 0)));
    }
}

bool engine_excludes(Engine *engine, const char *host)
{
    const EntityState *entity = entity_find(engine, host);

    return entity != NULL && quarantine_until_us(engine, entity) != 0;
}
