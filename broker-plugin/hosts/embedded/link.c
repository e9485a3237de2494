/* Attaching: from what a peer asks for to a link with a node behind it, or to a refusal it can understand.
 *
 * A refusal is an attach without terminus followed by a detach with the condition (AMQP 1.0 part 2, §2.6.3). Fragile peers die of
 * one: what they ask for and cannot have is given to them as a link that discards, or that stays silent. */
#include "broker-plugin/hosts/embedded/internal.h"

#include "lib/base/log.h"

#include <string.h>

#define ADDRESS_MAX 255
#define CONDITION_OF_LIMIT "amqp:resource-limit-exceeded"

typedef struct Attach { /* one attach while it is worked on */
    Connection *c;
    Broker *b;
    pn_link_t *link;
    Wish wish;
    Node *node;
    char *key;         /* of NODE/KEY */
    bool created;      /* would be made, or was */
    bool discards;     /* attaches, and what it sends goes nowhere */
    const char *condition;
    char *text;
} Attach;

void link_refuse_IO(Connection *c, pn_link_t *link, const char *condition, const char *text)
{
    pn_condition_t *error = pn_link_condition(link);

    log_debug("%s: link %s: %s: %s", c->where, pn_link_name(link), condition, text);
    if (c->fragile)
        return;
    pn_condition_set_name(error, condition);
    pn_condition_set_description(error, text);
    pn_link_open(link);
    pn_link_close(link);
    connection_mark_IO(c);
}

static bool no(Attach *a, const char *condition, const char *format, ...) G_GNUC_PRINTF(3, 4);
static bool no(Attach *a, const char *condition, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_free(a->text);
    a->text = g_strdup_vprintf(format, args);
    va_end(args);
    a->condition = condition;
    return false;
}

static bool no_error(Attach *a, GError *error)
{
    bool limit = error->domain == CHARGE_ERROR || g_error_matches(error, BROKER_ERROR, BROKER_ERROR_LIMIT);
    const char *condition = limit ? CONDITION_OF_LIMIT
                            : error->domain == SELECTOR_ERROR ? "amqp:invalid-field"
                                                              : "amqp:precondition-failed";

    no(a, condition, "%s", error->message);
    g_error_free(error);
    return false;
}

/* ---- the node ---- */

/* What may become a queue by being attached to: one plain word, not one of the broker's own. */
static bool plain_address(const char *address)
{
    size_t n = strlen(address);

    if (n == 0 || n > ADDRESS_MAX || strchr(address, '/') != NULL || !g_utf8_validate(address, -1, NULL))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char) address[i] < 0x20)
            return false;
    return address[0] != '$' && !g_str_has_prefix(address, "qmf.") && !g_str_has_prefix(address, "amq.") &&
           !g_str_has_prefix(address, "mend.temporary.");
}

static bool may_attach(Attach *a, AccessWhat what, bool *ret_check)
{
    const Wish *w = &a->wish;
    g_autofree char *owner = a->node != NULL ? node_owner(a->node) : NULL;
    const AccessLink ask = {.what = what, .address = a->node != NULL ? a->node->address : w->address, .dynamic = w->dynamic,
                            .create = a->created, .durable = w->durable, .owner = owner,
                            .subject = a->key != NULL ? a->key : w->key};
    g_autofree char *reason = NULL;
    AccessVerdict verdict = access_attach(a->c->access, &ask, &reason);

    a->discards = verdict == ACCESS_DISCARD;
    if (verdict == ACCESS_DENIED)
        return no(a, "amqp:unauthorized-access", "%s", reason != NULL ? reason : "not allowed");
    if (verdict == ACCESS_NOT_FOUND ||
        (a->created && !a->discards && !(plain_address(w->address) && (a->b->settings->auto_create || w->create))))
        return no(a, "amqp:not-found", "no node is called \"%.200s\"", w->address);
    *ret_check = verdict == ACCESS_OK_CHECK;
    return true;
}

