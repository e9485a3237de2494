/* An agent says much about itself with every heartbeat, and nearly always the same. registry_seen() compares and reports only what
 * is new, so the stages after it deal with changes.
 *
 * Four numbers tell four stories. The agent's epoch grows: the agent was restarted. The boot id differs: the machine was. The
 * generation id differs: the machine went back to a snapshot, and then the other two may go backwards as well. None of them differs
 * but the far end's address does: it moved. A smaller epoch without any of these is an old message on a slow path: stale.
 *
 * Matahari's agents take a new name at each start and have no epoch worth the name: a new name of a product that is already known
 * on that machine (uuid) is the same agent, restarted. If the old one still speaks afterwards, they were two: clones. */
#include "broker-plugin/registry/registry.h"

#include "lib/base/json.h"
#include "lib/base/uuid.h"

#include <string.h>

#define REACH_TEXT_MAX 1024

struct Registry {
    size_t max_agents;
    GHashTable *records;   /* name -> AgentRecord */
    GHashTable *machines;  /* "product\nvm" -> name of the record that has it (borrowed from the record) */
    uint64_t dirty;
};

G_DEFINE_QUARK(mend-registry-error-quark, registry_error)

void changes_clear(Changes *c)
{
    g_clear_pointer(&c->previous_boot, g_free);
    g_clear_pointer(&c->previous_address, g_free);
    g_clear_pointer(&c->replaced, g_free);
    g_clear_pointer(&c->clone, g_free);
}

Registry *registry_new(size_t max_agents)
{
    Registry *registry = g_new0(Registry, 1);

    registry->max_agents = max_agents;
    registry->records = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) record_free);
    registry->machines = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return registry;
}

void registry_free(Registry *registry)
{
    if (registry == NULL)
        return;
    g_hash_table_unref(registry->machines);
    g_hash_table_unref(registry->records);
    g_free(registry);
}

static unsigned shard_of(const char *name) { return g_str_hash(name) % REGISTRY_SHARDS; }
static void touch(Registry *registry, const AgentRecord *r) { registry->dirty |= UINT64_C(1) << shard_of(r->name); }
static AgentRecord *find(const Registry *registry, const char *agent) { return g_hash_table_lookup(registry->records, agent); }
const AgentRecord *registry_find(const Registry *registry, const char *agent) { return find(registry, agent); }
size_t registry_size(const Registry *registry) { return g_hash_table_size(registry->records); }

static char *machine_key(const AgentRecord *r)
{
    return r->vm != NULL && r->product[0] != '\0' ? g_strdup_printf("%s\n%s", r->product, r->vm) : NULL;
}

/* Matahari's agents are known by a name that changes; ours by one that does not. */
static bool name_changes(const AgentRecord *r) { return r->vm != NULL && !g_str_has_suffix(r->name, r->vm) && r->epoch <= 1; }

static char *address_of(const char *address)
{
    const char *colon = address != NULL ? strrchr(address, ':') : NULL;

    return colon != NULL ? g_strndup(address, (gsize) (colon - address)) : g_strdup(address);
}

static char *machine_of(const Value *attributes)
{
    const char *vm = value_get_string(attributes, "mend.vm");
    const char *uuid = vm != NULL ? vm : value_get_string(attributes, "uuid");
    char *canonical = uuid != NULL ? uuid_canonical(uuid) : NULL;

    return canonical != NULL || uuid == NULL || uuid[0] == '\0' ? canonical : g_strndup(uuid, 255);
}

static void take_capabilities(AgentRecord *r, const Value *list)
{
    g_autoptr(GStrvBuilder) words = g_strv_builder_new();

    if (list == NULL || value_type(list) != VALUE_LIST)
        return;
    for (size_t i = 0; i < MIN(value_size(list), 32); i++) {
        const char *word = value_as_string(value_at(list, i));

        if (word != NULL && strlen(word) <= 64)
            g_strv_builder_add(words, word);
    }
    g_strfreev(r->capabilities);
    r->capabilities = g_strv_builder_end(words);
}

static bool take_uuids(AgentRecord *r, const Value *map)
{
#define X(id, name) [LIFETIME_##id] = name,
    static const char *const names[] = { UUID_LIFETIMES(X) };
#undef X
    bool changed = false;

    for (int i = 0; i < LIFETIME_N; i++) {
        const char *uuid = value_get_string(map, names[i]);

        if (uuid != NULL && strcmp(uuid, "not-available") != 0 && strlen(uuid) <= 64)
            changed |= text_update(&r->uuid[i], uuid);
    }
    return changed;
}

