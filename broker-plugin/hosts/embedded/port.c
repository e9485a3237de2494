/* The in-process party. Its executor is a GSource on the plugin loop, made ready from any thread; so what a port receives, it receives
 * on that loop, and nothing of the I/O threads waits for it: consumers are pulled within their window, taps are rings, and gates hold
 * a bounded number of messages and refuse the rest. */
#include "broker-plugin/hosts/embedded/internal.h"

#include <string.h>

#define TAP_MESSAGES 65536
#define TAP_BYTES    (INT64_C(64) << 20)
#define GATE_WAITING 4096 /* beyond the window; one more is refused to its sender */

typedef struct PortSource {
    GSource source;
    BrokerPort *port;
} PortSource;

typedef struct LocalSub LocalSub;

typedef struct Feed { /* one queue a subscription reads */
    Consumer consumer;
    LocalSub *sub;
    Binding *binding;
    char *address;
} Feed;

struct Gate {
    gint refs;
    GMutex lock;
    LocalSub *sub;           /* NULL: closed */
    Runnable runnable;
    GQueue waiting;          /* of GateItem */
};

typedef struct GateItem {
    Message *message;
    char *address;
    GateDone done;
    void *user;
} GateItem;

struct LocalSub {
    gint refs;
    mend_id id;
    BrokerPort *port;
    BrokerDeliveryFn fn;     /* NULL: unsubscribed */
    void *user;
    int32_t mode;
    uint32_t window, n_kept;
    char *subject;
    GMutex lock;             /* feeds: nodes are made on other threads */
    GPtrArray *feeds;
    RouterWatch *watch;
    Gate *gate;
};

typedef struct Kept {
    LocalSub *sub;
    Feed *feed;
    Entry *entry;
    GateItem *item;
} Kept;

struct BrokerPort {
    Executor executor;       /* first */
    gint refs;
    Broker *broker;
    GMainContext *context;
    GSource *source;
    GHashTable *subs;        /* &id → LocalSub */
    GHashTable *kept;        /* &delivery id → Kept */
    mend_id last_id;
    GList *publishes;        /* Publish waiting for the store */
    mend_peer_fn peer_fn;
    void *peer_user;
    Peer *peer_shown;
};

static void sub_unref(LocalSub *s)
{
    if (--s->refs > 0)
        return;
    g_ptr_array_unref(s->feeds);
    g_mutex_clear(&s->lock);
    g_free(s->subject);
    g_free(s);
}

/* ---- the loop ---- */

static void port_wake(Executor *executor)
{
    g_source_set_ready_time(((BrokerPort *) executor)->source, 0);
}