static bool make_node(Attach *a, const char *address, bool dynamic)
{
    const Wish *w = &a->wish;
    NodeWish n = {.address = address, .kind = w->topic && w->create ? NODE_TOPIC : NODE_QUEUE, .shape = w->shape, .made_by_attach = true,
                  .maker = a->c->peer->id, .budget = a->c->user, .lifetime = w->has_lifetime ? w->lifetime : LIFETIME_MANUAL};
    g_autoptr(GError) error = NULL;

    if (dynamic) {
        n.lifetime = w->has_lifetime ? w->lifetime : LIFETIME_ON_CLOSE;
        n.owner = access_peer_owner(a->c->access);
        n.made_by_attach = false;
    }
    n.durable = !dynamic && n.lifetime == LIFETIME_MANUAL && n.kind == NODE_QUEUE;
    a->node = router_make(a->b->router, &n, &error);
    if (a->node == NULL)
        return no_error(a, g_steal_pointer(&error));
    return true;
}

static bool find_split(Attach *a)
{
    const char *slash = strchr(a->wish.address, '/');
    g_autofree char *name = NULL;

    if (slash == NULL)
        return false;
    name = g_strndup(a->wish.address, (gsize) (slash - a->wish.address));
    a->node = router_find(a->b->router, name);
    if (a->node == NULL || a->node->kind == NODE_QUEUE)
        g_clear_pointer(&a->node, node_unref);
    else
        a->key = g_strdup(slash + 1);
    return a->node != NULL;
}

/* Finds the node the terminus names, or learns that it would have to be made (created). */
static void find_node(Attach *a)
{
    if (a->wish.dynamic || a->wish.address == NULL)
        return;
    a->node = router_find(a->b->router, a->wish.address);
    a->created = a->node == NULL && !find_split(a);
}

static bool settle_node(Attach *a)
{
    g_autofree char *name = NULL;

    if (a->wish.dynamic) {
        name = router_temporary_name();
        return make_node(a, name, true);
    }
    return !a->created || a->discards || make_node(a, a->wish.address, false);
}

/* ---- both kinds ---- */

static bool begin(Attach *a, pn_terminus_t *remote)
{
    GError *error = NULL;

    if (a->c->n_links >= a->b->settings->max_links_per_connection)
        return no(a, CONDITION_OF_LIMIT, "more than %" G_GINT64_FORMAT " links on one connection", a->b->settings->max_links_per_connection);
    if (!wish_read(remote, &a->wish, &error))
        return no_error(a, error);
    find_node(a);
    return true;
}

static void done(Attach *a)
{
    g_clear_pointer(&a->node, node_unref);
    g_clear_pointer(&a->key, g_free);
    g_clear_pointer(&a->text, g_free);
    wish_done(&a->wish);
}

static void drop_made(Attach *a)
{
    if (a->node != NULL && (a->created || a->wish.dynamic) && a->node->maker == a->c->peer->id)
        router_remove(a->b->router, a->node, "link refused");
}

static void put_text(pn_data_t *to, const char *key, const char *text)
{
    pn_data_put_symbol(to, pn_bytes(strlen(key), key));
    pn_data_put_string(to, pn_bytes(strlen(text), text));
}

/* qpidd says what a node it made is like, all values as strings. */
static void echo_properties(pn_terminus_t *local, const Node *node)
{
    const QueueShape *s = queue_shape(node->queue);
    pn_data_t *to = pn_terminus_properties(local);
    char text[32];

    pn_data_clear(to);
    pn_data_put_map(to);
    pn_data_enter(to);
    put_text(to, "qpid.policy_type", s->ring ? "ring" : "reject");
    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, s->max_messages);
    put_text(to, "qpid.max_count", text);
    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, s->max_bytes);
    put_text(to, "qpid.max_size", text);
    if (s->last_value_key != NULL)
        put_text(to, "qpid.last_value_queue_key", s->last_value_key);
    pn_data_put_symbol(to, pn_bytes(20, "supported-dist-modes"));
    pn_data_put_symbol(to, pn_bytes(4, "move"));
    pn_data_exit(to);
}

