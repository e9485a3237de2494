/* A receiver keeps a window open: credit given to the peer plus deliveries the user holds never exceed options.credit, so a user
 * who settles late slows the peer down instead of filling memory. Credit goes back in portions of a quarter of the window, as one
 * flow frame is then worth many messages.
 *
 * A delivery outlives its connection: it then no longer has a pn_delivery and settling it only frees it. */
#include "lib/amqp/client_private.h"

#include "lib/base/clock.h"

#include <string.h>

#define CREDIT            100
#define MESSAGE_BYTES_MAX (16 * 1024 * 1024)

AmqpReceiver *amqp_receiver_new(AmqpClient *client, const AmqpReceiverOptions *options)
{
    AmqpReceiver *receiver = g_new0(AmqpReceiver, 1);

    receiver->refs = 1;
    receiver->client = client;
    receiver->options = *options;
    receiver->options.name = receiver->options.address = NULL; /* the link has copies */
    receiver->options.subject_filter = g_strdup(options->subject_filter);
    receiver->node_properties = options->node_properties == NULL ? NULL : value_ref(options->node_properties);
    if (options->credit == 0)
        receiver->options.credit = CREDIT;
    receiver->node.data = receiver;
    link_init(&receiver->link, options->name, options->address);
    g_queue_init(&receiver->deliveries);
    g_queue_push_tail_link(&client->receivers, &receiver->node);
    if (client->connected)
        receiver_attach(receiver);
    client_wake(client);
    return receiver;
}

/* ---- attaching ---- */

static Value *filter(const char *descriptor, const char *text)
{
    return value_described(value_bytes(VALUE_SYMBOL, descriptor, strlen(descriptor)), value_string(text));
}

static void receiver_put_filters(AmqpReceiver *receiver, pn_terminus_t *source, const AmqpPlace *place)
{
    const AmqpReceiverOptions *o = &receiver->options;
    g_autoptr(Value) filters = value_map();

    if (o->subject_filter != NULL && !place->filtered)
        value_set(filters, "subject-filter",
                  filter(strpbrk(o->subject_filter, "*#") != NULL ? "apache.org:legacy-amqp-topic-binding:string"
                                                                  : "apache.org:legacy-amqp-direct-binding:string",
                         o->subject_filter));
    if (place->selector != NULL)
        value_set(filters, "selector", filter("apache.org:selector-filter:string", place->selector));
    if (value_size(filters) > 0)
        data_put(pn_terminus_filter(source), filters, true);
}

static void receiver_put_source(AmqpReceiver *receiver, pn_terminus_t *source, const AmqpPlace *place)
{
    const AmqpReceiverOptions *o = &receiver->options;

    pn_terminus_set_type(source, PN_SOURCE);
    if (o->dynamic)
        pn_terminus_set_dynamic(source, true);
    else
        pn_terminus_set_address(source, place->address);
    if (o->dynamic && receiver->node_properties != NULL)
        data_put(pn_terminus_properties(source), receiver->node_properties, true);
    if (o->durable) {
        pn_terminus_set_durability(source, PN_DELIVERIES);
        pn_terminus_set_expiry_policy(source, PN_EXPIRE_NEVER);
    }
    if (o->browse)
        pn_terminus_set_distribution_mode(source, PN_DIST_MODE_COPY);
    if (o->topic || place->topic)
        data_put_capability(source, "topic");
    receiver_put_filters(receiver, source, place);
}

void receiver_attach(AmqpReceiver *receiver)
{
    Link *link = &receiver->link;
    const AmqpWish wish = { link->address, receiver->options.subject_filter, link->name, receiver->options.topic, receiver->options.durable };
    AmqpPlace place = { 0 };
    g_autofree char *address = NULL, *selector = NULL;

    if (receiver->client->dialect == NULL)
        return; /* once it is known */
    if (link->address != NULL && receiver->options.literal)
        place = (AmqpPlace) { .address = g_strdup(link->address), .apart = receiver->client->dialect->fragile };
    else if (link->address != NULL)
        receiver->client->dialect->source(&wish, &place);
    address = place.address;
    selector = place.selector;
    if (link_make(receiver->client, link, false, place.apart) == NULL)
        return;
    pn_link_set_context(link->pn, receiver);
    receiver_put_source(receiver, pn_link_source(link->pn), &place);
    pn_terminus_set_type(pn_link_target(link->pn), PN_TARGET);
    pn_terminus_set_address(pn_link_target(link->pn), link->name);
    pn_link_set_snd_settle_mode(link->pn, receiver->options.presettled ? PN_SND_SETTLED : PN_SND_UNSETTLED);
    pn_link_set_rcv_settle_mode(link->pn, PN_RCV_FIRST);
    pn_link_set_max_message_size(link->pn, MESSAGE_BYTES_MAX);
    pn_link_open(link->pn);
}

