/* What is told while the bus is away: of states the latest of each entity, of what happened a bounded list. Both are told in the order
 * they came to be, so that a VM's end on this host is not told after its life on it. */
#include "agents/host/host_private.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define PACKAGE "org.matahariproject.mend"

typedef struct Untold {
    char *key; /* what a later one replaces; NULL: nothing does */
    const QmfClass *class;
    Value *values;
    bool happened;
} Untold;

struct Telling {
    QmfAgent *agent;
    const char *boot_id;
    GQueue untold;       /* of Untold, oldest first */
    GHashTable *by_key;  /* key → its GList in untold */
    guint n_happened;
    uint64_t sequence;
    bool online, lost;
};

static void untold_free(Untold *untold)
{
    g_free(untold->key);
    value_unref(untold->values);
    g_free(untold);
}

Telling *telling_new(QmfAgent *agent, const char *boot_id)
{
    static const char *const events[] = { "vm_state", "host_state", "storage_state", "domain_event" };
    Telling *telling = g_new0(Telling, 1);

    telling->agent = agent;
    telling->boot_id = boot_id;
    g_queue_init(&telling->untold);
    telling->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < G_N_ELEMENTS(events); i++)
        qmf_agent_add_class(agent, qmf_schema_find(qmf_schema_builtin(), PACKAGE, events[i]));
    return telling;
}

void telling_free(Telling *telling)
{
    g_hash_table_unref(telling->by_key);
    g_queue_clear_full(&telling->untold, (GDestroyNotify) untold_free);
    g_free(telling);
}

static void send_event(Telling *telling, const QmfClass *class, int severity, Value *values)
{
    value_set(values, "sequence", value_uint(VALUE_UINT64, ++telling->sequence));
    qmf_agent_raise_event(telling->agent, class, severity, values);
}

static void drop(Telling *telling, GList *link)
{
    Untold *untold = link->data;

    if (untold->key != NULL)
        g_hash_table_remove(telling->by_key, untold->key);
    telling->n_happened -= untold->happened;
    g_queue_delete_link(&telling->untold, link);
    untold_free(untold);
}

static void make_room(Telling *telling)
{
    GList *link = telling->untold.head;

    while (link != NULL && !((const Untold *) link->data)->happened)
        link = link->next;
    if (link == NULL)
        return;
    drop(telling, link);
    if (!telling->lost)
        log_warning("no bus for long: the oldest of what happened meanwhile is forgotten; states are not");
    telling->lost = true;
}

static void keep(Telling *telling, char *key /* (transfer full) */, const QmfClass *class, Value *values, bool happened)
{
    Untold *untold = g_new(Untold, 1);
    GList *old = key != NULL ? g_hash_table_lookup(telling->by_key, key) : NULL;

    if (old != NULL)
        drop(telling, old);
    if (happened && telling->n_happened >= HOST_UNTOLD_MAX)
        make_room(telling);
    *untold = (Untold) { key, class, values, happened };
    telling->n_happened += happened;
    g_queue_push_tail(&telling->untold, untold);
    if (key != NULL)
        g_hash_table_insert(telling->by_key, key, telling->untold.tail);
}

void telling_set_online(Telling *telling, bool online)
{
    Untold *untold;

    telling->online = online;
    if (!online)
        return;
    g_hash_table_remove_all(telling->by_key);
    telling->n_happened = 0;
    telling->lost = false;
    while ((untold = g_queue_pop_head(&telling->untold)) != NULL) {
        send_event(telling, untold->class, -1, g_steal_pointer(&untold->values));
        untold_free(untold);
    }
}

static const QmfClass *class_of(const char *kind)
{
    g_autofree char *name = g_strconcat(kind, "_state", NULL);

    return qmf_schema_find(qmf_schema_builtin(), PACKAGE, name);
}

/* The plugin refuses a whole event for one argument it does not know: better without that one. (transfer full) */
static Value *known_only(const QmfClass *class, Value *values /* (transfer full), may be NULL */)
{
    g_autoptr(Value) all = values;
    Value *known = value_map();
    const char *key;
    const Value *item;

    for (size_t i = 0; value_entry(all, i, &key, &item); i++)
        if (qmf_class_property(class, key) != NULL)
            value_set(known, key, value_ref((Value *) item));
        else
            log_warning("%s has no argument %s: left out", class->name, key);
    return known;
}

static void put_fact(void *key, void *value, void *values) { value_set(values, key, value_ref(value)); }

/* host.up of this host itself has what its parts know beside what is told here. */
static void add_facts(Host *host, const char *kind, const char *id, const char *state, Value *values)
{
    Value *said;
    const char *key;
    const Value *item;

    if (strcmp(kind, "host") != 0 || strcmp(state, "up") != 0 || strcmp(id, host_id(host)) != 0)
        return;
    said = value_map();
    for (size_t i = 0; value_entry(values, i, &key, &item); i++)
        value_set(said, key, value_ref((Value *) item));
    value_unref(host->last_up);
    host->last_up = said;
    g_hash_table_foreach(host->facts, put_fact, values);
}

static void tell(Host *host, const char *kind, const char *id, const char *state, char *key /* (transfer full) */, bool happened, Value *values)
{
    Telling *telling = host->telling;
    const QmfClass *class = class_of(kind);
    Value *all;

    if (class == NULL) {
        log_error("no event %s_state in the schema", kind);
        g_free(key);
        value_unref(values);
        return;
    }
    all = known_only(class, values);
    add_facts(host, kind, id, state, all);
    value_set(all, "id", value_string(id));
    value_set(all, "state", value_string(state));
    value_set(all, "boot_id", value_string(telling->boot_id));
    if (value_get(all, "occurred_us") == NULL)
        value_set(all, "occurred_us", value_int(VALUE_INT64, clock_wall_us()));
    if (!telling->online) {
        keep(telling, key, class, all, happened);
        return;
    }
    g_free(key);
    send_event(telling, class, -1, all);
}

void host_tell(Host *host, const char *kind, const char *id, const char *state, Value *values)
{
    tell(host, kind, id, state, g_strdup_printf("%s/%s", kind, id), false, values);
}

void host_tell_happened(Host *host, const char *kind, const char *id, const char *state, const char *topic, Value *values)
{
    char *key = topic == NULL ? NULL : g_strdup_printf("%s/%s %s %s", kind, id, state, topic);

    tell(host, kind, id, state, key, true, values);
}

void host_set_fact(Host *host, const char *key, Value *value)
{
    const Value *old = g_hash_table_lookup(host->facts, key);

    if ((old == NULL) == (value == NULL) && (value == NULL || value_equal(old, value))) {
        value_unref(value);
        return;
    }
    if (value != NULL)
        g_hash_table_insert(host->facts, g_strdup(key), value);
    else
        g_hash_table_remove(host->facts, key);
    if (host->last_up != NULL)
        host_tell(host, "host", host_id(host), "up", value_ref(host->last_up));
}

void host_raise(Host *host, const char *class_name, int severity, Value *values)
{
    Telling *telling = host->telling;
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), PACKAGE, class_name);

    if (class == NULL || !telling->online) {
        value_unref(values);
        return;
    }
    values = known_only(class, values);
    value_set(values, "host", value_string(host_id(host)));
    value_set(values, "boot_id", value_string(telling->boot_id));
    value_set(values, "occurred_us", value_int(VALUE_INT64, clock_wall_us()));
    send_event(telling, class, severity, values);
}
