/* One table under a read-write lock. Links keep their node, so a message finds it without a look at the table; only the anonymous
 * terminus looks up each. Nodes die lazily: removed from the table and marked, and everyone who still holds one finds the mark.
 *
 * Durable nodes are described to the store as JSON; their queue's record there is what messages refer to. */
#include "broker-plugin/hosts/embedded/router.h"

#include "broker-plugin/hosts/embedded/topic.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <string.h>

struct RouterWatch {
    char *address;
    bool prefix;
    void (*fn)(void *user, Node *node);
    void *user;
};

struct Router {
    const BrokerSettings *settings;
    Budget *budget;
    Store *store;
    QueueHooks hooks;
    pthread_rwlock_t lock;
    GHashTable *nodes;       /* address → Node */
    GHashTable *by_record;   /* while loading: record → Queue */
    GPtrArray *watches;
    uint64_t dead_letters, lost;
    RouterRestoreFn restore;
    void *restore_user;
};

static void hook_dead(void *user, Queue *queue, Message *message, const char *reason)
{
    Router *r = user;
    const char *to = queue_shape(queue)->dead_letter;
    g_autoptr(Message) copy = NULL;

    if (to == NULL || *to == '\0' || strcmp(to, queue_name(queue)) == 0)
        return;
    copy = message_copy_with(message, "mend.reason", reason);
    if (copy == NULL || router_publish(r, to, copy, NULL, NULL) > QUEUE_TAKEN_LATER)
        __atomic_add_fetch(&r->lost, 1, __ATOMIC_RELAXED);
    else
        __atomic_add_fetch(&r->dead_letters, 1, __ATOMIC_RELAXED);
}

static uint64_t hook_keep(void *user, Queue *queue, const Message *m, uint64_t sequence, QueueSafeFn safe, void *safe_user)
{
    return store_put(((Router *) user)->store, queue_record(queue), sequence, m->bytes, m->n_bytes, safe, safe_user);
}

static void hook_forget(void *user, Queue *queue, uint64_t record)
{
    store_forget(((Router *) user)->store, record);
}

static void hook_handed(void *user, uint64_t record, uint32_t count)
{
    store_handed(((Router *) user)->store, record, count);
}

Router *router_new(const BrokerSettings *settings, Budget *budget, Store *store)
{
    Router *r = g_new0(Router, 1);

    r->settings = settings;
    r->budget = budget;
    r->store = store;
    r->hooks = (QueueHooks){hook_dead, hook_keep, hook_forget, hook_handed, r};
    pthread_rwlock_init(&r->lock, NULL);
    r->nodes = g_hash_table_new(g_str_hash, g_str_equal);
    r->watches = g_ptr_array_new();
    return r;
}

