/* A digest and an event may cross on the way: the digest was made before the event and arrives after it, or the other way round. So a
 * difference counts only when two heartbeats in a row say the same, and nothing else was heard between them. What is not known at
 * all is taken at once: there is nothing it could contradict. */
#include "broker-plugin/events/digest.h"

#include "lib/model/entity.h"

#include <string.h>

#define SERVICES_MAX 4096

typedef struct Seen {
    uint64_t event_sequence; /* of the last event that arrived */
    GHashTable *doubts;      /* service -> state a heartbeat said once, against what is known; "" : it was not in it */
} Seen;

struct Digest { GHashTable *agents; };

static void seen_free(Seen *seen)
{
    g_hash_table_unref(seen->doubts);
    g_free(seen);
}

Digest *digest_new(void)
{
    Digest *d = g_new0(Digest, 1);

    d->agents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) seen_free);
    return d;
}

void digest_free(Digest *d)
{
    if (d == NULL)
        return;
    g_hash_table_unref(d->agents);
    g_free(d);
}

static Seen *seen_of(Digest *d, const char *agent)
{
    Seen *seen = g_hash_table_lookup(d->agents, agent);

    if (seen == NULL) {
        seen = g_new0(Seen, 1);
        seen->doubts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_hash_table_insert(d->agents, g_strdup(agent), seen);
    }
    return seen;
}

void digest_event(Digest *d, const char *agent, uint64_t sequence)
{
    Seen *seen = seen_of(d, agent);

    seen->event_sequence = sequence;
    g_hash_table_remove_all(seen->doubts); /* things are moving: begin to doubt anew */
}

void digest_forget(Digest *d, const char *agent) { g_hash_table_remove(d->agents, agent); }

/* True: said twice. */
static bool doubt(Seen *seen, const char *service, const char *state)
{
    const char *before = g_hash_table_lookup(seen->doubts, service);

    if (before != NULL && strcmp(before, state) == 0) {
        g_hash_table_remove(seen->doubts, service);
        return true;
    }
    g_hash_table_replace(seen->doubts, g_strdup(service), g_strdup(state));
    return false;
}

static void look_at(Seen *seen, const Origin *o, const char *service, const char *state, const Entities *known, GPtrArray *facts)
{
    g_autoptr(Fact) fact = normalise_digest(o, service, state);
    const EntityState *now = entities_find(known, fact->entity);

    if (now != NULL && strcmp(now->state, state) == 0)
        g_hash_table_remove(seen->doubts, service);
    else if (now == NULL || doubt(seen, service, state))
        g_ptr_array_add(facts, g_steal_pointer(&fact));
}

/* Services this agent told of once and no longer names. */
static void look_for_gone(Seen *seen, const Origin *o, const Value *services, const Entities *known, GPtrArray *facts)
{
    g_autoptr(GPtrArray) paths = entities_of_source(known, o->agent);

    for (guint i = 0; i < paths->len; i++) {
        g_autoptr(Entity) entity = entity_parse(g_ptr_array_index(paths, i), NULL);

        if (entity == NULL || entity->name == NULL || value_get(services, entity->name) != NULL || !doubt(seen, entity->name, ""))
            continue;
        g_ptr_array_add(facts, normalise_digest(o, entity->name, "unknown"));
        fact_say(g_ptr_array_index(facts, facts->len - 1), "reason", "no longer monitored");
    }
}

GPtrArray *digest_look(Digest *d, const Origin *origin, const Value *services, uint64_t event_sequence, const Entities *known)
{
    GPtrArray *facts = g_ptr_array_new_with_free_func((GDestroyNotify) fact_free);
    Seen *seen;

    if (services == NULL || value_type(services) != VALUE_MAP)
        return facts;
    seen = seen_of(d, origin->agent);
    if (event_sequence != 0 && event_sequence < seen->event_sequence)
        return facts; /* made before an event that is here already */
    for (size_t i = 0; i < MIN(value_size(services), SERVICES_MAX); i++) {
        const Value *item;
        const char *service;

        if (value_entry(services, i, &service, &item) && service[0] != '\0' && strlen(service) <= 255 && is_state_word(value_as_string(item)))
            look_at(seen, origin, service, value_as_string(item), known, facts);
    }
    look_for_gone(seen, origin, services, known, facts);
    return facts;
}
