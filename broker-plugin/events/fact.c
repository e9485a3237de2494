#include "broker-plugin/events/fact.h"

#include <string.h>

static const struct { const char *kind; int severity; bool lasting; } kinds[] = {
    { "service.failed", 3, true },    { "service.degraded", 4, true },   { "service.unknown", 4, true },
    { "service.stopped", 5, true },   { "service.stopping", 6, true },   { "service.starting", 6, true },
    { "service.running", 6, true },   { "agent.up", 6, true },           { "agent.late", 5, true },
    { "agent.lost", 3, true },        { "agent.closed", 4, true },       { "agent.restarted", 5, false },
    { "agent.cloned", 3, false },     { "agent.moved", 5, false },       { "agent.quarantined", 4, false },
    { "vm.rebooted", 4, true },       { "vm.reverted", 3, true },        { "observer.fault", 2, true },
    { "observer.well", 5, true },     { "command.done", 6, false },      { "command.failed", 4, false },
    { "command.expired", 4, false },
};

Fact *fact_new(const char *kind, const char *entity, const char *source, int64_t time_us, json_t *data)
{
    Fact *fact = g_new0(Fact, 1);

    fact->kind = g_strdup(kind);
    fact->entity = g_strdup(entity);
    fact->source = g_strdup(source);
    fact->time_us = fact->occurred_us = time_us;
    fact->data = data != NULL ? data : json_object();
    fact->confidence = 1;
    fact->severity = 5;
    fact->lasting = true; /* what schema files bring are states */
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].kind, kind) == 0) {
            fact->severity = kinds[i].severity;
            fact->lasting = kinds[i].lasting;
        }
    fact->key = fact->lasting ? g_strdup(entity) : g_strdup_printf("%s %s", kind, entity);
    return fact;
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
