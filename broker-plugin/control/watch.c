/* Matahari has two ways. Resources run an OCF agent's monitor again and again by themselves (a recurring invoke) and raise resource_op when its
 * answer changes; Services raise nothing, so those are asked for their status.
 *
 * What such an agent cannot bear decides the rest (docs/qmf.md). A recurring operation cannot be listed; begun twice, two timers run, and a cancel
 * while it runs, or a second one, ends the agent. So it is begun once in the life of an agent's process (which has a new name at each start):
 * that it was is on disk before the call is made, and it is never cancelled, it ends with the process. Its first answer is the reply to
 * the call, not an event; an event that is lost would be lost for ever, so that each resource is looked at now and then besides. A look
 * has a timeout, and the next one begins after its end: there is never more than one at a service.
 *
 *   begun --recurring invoke--> answered --REFRESH looks--> look --> …       OCF
 *   look --interval--> look --> …                                           all others */
#include "broker-plugin/control/watch.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/post.h"
#include "lib/base/json.h"

#include <string.h>

#define SERVICES_KEY "watch.services"
#define BEGUN_KEY "watch.begun"
#define SERVICES_MAX 10000
#define BEGUN_MAX 20000
#define TIMEOUT_MS 20000
#define MARGIN_US (5 * US_PER_S)
#define MISSES_MAX 3  /* looks without an answer until the state is unknown */
#define REFRESH 10    /* intervals between looks at what raises events itself */
#define RC_NONE (-1)
#define RC_TIMEOUT 198

typedef struct Item {
    Watch *watch;
    char *agent, *name;
    json_t *how;        /* its map in the list */
    mend_id timer;      /* to the next look, or to the end of this one */
    char *correlation;  /* of the call that is out; NULL: none is */
    bool beginning;     /* that call is the recurring invoke */
    const char *state;  /* last told; NULL: nothing yet */
    unsigned misses;
} Item;

typedef struct Machine {
    char *agent, *vm, *hostname;
    GHashTable *items;  /* service -> Item */
} Machine;

struct Watch {
    mend_host *host;
    char *reply_to;
    int64_t interval_us;
    WatchSink sink;
    json_t *services;     /* array: what is to be watched */
    GHashTable *machines; /* agent -> Machine */
    GHashTable *waiting;  /* correlation -> Item */
    GHashTable *begun;    /* "AGENT SERVICE": a recurring operation runs there */
};

static void item_look(Item *item);

static void item_rest(Item *item)
{
    if (item->timer != 0)
        item->watch->host->timer_stop(item->watch->host, item->timer);
    item->timer = 0;
    if (item->correlation != NULL)
        g_hash_table_remove(item->watch->waiting, item->correlation);
    g_clear_pointer(&item->correlation, g_free);
}

static void item_free(Item *item)
{
    item_rest(item);
    json_decref(item->how);
    g_free(item->agent);
    g_free(item->name);
    g_free(item);
}

static void machine_free(Machine *m)
{
    g_hash_table_unref(m->items);
    g_free(m->agent);
    g_free(m->vm);
    g_free(m->hostname);
    g_free(m);
}

Watch *watch_new(mend_host *host, const char *reply_key, int64_t interval_us, const WatchSink *sink)
{
    Watch *w = g_new0(Watch, 1);

    w->host = host;
    w->reply_to = g_strconcat(QMF_TOPIC "/", reply_key, NULL);
    w->interval_us = interval_us;
    w->sink = *sink;
    w->services = json_array();
    w->machines = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) machine_free);
    w->waiting = g_hash_table_new(g_str_hash, g_str_equal);
    w->begun = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return w;
}

void watch_free(Watch *w)
{
    if (w == NULL)
        return;
    g_hash_table_unref(w->machines);
    g_hash_table_unref(w->waiting);
    g_hash_table_unref(w->begun);
    json_decref(w->services);
    g_free(w->reply_to);
    g_free(w);
}

/* ---- kept over a restart ------------------------------------------------------------------------------------------------------ */

static bool keep(Watch *w, const char *key, const json_t *list)
{
    g_autofree char *text = json_array_size(list) > 0 ? json_text(list) : g_strdup("");

    return (w->host->caps & MEND_CAP_STATE) == 0 || w->host->state_put(w->host, str_of(key), str_of(text)) == MEND_OK;
}

