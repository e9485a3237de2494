/* What a peer sends: read as it comes (proton never has to keep it), scanned once, put into its node. Messages for a queue go in
 * batches, one for all transfers of a read; topics are routed one by one.
 *
 * Outcomes. Accepted means: it is in the node, and if it is durable there, on disk. Until the store (or a gate) has said so the delivery
 * is a Pending: it belongs to its link, the answer comes from another thread as a Task. A link that ends first takes the delivery out
 * of the Pending, and the answer finds nobody. */
#include "broker-plugin/hosts/embedded/internal.h"

#include <string.h>

#define CREDIT_FIRST 200
#define CREDIT_BYTES (INT64_C(8) << 20)

struct Pending {
    Task task;               /* first */
    Pending *prev, *next;
    LinkIn *link;            /* NULL: it has gone */
    Executor *executor;
    pn_delivery_t *delivery;
    int32_t verdict;
    char *reason;
    Node *node;              /* of a gated one: where it goes when let in */
    Message *message;
};

LinkIn *link_in_new_IO(Connection *c, pn_link_t *link)
{
    LinkIn *l = g_new0(LinkIn, 1);

    l->connection = c;
    l->link = link;
    l->producer.runnable.executor = &c->io->executor;
    l->next = c->links_in;
    if (l->next != NULL)
        l->next->prev = l;
    c->links_in = l;
    c->n_links++;
    pn_link_set_context(link, l);
    return l;
}

void link_in_free_IO(LinkIn *l)
{
    Connection *c = l->connection;

    if (c->io->put.link == l)
        put_batch_flush_IO(c->io);
    for (Pending *p = l->pendings; p != NULL; p = p->next)
        p->link = NULL;
    if (l->node != NULL && l->node->queue != NULL)
        queue_stop_waiting(&l->producer, l->node->queue);
    if (l->partial != NULL) {
        c->partial_bytes -= l->partial->len;
        g_byte_array_unref(l->partial);
    }
    if (l->node != NULL) {
        if (l->made != NULL && l->node->lifetime == LIFETIME_ON_CLOSE)
            router_remove(c->io->broker->router, l->node, "its link was closed");
        router_unuse(c->io->broker->router, l->node);
        node_unref(l->node);
    }
    *(l->prev != NULL ? &l->prev->next : &c->links_in) = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    c->n_links--;
    pn_link_set_context(l->link, NULL);
    g_free(l->key);
    g_free(l->made);
    g_free(l);
}

/* ---- credit ---- */

static void room_again(Runnable *runnable)
{
    link_in_credit_IO((LinkIn *) runnable);
}

/* Credit is counted in messages, memory in bytes: who sends large ones gets less of it, and nobody much before the first. */
static int window(const LinkIn *l)
{
    int64_t most = l->connection->io->broker->settings->credit;

    if (l->last_bytes == 0)
        return (int) MIN(most, CREDIT_FIRST);
    return (int) CLAMP(CREDIT_BYTES / l->last_bytes, 4, most);
}

void link_in_credit_IO(LinkIn *l)
{
    int target = window(l), have = pn_link_credit(l->link);

    if (have > target / 2)
        return;
    l->producer.runnable.run = room_again;
    if (l->node != NULL && l->node->queue != NULL && queue_wait_for_room(l->node->queue, &l->producer))
        return;
    pn_link_flow(l->link, target - have);
    connection_mark_IO(l->connection);
}

/* ---- outcomes ---- */

static void settle_as(pn_delivery_t *d, int32_t verdict, const char *condition, const char *reason)
{
    if (verdict == MEND_REJECT) {
        pn_condition_t *error = pn_disposition_condition(pn_delivery_local(d));
        pn_condition_set_name(error, condition);
        pn_condition_set_description(error, reason);
    }
    pn_delivery_update(d, verdict == MEND_ACCEPT ? PN_ACCEPTED : verdict == MEND_REJECT ? PN_REJECTED : PN_RELEASED);
    pn_delivery_settle(d);
}

static void settle_outcome(pn_delivery_t *d, QueueOutcome outcome)
{
    switch (outcome) {
    case QUEUE_TAKEN: settle_as(d, MEND_ACCEPT, NULL, NULL); break;
    case QUEUE_FULL: settle_as(d, MEND_REJECT, "amqp:resource-limit-exceeded", "the queue is full"); break;
    case QUEUE_DROPPED: settle_as(d, MEND_ACCEPT, NULL, NULL); break; /* a ring drops, that is what it is for */
    case QUEUE_GONE: settle_as(d, MEND_REJECT, "amqp:not-found", "no such node"); break;
    case QUEUE_TAKEN_LATER: break;
    }
}