/* True: this is about the instance we know or a later one. */
static bool take_epoch(AgentRecord *r, const Sighting *s, Changes *ret)
{
    uint64_t epoch = (uint64_t) value_get_int(s->attributes, "_epoch", 0);
    const char *genid = value_get_string(s->attributes, "mend.genid");
    bool known = r->epoch != 0;

    ret->reverted = genid != NULL && r->genid != NULL && strcmp(genid, r->genid) != 0;
    text_update(&r->genid, genid);
    if (epoch == 0 || epoch == r->epoch)
        return true;
    if (known && epoch < r->epoch && !ret->reverted && s->peer == r->peer)
        return false;
    ret->restarted = known;
    r->epoch = epoch;
    return true;
}

static void take_boot(AgentRecord *r, const char *boot_id, Changes *ret)
{
    g_autofree char *before = g_strdup(r->boot_id);

    if (boot_id == NULL || strlen(boot_id) > 64 || !text_update(&r->boot_id, boot_id) || before == NULL)
        return;
    ret->rebooted = !ret->reverted; /* a snapshot brings its old boot along: that is not a boot */
    ret->previous_boot = g_steal_pointer(&before);
}

static void take_peer(AgentRecord *r, const Sighting *s, Changes *ret)
{
    g_autofree char *address = address_of(s->address), *before = g_strdup(r->address);

    if (s->peer == 0)
        return;
    r->peer = s->peer;
    text_update(&r->user, s->user);
    text_update(&r->role, s->role);
    if (text_update(&r->address, address) && before != NULL) {
        ret->moved = true;
        ret->previous_address = g_steal_pointer(&before);
    }
}

static void found_clone(AgentRecord *r, AgentRecord *other, Changes *ret)
{
    if (r->cloned && other->cloned)
        return;
    r->cloned = other->cloned = true;
    ret->cloned = true;
    ret->clone = g_strdup(other->name);
}

static void find_replaced(Registry *registry, AgentRecord *r, Changes *ret)
{
    g_autofree char *key = machine_key(r);
    const char *name = key != NULL ? g_hash_table_lookup(registry->machines, key) : NULL;
    AgentRecord *other = name != NULL ? find(registry, name) : NULL;

    if (key == NULL || other == r)
        return;
    if (other != NULL && name_changes(r) && ret->joined) {
        ret->restarted = true;
        ret->joined = false;
        ret->replaced = g_strdup(other->name);
        if (r->interval_ms == 0)
            r->interval_ms = other->interval_ms;
    } else if (other != NULL && name_changes(r) && other->gone_us == 0) {
        found_clone(r, other, ret); /* both speak: two machines with one identity */
        return;
    }
    g_hash_table_replace(registry->machines, g_steal_pointer(&key), r->name);
}

/* Same file system, other hardware, both here. A machine image started twice keeps its file system's UUID. */
static void find_clone(Registry *registry, AgentRecord *r, Changes *ret)
{
    const char *filesystem = r->uuid[LIFETIME_FILESYSTEM], *hardware = r->uuid[LIFETIME_HARDWARE];
    GHashTableIter i;
    AgentRecord *other;

    if (filesystem == NULL || hardware == NULL || r->cloned)
        return;
    g_hash_table_iter_init(&i, registry->records);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &other)) {
        if (other == r || other->gone_us != 0 || other->uuid[LIFETIME_HARDWARE] == NULL ||
            g_strcmp0(other->uuid[LIFETIME_FILESYSTEM], filesystem) != 0 || strcmp(other->uuid[LIFETIME_HARDWARE], hardware) == 0)
            continue;
        found_clone(r, other, ret);
        return;
    }
}

static void take_reach(AgentRecord *r, const char *reach, const char *text)
{
    bool degraded = g_strcmp0(reach, "degraded") == 0;

    text_update(&r->reach, reach == NULL ? NULL : degraded ? "degraded" : "well");
    g_free(r->reach_text);
    r->reach_text = degraded && text != NULL ? g_strndup(text, REACH_TEXT_MAX) : NULL;
    if (r->reach_text != NULL && !g_utf8_validate(r->reach_text, -1, NULL)) /* cut within a letter */
        *g_utf8_find_prev_char(r->reach_text, r->reach_text + strlen(r->reach_text)) = '\0';
}

static void take_attributes(Registry *registry, AgentRecord *r, const Sighting *s, Changes *ret)
{
    const Value *a = s->attributes;
    g_autofree char *vm = machine_of(a);
    bool news;

    take_boot(r, value_get_string(a, "mend.boot_id"), ret);
    news = text_update(&r->hostname, value_get_string(a, "hostname"));
    news |= text_update(&r->vm, vm);
    take_capabilities(r, value_get(a, "mend.capabilities"));
    take_reach(r, value_get_string(a, "mend.reach"), value_get_string(a, "mend.reach_text"));
    if (take_uuids(r, value_get(a, "mend.uuid")))
        find_clone(registry, r, ret);
    find_replaced(registry, r, ret);
    if (news || ret->joined || ret->restarted || ret->rebooted || ret->reverted || ret->moved)
        touch(registry, r);
}