static json_t *kept(Watch *w, const char *key)
{
    mend_str text;
    json_t *list = NULL;

    if ((w->host->caps & MEND_CAP_STATE) != 0 && w->host->state_get(w->host, str_of(key), &text) == MEND_OK && text.len > 0)
        list = json_parse(text.ptr, text.len, key, NULL);
    if (json_is_array(list))
        return list;
    json_decref(list);
    return json_array();
}

static bool keep_begun(Watch *w)
{
    g_autoptr(json_t) list = json_array();
    GHashTableIter i;
    gpointer key;

    g_hash_table_iter_init(&i, w->begun);
    while (g_hash_table_iter_next(&i, &key, NULL))
        json_array_append_new(list, json_string(key));
    return keep(w, BEGUN_KEY, list);
}

void watch_open(Watch *w)
{
    g_autoptr(json_t) begun = kept(w, BEGUN_KEY);
    const json_t *key;
    size_t i;

    json_decref(w->services);
    w->services = kept(w, SERVICES_KEY);
    json_array_foreach(begun, i, key)
        if (json_is_string(key) && i < BEGUN_MAX)
            g_hash_table_add(w->begun, g_strdup(json_string_value(key)));
}

static char *begun_key(const Item *item) { return g_strconcat(item->agent, " ", item->name, NULL); }

static bool is_begun(const Item *item)
{
    g_autofree char *key = begun_key(item);

    return g_hash_table_contains(item->watch->begun, key);
}

/* False: that it is begun cannot be kept, so it is not. */
static bool begin(const Item *item)
{
    g_autofree char *key = begun_key(item);

    if (g_hash_table_size(item->watch->begun) >= BEGUN_MAX)
        return false;
    g_hash_table_add(item->watch->begun, g_strdup(key));
    if (keep_begun(item->watch))
        return true;
    g_hash_table_remove(item->watch->begun, key);
    return false;
}

/* ---- one call ----------------------------------------------------------------------------------------------------------------- */

static bool is_ocf(const Item *item) { return strcmp(json_string_or(item->how, "standard", ""), "ocf") == 0; }

static Value *call_arguments(const Item *item)
{
    Value *arguments = value_map();

    value_set(arguments, "name", value_string(item->name));
    value_set(arguments, "timeout", value_int(VALUE_INT32, TIMEOUT_MS));
    if (!is_ocf(item))
        return arguments;
    value_set(arguments, "standard", value_string("ocf"));
    value_set(arguments, "provider", value_string(json_string_or(item->how, "provider", "heartbeat")));
    value_set(arguments, "agent", value_string(json_string_or(item->how, "agent", item->name)));
    value_set(arguments, "action", value_string("monitor"));
    value_set(arguments, "interval", value_int(VALUE_INT32, item->beginning ? MIN(item->watch->interval_us / US_PER_MS, INT32_MAX) : 0));
    value_set(arguments, "parameters", json_is_object(json_object_get(item->how, "parameters")) ?
              value_from_json(json_object_get(item->how, "parameters")) : value_map());
    return arguments;
}

static QmfMessage *call_request(const Item *item)
{
    QmfMessage *m = qmf_message_new(QMF_METHOD_REQUEST);
    Value *id = value_map();

    value_set(id, "_agent_name", value_string(item->agent));
    value_set(id, "_object_name", value_string(is_ocf(item) ? "Resources" : "Services"));
    value_set(id, "_agent_epoch", value_uint(VALUE_UINT32, 1));
    m->subject = g_strdup(item->agent);
    m->reply_to = g_strdup(item->watch->reply_to);
    m->correlation_id = g_strdup(item->correlation);
    m->body = value_map();
    value_set(m->body, "_object_id", id);
    value_set(m->body, "_method_name", value_string(is_ocf(item) ? "invoke" : "status"));
    value_set(m->body, "_arguments", call_arguments(item));
    return m;
}

static void on_due(void *user, int64_t now_us)
{
    Item *item = user;

    item->timer = 0;
    item_look(item);
}

static void item_wait(Item *item, int64_t us)
{
    item_rest(item);
    if (item->watch->host->timer_start(item->watch->host, us, on_due, item, &item->timer) == MEND_OK)
        return;
    item->timer = 0; /* begun again with a heartbeat of its agent */
}