/* ---- pendings ---- */

static Pending *pending_new(LinkIn *l, pn_delivery_t *d)
{
    Pending *p = g_new0(Pending, 1);

    *p = (Pending){.link = l, .delivery = d, .executor = &l->connection->io->executor, .next = l->pendings};
    if (p->next != NULL)
        p->next->prev = p;
    l->pendings = p;
    return p;
}

static void pending_free(Pending *p)
{
    if (p->link != NULL) {
        *(p->prev != NULL ? &p->prev->next : &p->link->pendings) = p->next;
        if (p->next != NULL)
            p->next->prev = p->prev;
    } else { /* the list is gone with the link: neighbours may point here, nobody follows them */
        p->prev = p->next = NULL;
    }
    node_unref(p->node);
    message_unref(p->message);
    g_free(p->reason);
    g_free(p);
}

static void pending_done(Task *task)
{
    Pending *p = (Pending *) task;

    if (p->link != NULL) {
        if (p->delivery != NULL) {
            settle_as(p->delivery, p->verdict, "amqp:not-allowed", p->reason != NULL ? p->reason : "refused");
            connection_mark_IO(p->link->connection);
        }
        link_in_credit_IO(p->link);
    }
    pending_free(p);
}

static void pending_safe(void *user, bool ok)
{
    Pending *p = user;

    p->verdict = ok ? MEND_ACCEPT : MEND_RELEASE;
    p->task.run = pending_done;
    executor_post(p->executor, &p->task);
}

/* Back on the link's thread with a gate's verdict. */
static void pending_let_in(Task *task)
{
    Pending *p = (Pending *) task;
    QueuePut put = {.message = p->message, .safe = p->delivery != NULL ? pending_safe : NULL, .safe_user = p};

    if (p->verdict == MEND_ACCEPT) {
        node_put(p->node, &put, 1, message_text(p->message, p->message->subject), p->message->subject.n_bytes);
        if (put.outcome == QUEUE_TAKEN_LATER)
            return;
        if (p->link != NULL && p->delivery != NULL) {
            settle_outcome(p->delivery, put.outcome);
            p->delivery = NULL;
            connection_mark_IO(p->link->connection);
        }
    }
    pending_done(task);
}

static void pending_judged(void *user, int32_t verdict, const char *reason)
{
    Pending *p = user;

    p->verdict = verdict;
    p->reason = g_strdup(reason);
    p->task.run = pending_let_in;
    executor_post(p->executor, &p->task);
}

/* ---- putting ---- */

void put_batch_flush_IO(IoThread *io)
{
    PutBatch *b = &io->put;
    LinkIn *l = b->link;
    size_t n = b->n;

    if (n == 0)
        return;
    b->n = 0;
    b->link = NULL;
    node_put(l->node, b->puts, n, "", 0);
    for (size_t i = 0; i < n; i++) {
        Pending *p = b->puts[i].safe_user;
        if (b->puts[i].outcome != QUEUE_TAKEN_LATER && p != NULL)
            pending_free(p);
        if (b->deliveries[i] != NULL && b->puts[i].outcome != QUEUE_TAKEN_LATER)
            settle_outcome(b->deliveries[i], b->puts[i].outcome);
        message_unref(b->puts[i].message);
    }
    link_in_credit_IO(l);
    connection_mark_IO(l->connection);
}

static bool waits_for_store(const Node *node, const Message *m, const pn_delivery_t *d)
{
    return d != NULL && m->durable && node->queue != NULL && queue_record(node->queue) != 0;
}

static void put_queue(LinkIn *l, Message *m, pn_delivery_t *d)
{
    PutBatch *b = &l->connection->io->put;

    if (b->link != l || b->n == IO_BATCH)
        put_batch_flush_IO(l->connection->io);
    b->link = l;
    b->puts[b->n] = (QueuePut){.message = m};
    if (waits_for_store(l->node, m, d)) {
        b->puts[b->n].safe = pending_safe;
        b->puts[b->n].safe_user = pending_new(l, d);
    }
    b->deliveries[b->n++] = d;
}

/* Any node, one message; takes @m over. */
static void put_now(LinkIn *l, Node *node, Message *m, pn_delivery_t *d, const char *subject, size_t n_subject)
{
    QueuePut put = {.message = m};

    if (waits_for_store(node, m, d)) {
        put.safe = pending_safe;
        put.safe_user = pending_new(l, d);
    }
    node_put(node, &put, 1, subject, n_subject);
    if (put.outcome != QUEUE_TAKEN_LATER) {
        if (put.safe_user != NULL)
            pending_free(put.safe_user);
        if (d != NULL)
            settle_outcome(d, put.outcome);
    }
    message_unref(m);
}