void router_free(Router *r)
{
    GHashTableIter iter;
    void *node;

    if (r == NULL)
        return;
    g_hash_table_iter_init(&iter, r->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        node_unref(node);
    g_hash_table_unref(r->nodes);
    g_ptr_array_unref(r->watches);
    pthread_rwlock_destroy(&r->lock);
    g_free(r);
}

Store *router_store(Router *r)
{
    return r->store;
}

/* ---- finding and making ---- */

Node *router_find(Router *r, const char *address)
{
    Node *node;

    pthread_rwlock_rdlock(&r->lock);
    node = g_hash_table_lookup(r->nodes, address);
    if (node != NULL)
        node_ref(node);
    pthread_rwlock_unlock(&r->lock);
    return node;
}

static QueueShape shape_with_defaults(const Router *r, const NodeWish *w)
{
    QueueShape shape = w->shape;

    if (shape.max_messages == 0)
        shape.max_messages = r->settings->max_queue_messages;
    if (shape.max_bytes == 0)
        shape.max_bytes = r->settings->max_queue_bytes;
    if (shape.max_deliveries == 0)
        shape.max_deliveries = r->settings->max_delivery_count;
    if (shape.dead_letter == NULL && r->settings->dead_letter != NULL && *r->settings->dead_letter != '\0' &&
        w->lifetime == LIFETIME_MANUAL && strcmp(w->address, r->settings->dead_letter) != 0)
        shape.dead_letter = r->settings->dead_letter;
    return shape;
}

static char *node_describe(const Node *node)
{
    const QueueShape *s = node->queue != NULL ? queue_shape(node->queue) : &(QueueShape){0};
    g_autoptr(json_t) doc = json_pack("{s:s, s:i, s:i, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:s*, s:s*, s:s*}", "what", "node", "kind",
                                      (int) node->kind, "lifetime", (int) node->lifetime, "quiet", node->quiet, "attached",
                                      node->made_by_attach, "ring", s->ring, "max_messages", (json_int_t) s->max_messages, "max_bytes",
                                      (json_int_t) s->max_bytes, "ttl_us", (json_int_t) s->ttl_us, "max_deliveries",
                                      (json_int_t) s->max_deliveries, "last_value_key", s->last_value_key, "dead_letter", s->dead_letter,
                                      "owner", node->owner);
    return json_text(doc);
}

/* Locked for writing. */
static Node *node_make(Router *r, const NodeWish *w, const QueueShape *shape)
{
    Node *node = node_new(w->address, w->kind);
    g_autofree char *text = NULL;

    node->owner = g_strdup(w->owner != NULL && *w->owner != '\0' ? w->owner : NULL);
    node->lifetime = w->lifetime;
    node->quiet = w->quiet;
    node->fixed = w->fixed;
    node->made_by_attach = w->made_by_attach;
    node->maker = w->maker;
    node->durable = w->durable && r->store != NULL && w->lifetime != LIFETIME_ON_CLOSE;
    node->budget = w->budget != NULL ? w->budget : r->budget;
    node->unused_since_us = clock_now_us();
    if (w->kind == NODE_QUEUE) {
        node->queue = queue_new(w->address, shape, &r->hooks);
        if (node->durable) {
            text = node_describe(node);
            queue_set_record(node->queue, store_node_put(r->store, w->address, text, strlen(text), NULL, NULL));
        }
    }
    g_hash_table_insert(r->nodes, node->address, node);
    for (guint i = 0; i < r->watches->len; i++) {
        const RouterWatch *watch = g_ptr_array_index(r->watches, i);
        if (watch->prefix ? g_str_has_prefix(w->address, watch->address) : strcmp(w->address, watch->address) == 0)
            watch->fn(watch->user, node);
    }
    return node_ref(node);
}

static Node *node_check(Node *node, const NodeWish *w, const QueueShape *shape, GError **error)
{
    bool same = node->kind == w->kind && (w->kind != NODE_QUEUE || queue_shape_equal(queue_shape(node->queue), shape));

    if (same)
        return node_ref(node);
    g_set_error(error, BROKER_ERROR, BROKER_ERROR_SHAPE, "%s exists with other properties", w->address);
    return NULL;
}

Node *router_make(Router *r, const NodeWish *w, GError **error)
{
    QueueShape shape = shape_with_defaults(r, w);
    Budget *budget = w->budget != NULL ? w->budget : r->budget;
    Node *node;

    shape.durable = w->durable && r->store != NULL;
    pthread_rwlock_wrlock(&r->lock);
    node = g_hash_table_lookup(r->nodes, w->address);
    if (node != NULL)
        node = node_check(node, w, &shape, error);
    else if (w->kind != NODE_QUEUE || charge_take(budget, CHARGE_QUEUES, 1, error))
        node = node_make(r, w, &shape);
    pthread_rwlock_unlock(&r->lock);
    return node;
}

void router_remove(Router *r, Node *node, const char *reason)
{
    bool here;

    pthread_rwlock_wrlock(&r->lock);
    here = !node->fixed && g_hash_table_lookup(r->nodes, node->address) == node;
    if (here) {
        g_hash_table_remove(r->nodes, node->address);
        __atomic_store_n(&node->deleted, true, __ATOMIC_RELEASE);
    }
    pthread_rwlock_unlock(&r->lock);
    if (!here)
        return;
    if (node->queue != NULL) {
        queue_close(node->queue, reason, node->lifetime != LIFETIME_MANUAL);
        charge_give(node->budget, CHARGE_QUEUES, 1);
        if (queue_record(node->queue) != 0)
            store_node_forget(r->store, queue_record(node->queue));
    }
    node_unref(node);
}

char *router_temporary_name(void)
{
    g_autofree char *uuid = uuid_new();

    return g_strdup_printf("mend.temporary.%s", uuid);
}

void router_use(Node *node)
{
    __atomic_add_fetch(&node->links, 1, __ATOMIC_RELAXED);
}

static bool outlived(const Node *node)
{
    bool empty = node->queue == NULL || queue_depth(node->queue) == 0;

    switch (node->lifetime) {
    case LIFETIME_NO_LINKS: return true;
    case LIFETIME_NO_MESSAGES: case LIFETIME_NO_LINKS_OR_MESSAGES: return empty;
    default: return false;
    }
}

void router_unuse(Router *r, Node *node)
{
    __atomic_store_n(&node->unused_since_us, clock_now_us(), __ATOMIC_RELAXED);
    if (__atomic_sub_fetch(&node->links, 1, __ATOMIC_ACQ_REL) == 0 && outlived(node))
        router_remove(r, node, "unused");
}

Queue *router_subscription_queue(Router *r, const char *name, const QueueShape *shape)
{
    return queue_new(name, shape, &r->hooks);
}

QueueOutcome router_publish(Router *r, const char *address, Message *message, QueueSafeFn safe, void *safe_user)
{
    g_autoptr(Node) node = router_find(r, address);
    QueuePut put = {.message = message, .safe = safe, .safe_user = safe_user};

    if (node == NULL)
        return QUEUE_GONE;
    node_put(node, &put, 1, message_text(message, message->subject), message->subject.n_bytes);
    return put.outcome;
}

/* ---- watching ---- */

RouterWatch *router_watch(Router *r, const char *address, bool prefix, void (*fn)(void *, Node *), void *user)
{
    RouterWatch *watch = g_new0(RouterWatch, 1);
    GHashTableIter iter;
    void *key, *node;

    *watch = (RouterWatch){g_strdup(address), prefix, fn, user};
    pthread_rwlock_wrlock(&r->lock);
    g_ptr_array_add(r->watches, watch);
    g_hash_table_iter_init(&iter, r->nodes);
    while (g_hash_table_iter_next(&iter, &key, &node))
        if (prefix ? g_str_has_prefix(key, address) : strcmp(key, address) == 0)
            fn(user, node);
    pthread_rwlock_unlock(&r->lock);
    return watch;
}

void router_each(Router *r, void (*fn)(void *user, Node *node), void *user)
{
    GHashTableIter iter;
    void *node;

    pthread_rwlock_wrlock(&r->lock);
    g_hash_table_iter_init(&iter, r->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        fn(user, node);
    pthread_rwlock_unlock(&r->lock);
}

void router_unwatch(Router *r, RouterWatch *watch)
{
    if (watch == NULL)
        return;
    pthread_rwlock_wrlock(&r->lock);
    g_ptr_array_remove(r->watches, watch);
    pthread_rwlock_unlock(&r->lock);
    g_free(watch->address);
    g_free(watch);
}

/* ---- opening ---- */

static void loaded(Router *r, uint64_t record, Queue *queue)
{
    if (queue != NULL)
        g_hash_table_insert(r->by_record, g_memdup2(&record, sizeof record), queue);
}

static void load_node(void *user, uint64_t record, const char *name, const void *bytes, size_t n_bytes)
{
    Router *r = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) doc = json_parse(bytes, n_bytes, name, &error);
    NodeWish w = {.address = name, .durable = true};
    g_autoptr(Node) node = NULL;

    if (doc == NULL) {
        log_error("store: node %s cannot be read: %s", name, error->message);
        return;
    }
    if (strcmp(json_string_or(doc, "what", ""), "node") != 0) {
        loaded(r, record, r->restore(r->restore_user, name, record, doc));
        return;
    }
    w.kind = (NodeKind) json_int_or(doc, "kind", NODE_QUEUE);
    w.lifetime = (Lifetime) json_int_or(doc, "lifetime", LIFETIME_MANUAL);
    w.quiet = json_bool_or(doc, "quiet", false);
    w.made_by_attach = json_bool_or(doc, "attached", false);
    w.owner = json_string_or(doc, "owner", NULL);
    w.shape = (QueueShape){.ring = json_bool_or(doc, "ring", false), .max_messages = json_int_or(doc, "max_messages", 0),
                           .max_bytes = json_int_or(doc, "max_bytes", 0), .ttl_us = json_int_or(doc, "ttl_us", 0),
                           .max_deliveries = json_int_or(doc, "max_deliveries", 0),
                           .last_value_key = (char *) json_string_or(doc, "last_value_key", NULL),
                           .dead_letter = (char *) json_string_or(doc, "dead_letter", NULL)};
    node = router_make(r, &w, &error);
    if (node == NULL)
        log_error("store: node %s: %s", name, error->message);
    else
        loaded(r, record, node->queue);
}

static void load_message(void *user, const StoreMessage *m)
{
    Router *r = user;
    Queue *queue = g_hash_table_lookup(r->by_record, &m->queue);
    g_autoptr(GError) error = NULL;
    g_autoptr(Message) message = NULL;

    if (queue == NULL)
        return;
    message = message_new(m->bytes, m->n_bytes, &error);
    if (message == NULL)
        log_error("store: a message of %s cannot be read: %s", queue_name(queue), error->message);
    else
        queue_restore(queue, message, m->sequence, m->record, MAX(m->delivery_count, message->delivery_count));
}

static bool make_fixed(Router *r, GError **error)
{
    const NodeWish fixed[] = {
        {.address = "qmf.default.topic", .kind = NODE_TOPIC, .quiet = true, .fixed = true},
        {.address = "qmf.default.direct", .kind = NODE_DIRECT, .quiet = true, .fixed = true},
        {.address = "amq.direct", .kind = NODE_DIRECT, .quiet = true, .fixed = true},
        {.address = "amq.topic", .kind = NODE_TOPIC, .fixed = true},
        {.address = "mend.events", .kind = NODE_TOPIC, .fixed = true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
        g_autoptr(Node) node = router_make(r, &fixed[i], error);
        if (node == NULL)
            return false;
    }
    return true;
}

static bool make_dead_letter(Router *r, GError **error)
{
    const NodeWish wish = {.address = r->settings->dead_letter, .kind = NODE_QUEUE, .durable = true, .fixed = true,
                           .shape = {.ring = true}};
    g_autoptr(Node) node = NULL;

    if (wish.address == NULL || *wish.address == '\0')
        return true;
    node = router_find(r, wish.address);
    if (node != NULL)
        return true;
    node = router_make(r, &wish, error);
    return node != NULL;
}

bool router_open(Router *r, RouterRestoreFn restore, void *user, GError **error)
{
    bool ok;

    r->restore = restore;
    r->restore_user = user;

    if (!make_fixed(r, error))
        return false;
    if (r->store != NULL) {
        r->by_record = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
        ok = store_load(r->store, load_node, load_message, r, error);
        g_clear_pointer(&r->by_record, g_hash_table_unref);
        if (!ok)
            return false;
    }
    return make_dead_letter(r, error);
}

/* ---- sweeping ---- */

static bool unused_for_long(const Router *r, const Node *node, int64_t now_us)
{
    return node->made_by_attach && !node->fixed && node->queue != NULL && r->settings->auto_delete_us > 0 &&
           __atomic_load_n(&node->links, __ATOMIC_RELAXED) == 0 && queue_depth(node->queue) == 0 && queue_consumers(node->queue) == 0 &&
           now_us - __atomic_load_n(&node->unused_since_us, __ATOMIC_RELAXED) > r->settings->auto_delete_us;
}

static GPtrArray *snapshot(Router *r)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify) node_unref);
    GHashTableIter iter;
    void *node;

    pthread_rwlock_rdlock(&r->lock);
    g_hash_table_iter_init(&iter, r->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &node))
        g_ptr_array_add(nodes, node_ref(node));
    pthread_rwlock_unlock(&r->lock);
    return nodes;
}