static void receiver_top_up(AmqpReceiver *receiver)
{
    uint32_t window = receiver->options.credit, used;

    if (receiver->link.pn == NULL || !receiver->link.attached)
        return;
    used = (uint32_t) pn_link_credit(receiver->link.pn) + receiver->deliveries.length;
    if (used < window && window - used >= MAX(window / 4, 1u))
        pn_link_flow(receiver->link.pn, (int) (window - used));
}

void receiver_opened(AmqpReceiver *receiver)
{
    pn_terminus_t *source = pn_link_remote_source(receiver->link.pn);

    if (pn_terminus_get_type(source) == PN_UNSPECIFIED)
        return; /* a refusal: the detach that says why comes next */
    receiver->link.attached = true;
    receiver->link.refusals = 0;
    g_free(receiver->remote_address);
    receiver->remote_address = g_strdup(pn_terminus_get_address(source));
    receiver_top_up(receiver);
    if (receiver->options.on_attached != NULL)
        receiver->options.on_attached(receiver, receiver->options.user);
}

const char *amqp_receiver_address(const AmqpReceiver *receiver)
{
    return receiver->link.attached ? receiver->remote_address : NULL;
}

static void receiver_forget_deliveries(AmqpReceiver *receiver)
{
    for (GList *l = receiver->deliveries.head; l != NULL; l = l->next)
        ((AmqpDelivery *) l->data)->pn = NULL;
}

void receiver_connection_gone(AmqpReceiver *receiver)
{
    receiver->link.pn = NULL;
    receiver->link.session = NULL;
    receiver->link.attached = false;
    receiver->link.retry_at = NEVER;
    receiver_forget_deliveries(receiver);
}

static void receiver_tell(AmqpReceiver *receiver, const GError *error)
{
    if (receiver->options.on_error != NULL && !receiver->freed)
        receiver->options.on_error(receiver, error, receiver->options.user);
}

void receiver_closed(AmqpReceiver *receiver, pn_condition_t *why)
{
    g_autoptr(GError) error = error_from_condition(why, "the peer closed the link");

    receiver_forget_deliveries(receiver);
    link_ended(receiver->client, &receiver->link);
    receiver_tell(receiver, error);
}

/* We close the link because of what came; once the peer has answered it is attached again. */
static void receiver_hang_up(AmqpReceiver *receiver, const GError *error)
{
    receiver_forget_deliveries(receiver);
    link_drop(&receiver->link, false);
    receiver->link.retry_at = clock_now_us() + client_backoff(receiver->client, receiver->link.refusals++);
    receiver_tell(receiver, error);
}

void receiver_tick(AmqpReceiver *receiver, int64_t now_us)
{
    if (now_us < receiver->link.retry_at)
        return;
    receiver->link.retry_at = NEVER;
    if (receiver->link.pn == NULL)
        receiver_attach(receiver);
}

/* ---- messages ---- */

static void receiver_refuse(AmqpReceiver *receiver, pn_delivery_t *pn, const GError *why)
{
    pn_condition_t *condition = pn_disposition_condition(pn_delivery_local(pn));

    pn_condition_set_name(condition, "amqp:decode-error");
    pn_condition_set_description(condition, why->message);
    pn_delivery_update(pn, PN_REJECTED);
    pn_delivery_settle(pn);
    receiver_top_up(receiver);
    receiver_tell(receiver, why);
}

/* Where the broker does not know the filter we asked for. */
static bool receiver_wants(const AmqpReceiver *receiver, const AmqpMessage *message)
{
    const char *pattern = receiver->options.subject_filter;

    return pattern == NULL || !receiver->client->dialect->sifts ||
           amqp_subject_matches(pattern, message->subject != NULL ? message->subject : "");
}