static bool put_gated(LinkIn *l, Node *node, Message *m, pn_delivery_t *d)
{
    Pending *p;

    if (__atomic_load_n(&node->gate, __ATOMIC_ACQUIRE) == NULL)
        return false;
    p = pending_new(l, d);
    p->node = node_ref(node);
    p->message = m;
    if (gate_offer(node, m, pending_judged, p))
        return true;
    p->message = NULL;
    pending_free(p);
    return false;
}

/* ---- checks ---- */

static AccessText text_of(const Message *m, Span span)
{
    return (AccessText){message_text(m, span), span.n_bytes};
}

static AccessText property_of(const Message *m, const char *key)
{
    Fact f = message_property(m, key, strlen(key));

    return f.type == FACT_TEXT ? (AccessText){f.text, f.n_text} : (AccessText){NULL, 0};
}

static AccessVerdict may_send(LinkIn *l, Node *node, const char *address, const Message *m, char **ret_reason)
{
    g_autofree char *owner = node != NULL ? node_owner(node) : NULL;
    const AccessMessage ask = {.address = address, .owner = owner, .create = node == NULL,
                               .subject = l->key != NULL ? (AccessText){l->key, strlen(l->key)} : text_of(m, m->subject),
                               .agent = property_of(m, "qmf.agent"), .opcode = property_of(m, "qmf.opcode"),
                               .reply_to = text_of(m, m->reply_to), .user_id = text_of(m, m->user_id)};

    return access_send(l->connection->access, &ask, ret_reason);
}

static void refuse(pn_delivery_t *d, const char *condition, const char *text)
{
    if (d != NULL)
        settle_as(d, MEND_REJECT, condition, text);
}

/* The anonymous terminus: `to` names the node, for those who wrote NODE/KEY there too. Unknown: accepted and dropped, as qpidd does. */
static void relay(LinkIn *l, Message *m, pn_delivery_t *d)
{
    Router *router = l->connection->io->broker->router;
    g_autofree char *to = g_strndup(message_text(m, m->to), m->to.n_bytes);
    g_autofree char *reason = NULL;
    g_autoptr(Node) node = router_find(router, to);
    const char *subject = message_text(m, m->subject);
    size_t n_subject = m->subject.n_bytes;
    char *slash = node == NULL ? strchr(to, '/') : NULL;
    AccessVerdict verdict;

    if (slash != NULL) {
        *slash = '\0';
        node = router_find(router, to);
        subject = slash + 1;
        n_subject = strlen(subject);
    }
    verdict = may_send(l, node, to, m, &reason);
    if (verdict == ACCESS_DENIED) {
        refuse(d, "amqp:unauthorized-access", reason != NULL ? reason : "not allowed");
    } else if (node == NULL || verdict != ACCESS_OK) {
        if (d != NULL)
            settle_as(d, MEND_ACCEPT, NULL, NULL);
    } else if (put_gated(l, node, m, d)) {
        return;
    } else {
        put_now(l, node, message_ref(m), d, subject, n_subject);
    }
    message_unref(m);
}

/* Takes @m over. @d: NULL when pre-settled. */
static void take_message(LinkIn *l, Message *m, pn_delivery_t *d)
{
    g_autofree char *reason = NULL;

    if (l->anonymous) {
        relay(l, m, d);
    } else if (l->node == NULL) { /* discarding */
        if (d != NULL)
            settle_as(d, MEND_ACCEPT, NULL, NULL);
        message_unref(m);
    } else if (l->check && may_send(l, l->node, l->node->address, m, &reason) != ACCESS_OK) {
        refuse(d, "amqp:unauthorized-access", reason != NULL ? reason : "not allowed");
        message_unref(m);
    } else if (put_gated(l, l->node, m, d)) {
        return;
    } else if (l->node->kind == NODE_QUEUE && __atomic_load_n(&l->node->taps, __ATOMIC_RELAXED) == 0) {
        put_queue(l, m, d);
    } else {
        const char *subject = l->key != NULL ? l->key : message_text(m, m->subject);
        put_now(l, l->node, m, d, subject, l->key != NULL ? strlen(l->key) : m->subject.n_bytes);
    }
}

/* ---- transfers ---- */