int64_t router_sweep(Router *r, int64_t now_us)
{
    g_autoptr(GPtrArray) nodes = snapshot(r);
    int64_t next_us = now_us + US_PER_S;

    for (guint i = 0; i < nodes->len; i++) {
        Node *node = g_ptr_array_index(nodes, i);
        if (node->queue == NULL)
            continue;
        next_us = MIN(next_us, queue_expire(node->queue, now_us));
        if (unused_for_long(r, node, now_us) ||
            (node->lifetime == LIFETIME_NO_MESSAGES && queue_depth(node->queue) == 0 && queue_stats(node->queue).put > 0))
            router_remove(r, node, "unused");
    }
    return MAX(next_us, now_us + 10 * US_PER_MS);
}

static json_t *node_statistics(const Node *node)
{
    static const char *const kinds[] = {"queue", "topic", "direct"};
    QueueStats s;

    if (node->queue == NULL)
        return json_pack("{s:s, s:i, s:I, s:I}", "kind", kinds[node->kind], "links", node->links, "routed", (json_int_t) node->routed,
                         "unrouted", (json_int_t) node->unrouted);
    s = queue_stats(node->queue);
    return json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "kind", "queue", "links", node->links,
                     "depth", (json_int_t) queue_depth(node->queue), "bytes", (json_int_t) queue_bytes(node->queue), "consumers",
                     (json_int_t) queue_consumers(node->queue), "enqueued", (json_int_t) s.put, "delivered", (json_int_t) s.taken,
                     "accepted", (json_int_t) s.accepted, "released", (json_int_t) s.released, "refused", (json_int_t) s.refused,
                     "dropped", (json_int_t) s.dropped, "expired", (json_int_t) s.expired, "dead", (json_int_t) s.dead, "durable",
                     node->durable);
}

void router_statistics(Router *r, json_t *into)
{
    g_autoptr(GPtrArray) nodes = snapshot(r);
    json_t *all = json_object();

    for (guint i = 0; i < nodes->len; i++) {
        const Node *node = g_ptr_array_index(nodes, i);
        json_object_set_new(all, node->address, node_statistics(node));
    }
    json_object_set_new(into, "nodes", all);
    json_object_set_new(into, "dead_letters", json_integer((json_int_t) r->dead_letters));
    json_object_set_new(into, "lost", json_integer((json_int_t) r->lost));
}
