/* A sender is two queues: `waiting` (not yet given to proton) and `unsettled` (given, the peer has not answered). When the link or
 * the connection goes, unsettled is put back before waiting, so order survives and everything is sent at least once. A message is
 * given to proton only while the peer grants credit and proton's buffer is short: what waits here can still meet its deadline,
 * what is in proton's buffer cannot be taken back. */
#include "lib/amqp/client_private.h"

#include "lib/base/clock.h"

#include <string.h>

#define PENDING_BYTES      (4 * 1024 * 1024)
#define TRANSPORT_BYTES    (512 * 1024) /* given to proton and not yet written */

static void pending_free(Pending *pending)
{
    g_bytes_unref(pending->bytes);
    g_free(pending);
}

static GError *cancelled(void)
{
    return g_error_new_literal(AMQP_ERROR, AMQP_ERROR_CANCELLED, "the sender was freed");
}

/* @pending has left its queue; calls back, which may free the sender. */
static void sender_complete(AmqpSender *sender, Pending *pending, const GError *error)
{
    sender->pending_bytes -= g_bytes_get_size(pending->bytes);
    if (pending->done != NULL)
        pending->done(error, pending->user);
    pending_free(pending);
}

static void sender_tell_room(AmqpSender *sender)
{
    if (!sender->full || sender->freed || sender->client == NULL || sender->pending_bytes > sender->options.max_pending_bytes / 2)
        return;
    sender->full = false;
    if (sender->options.on_ready != NULL)
        sender->options.on_ready(sender, sender->options.user);
}

AmqpSender *amqp_sender_new(AmqpClient *client, const AmqpSenderOptions *options)
{
    AmqpSender *sender = g_new0(AmqpSender, 1);

    sender->refs = 1;
    sender->client = client;
    sender->options = *options;
    sender->options.name = sender->options.address = NULL; /* the link has copies */
    if (options->max_pending_bytes == 0)
        sender->options.max_pending_bytes = PENDING_BYTES;
    sender->next_deadline = NEVER;
    sender->node.data = sender;
    link_init(&sender->link, options->name, options->address);
    g_queue_init(&sender->waiting);
    g_queue_init(&sender->unsettled);
    g_queue_push_tail_link(&client->senders, &sender->node);
    if (client->connected)
        sender_attach(sender);
    client_wake(client);
    return sender;
}

void sender_attach(AmqpSender *sender)
{
    Link *link = &sender->link;
    AmqpPlace place = { 0 };
    g_autofree char *address = NULL;

    if (sender->client->dialect == NULL)
        return; /* once it is known */
    if (link->address != NULL && sender->options.literal)
        place = (AmqpPlace) { .address = g_strdup(link->address), .apart = sender->client->dialect->fragile };
    else if (link->address != NULL)
        sender->client->dialect->target(link->address, &place);
    address = place.address;
    if (link_make(sender->client, link, true, place.apart) == NULL)
        return;
    pn_link_set_context(link->pn, sender);
    pn_terminus_set_type(pn_link_source(link->pn), PN_SOURCE);
    pn_terminus_set_address(pn_link_source(link->pn), link->name);
    pn_terminus_set_type(pn_link_target(link->pn), PN_TARGET);
    if (link->address != NULL)
        pn_terminus_set_address(pn_link_target(link->pn), address);
    if (sender->options.topic || place.topic)
        data_put_capability(pn_link_target(link->pn), "topic");
    pn_link_set_snd_settle_mode(link->pn, sender->options.presettled ? PN_SND_SETTLED : PN_SND_UNSETTLED);
    pn_link_set_rcv_settle_mode(link->pn, PN_RCV_FIRST);
    pn_link_open(link->pn);
}

void sender_opened(AmqpSender *sender)
{
    if (pn_terminus_get_type(pn_link_remote_target(sender->link.pn)) == PN_UNSPECIFIED)
        return; /* a refusal: the detach that says why comes next */
    sender->link.attached = true;
    sender->link.refusals = 0;
    sender->full = false;
    if (sender->options.on_ready != NULL)
        sender->options.on_ready(sender, sender->options.user);
}

/* Everything unsettled will be sent again, before what waits. */
static void sender_take_back(AmqpSender *sender)
{
    GList *l;

    while ((l = g_queue_pop_tail_link(&sender->unsettled)) != NULL) {
        Pending *pending = l->data;
        pending->delivery = NULL;
        g_queue_push_head_link(&sender->waiting, l);
    }
}

void sender_connection_gone(AmqpSender *sender)
{
    sender->link.pn = NULL;
    sender->link.session = NULL;
    sender->link.attached = false;
    sender->link.retry_at = NEVER;
    sender_take_back(sender);
}

