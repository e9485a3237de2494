#include "broker-plugin/mend_plugin.h"

#include "lib/model/entity.h"

#include <string.h>

#define AGENT_OBJECT "agent:"

static Value *text_value(const char *text) { return value_string(text != NULL ? text : ""); }

static void show_entity(Plugin *p, const EntityState *s)
{
    Value *values = value_map();
    g_autofree char *kind = g_strndup(s->kind, strcspn(s->kind, "."));

    value_set(values, "kind", value_string(kind));
    value_set(values, "state", value_string(s->state));
    value_set(values, "since_us", value_int(VALUE_INT64, s->since_us));
    value_set(values, "sequence", value_uint(VALUE_UINT64, s->sequence));
    value_set(values, "source", text_value(s->source));
    value_set(values, "data", value_from_json(s->data));
    site_put(p->site, "Entity", s->entity, values);
}

void tell(Plugin *p, Fact *fact)
{
    if (fact->lasting) {
        switch (entities_take(p->entities, fact)) {
        case FACT_OLD:
            count(p, METRIC_STALE, 1);
            fact_free(fact);
            return;
        case FACT_SAME:
            fact_free(fact);
            return;
        case FACT_NO_ROOM: /* it is told, but cannot be asked for */
            count(p, METRIC_DROPPED, 1);
            break;
        case FACT_ASIDE:
            fact_set_aside(fact);
            break;
        case FACT_NEW:
            show_entity(p, entities_find(p->entities, fact->entity));
            break;
        }
    }
    outbox_put(p->outbox, fact);
}

static void on_published(const Fact *fact, uint64_t sequence, void *user)
{
    Plugin *p = plugin_from(user);
    const EntityState *s = fact->lasting ? entities_find(p->entities, fact->entity) : NULL;

    count(p, METRIC_EVENTS, 1);
    if (s == NULL)
        return;
    entities_published(p->entities, fact->entity, sequence);
    show_entity(p, s);
    if (strcmp(s->state, "unknown") == 0 && json_object_get(s->data, "reason") != NULL && strncmp(s->entity, "service/", 8) == 0) {
        site_remove(p->site, s->entity); /* no longer monitored: said, and forgotten */
        entities_forget(p->entities, s->entity);
    }
}

static void on_coalesced(const Fact *gone, void *user) { count(plugin_from(user), METRIC_COALESCED, 1); }
static void on_dropped(const Fact *gone, void *user) { count(plugin_from(user), METRIC_DROPPED, 1); }

OutboxSink outbox_sink(Plugin *p) { return (OutboxSink) { on_published, on_coalesced, on_dropped, p }; }

Fact *agent_fact(Plugin *p, const char *kind, const char *agent, const char *reason)
{
    const AgentRecord *record = registry_find(p->registry, agent);
    g_autofree char *entity = entity_path(ENTITY_AGENT, agent, NULL);
    Fact *fact = fact_new(kind, entity, agent, p->host->wall_us(p->host), NULL);

    fact_say(fact, "reason", reason);
    if (record == NULL)
        return fact;
    fact_say(fact, "vm", record->vm);
    fact_say(fact, "hostname", record->hostname);
    fact_say(fact, "boot_id", record->boot_id);
    if (record->capabilities != NULL && g_strv_contains((const char *const *) record->capabilities, "bridge"))
        fact_say(fact, "place", "elsewhere");
    json_object_set_new(fact->data, "epoch", json_integer((json_int_t) record->epoch));
    fact->boot_id = g_strdup(record->boot_id);
    return fact;
}

void show_record(Plugin *p, const AgentRecord *r)
{
#define X(id, name) [LIFETIME_##id] = name,
    static const char *const lifetimes[] = { UUID_LIFETIMES(X) };
#undef X
    g_autofree char *object = g_strconcat(AGENT_OBJECT, r->name, NULL);
    Value *values = value_map(), *capabilities = value_list(), *uuid = value_map();

    for (size_t i = 0; r->capabilities != NULL && r->capabilities[i] != NULL; i++)
        value_append(capabilities, value_string(r->capabilities[i]));
    for (int i = 0; i < LIFETIME_N; i++)
        if (r->uuid[i] != NULL)
            value_set(uuid, lifetimes[i], value_string(r->uuid[i]));
    value_set(values, "name", value_string(r->name));
    value_set(values, "vm", text_value(r->vm));
    value_set(values, "hostname", text_value(r->hostname));
    value_set(values, "state", text_value(r->state));
    value_set(values, "epoch", value_uint(VALUE_UINT64, r->epoch));
    value_set(values, "boot_id", text_value(r->boot_id));
    value_set(values, "user", text_value(r->user));
    value_set(values, "role", text_value(r->role));
    value_set(values, "peer", text_value(r->address));
    value_set(values, "capabilities", capabilities);
    value_set(values, "reach", text_value(r->reach));
    value_set(values, "reach_text", text_value(r->reach_text));
    value_set(values, "last_seen_us", value_int(VALUE_INT64, r->last_seen_us));
    value_set(values, "uuid", uuid);
    site_put(p->site, "AgentRecord", object, values);
}

static Value *shards_value(const Seat *seat)
{
    Value *all = value_list();

    for (unsigned shard = 1; shard <= seat_shards(seat); shard++) {
        Value *one = value_map();

        value_set(one, "shard", value_uint(VALUE_UINT32, shard));
        value_set(one, "engine", value_string(seat_engine(seat, shard)));
        value_set(one, "epoch", value_uint(VALUE_UINT64, seat_epoch(seat, shard)));
        value_append(all, one);
    }
    return all;
}

void show_site(Plugin *p)
{
    Value *values = value_map();

    value_set(values, "site", value_string(p->site_id));
    value_set(values, "epoch", value_uint(VALUE_UINT64, seat_epoch(p->seat, SHARD_SITE)));
    value_set(values, "engine", value_string(seat_engine(p->seat, SHARD_SITE)));
    value_set(values, "shards", shards_value(p->seat));
    value_set(values, "sequence", value_uint(VALUE_UINT64, outbox_sequence(p->outbox)));
    value_set(values, "agents", value_uint(VALUE_UINT32, registry_size(p->registry)));
    site_put(p->site, "Site", "Site", values);
}

void show_quarantine(const QuarantineEntry *entry, bool gone, void *user)
{
    Plugin *p = plugin_from(user);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, entry->reason, -1);
    g_autofree char *object = g_strdup_printf("quarantine:%s:%.12s", entry->agent, sum);
    Value *values;

    if (gone) {
        site_remove(p->site, object);
        return;
    }
    values = value_map();
    value_set(values, "agent", value_string(entry->agent));
    value_set(values, "reason", value_string(entry->reason));
    value_set(values, "count", value_uint(VALUE_UINT64, entry->count));
    value_set(values, "last_us", value_int(VALUE_INT64, entry->last_us));
    site_put(p->site, "Quarantine", object, values);
}
