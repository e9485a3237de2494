#include "consumers/policy/engine/quarantine.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/span.h"
#include "lib/base/json.h"

#include <string.h>

void trouble_free(Trouble *trouble)
{
    g_array_unref(trouble->at_us);
    g_free(trouble);
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
    trouble->at_us = g_array_new(FALSE, FALSE, sizeof(int64_t));
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
    json_t *data = json_pack("{s:i, s:I, s:i, s:i, s:i}", "failures", (int) trouble->at_us->len, "within_us", (json_int_t) q->within_us,
                             "in_quarantine", (int) now, "hosts", (int) engine->hosts->len, "at_most_percent", (int) q->at_most_percent);

    if (now + 1 > most) {
        put_record(s, "quarantine.refused", NULL, trouble->host->path, data,
                   "%s has failed %u times within %s, but of %u hosts no more than %u may be in quarantine", trouble->host->path,
                   trouble->at_us->len, within, engine->hosts->len, most);
        return;
    }
    trouble->until_us = engine->now_us + q->for_us;
    due_set(&engine->due, &trouble->due, trouble->until_us);
    put_record(s, "quarantine", NULL, trouble->host->path, data, "%s has failed %u times within %s: it gets no new VMs for %s", trouble->host->path,
               trouble->at_us->len, within, length);
    put_notice(s, "quarantine", "log", NULL, "%s has failed %u times within %s: it gets no new VMs for %s", trouble->host->path,
               trouble->at_us->len, within, length);
}

void quarantine_failure(Stage *s, EntityState *host, const char *what)
{
    Engine *engine = s->engine;
    const Quarantine *q = &engine->policy->quarantine;

    if (!q->on || q->failures == 0)
        return;
    Trouble *trouble = trouble_of(engine, host);
    if (trouble == NULL)
        trouble = trouble_add(engine, host);
    while (trouble->at_us->len > 0 && (g_array_index(trouble->at_us, int64_t, 0) <= engine->now_us - q->within_us || trouble->at_us->len >= q->failures))
        g_array_remove_index(trouble->at_us, 0); /* what was long ago, and more than is asked for */
    g_array_append_val(trouble->at_us, engine->now_us);
    put_record(s, "host.trouble", NULL, host->path, json_pack("{s:s, s:i, s:i}", "what", what, "failures", (int) trouble->at_us->len, "limit",
                                                              (int) q->failures),
               "%s: %u of %u failures before quarantine: %s", host->path, trouble->at_us->len, q->failures, what);
    if (trouble->until_us == 0 && trouble->at_us->len >= q->failures)
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
    g_array_set_size(trouble->at_us, 0);
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

        for (guint k = 0; k < trouble->at_us->len; k++)
            json_array_append_new(at, json_integer(g_array_index(trouble->at_us, int64_t, k)));
        json_array_append_new(all, json_pack("{s:s, s:I, s:o}", "host", trouble->host->path, "until_us", (json_int_t) trouble->until_us, "at_us", at));
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
        json_array_foreach(json_object_get(json, "at_us"), k, at) {
            int64_t at_us = json_integer_value(at);

            g_array_append_val(trouble->at_us, at_us);
        }
    }
}