void sender_closed(AmqpSender *sender, pn_condition_t *why)
{
    g_autoptr(GError) error = error_from_condition(why, "the peer closed the link");

    for (GList *l = sender->unsettled.head; l != NULL; l = l->next)
        pn_delivery_set_context(((Pending *) l->data)->delivery, NULL);
    sender_take_back(sender);
    link_ended(sender->client, &sender->link);
    if (sender->options.on_error != NULL)
        sender->options.on_error(sender, error, sender->options.user);
}

/* ---- sending ---- */

static bool sender_signs(const AmqpSender *sender)
{
    const AmqpClient *client = sender->client;

    return client->dialect != NULL && client->dialect->signs && client->options.user != NULL;
}

static GBytes *encode_signed(const AmqpMessage *message, const char *user)
{
    AmqpMessage copy = *message; /* for its sections only: nothing of it is changed or freed */

    copy.user_id = (char *) user;
    return amqp_message_encode(&copy);
}

/* It was queued before it was known whom it would go to. */
static void pending_sign(AmqpSender *sender, Pending *pending)
{
    gsize n_bytes;
    const void *bytes = g_bytes_get_data(pending->bytes, &n_bytes);
    g_autoptr(AmqpMessage) message = amqp_message_decode(bytes, n_bytes, NULL);
    GBytes *named;

    pending->named = true;
    if (message == NULL)
        return;
    named = encode_signed(message, sender->client->options.user);
    sender->pending_bytes += g_bytes_get_size(named);
    sender->pending_bytes -= n_bytes;
    g_bytes_unref(pending->bytes);
    pending->bytes = named;
}

bool amqp_sender_send(AmqpSender *sender, const AmqpMessage *message, int64_t deadline_us,
                      void (*done)(const GError *error, void *user), void *user, GError **error)
{
    g_autoptr(GBytes) bytes = NULL;
    Pending *pending;
    bool named;

    if (sender->client == NULL) {
        g_propagate_error(error, cancelled());
        return false;
    }
    named = sender_signs(sender);
    bytes = named ? encode_signed(message, sender->client->options.user) : amqp_message_encode(message);
    if (sender->pending_bytes > 0 && sender->pending_bytes + g_bytes_get_size(bytes) > sender->options.max_pending_bytes) {
        sender->full = true;
        g_set_error(error, AMQP_ERROR, AMQP_ERROR_LIMIT, "%zu bytes wait to be sent to %s", sender->pending_bytes,
                    sender->link.address == NULL ? "the peer" : sender->link.address);
        return false;
    }
    pending = g_new0(Pending, 1);
    pending->link.data = pending;
    pending->bytes = g_steal_pointer(&bytes);
    pending->named = named;
    pending->deadline_us = deadline_us > 0 ? deadline_us : NEVER;
    pending->done = done;
    pending->user = user;
    sender->pending_bytes += g_bytes_get_size(pending->bytes);
    sender->next_deadline = MIN(sender->next_deadline, pending->deadline_us);
    g_queue_push_tail_link(&sender->waiting, &pending->link);
    client_wake(sender->client);
    return true;
}

static void sender_give(AmqpSender *sender, Pending *pending)
{
    uint64_t tag = ++sender->tags;
    gsize n_bytes;
    const void *bytes;
    pn_delivery_t *delivery;

    if (!pending->named && sender_signs(sender))
        pending_sign(sender, pending);
    bytes = g_bytes_get_data(pending->bytes, &n_bytes);
    delivery = pn_delivery(sender->link.pn, pn_dtag((const char *) &tag, sizeof tag));

    pn_link_send(sender->link.pn, bytes, n_bytes);
    pn_link_advance(sender->link.pn);
    if (sender->options.presettled) {
        pn_delivery_set_context(delivery, NULL);
        pn_delivery_settle(delivery);
        sender_complete(sender, pending, NULL);
    } else {
        pending->delivery = delivery;
        pn_delivery_set_context(delivery, pending);
        g_queue_push_tail_link(&sender->unsettled, &pending->link);
    }
}

void sender_flush(AmqpSender *sender)
{
    sender->refs++;
    while (!sender->freed && sender->link.attached && !sender->client->close_sent && pn_link_credit(sender->link.pn) > 0 &&
           pn_session_outgoing_bytes(pn_link_session(sender->link.pn)) < TRANSPORT_BYTES) {
        GList *l = g_queue_pop_head_link(&sender->waiting);
        if (l == NULL)
            break;
        sender_give(sender, l->data);
    }
    sender_tell_room(sender);
    sender_unref(sender);
}

static GError *outcome_error(pn_delivery_t *delivery)
{
    pn_condition_t *condition = pn_disposition_condition(pn_delivery_remote(delivery));
    const char *name = pn_condition_get_name(condition), *text = pn_condition_get_description(condition);

    switch (pn_delivery_remote_state(delivery)) {
    case PN_ACCEPTED: return NULL;
    case PN_REJECTED:
        return g_error_new(AMQP_ERROR, AMQP_ERROR_REJECTED, "%s%s%s", name == NULL ? "rejected" : name, text == NULL ? "" : ": ",
                           text == NULL ? "" : text);
    case PN_RELEASED: return g_error_new_literal(AMQP_ERROR, AMQP_ERROR_RELEASED, "released: the peer did not take the message");
    case PN_MODIFIED: return g_error_new_literal(AMQP_ERROR, AMQP_ERROR_RELEASED, "modified: the peer did not take the message");
    default: return g_error_new_literal(AMQP_ERROR, AMQP_ERROR_RELEASED, "settled by the peer without an outcome");
    }
}