const AgentRecord *registry_seen(Registry *registry, const Sighting *s, Changes *ret, GError **error)
{
    AgentRecord *r = find(registry, s->agent);

    if (r == NULL) {
        if (registry_size(registry) >= registry->max_agents) {
            g_set_error(error, REGISTRY_ERROR, REGISTRY_ERROR_FULL, "%zu agents are known, the most that may be (max_agents)", registry->max_agents);
            return NULL;
        }
        r = record_new(s->agent);
        g_hash_table_insert(registry->records, r->name, r);
        ret->joined = true;
        touch(registry, r);
    }
    if (s->attributes != NULL && !take_epoch(r, s, ret)) {
        ret->stale = true;
        return r;
    }
    take_peer(r, s, ret);
    if (s->attributes != NULL)
        take_attributes(registry, r, s, ret);
    if (r->gone_us != 0)
        touch(registry, r);
    r->gone_us = 0;
    r->last_seen_us = s->wall_us;
    return r;
}

void registry_gone(Registry *registry, const char *agent, int64_t wall_us)
{
    AgentRecord *r = find(registry, agent);

    if (r == NULL || r->gone_us != 0)
        return;
    r->gone_us = wall_us;
    r->peer = 0;
    r->cloned = false;
    touch(registry, r);
}

void registry_set_state(Registry *registry, const char *agent, const char *state)
{
    AgentRecord *r = find(registry, agent);

    if (r != NULL)
        text_update(&r->state, state);
}

void registry_set_interval(Registry *registry, const char *agent, uint32_t interval_ms)
{
    AgentRecord *r = find(registry, agent);

    if (r == NULL || r->interval_ms == interval_ms)
        return;
    r->interval_ms = interval_ms;
    touch(registry, r);
}

void registry_set_served(Registry *registry, const char *agent, const char *owner)
{
    AgentRecord *r = find(registry, agent);

    if (r == NULL)
        return;
    g_free(r->served);
    r->served = g_strdup(owner);
}

void registry_forget(Registry *registry, const char *agent)
{
    AgentRecord *r = find(registry, agent);
    g_autofree char *key = r != NULL ? machine_key(r) : NULL;

    if (r == NULL)
        return;
    touch(registry, r);
    if (key != NULL && g_hash_table_lookup(registry->machines, key) == r->name)
        g_hash_table_remove(registry->machines, key);
    g_hash_table_remove(registry->records, agent);
}

void registry_foreach(const Registry *registry, void (*fn)(const AgentRecord *record, void *user), void *user)
{
    GHashTableIter i;
    AgentRecord *r;

    g_hash_table_iter_init(&i, registry->records);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &r))
        fn(r, user);
}

GPtrArray *registry_gone_before(const Registry *registry, int64_t wall_us)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter i;
    AgentRecord *r;

    g_hash_table_iter_init(&i, registry->records);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &r))
        if (r->gone_us != 0 && r->gone_us < wall_us)
            g_ptr_array_add(names, g_strdup(r->name));
    return names;
}

uint64_t registry_take_dirty(Registry *registry)
{
    uint64_t dirty = registry->dirty;

    registry->dirty = 0;
    return dirty;
}

void registry_mark_dirty(Registry *registry, unsigned shard) { registry->dirty |= UINT64_C(1) << shard; }

char *registry_shard_text(const Registry *registry, unsigned shard)
{
    g_autoptr(json_t) list = json_array();
    GHashTableIter i;
    AgentRecord *r;

    g_hash_table_iter_init(&i, registry->records);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &r))
        if (shard_of(r->name) == shard)
            json_array_append_new(list, record_to_json(r));
    return json_array_size(list) > 0 ? json_text(list) : g_strdup("");
}

size_t registry_load_shard(Registry *registry, const char *text, size_t n_bytes)
{
    g_autoptr(json_t) list = json_parse(text, n_bytes, "registry", NULL);
    const json_t *one;
    size_t i, n = 0;

    json_array_foreach(list, i, one) {
        AgentRecord *r = record_from_json(one);
        g_autofree char *key = NULL;

        if (r == NULL || find(registry, r->name) != NULL || registry_size(registry) >= registry->max_agents) {
            record_free(r);
            continue;
        }
        g_hash_table_insert(registry->records, r->name, r);
        key = machine_key(r);
        if (key != NULL)
            g_hash_table_replace(registry->machines, g_steal_pointer(&key), r->name);
        n++;
    }
    return n;
}
