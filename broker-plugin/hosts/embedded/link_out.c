/* What a peer receives: the link is a consumer of a queue, pulled on its own thread as far as credit, and the socket, allow. A socket
 * that takes no more stops the pulling, so a peer that does not read holds its credit's worth of unsettled entries and one batch of
 * bytes, whatever waits for it. */
#include "broker-plugin/hosts/embedded/internal.h"

#include "lib/base/clock.h"

#include <string.h>

#define BATCH_BYTES 65536

static void pull(Runnable *runnable);

LinkOut *link_out_new_IO(Connection *c, pn_link_t *link)
{
    LinkOut *l = g_new0(LinkOut, 1);

    l->connection = c;
    l->link = link;
    l->consumer.runnable = (Runnable){.executor = &c->io->executor, .run = pull};
    l->next = c->links_out;
    if (l->next != NULL)
        l->next->prev = l;
    c->links_out = l;
    c->n_links++;
    pn_link_set_context(link, l);
    return l;
}

void link_out_start_IO(LinkOut *l, Queue *queue, bool browse, bool settles)
{
    l->consumer.browse = browse;
    l->settles = settles;
    l->consumer.settles = settles && !browse;
    queue_add(queue, &l->consumer);
}

/* What the peer had and did not settle goes back, as failed: it may have been worked on. */
static void give_back_unsettled(LinkOut *l)
{
    g_autoptr(GPtrArray) entries = NULL;

    for (pn_delivery_t *d = pn_unsettled_head(l->link); d != NULL; d = pn_unsettled_next(d)) {
        Entry *e = pn_delivery_get_context(d);
        if (e == NULL)
            continue;
        pn_delivery_set_context(d, NULL);
        if (entries == NULL)
            entries = g_ptr_array_new();
        g_ptr_array_add(entries, e);
    }
    if (entries != NULL)
        queue_settle(l->consumer.queue, NULL, (Entry *const *) entries->pdata, entries->len, SETTLE_FAIL, NULL);
}

void link_out_free_IO(LinkOut *l, bool keep_subscription)
{
    Connection *c = l->connection;
    Broker *b = c->io->broker;

    if (c->io->settle.link == l)
        settle_batch_flush_IO(c->io);
    if (l->binding != NULL) {
        node_unbind(l->binding);
        charge_give(c->user, CHARGE_QUEUES, 1);
    }
    if (l->consumer.queue != NULL) {
        give_back_unsettled(l);
        queue_remove(&l->consumer);
    }
    if (l->subscription != NULL)
        subscription_leave(b->subscriptions, l->subscription, !keep_subscription);
    if (l->node != NULL) {
        if (l->made_node && l->node->lifetime == LIFETIME_ON_CLOSE)
            router_remove(b->router, l->node, "its link was closed");
        router_unuse(b->router, l->node);
        node_unref(l->node);
    }
    selector_free(l->selector);
    *(l->prev != NULL ? &l->prev->next : &c->links_out) = l->next;
    if (l->next != NULL)
        l->next->prev = l->prev;
    c->n_links--;
    pn_link_set_context(l->link, NULL);
    executor_forget(&l->consumer.runnable);
    g_free(l);
}

/* ---- sending ---- */

static uint32_t remaining_ms(const Taken *t, int64_t now_us)
{
    if (t->message->ttl_ms == 0 || t->expires_us == 0)
        return 0;
    return t->expires_us <= now_us ? 1 : (uint32_t) MAX((t->expires_us - now_us) / US_PER_MS, 1);
}

static void send_one(LinkOut *l, const Taken *t)
{
    const Message *m = t->message;
    uint32_t tag = ++l->next_tag;
    pn_delivery_t *d = pn_delivery(l->link, pn_dtag((const char *) &tag, sizeof tag));
    uint8_t header[MESSAGE_HEADER_MAX];
    size_t n_header;

    if (!m->changed && t->delivery_count == m->delivery_count) {
        pn_link_send(l->link, (const char *) m->bytes, m->n_bytes);
    } else {
        n_header = message_header(m, t->delivery_count, m->ttl_ms > 0 ? remaining_ms(t, clock_now_us()) : 0, header);
        if (n_header > 0)
            pn_link_send(l->link, (const char *) header, n_header);
        pn_link_send(l->link, message_text(m, m->rest), m->rest.n_bytes);
    }
    pn_link_advance(l->link);
    if (t->entry != NULL)
        pn_delivery_set_context(d, t->entry);
    else if (l->settles)
        pn_delivery_settle(d);
}

static void queue_is_gone(LinkOut *l)
{
    Connection *c = l->connection;
    pn_link_t *link = l->link;

    link_out_free_IO(l, false);
    link_refuse_IO(c, link, "amqp:resource-deleted", "the node was deleted");
}