static void item_next(Item *item)
{
    int64_t us = item->watch->interval_us;

    item_wait(item, is_ocf(item) && is_begun(item) && item->misses == 0 ? us * REFRESH : us);
}

/* What a status or a monitor says (LSB and OCF, resource agent API); from 194 on it is Matahari's own word for how the call ended. */
static const char *state_of(const Item *item, int64_t rc)
{
    if (rc == 0 || (is_ocf(item) && rc == 8))
        return "running";
    if (is_ocf(item))
        return rc <= 9 || rc == RC_TIMEOUT ? "failed" : "unknown";
    return rc <= 3 || rc == RC_TIMEOUT ? "failed" : "unknown";
}

static void item_tell(Item *item, const char *state, int64_t rc, const char *text)
{
    if (item->state == state || item->watch->sink.busy(item->agent, item->name, item->watch->sink.user))
        return;
    item->state = state;
    item->watch->sink.state(item->agent, item->name, state, rc, text, item->watch->sink.user);
}

static void on_silence(void *user, int64_t now_us)
{
    Item *item = user;

    item->timer = 0;
    item->beginning = false; /* it may run or not: it is not begun again, looks go on */
    if (item->watch->sink.here(item->agent, item->watch->sink.user) && ++item->misses >= MISSES_MAX)
        item_tell(item, "unknown", RC_NONE, "the agent does not answer");
    item_next(item);
}

static void item_look(Item *item)
{
    Watch *w = item->watch;
    g_autoptr(QmfMessage) request = NULL;

    item_rest(item);
    if (!w->sink.here(item->agent, w->sink.user) || w->sink.busy(item->agent, item->name, w->sink.user)) {
        item_wait(item, w->interval_us);
        return;
    }
    item->beginning = is_ocf(item) && !is_begun(item) && begin(item);
    item->correlation = host_uuid(w->host);
    g_hash_table_insert(w->waiting, item->correlation, item);
    request = call_request(item);
    if (qmf_post(w->host, QMF_DIRECT, request, false, NULL, NULL) != MEND_OK)
        item_next(item); /* a recurring one that did not leave is replaced by looks */
    else if (w->host->timer_start(w->host, TIMEOUT_MS * US_PER_MS + MARGIN_US, on_silence, item, &item->timer) != MEND_OK)
        item_rest(item);
}

bool watch_answer(Watch *w, const QmfMessage *message)
{
    Item *item = message->correlation_id != NULL ? g_hash_table_lookup(w->waiting, message->correlation_id) : NULL;
    const Value *arguments = value_get(message->body, "_arguments");
    const char *said = value_get_string(value_get(message->body, "_values"), "error_text");
    g_autofree char *text = NULL;
    int64_t rc;

    if (item == NULL || (message->opcode != QMF_METHOD_RESPONSE && message->opcode != QMF_EXCEPTION))
        return false;
    item->misses = 0;
    if (message->opcode == QMF_METHOD_RESPONSE && value_as_int(value_get(arguments, "rc"), &rc)) {
        text = g_strdup_printf("%s answered %" G_GINT64_FORMAT, is_ocf(item) ? "monitor" : "status", rc);
        item_tell(item, state_of(item, rc), rc, text);
    } else {
        text = g_utf8_make_valid(said != NULL ? said : "an answer without an rc", -1);
        item_tell(item, "unknown", RC_NONE, text);
    }
    item->beginning = false;
    item_next(item);
    return true;
}

void watch_told(Watch *w, const char *agent, const char *service, int64_t rc)
{
    const Machine *m = g_hash_table_lookup(w->machines, agent);
    Item *item = m != NULL && service != NULL ? g_hash_table_lookup(m->items, service) : NULL;

    if (item != NULL)
        item->state = state_of(item, rc);
}

/* ---- what is watched where ------------------------------------------------------------------------------------------------------ */

static bool is_on(const json_t *service, const Machine *m)
{
    const char *vm = json_string_or(service, "vm", NULL), *hostname = json_string_or(service, "hostname", NULL);

    return (vm == NULL || g_strcmp0(vm, m->vm) == 0) && (hostname == NULL || g_strcmp0(hostname, m->hostname) == 0);
}