static gboolean port_dispatch(GSource *source, GSourceFunc callback, gpointer user)
{
    BrokerPort *port = ((PortSource *) source)->port;

    g_source_set_ready_time(source, -1);
    g_atomic_int_inc(&port->refs);
    executor_run(&port->executor);
    if (!g_source_is_destroyed(source) && !executor_sleep(&port->executor))
        g_source_set_ready_time(source, 0);
    if (g_atomic_int_dec_and_test(&port->refs)) {
        executor_done(&port->executor);
        g_free(port);
    }
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs port_funcs = {NULL, NULL, port_dispatch, NULL, NULL, NULL};

BrokerPort *broker_port_new(Broker *broker, GMainContext *context)
{
    BrokerPort *port = g_new0(BrokerPort, 1);

    executor_init(&port->executor, port_wake);
    port->refs = 1;
    port->broker = broker;
    port->context = g_main_context_ref(context);
    port->subs = g_hash_table_new(g_int64_hash, g_int64_equal);
    port->kept = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    port->source = g_source_new(&port_funcs, sizeof(PortSource));
    ((PortSource *) port->source)->port = port;
    g_source_attach(port->source, context);
    executor_sleep(&port->executor);
    return port;
}

/* ---- keeping and settling ---- */

static QueueSettle settle_of(int32_t verdict)
{
    return verdict == MEND_ACCEPT ? SETTLE_ACCEPT : verdict == MEND_REJECT ? SETTLE_REJECT : SETTLE_RELEASE;
}

static void item_finish(GateItem *item, int32_t verdict, const char *reason)
{
    if (item->done != NULL)
        item->done(item->user, verdict == MEND_RELEASE ? MEND_RELEASE : verdict == MEND_REJECT ? MEND_REJECT : MEND_ACCEPT, reason);
    message_unref(item->message);
    g_free(item->address);
    g_free(item);
}

static void keep(LocalSub *s, mend_id id, Feed *feed, Entry *entry, GateItem *item)
{
    Kept *k = g_new0(Kept, 1);

    *k = (Kept){s, feed, entry, item};
    s->n_kept++;
    g_hash_table_insert(s->port->kept, g_memdup2(&id, sizeof id), k);
}

static void kept_finish(Kept *k, int32_t verdict, const char *reason)
{
    k->sub->n_kept--;
    if (k->item != NULL)
        item_finish(k->item, verdict, reason);
    else if (k->entry != NULL)
        queue_settle(k->feed->consumer.queue, &k->feed->consumer, &k->entry, 1, settle_of(verdict), reason);
}

static void sub_continue(LocalSub *s)
{
    if (s->fn == NULL)
        return;
    if (s->gate != NULL)
        executor_schedule(&s->gate->runnable);
    g_mutex_lock(&s->lock);
    for (guint i = 0; i < s->feeds->len; i++)
        executor_schedule(&((Feed *) g_ptr_array_index(s->feeds, i))->consumer.runnable);
    g_mutex_unlock(&s->lock);
}

mend_rc broker_port_settle(BrokerPort *port, mend_id delivery, int32_t verdict, mend_str reason)
{
    Kept *k = g_hash_table_lookup(port->kept, &delivery);
    g_autofree char *text = reason.len > 0 ? g_strndup(reason.ptr, reason.len) : NULL;
    LocalSub *s;

    if (k == NULL)
        return MEND_NOT_FOUND;
    s = k->sub;
    kept_finish(k, verdict, text);
    g_hash_table_remove(port->kept, &delivery);
    if (s->n_kept + 1 >= s->window)
        sub_continue(s);
    return MEND_OK;
}

static int32_t show(LocalSub *s, mend_id id, const Message *m, const char *address, uint32_t delivery_count)
{
    g_autofree char *subject = g_strndup(message_text(m, m->subject), m->subject.n_bytes);
    const BrokerDelivery d = {.id = id, .peer = m->peer, .address = address, .subject = subject, .bytes = m->bytes, .n_bytes = m->n_bytes,
                              .delivery_count = delivery_count};

    return s->fn(s->user, &d);
}

/* ---- feeds ---- */

static void feed_take(Feed *f, Taken *t)
{
    LocalSub *s = f->sub;
    mend_id id = ++s->port->last_id;
    g_autofree char *address = g_strdup(f->address);
    int32_t verdict = s->fn != NULL ? show(s, id, t->message, address, t->delivery_count) : MEND_RELEASE;

    if (t->entry == NULL)
        message_unref(t->message);
    else if (verdict == MEND_KEEP && s->fn != NULL)
        keep(s, id, f, t->entry, NULL);
    else
        queue_settle(f->consumer.queue, &f->consumer, &t->entry, 1, settle_of(verdict), NULL);
}

static void feed_free(Feed *f)
{
    node_unbind(f->binding);
    queue_remove(&f->consumer);
    g_free(f->address);
    g_free(f);
}

/* One at a time: the callback may unsubscribe, and what was not shown then stays in the queue. */
static void feed_run(Runnable *runnable)
{
    Feed *f = (Feed *) runnable;
    LocalSub *s = f->sub;
    Taken t;

    s->refs++;
    for (unsigned i = 0; i < IO_BATCH && s->fn != NULL && s->n_kept < s->window; i++) {
        if (queue_take(&f->consumer, &t, 1, true) == 0)
            goto out;
        feed_take(f, &t);
    }
    if (s->fn != NULL && s->n_kept < s->window)
        executor_schedule(&f->consumer.runnable);
out:
    sub_unref(s);
}

static Feed *feed_new(LocalSub *s, const char *address)
{
    Feed *f = g_new0(Feed, 1);

    f->sub = s;
    f->address = g_strdup(address);
    f->consumer.runnable = (Runnable){.executor = &s->port->executor, .run = feed_run};
    return f;
}

static void feed_start(Feed *f, Queue *queue)
{
    LocalSub *s = f->sub;

    f->consumer.browse = s->mode == MEND_BROWSE;
    f->consumer.settles = s->mode == MEND_TAP;
    queue_add(queue, &f->consumer);
    g_mutex_lock(&s->lock);
    g_ptr_array_add(s->feeds, f);
    g_mutex_unlock(&s->lock);
    executor_schedule(&f->consumer.runnable);
}

static Queue *feed_queue(LocalSub *s, const char *address)
{
    const QueueShape shape = {.ring = true, .max_messages = TAP_MESSAGES, .max_bytes = TAP_BYTES};

    return router_subscription_queue(s->port->broker->router, address, &shape);
}

/* ---- gates ---- */

static void gate_unref(Gate *g)
{
    if (!g_atomic_int_dec_and_test(&g->refs))
        return;
    g_mutex_clear(&g->lock);
    g_free(g);
}

static Gate *gate_of(Node *node)
{
    Gate *g;

    if (__atomic_load_n(&node->gate, __ATOMIC_ACQUIRE) == NULL)
        return NULL;
    pthread_rwlock_rdlock(&node->lock);
    g = node->gate;
    if (g != NULL)
        g_atomic_int_inc(&g->refs);
    pthread_rwlock_unlock(&node->lock);
    return g;
}

bool gate_offer(Node *node, Message *message, GateDone done, void *user)
{
    Gate *g = gate_of(node);
    GateItem *item;
    bool open, full = false;

    if (g == NULL)
        return false;
    item = g_new0(GateItem, 1);
    *item = (GateItem){message_ref(message), g_strdup(node->address), done, user};
    g_mutex_lock(&g->lock);
    open = g->sub != NULL;
    if (open) {
        full = g->waiting.length >= GATE_WAITING;
        if (!full) {
            g_queue_push_tail(&g->waiting, item);
            executor_schedule(&g->runnable);
        }
    }
    g_mutex_unlock(&g->lock);
    if (open && full)
        item_finish(item, MEND_REJECT, "too many messages wait to be let in");
    else if (!open) {
        item->done = NULL;
        item_finish(item, MEND_RELEASE, NULL);
    }
    gate_unref(g);
    return open;
}

static void gate_run(Runnable *runnable)
{
    Gate *g = (Gate *) ((char *) runnable - offsetof(Gate, runnable));
    LocalSub *s = g->sub;
    GateItem *item;
    int32_t verdict;

    if (s == NULL)
        return;
    s->refs++;
    while (s->fn != NULL && s->n_kept < s->window) {
        mend_id id = ++s->port->last_id;
        g_mutex_lock(&g->lock);
        item = g_queue_pop_head(&g->waiting);
        g_mutex_unlock(&g->lock);
        if (item == NULL)
            break;
        verdict = show(s, id, item->message, item->address, 0);
        if (verdict == MEND_KEEP && s->fn != NULL)
            keep(s, id, NULL, NULL, item);
        else
            item_finish(item, verdict, "not let in");
    }
    sub_unref(s);
}

/* Router locked; any thread. */
static void gate_node(void *user, Node *node)
{
    Gate *g = user, *old;

    g_atomic_int_inc(&g->refs);
    pthread_rwlock_wrlock(&node->lock);
    old = node->gate;
    node->gate_unref = gate_unref;
    __atomic_store_n(&node->gate, g, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&node->lock);
    if (old != NULL)
        gate_unref(old);
}

static void ungate_node(void *user, Node *node)
{
    Gate *g = user;
    bool mine;

    pthread_rwlock_wrlock(&node->lock);
    mine = node->gate == g;
    if (mine)
        __atomic_store_n(&node->gate, NULL, __ATOMIC_RELEASE);
    pthread_rwlock_unlock(&node->lock);
    if (mine)
        gate_unref(g);
}

static void gate_open(LocalSub *s, const char *address, bool prefix)
{
    Gate *g = g_new0(Gate, 1);

    g->refs = 1;
    g_mutex_init(&g->lock);
    g->sub = s;
    g->runnable = (Runnable){.executor = &s->port->executor, .run = gate_run};
    s->gate = g;
    s->watch = router_watch(s->port->broker->router, address, prefix, gate_node, g);
}

static void gate_close(LocalSub *s)
{
    Gate *g = s->gate;
    GateItem *item;

    g_mutex_lock(&g->lock);
    g->sub = NULL;
    g_mutex_unlock(&g->lock);
    router_each(s->port->broker->router, ungate_node, g);
    executor_forget(&g->runnable);
    while ((item = g_queue_pop_head(&g->waiting)) != NULL)
        item_finish(item, MEND_RELEASE, NULL);
    s->gate = NULL;
    gate_unref(g);
}

/* ---- subscribing ---- */

static void tap_node(void *user, Node *node)
{
    LocalSub *s = user;
    Feed *f = feed_new(s, node->address);
    Queue *queue = feed_queue(s, node->address);

    f->binding = node_tap(node, queue, *s->subject != '\0' ? s->subject : "#");
    feed_start(f, queue);
    queue_unref(queue);
}

static mend_rc subscribe_node(LocalSub *s, const char *address)
{
    g_autoptr(Node) node = router_find(s->port->broker->router, address);
    Feed *f;
    Queue *queue;

    if (node == NULL)
        return MEND_NOT_FOUND;
    f = feed_new(s, address);
    if (node->kind == NODE_QUEUE) {
        feed_start(f, node->queue);
        return MEND_OK;
    }
    queue = feed_queue(s, address);
    f->binding = node_bind(node, queue, *s->subject != '\0' || node->kind == NODE_DIRECT ? s->subject : "#", NULL, NULL);
    feed_start(f, queue);
    queue_unref(queue);
    return MEND_OK;
}

static mend_rc subscribe_pattern(LocalSub *s, char *address)
{
    size_t n = strlen(address);
    bool prefix = n > 0 && address[n - 1] == '#';

    if (prefix) {
        address[n - 1] = '\0';
    } else {
        g_autoptr(Node) node = router_find(s->port->broker->router, address);
        if (node == NULL)
            return MEND_NOT_FOUND;
    }
    if (s->mode == MEND_GATE)
        gate_open(s, address, prefix);
    else
        s->watch = router_watch(s->port->broker->router, address, prefix, tap_node, s);
    return MEND_OK;
}

mend_rc broker_port_subscribe(BrokerPort *port, const mend_subscription *want, BrokerDeliveryFn fn, void *user, mend_id *ret_id)
{
    g_autofree char *address = g_strndup(want->address.ptr, want->address.len);
    LocalSub *s = g_new0(LocalSub, 1);
    mend_rc rc;

    *s = (LocalSub){.refs = 1, .id = ++port->last_id, .port = port, .fn = fn, .user = user, .mode = want->mode,
                    .window = MAX(want->window, 1), .subject = g_strndup(want->subject.ptr, want->subject.len),
                    .feeds = g_ptr_array_new()};
    g_mutex_init(&s->lock);
    if (want->mode == MEND_CONSUME || want->mode == MEND_BROWSE)
        rc = subscribe_node(s, address);
    else if (want->mode == MEND_TAP || want->mode == MEND_GATE)
        rc = subscribe_pattern(s, address);
    else
        rc = MEND_UNSUPPORTED;
    if (rc != MEND_OK) {
        sub_unref(s);
        return rc;
    }
    g_hash_table_insert(port->subs, &s->id, s);
    *ret_id = s->id;
    return MEND_OK;
}

static void release_kept(LocalSub *s)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, s->port->kept);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((Kept *) value)->sub == s) {
            kept_finish(value, MEND_RELEASE, NULL);
            g_hash_table_iter_remove(&iter);
        }
}