static void answer(Attach *a, pn_terminus_t *local, pn_terminus_t *remote)
{
    pn_terminus_copy(local, remote);
    pn_data_clear(pn_terminus_properties(local));
    if (a->wish.foreign_filter) /* what is echoed is what applies */
        pn_data_clear(pn_terminus_filter(local));
    if (a->wish.dynamic)
        pn_terminus_set_address(local, a->node->address);
    if (a->wish.shaped && a->node != NULL && a->node->queue != NULL)
        echo_properties(local, a->node);
}

/* ---- a peer that sends ---- */

static bool attach_in(Attach *a, LinkIn **ret)
{
    pn_terminus_t *remote = pn_link_remote_target(a->link);
    bool check = false;
    LinkIn *l;

    if (pn_terminus_get_type(remote) == PN_COORDINATOR)
        return no(a, "amqp:not-implemented", "transactions are not supported");
    if (pn_terminus_get_type(remote) != PN_TARGET)
        return no(a, "amqp:invalid-field", "no target");
    if (!begin(a, remote) || !may_attach(a, ACCESS_SEND, &check) || !settle_node(a))
        return false;
    l = link_in_new_IO(a->c, a->link);
    l->anonymous = a->node == NULL && !a->discards;
    l->check = check;
    l->key = g_steal_pointer(&a->key);
    if (a->wish.dynamic)
        l->made = g_strdup(a->node->address);
    if (a->node != NULL) {
        l->node = node_ref(a->node);
        router_use(a->node);
    }
    answer(a, pn_link_target(a->link), remote);
    *ret = l;
    return true;
}

static void opened_in(Connection *c, pn_link_t *link)
{
    Attach a = {.c = c, .b = c->io->broker, .link = link};
    LinkIn *l = NULL;

    pn_link_set_snd_settle_mode(link, pn_link_remote_snd_settle_mode(link));
    pn_link_set_rcv_settle_mode(link, PN_RCV_FIRST);
    pn_terminus_copy(pn_link_source(link), pn_link_remote_source(link));
    pn_link_set_max_message_size(link, (uint64_t) c->io->broker->settings->max_message_bytes);
    if (!attach_in(&a, &l)) {
        drop_made(&a);
        if (!c->fragile || c->n_links >= c->io->broker->settings->max_links_per_connection) {
            link_refuse_IO(c, link, a.condition, a.text);
        } else { /* an answer to somebody who has gone, most likely: taken and forgotten */
            l = link_in_new_IO(c, link);
            pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
        }
    }
    if (l != NULL) {
        pn_link_open(link);
        link_in_credit_IO(l);
    }
    done(&a);
}

/* ---- a peer that receives ---- */

static bool wants(Consumer *consumer, const Message *m)
{
    const LinkOut *l = (const LinkOut *) consumer;

    return (!l->no_local || m->peer != l->connection->peer->id) && (l->selector == NULL || selector_match(l->selector, m));
}

static bool binding_wants(void *user, const Message *m)
{
    return wants(user, m);
}

/* A topic without a key gives everything, the QMF exchanges nothing: as in qpidd, an empty key. */
static const char *topic_key(const Attach *a)
{
    if (a->wish.key != NULL)
        return a->wish.key;
    if (a->key != NULL)
        return a->key;
    return a->node->quiet ? "" : "#";
}

static bool subscribe_lasting(Attach *a, LinkOut *l)
{
    const SubscriptionWish w = {.container_id = a->c->peer->container_id, .link_name = pn_link_name(a->link), .user = a->c->peer->user,
                                .node = a->node, .key = topic_key(a), .selector = a->wish.selector, .durable = a->wish.durable,
                                .timeout_us = a->wish.timeout_us, .budget = a->c->user};
    GError *error = NULL;

    l->subscription = subscription_take(a->b->subscriptions, &w, &error);
    if (l->subscription == NULL)
        return no_error(a, error);
    link_out_start_IO(l, subscription_queue(l->subscription), false, pn_link_remote_snd_settle_mode(a->link) == PN_SND_SETTLED);
    return true;
}