static void add(Watch *w, Machine *m, json_t *how)
{
    const char *name = json_string_value(json_object_get(how, "name")), *standard = json_string_or(how, "standard", "systemd");
    g_autoptr(Value) parameters = value_from_json(json_object_get(how, "parameters"));
    Item *item = g_new0(Item, 1);

    *item = (Item) { .watch = w, .agent = g_strdup(m->agent), .name = g_strdup(name), .how = json_incref(how) };
    g_hash_table_replace(m->items, item->name, item);
    w->sink.how(m->agent, name, standard, json_string_or(how, "provider", NULL), json_string_or(how, "agent", NULL), parameters, w->sink.user);
    /* Not all at once: an agent has one thread for what is asked of it. */
    item_wait(item, (int64_t) (g_hash_table_size(m->items) - 1) % 20 * (w->interval_us / 20) + 1);
}

static void machine_fit(Watch *w, Machine *m)
{
    g_autoptr(GHashTable) wanted = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter i;
    json_t *how;
    gpointer name;
    size_t at;

    json_array_foreach(w->services, at, how) {
        const char *service = json_string_value(json_object_get(how, "name"));
        const Item *item = g_hash_table_lookup(m->items, service);

        if (!is_on(how, m) || !g_hash_table_add(wanted, (gpointer) service))
            continue;
        if (item == NULL || !json_equal(item->how, how))
            add(w, m, how);
        else if (item->timer == 0)
            item_wait((Item *) item, w->interval_us);
    }
    g_hash_table_iter_init(&i, m->items);
    while (g_hash_table_iter_next(&i, &name, NULL))
        if (!g_hash_table_contains(wanted, name))
            g_hash_table_iter_remove(&i);
}

void watch_agent(Watch *w, const char *agent, const char *vm, const char *hostname)
{
    Machine *m = g_hash_table_lookup(w->machines, agent);

    if (m == NULL) {
        m = g_new0(Machine, 1);
        m->agent = g_strdup(agent);
        m->items = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) item_free);
        g_hash_table_insert(w->machines, m->agent, m);
    }
    g_free(m->vm);
    g_free(m->hostname);
    m->vm = g_strdup(vm);
    m->hostname = g_strdup(hostname);
    machine_fit(w, m);
}

void watch_leave(Watch *w, const char *agent)
{
    g_autofree char *prefix = g_strconcat(agent, " ", NULL);
    GHashTableIter i;
    gpointer key;
    bool changed = false;

    g_hash_table_remove(w->machines, agent);
    g_hash_table_iter_init(&i, w->begun);
    while (g_hash_table_iter_next(&i, &key, NULL)) {
        if (!g_str_has_prefix(key, prefix))
            continue;
        g_hash_table_iter_remove(&i);
        changed = true;
    }
    if (changed)
        keep_begun(w);
}

static char *fault_of(const json_t *how, size_t at)
{
    const char *name = json_string_or(how, "name", NULL);

    if (name == NULL || name[0] == '\0' || strlen(name) > 255)
        return g_strdup_printf("services[%zu]: name: a service, of at most 255 bytes", at);
    if (json_string_or(how, "vm", NULL) == NULL && json_string_or(how, "hostname", NULL) == NULL)
        return g_strdup_printf("services[%zu]: vm or hostname: where %s is", at, name);
    return NULL;
}

bool watch_set(Watch *w, const Value *services, char **ret_why)
{
    g_autoptr(json_t) list = services != NULL ? value_to_json(services) : NULL;
    GHashTableIter i;
    const json_t *how;
    Machine *m;
    size_t at;

    *ret_why = NULL;
    if (!json_is_array(list) || json_array_size(list) > SERVICES_MAX) {
        *ret_why = g_strdup_printf("Invalid argument: services: a list of at most %d maps", SERVICES_MAX);
        return false;
    }
    json_array_foreach(list, at, how)
        if ((*ret_why = fault_of(how, at)) != NULL)
            return false;
    if (!keep(w, SERVICES_KEY, list)) {
        *ret_why = g_strdup("the broker cannot keep that");
        return false;
    }
    json_decref(w->services);
    w->services = g_steal_pointer(&list);
    g_hash_table_iter_init(&i, w->machines);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &m))
        machine_fit(w, m);
    return true;
}

size_t watch_size(const Watch *w)
{
    GHashTableIter i;
    const Machine *m;
    size_t n = 0;

    g_hash_table_iter_init(&i, w->machines);
    while (g_hash_table_iter_next(&i, NULL, (gpointer *) &m))
        n += g_hash_table_size(m->items);
    return n;
}