static void sub_end(LocalSub *s)
{
    s->fn = NULL;
    router_unwatch(s->port->broker->router, s->watch);
    s->watch = NULL;
    release_kept(s);
    if (s->gate != NULL)
        gate_close(s);
    for (guint i = 0; i < s->feeds->len; i++)
        feed_free(g_ptr_array_index(s->feeds, i));
    g_ptr_array_set_size(s->feeds, 0);
    sub_unref(s);
}

void broker_port_unsubscribe(BrokerPort *port, mend_id id)
{
    LocalSub *s = g_hash_table_lookup(port->subs, &id);

    if (s == NULL)
        return;
    g_hash_table_remove(port->subs, &id);
    sub_end(s);
}

/* ---- publishing ---- */

typedef struct Publish {
    Task task;               /* first */
    BrokerPort *port;
    mend_published_fn done;  /* NULL: told, or nobody asks */
    void *user;
    int32_t verdict;
} Publish;

static void port_unref(BrokerPort *port)
{
    if (!g_atomic_int_dec_and_test(&port->refs))
        return;
    executor_done(&port->executor);
    g_free(port);
}

static void published(Task *task)
{
    Publish *p = (Publish *) task;
    BrokerPort *port = p->port;

    if (p->done != NULL) {
        port->publishes = g_list_remove(port->publishes, p);
        p->done(p->user, p->verdict);
    }
    g_free(p);
    port_unref(port);
}

