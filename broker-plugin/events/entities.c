/* Order. Facts of one source carry its own number and the time it happened. A larger number is later. A number already passed is a
 * repeat or was overtaken, unless its time is later too: then the source began to count anew. Without numbers time decides, and of
 * two sources what came last. */
#include "broker-plugin/events/entities.h"

#include <string.h>

struct Entities {
    size_t max;
    GHashTable *states;  /* entity -> EntityState */
    GHashTable *sources; /* source -> set of EntityState */
};

static void state_free(EntityState *s)
{
    g_free(s->entity);
    g_free(s->kind);
    g_free(s->state);
    g_free(s->source);
    json_decref(s->data);
    g_free(s);
}

Entities *entities_new(size_t max)
{
    Entities *e = g_new0(Entities, 1);

    e->max = max;
    e->states = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) state_free);
    e->sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_hash_table_unref);
    return e;
}

void entities_free(Entities *e)
{
    if (e == NULL)
        return;
    g_hash_table_unref(e->sources);
    g_hash_table_unref(e->states);
    g_free(e);
}

static void set_source(Entities *e, EntityState *s, const char *source)
{
    GHashTable *set;

    if (g_strcmp0(s->source, source) == 0)
        return;
    set = s->source != NULL ? g_hash_table_lookup(e->sources, s->source) : NULL;
    if (set != NULL) {
        g_hash_table_remove(set, s);
        if (g_hash_table_size(set) == 0)
            g_hash_table_remove(e->sources, s->source);
    }
    g_free(s->source);
    s->source = g_strdup(source);
    if (source == NULL)
        return;
    set = g_hash_table_lookup(e->sources, source);
    if (set == NULL) {
        set = g_hash_table_new(NULL, NULL);
        g_hash_table_insert(e->sources, g_strdup(source), set);
    }
    g_hash_table_add(set, s);
}

static bool is_old(const EntityState *s, const Fact *fact)
{
    if (g_strcmp0(s->source, fact->source) != 0)
        return false;
    if (fact->source_sequence != 0 && s->source_sequence != 0)
        return fact->source_sequence <= s->source_sequence && fact->occurred_us <= s->occurred_us;
    if (fact->source_sequence != 0 || s->source_sequence != 0)
        return false; /* one of them is from a digest */
    return fact->occurred_us < s->occurred_us;
}

static const char *text_of(const json_t *data, const char *key)
{
    return json_string_value(json_object_get(data, key));
}

/* The two ends of a migration tell in any order; the one it left may not know where to, when somebody else moved it. */
static bool is_aside(const EntityState *s, const Fact *fact)
{
    const char *to = text_of(fact->data, "to"), *host = text_of(s->data, "host");
    bool left = strcmp(fact->kind, "vm.stopped") == 0 && g_strcmp0(text_of(fact->data, "reason"), "migrated") == 0;

    if (!left || g_strcmp0(s->source, fact->source) == 0)
        return false;
    return to != NULL ? g_strcmp0(host, to) == 0 : strcmp(s->kind, "vm.running") == 0 && g_strcmp0(host, text_of(fact->data, "host")) != 0;
}

FactNews entities_take(Entities *e, const Fact *fact)
{
    EntityState *s = g_hash_table_lookup(e->states, fact->entity);
    const char *state = fact_state(fact);
    bool same;

    if (s == NULL) {
        if (g_hash_table_size(e->states) >= e->max)
            return FACT_NO_ROOM;
        s = g_new0(EntityState, 1);
        s->entity = g_strdup(fact->entity);
        g_hash_table_insert(e->states, s->entity, s);
    } else if (is_old(s, fact)) {
        return FACT_OLD;
    } else if (is_aside(s, fact)) {
        return FACT_ASIDE;
    }
    /* A service that is said again to be as it is known to be, by somebody who does not number what happens. */
    same = g_strcmp0(s->kind, fact->kind) == 0 && fact->source_sequence == 0 && g_str_has_prefix(fact->kind, "service.");
    if (fact->source_sequence != 0 || g_strcmp0(s->source, fact->source) != 0)
        s->source_sequence = fact->source_sequence;
    s->occurred_us = fact->occurred_us;
    set_source(e, s, fact->source);
    if (same)
        return FACT_SAME;
    if (g_strcmp0(s->kind, fact->kind) != 0) {
        g_free(s->state);
        s->state = g_strdup(state);
        s->since_us = fact->time_us;
    }
    g_free(s->kind);
    s->kind = g_strdup(fact->kind);
    json_decref(s->data);
    s->data = json_incref(fact->data);
    return FACT_NEW;
}

void entities_published(Entities *e, const char *entity, uint64_t sequence)
{
    EntityState *s = g_hash_table_lookup(e->states, entity);

    if (s != NULL)
        s->sequence = sequence;
}

const EntityState *entities_find(const Entities *e, const char *entity) { return g_hash_table_lookup(e->states, entity); }
size_t entities_size(const Entities *e) { return g_hash_table_size(e->states); }

void entities_forget(Entities *e, const char *entity)
{
    EntityState *s = g_hash_table_lookup(e->states, entity);

    if (s == NULL)
        return;
    set_source(e, s, NULL);
    g_hash_table_remove(e->states, entity);
}

GPtrArray *entities_of_source(const Entities *e, const char *source)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GHashTable *set = g_hash_table_lookup(e->sources, source);
    GHashTableIter i;
    EntityState *s;

    if (set == NULL)
        return paths;
    g_hash_table_iter_init(&i, set);
    while (g_hash_table_iter_next(&i, (gpointer *) &s, NULL))
        if (strncmp(s->entity, "service/", 8) == 0)
            g_ptr_array_add(paths, g_strdup(s->entity));
    return paths;
}