static void receiver_take(AmqpReceiver *receiver, pn_delivery_t *pn)
{
    size_t n_bytes = pn_delivery_pending(pn);
    g_autofree char *bytes = g_malloc(n_bytes + 1);
    ssize_t n = pn_link_recv(receiver->link.pn, bytes, n_bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(AmqpMessage) message = amqp_message_decode(bytes, n > 0 ? (size_t) n : 0, &error);
    AmqpDelivery *delivery;

    pn_link_advance(receiver->link.pn);
    if (message == NULL) {
        receiver_refuse(receiver, pn, error);
        return;
    }
    if (!receiver_wants(receiver, message)) {
        pn_delivery_update(pn, PN_ACCEPTED);
        pn_delivery_settle(pn);
        receiver_top_up(receiver);
        return;
    }
    delivery = g_new0(AmqpDelivery, 1);
    delivery->node.data = delivery;
    delivery->receiver = receiver;
    g_queue_push_tail_link(&receiver->deliveries, &delivery->node);
    if (pn_delivery_settled(pn))
        pn_delivery_settle(pn);
    else
        delivery->pn = pn;
    receiver->options.on_message(receiver, delivery, message, receiver->options.user);
}

/* All that is complete; a delivery that is still coming is only watched for its size. */
void receiver_delivery(AmqpReceiver *receiver)
{
    pn_delivery_t *pn;

    receiver->refs++;
    while (!receiver->freed && receiver->link.pn != NULL && (pn = pn_link_current(receiver->link.pn)) != NULL) {
        if (pn_delivery_aborted(pn)) {
            pn_link_advance(receiver->link.pn);
            pn_delivery_settle(pn);
        } else if (pn_delivery_pending(pn) > MESSAGE_BYTES_MAX) {
            g_autoptr(GError) error = g_error_new(AMQP_ERROR, AMQP_ERROR_LIMIT, "a message of more than %d bytes", MESSAGE_BYTES_MAX);
            receiver_hang_up(receiver, error);
        } else if (!pn_delivery_readable(pn) || pn_delivery_partial(pn)) {
            break;
        } else {
            receiver_take(receiver, pn);
        }
    }
    receiver_unref(receiver);
}

static void delivery_settle(AmqpDelivery *delivery, uint64_t outcome)
{
    AmqpReceiver *receiver = delivery->receiver;

    if (delivery->pn != NULL) {
        pn_delivery_update(delivery->pn, outcome);
        pn_delivery_settle(delivery->pn);
    }
    g_queue_unlink(&receiver->deliveries, &delivery->node);
    g_free(delivery);
    receiver_top_up(receiver);
    if (receiver->client != NULL)
        client_wake(receiver->client);
}

void amqp_delivery_accept(AmqpDelivery *delivery)
{
    delivery_settle(delivery, PN_ACCEPTED);
}

void amqp_delivery_release(AmqpDelivery *delivery)
{
    delivery_settle(delivery, PN_RELEASED);
}

void amqp_delivery_reject(AmqpDelivery *delivery, const char *condition, const char *description)
{
    if (delivery->pn != NULL) {
        pn_condition_t *why = pn_disposition_condition(pn_delivery_local(delivery->pn));
        pn_condition_set_name(why, condition == NULL ? "amqp:not-allowed" : condition);
        if (description != NULL)
            pn_condition_set_description(why, description);
    }
    delivery_settle(delivery, PN_REJECTED);
}

void amqp_delivery_modify(AmqpDelivery *delivery, bool failed, bool undeliverable_here)
{
    const AmqpClient *client = delivery->receiver->client;

    if (delivery->pn != NULL && client != NULL && !client->dialect->modifies) {
        delivery_settle(delivery, PN_RELEASED);
        return;
    }
    if (delivery->pn != NULL) {
        pn_disposition_set_failed(pn_delivery_local(delivery->pn), failed);
        pn_disposition_set_undeliverable(pn_delivery_local(delivery->pn), undeliverable_here);
    }
    delivery_settle(delivery, PN_MODIFIED);
}

/* ---- the end ---- */

void receiver_unref(AmqpReceiver *receiver)
{
    if (--receiver->refs > 0)
        return;
    link_done(&receiver->link);
    g_free((char *) receiver->options.subject_filter);
    g_free(receiver->remote_address);
    value_unref(receiver->node_properties);
    g_free(receiver);
}

void amqp_receiver_free(AmqpReceiver *receiver)
{
    GList *l;

    if (receiver == NULL)
        return;
    g_assert(!receiver->freed);
    receiver->freed = true;
    if (receiver->client != NULL) {
        g_queue_unlink(&receiver->client->receivers, &receiver->node);
        link_drop(&receiver->link, receiver->options.durable);
        client_wake(receiver->client);
        receiver->client = NULL;
    }
    while ((l = g_queue_pop_head_link(&receiver->deliveries)) != NULL)
        g_free(l->data);
    receiver_unref(receiver);
}