static bool subscribe(Attach *a, LinkOut *l)
{
    const BrokerSettings *s = a->b->settings;
    const QueueShape shape = {.ring = true, .max_messages = s->subscription_messages, .max_bytes = s->subscription_bytes};
    bool settles = pn_link_remote_snd_settle_mode(a->link) != PN_SND_UNSETTLED;
    GError *error = NULL;
    Queue *queue;

    if (a->wish.lasting)
        return subscribe_lasting(a, l);
    if (!charge_take(a->c->user, CHARGE_QUEUES, 1, &error))
        return no_error(a, error);
    queue = router_subscription_queue(a->b->router, pn_link_name(a->link), &shape);
    link_out_start_IO(l, queue, false, settles);
    l->binding = node_bind(a->node, queue, topic_key(a), l->selector != NULL || l->no_local ? binding_wants : NULL, l);
    queue_unref(queue);
    return true;
}

static bool consume(Attach *a, LinkOut *l)
{
    if (l->selector != NULL || l->no_local)
        l->consumer.wants = wants;
    link_out_start_IO(l, a->node->queue, a->wish.browse, pn_link_remote_snd_settle_mode(a->link) == PN_SND_SETTLED);
    return true;
}

static bool parse_selector(Attach *a, LinkOut *l)
{
    GError *error = NULL;

    if (a->wish.selector == NULL)
        return true;
    l->selector = selector_parse(a->wish.selector, &error);
    return l->selector != NULL || no_error(a, error);
}

static bool attach_out(Attach *a, LinkOut *l)
{
    pn_terminus_t *remote = pn_link_remote_source(a->link);
    bool check;

    if (pn_terminus_get_type(remote) != PN_SOURCE)
        return no(a, "amqp:invalid-field", "no source");
    if (!begin(a, remote))
        return false;
    if (!a->wish.dynamic && a->wish.address == NULL)
        return no(a, "amqp:invalid-field", "a source needs an address");
    if (!parse_selector(a, l) || !may_attach(a, a->wish.browse ? ACCESS_BROWSE : ACCESS_RECEIVE, &check) || !settle_node(a))
        return false;
    l->no_local = a->wish.no_local;
    if (!(a->node->kind == NODE_QUEUE ? consume(a, l) : subscribe(a, l)))
        return false;
    l->node = node_ref(a->node);
    l->made_node = a->wish.dynamic;
    router_use(a->node);
    answer(a, pn_link_source(a->link), remote);
    return true;
}

static void opened_out(Connection *c, pn_link_t *link)
{
    Attach a = {.c = c, .b = c->io->broker, .link = link};
    LinkOut *l = link_out_new_IO(c, link);

    pn_link_set_snd_settle_mode(link, pn_link_remote_snd_settle_mode(link));
    pn_link_set_rcv_settle_mode(link, pn_link_remote_rcv_settle_mode(link));
    pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
    if (!attach_out(&a, l)) {
        drop_made(&a);
        if (c->fragile) { /* open, and nothing ever comes */
            pn_terminus_copy(pn_link_source(link), pn_link_remote_source(link));
            l->silent = true;
        } else {
            link_out_free_IO(l, false);
            l = NULL;
            link_refuse_IO(c, link, a.condition, a.text);
        }
    }
    if (l != NULL) {
        pn_link_open(link);
        link_out_flow_IO(l);
    }
    done(&a);
}

void link_opened_IO(Connection *c, pn_link_t *link)
{
    if (c->peer == NULL || c->closing || (pn_link_state(link) & PN_LOCAL_UNINIT) == 0)
        return;
    if (pn_link_is_receiver(link))
        opened_in(c, link);
    else
        opened_out(c, link);
}

void link_closed_IO(Connection *c, pn_link_t *link, bool detached_only)
{
    void *context = pn_link_get_context(link);

    if (context != NULL && pn_link_is_receiver(link))
        link_in_free_IO(context);
    else if (context != NULL)
        link_out_free_IO(context, detached_only);
    if (detached_only)
        pn_link_detach(link);
    else
        pn_link_close(link);
    pn_link_free(link);
    connection_mark_IO(c);
}