static void publish_safe(void *user, bool ok)
{
    Publish *p = user;

    p->verdict = ok ? MEND_ACCEPT : MEND_RELEASE;
    executor_post(&p->port->executor, &p->task);
}

mend_rc broker_port_publish(BrokerPort *port, const char *address, const void *bytes, size_t n_bytes, mend_published_fn done, void *user)
{
    g_autoptr(Message) m = message_new(bytes, n_bytes, NULL);
    QueueOutcome outcome = QUEUE_GONE;
    Publish *p = NULL;

    if (done != NULL) {
        p = g_new0(Publish, 1);
        *p = (Publish){.task.run = published, .port = port, .done = done, .user = user};
        g_atomic_int_inc(&port->refs);
        port->publishes = g_list_prepend(port->publishes, p);
    }
    if (m != NULL) {
        m->held = &port->broker->held_bytes;
        __atomic_add_fetch(m->held, (gint64) (sizeof *m + m->n_bytes), __ATOMIC_RELAXED);
        outcome = router_publish(port->broker->router, address, m, p != NULL ? publish_safe : NULL, p);
    }
    if (p != NULL && outcome != QUEUE_TAKEN_LATER) {
        p->verdict = outcome == QUEUE_TAKEN || outcome == QUEUE_DROPPED ? MEND_ACCEPT : outcome == QUEUE_FULL ? MEND_RELEASE : MEND_REJECT;
        executor_post(&port->executor, &p->task);
    }
    return MEND_OK;
}