void sender_settled(AmqpSender *sender, pn_delivery_t *delivery)
{
    Pending *pending = pn_delivery_get_context(delivery);
    uint64_t state = pn_delivery_remote_state(delivery);
    g_autoptr(GError) error = NULL;

    if (pending == NULL || !pn_delivery_updated(delivery) ||
        !(pn_delivery_settled(delivery) || (state >= PN_ACCEPTED && state <= PN_MODIFIED))) {
        pn_delivery_clear(delivery);
        return;
    }
    error = outcome_error(delivery);
    pn_delivery_set_context(delivery, NULL);
    pn_delivery_settle(delivery);
    g_queue_unlink(&sender->unsettled, &pending->link);
    sender->refs++;
    sender_complete(sender, pending, error);
    sender_tell_room(sender);
    sender_unref(sender);
}

size_t amqp_sender_pending(const AmqpSender *sender)
{
    return sender->waiting.length + sender->unsettled.length;
}

/* ---- time ---- */

int64_t sender_due(const AmqpSender *sender)
{
    return MIN(sender->next_deadline, sender->link.retry_at);
}

static void collect_expired(GQueue *from, int64_t now_us, GQueue *ret_expired, int64_t *next_deadline)
{
    for (GList *l = from->head, *next; l != NULL; l = next) {
        Pending *pending = l->data;
        next = l->next;
        if (pending->deadline_us > now_us) {
            *next_deadline = MIN(*next_deadline, pending->deadline_us);
            continue;
        }
        g_queue_unlink(from, l);
        if (pending->delivery != NULL) { /* an answer that comes later is nobody's any more */
            pn_delivery_set_context(pending->delivery, NULL);
            pn_delivery_settle(pending->delivery);
            pending->delivery = NULL;
        }
        g_queue_push_tail_link(ret_expired, l);
    }
}

static void complete_all(AmqpSender *sender, GQueue *queue, const GError *error)
{
    GList *l;

    while ((l = g_queue_pop_head_link(queue)) != NULL)
        sender_complete(sender, l->data, error);
}

void sender_tick(AmqpSender *sender, int64_t now_us)
{
    GQueue expired = G_QUEUE_INIT;

    if (now_us >= sender->link.retry_at) {
        sender->link.retry_at = NEVER;
        if (sender->link.pn == NULL)
            sender_attach(sender);
    }
    if (now_us >= sender->next_deadline) {
        g_autoptr(GError) error = g_error_new_literal(AMQP_ERROR, AMQP_ERROR_TIMEOUT, "not taken by the peer before its deadline");
        sender->next_deadline = NEVER;
        collect_expired(&sender->unsettled, now_us, &expired, &sender->next_deadline);
        collect_expired(&sender->waiting, now_us, &expired, &sender->next_deadline);
        complete_all(sender, &expired, error);
        sender_tell_room(sender);
    }
}

/* ---- the end ---- */

void sender_unref(AmqpSender *sender)
{
    if (--sender->refs > 0)
        return;
    link_done(&sender->link);
    g_free(sender);
}

static void sender_cancel_all(AmqpSender *sender)
{
    g_autoptr(GError) error = cancelled();
    GQueue all = G_QUEUE_INIT;
    GList *l;

    sender_take_back(sender);
    while ((l = g_queue_pop_head_link(&sender->waiting)) != NULL)
        g_queue_push_tail_link(&all, l);
    sender->next_deadline = NEVER;
    complete_all(sender, &all, error);
}

void sender_client_gone(AmqpSender *sender)
{
    sender->refs++;
    g_queue_unlink(&sender->client->senders, &sender->node);
    sender->client = NULL;
    sender->link.pn = NULL;
    sender->link.session = NULL;
    sender->link.attached = false;
    sender_cancel_all(sender);
    sender_unref(sender);
}

void amqp_sender_free(AmqpSender *sender)
{
    AmqpClient *client;

    if (sender == NULL)
        return;
    g_assert(!sender->freed);
    sender->freed = true;
    client = sender->client;
    if (client != NULL) {
        for (GList *l = sender->unsettled.head; l != NULL; l = l->next)
            pn_delivery_set_context(((Pending *) l->data)->delivery, NULL);
        g_queue_unlink(&client->senders, &sender->node);
        sender->client = NULL;
        link_drop(&sender->link, false);
        client_wake(client);
    }
    sender_cancel_all(sender);
    sender_unref(sender);
}