static size_t send_batch(LinkOut *l, size_t want, bool *ret_dry)
{
    Taken taken[IO_BATCH];
    size_t n = queue_take(&l->consumer, taken, want, true), n_bytes = 0;

    *ret_dry = n == 0;
    for (size_t i = 0; i < n; i++) {
        n_bytes += taken[i].message->n_bytes;
        send_one(l, &taken[i]);
        if (taken[i].entry == NULL)
            message_unref(taken[i].message);
    }
    l->connection->peer->sent += n;
    l->connection->unwritten_bytes += (int64_t) n_bytes;
    return n_bytes;
}

static bool may_write(Connection *c)
{
    if (c->unwritten_bytes >= c->io->broker->settings->max_connection_bytes)
        c->held_back = true;
    return !c->blocked && !c->held_back;
}

static void pull(Runnable *runnable)
{
    LinkOut *l = (LinkOut *) runnable;
    Connection *c = l->connection;
    size_t n_bytes = 0, limit;
    bool dry = false;
    int credit;

    if (l->consumer.queue == NULL || c->ended)
        return;
    if (queue_is_closed(l->consumer.queue)) {
        queue_is_gone(l);
        return;
    }
    while (!dry && n_bytes < BATCH_BYTES && may_write(c)) {
        credit = pn_link_credit(l->link);
        if (credit <= 0)
            break;
        /* large messages go one or a few at a time: a batch is counted in bytes */
        limit = queue_batch(l->consumer.queue, BATCH_BYTES); /* once: others change it meanwhile, and MIN() reads twice */
        limit = MIN(limit, IO_BATCH);
        limit = MIN(limit, (size_t) credit);
        n_bytes += send_batch(l, limit, &dry);
    }
    if (dry && pn_link_get_drain(l->link))
        pn_link_drained(l->link);
    connection_mark_IO(c);
    if (!dry && pn_link_credit(l->link) > 0 && may_write(c))
        executor_schedule(&l->consumer.runnable);
}

void link_out_flow_IO(LinkOut *l)
{
    if (l->silent || l->consumer.queue == NULL) {
        if (pn_link_get_drain(l->link))
            pn_link_drained(l->link);
        return;
    }
    if (pn_link_credit(l->link) > 0 && may_write(l->connection))
        executor_schedule(&l->consumer.runnable);
}

/* ---- what became of it ---- */

void settle_batch_flush_IO(IoThread *io)
{
    SettleBatch *b = &io->settle;
    size_t n = b->n;

    if (n == 0)
        return;
    b->n = 0;
    queue_settle(b->link->consumer.queue, &b->link->consumer, b->entries, n, SETTLE_ACCEPT, NULL);
    b->link = NULL;
}

static void accept_later(LinkOut *l, Entry *e)
{
    SettleBatch *b = &l->connection->io->settle;

    if (b->link != l || b->n == IO_BATCH)
        settle_batch_flush_IO(l->connection->io);
    b->link = l;
    b->entries[b->n++] = e;
}

static QueueSettle outcome_of(pn_delivery_t *d, char **ret_reason)
{
    pn_disposition_t *remote = pn_delivery_remote(d);
    pn_condition_t *condition;

    switch (pn_delivery_remote_state(d)) {
    case PN_ACCEPTED: return SETTLE_ACCEPT;
    case PN_RELEASED: return SETTLE_RELEASE;
    case PN_REJECTED:
        condition = pn_disposition_condition(remote);
        if (pn_condition_is_set(condition))
            *ret_reason = g_strdup_printf("rejected: %s: %s", pn_condition_get_name(condition),
                                          pn_condition_get_description(condition) != NULL ? pn_condition_get_description(condition) : "");
        return SETTLE_REJECT;
    case PN_MODIFIED:
        if (pn_disposition_is_failed(remote))
            return pn_disposition_is_undeliverable(remote) ? SETTLE_FAIL_HERE : SETTLE_FAIL;
        return pn_disposition_is_undeliverable(remote) ? SETTLE_NOT_HERE : SETTLE_RELEASE;
    default: return SETTLE_FAIL; /* settled without a word about it: as if the link had ended */
    }
}

void link_out_delivery_IO(LinkOut *l, pn_delivery_t *d)
{
    g_autofree char *reason = NULL;
    uint64_t state = pn_delivery_remote_state(d);
    Entry *e = pn_delivery_get_context(d);
    QueueSettle how;

    if (!pn_delivery_updated(d) || (!pn_delivery_settled(d) && (state == 0 || state == PN_RECEIVED)))
        return;
    if (e != NULL) {
        pn_delivery_set_context(d, NULL);
        how = outcome_of(d, &reason);
        if (how == SETTLE_ACCEPT) {
            accept_later(l, e);
        } else {
            settle_batch_flush_IO(l->connection->io);
            queue_settle(l->consumer.queue, &l->consumer, &e, 1, how, reason);
        }
    }
    if (!pn_delivery_settled(d) && state != 0)
        pn_delivery_update(d, state);
    pn_delivery_settle(d);
    connection_mark_IO(l->connection);
}