/* ---- nodes ---- */

static char *text_or_null(mend_str s)
{
    return s.len > 0 ? g_strndup(s.ptr, s.len) : NULL;
}

mend_rc broker_port_declare(BrokerPort *port, const mend_node *node)
{
    g_autofree char *address = g_strndup(node->address.ptr, node->address.len), *key = text_or_null(node->last_value_key),
                    *dead_letter = text_or_null(node->dead_letter), *owner = text_or_null(node->owner);
    const NodeWish wish = {.address = address, .kind = node->kind == MEND_NODE_TOPIC ? NODE_TOPIC : NODE_QUEUE, .owner = owner,
                           .durable = node->durable != 0,
                           .shape = {.ring = node->ring != 0, .max_messages = node->max_messages, .max_bytes = node->max_bytes,
                                     .ttl_us = node->ttl_us, .last_value_key = key, .dead_letter = dead_letter}};
    g_autoptr(GError) error = NULL;
    g_autoptr(Node) made = router_make(port->broker->router, &wish, &error);

    if (made != NULL) {
        node_set_owner(made, owner);
        return MEND_OK;
    }
    return g_error_matches(error, BROKER_ERROR, BROKER_ERROR_SHAPE) ? MEND_HELD : MEND_LIMIT;
}

/* Feeds of nodes that are no more. */
static void drop_stale_feeds(LocalSub *s)
{
    Feed *f;

    for (guint i = 0; i < s->feeds->len; i++) {
        f = g_ptr_array_index(s->feeds, i);
        if (s->mode != MEND_TAP || !node_is_gone(f->binding->node) || queue_depth(f->consumer.queue) > 0)
            continue;
        g_mutex_lock(&s->lock);
        g_ptr_array_remove_index_fast(s->feeds, i--);
        g_mutex_unlock(&s->lock);
        feed_free(f);
    }
}

