#include "broker-plugin/events/fact.h"

#include "lib/base/json.h"

#include <string.h>

/* @topic: values that tell one from another of the same kind (of what happened) or entity (of states: each host has its own word of a storage
 * domain): a later one about the same replaces it while it waits. */
static const struct {
    const char *kind;
    int severity;
    bool lasting;
    const char *topic[2];
} kinds[] = {
    { "service.failed", 3, true },     { "service.degraded", 4, true },   { "service.unknown", 4, true },
    { "service.stopped", 5, true },    { "service.stopping", 6, true },   { "service.starting", 6, true },
    { "service.running", 6, true },    { "agent.up", 6, true },           { "agent.late", 5, true },
    { "agent.lost", 3, true },         { "agent.closed", 4, true },       { "agent.restarted", 5, false },
    { "agent.cloned", 3, false },      { "agent.moved", 5, false },       { "agent.quarantined", 4, false },
    { "vm.running", 6, true },         { "vm.starting", 6, true },        { "vm.stopping", 6, true },
    { "vm.stopped", 5, true },         { "vm.crashed", 3, true },         { "vm.panicked", 3, true },
    { "vm.hung", 3, true },            { "vm.paused", 4, true },          { "vm.suspended", 5, true },
    { "vm.migrating", 5, true },       { "vm.unknown", 4, true },         { "vm.rebooted", 4, false },
    { "vm.reverted", 3, false },       { "vm.sample", 7, false },         { "vm.evidence", 6, false, { "channel", "host" } },
    { "vm.job", 6, false, { "job" } }, { "host.up", 6, true },            { "host.off", 4, true },
    { "host.sample", 7, false },       { "host.fenceable", 5, false },    { "host.evidence", 6, false, { "channel", "by" } },
    { "host.unfenceable", 4, false },  { "storage.well", 5, true, { "host" } },
    { "storage.degraded", 4, true, { "host" } }, { "storage.failed", 2, true, { "host" } }, { "storage.full", 3, true, { "host" } },
    { "observer.fault", 2, true },     { "observer.well", 5, true },      { "command.done", 6, false },      { "command.failed", 4, false },
    { "command.expired", 4, false },
};

static int row_of(const char *kind)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return (int) i;
    return -1;
}

bool fact_is_known(const char *kind) { return row_of(kind) >= 0; }

static char *key_of(const Fact *fact, int row)
{
    GString *key = g_string_new(fact->lasting ? "" : fact->kind);

    g_string_append_printf(key, "%s%s", fact->lasting ? "" : " ", fact->entity);
    for (size_t i = 0; row >= 0 && i < G_N_ELEMENTS(kinds[row].topic) && kinds[row].topic[i] != NULL; i++)
        g_string_append_printf(key, " %s", json_string_or(fact->data, kinds[row].topic[i], ""));
    return g_string_free(key, FALSE);
}

Fact *fact_new(const char *kind, const char *entity, const char *source, int64_t time_us, json_t *data)
{
    Fact *fact = g_new0(Fact, 1);
    int row = row_of(kind);

    fact->kind = g_strdup(kind);
    fact->entity = g_strdup(entity);
    fact->source = g_strdup(source);
    fact->time_us = fact->occurred_us = time_us;
    fact->data = data != NULL ? data : json_object();
    fact->confidence = 1;
    fact->severity = row >= 0 ? kinds[row].severity : 5;
    fact->lasting = row < 0 || kinds[row].lasting; /* what else schema files bring are states */
    fact->key = key_of(fact, row);
    return fact;
}

void fact_set_aside(Fact *fact)
{
    fact->lasting = false;
    g_free(fact->key);
    fact->key = key_of(fact, row_of(fact->kind));
}

void fact_free(Fact *fact)
{
    if (fact == NULL)
        return;
    g_free(fact->key);
    g_free(fact->kind);
    g_free(fact->entity);
    g_free(fact->source);
    g_free(fact->boot_id);
    json_decref(fact->data);
    g_free(fact);
}

const char *fact_state(const Fact *fact)
{
    const char *dot = strchr(fact->kind, '.');

    return dot != NULL ? dot + 1 : fact->kind;
}

void fact_say(Fact *fact, const char *key, const char *text)
{
    json_t *value = text != NULL ? json_string(text) : NULL;

    if (value != NULL)
        json_object_set_new(fact->data, key, value);
}