static void drop_partial(LinkIn *l)
{
    if (l->partial == NULL)
        return;
    l->connection->partial_bytes -= l->partial->len;
    g_clear_pointer(&l->partial, g_byte_array_unref);
}

static bool too_much(LinkIn *l, size_t more)
{
    Connection *c = l->connection;
    const BrokerSettings *s = c->io->broker->settings;
    size_t have = l->partial != NULL ? l->partial->len : 0;

    if (have + more > (size_t) s->max_message_bytes) {
        drop_partial(l);
        l->refusing = true;
        link_refuse_IO(c, l->link, "amqp:link:message-size-exceeded", "the message is larger than this broker takes");
        return true;
    }
    if (c->partial_bytes + (int64_t) more > s->max_partial_bytes && have + more > 65536) {
        connection_refuse_IO(c, "amqp:resource-limit-exceeded", "too many bytes of unfinished messages on one connection");
        return true;
    }
    return false;
}

static bool read_partial(LinkIn *l, size_t pending)
{
    if (pending == 0)
        return true;
    if (l->partial == NULL)
        l->partial = g_byte_array_new();
    g_byte_array_set_size(l->partial, l->partial->len + (guint) pending);
    l->connection->partial_bytes += (int64_t) pending;
    return pn_link_recv(l->link, (char *) l->partial->data + l->partial->len - pending, pending) == (ssize_t) pending;
}

static Message *read_message(LinkIn *l, size_t pending)
{
    Message *m;

    if (l->partial == NULL) {
        m = message_alloc(pending);
        if (pending > 0)
            pn_link_recv(l->link, (char *) m->bytes, pending);
        return m;
    }
    read_partial(l, pending);
    m = message_alloc(l->partial->len);
    memcpy(m->bytes, l->partial->data, l->partial->len);
    drop_partial(l);
    return m;
}

static void complete(LinkIn *l, pn_delivery_t *d, size_t pending)
{
    Broker *b = l->connection->io->broker;
    Message *m = read_message(l, pending);
    bool settled = pn_delivery_settled(d);
    int64_t size = (int64_t) (sizeof *m + m->n_bytes);
    g_autoptr(GError) error = NULL;

    l->last_bytes = m->n_bytes + 1;
    pn_link_advance(l->link);
    if (__atomic_add_fetch(&b->held_bytes, size, __ATOMIC_RELAXED) > b->settings->max_total_bytes && b->settings->max_total_bytes > 0) {
        __atomic_sub_fetch(&b->held_bytes, size, __ATOMIC_RELAXED);
        refuse(settled ? NULL : d, "amqp:resource-limit-exceeded", "the broker holds as many bytes as it may");
        message_unref(m);
    } else {
        m->held = &b->held_bytes;
        m->peer = l->connection->peer->id;
        if (message_scan(m, &error)) {
            l->connection->peer->received++;
            take_message(l, m, settled ? NULL : d);
        } else {
            refuse(settled ? NULL : d, "amqp:decode-error", error->message);
            message_unref(m);
        }
    }
    if (settled)
        pn_delivery_settle(d);
}

/* The rest of a message that is too large: read, so that proton does not keep it, and thrown away. */
static void throw_away(LinkIn *l, pn_delivery_t *d)
{
    char scratch[4096];

    while (pn_link_recv(l->link, scratch, sizeof scratch) > 0)
        continue;
    if (pn_delivery_partial(d))
        return;
    l->refusing = !l->connection->fragile; /* their link stays: the next message may fit */
    pn_link_advance(l->link);
    settle_as(d, MEND_REJECT, "amqp:link:message-size-exceeded", "the message is larger than this broker takes");
    connection_mark_IO(l->connection);
}

void link_in_delivery_IO(LinkIn *l, pn_delivery_t *d)
{
    Connection *c = l->connection;
    size_t pending;

    if (pn_link_current(l->link) != d) /* an old one: the peer has settled what waits for the store */
        return;
    pending = pn_delivery_pending(d);
    if (pn_delivery_aborted(d)) {
        drop_partial(l);
        pn_delivery_settle(d);
        link_in_credit_IO(l);
        return;
    }
    if (!pn_delivery_readable(d))
        return;
    if (l->refusing || too_much(l, pending)) {
        if (!c->ended && !c->closing) /* else the link has gone with its connection */
            throw_away(l, d);
        return;
    }
    if (pn_delivery_partial(d)) {
        read_partial(l, pending);
        return;
    }
    complete(l, d, pending);
    if (c->io->put.link != l)
        link_in_credit_IO(l);
}