mend_rc broker_port_undeclare(BrokerPort *port, const char *address)
{
    g_autoptr(Node) node = router_find(port->broker->router, address);
    GHashTableIter iter;
    void *sub;

    if (node == NULL)
        return MEND_NOT_FOUND;
    router_remove(port->broker->router, node, "queue removed");
    g_hash_table_iter_init(&iter, port->subs);
    while (g_hash_table_iter_next(&iter, NULL, &sub))
        drop_stale_feeds(sub);
    return MEND_OK;
}

/* ---- peers ---- */

typedef struct PeerTask {
    Task task;               /* first */
    BrokerPort *port;
    Peer *peer;
    int32_t what;
} PeerTask;

static void peer_told(Task *task)
{
    PeerTask *t = (PeerTask *) task;
    mend_peer view;

    if (t->port->peer_fn != NULL) {
        peer_view(t->peer, &view);
        t->port->peer_fn(t->port->peer_user, &view, t->what);
    }
    port_unref(t->port);
    peer_unref(t->peer);
    g_free(t);
}

static void peer_changed(void *user, Peer *peer, int32_t what)
{
    BrokerPort *port = user;
    PeerTask *t = g_new0(PeerTask, 1);

    *t = (PeerTask){.task.run = peer_told, .port = port, .peer = peer_ref(peer), .what = what};
    g_atomic_int_inc(&port->refs);
    executor_post(&port->executor, &t->task);
}

void broker_port_watch_peers(BrokerPort *port, mend_peer_fn fn, void *user)
{
    peers_unwatch(port->broker->peers, port);
    port->peer_fn = fn;
    port->peer_user = user;
    if (fn != NULL)
        peers_watch(port->broker->peers, port, peer_changed, port);
}

mend_rc broker_port_peer(BrokerPort *port, mend_id id, mend_peer *ret_peer)
{
    Peer *peer = peers_find(port->broker->peers, id);

    if (peer == NULL)
        return MEND_NOT_FOUND;
    peer_unref(port->peer_shown);
    port->peer_shown = peer;
    peer_view(peer, ret_peer);
    return MEND_OK;
}

mend_rc broker_port_drop_peer(BrokerPort *port, mend_id id, const char *reason)
{
    Peer *peer = peers_find(port->broker->peers, id);

    if (peer == NULL)
        return MEND_NOT_FOUND;
    peer->drop(peer, reason);
    peer_unref(peer);
    return MEND_OK;
}

/* ---- the end ---- */

void broker_port_free(BrokerPort *port)
{
    GHashTableIter iter;
    void *sub;

    if (port == NULL)
        return;
    broker_port_watch_peers(port, NULL, NULL);
    g_hash_table_iter_init(&iter, port->subs);
    while (g_hash_table_iter_next(&iter, NULL, &sub)) {
        g_hash_table_iter_steal(&iter);
        sub_end(sub);
        g_hash_table_iter_init(&iter, port->subs);
    }
    for (GList *i = port->publishes; i != NULL; i = i->next) {
        Publish *p = i->data;
        mend_published_fn done = p->done;
        p->done = NULL;
        done(p->user, MEND_RELEASE);
    }
    g_clear_pointer(&port->publishes, g_list_free);
    g_source_destroy(port->source);
    executor_close(&port->executor); /* tasks that still come run where they are posted, and only free themselves */
    g_source_unref(port->source);
    g_hash_table_unref(port->subs);
    g_hash_table_unref(port->kept);
    g_main_context_unref(port->context);
    peer_unref(port->peer_shown);
    port_unref(port);
}
