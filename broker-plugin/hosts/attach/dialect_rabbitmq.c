/* RabbitMQ 3.10 with rabbitmq_amqp1_0. Every node of Mend is an exchange, which who sends names, and behind it a queue, which who receives
 * names; so a look at what passes is one more queue behind the same exchange, and the gate is the only queue behind the entrance of
 * control queues.
 *
 *   qmf.default.topic   topic  ─▶ agents' and consoles' own queues, mend.tap.… (ours)
 *   qmf.default.direct  direct
 *   mend.events         topic  ─▶ mend.events.NAME (durable subscriptions), others' own queues
 *   mend.control        topic  ─▶ mend.gate ─▶ us ─▶ mend.control.AGENT
 *   mend.results.in     fanout ─▶ mend.results, mend.tap.…, with shards mend.results.NAME of each engine
 *   mend.deadletter.in  fanout ─▶ mend.deadletter, mend.tap.…   (dead letter exchange of control queues and results)
 *
 * All named queues are quorum queues: they outlive a node. Taps are kept while we are away, so that what an agent said in the meantime is
 * heard; they are rings, and heartbeats in them expire. */
#include "broker-plugin/hosts/attach/dialect.h"
#include "broker-plugin/hosts/attach/rabbit_admin.h"
#include "broker-plugin/hosts/attach/rabbit_policy.h"

#include <string.h>

#define DEADLETTER     "mend.deadletter"
#define DEADLETTER_IN  "mend.deadletter.in"
#define TAP_MESSAGES   200000
#define TAP_BYTES      (256 * 1024 * 1024)
#define TAP_EXPIRES_MS (7 * 24 * 3600 * INT64_C(1000)) /* a tap whose plugin never came back */
#define GATE_MESSAGES  100000
#define EVENT_MESSAGES 100000

typedef struct Rabbit { AttachWay way; RabbitAdmin *admin; } Rabbit;

static const AttachLack lacks[] = {
    { "no gate at the entrance of control queues", "commands go through the queue mend.gate; who sent a refused one hears so at its reply-to" },
    { "no end of subscriptions' queues (amq.gen-…)", "a policy ends them, set with --management, or by hand: rabbitmqctl set_policy " RABBIT_POLICY_NAME " '"
      RABBIT_POLICY_PATTERN "' '" RABBIT_POLICY_RULE "' --apply-to queues" },
    { "no priorities on quorum queues", "commands are taken in their order" },
    { "no owner of a control queue", "the users' own read permissions say who may receive (docs/attach.md)" },
    { "no connection known with a message", "a peer is a user: RabbitMQ vouches for user-id; each agent and each engine needs a user of its own" },
    { "no goodbye told from a loss", "a connection that ends counts as lost; whoever was here before the start is first known by its words" },
    { "no reason with dead letters", "their queue and cause are in RabbitMQ's own header x-death" },
    { NULL, NULL },
};

static void *rabbit_open(const AttachWay *way, GError **error)
{
    static const struct { const char *name, *type; } exchanges[] = {
        { "qmf.default.topic", "topic" }, { "qmf.default.direct", "direct" }, { AMQP_EVENTS, "topic" },
        { AMQP_CONTROL_ENTRANCE, "topic" }, { AMQP_RESULTS_ENTRANCE, "fanout" }, { DEADLETTER_IN, "fanout" },
    };
    Rabbit *r = g_new0(Rabbit, 1);

    r->way = *way;
    r->admin = rabbit_admin_new(&(RabbitAdminOptions) { amqp_client_url(way->client), way->user, way->password, way->ca_file, way->management,
                                                         way->peer_opened,
                                                         way->peer_closed, way->peers_unknown, way->host });
    for (size_t i = 0; i < G_N_ELEMENTS(exchanges); i++)
        rabbit_admin_exchange(r->admin, exchanges[i].name, exchanges[i].type);
    return r;
}

static void rabbit_close(void *self)
{
    Rabbit *r = self;

    rabbit_admin_free(r->admin);
    g_free(r);
}

static void rabbit_connected(void *self, bool first)
{
    Rabbit *r = self;

    if (!first)
        rabbit_admin_url(r->admin, amqp_client_url(r->way.client));
}

static void rabbit_declare(void *self, const AttachNode *node)
{
    Rabbit *r = self;
    RabbitQueue queue = { .name = node->address, .quorum = node->durable, .ring = node->ring, .max_messages = node->max_messages,
                          .max_bytes = node->max_bytes, .ttl_ms = node->ttl_us / US_PER_MS,
                          .dead_letter = node->dead_letter != NULL && strcmp(node->dead_letter, DEADLETTER) == 0 ? DEADLETTER_IN : node->dead_letter };

    if (node->topic) {
        rabbit_admin_exchange(r->admin, node->address, "topic");
        return;
    }
    rabbit_admin_queue(r->admin, &queue);
    if (strcmp(node->address, AMQP_RESULTS) == 0)
        rabbit_admin_bind(r->admin, node->address, AMQP_RESULTS_ENTRANCE, "");
    else if (strcmp(node->address, DEADLETTER) == 0)
        rabbit_admin_bind(r->admin, node->address, DEADLETTER_IN, "");
}

static void rabbit_undeclare(void *self, const char *address) { rabbit_admin_delete_queue(((Rabbit *) self)->admin, address); }

static void rabbit_subscriber(void *self, const char *name)
{
    Rabbit *r = self;
    g_autofree char *queue = g_strconcat(AMQP_EVENTS, ".", name, NULL);

    rabbit_admin_queue(r->admin, &(RabbitQueue) { .name = queue, .quorum = true, .ring = true, .max_messages = EVENT_MESSAGES });
    rabbit_admin_bind(r->admin, queue, AMQP_EVENTS, "#");
}

static void rabbit_results(void *self, const char *name)
{
    Rabbit *r = self;
    g_autofree char *queue = g_strconcat(AMQP_RESULTS, ".", name, NULL);

    rabbit_admin_queue(r->admin, &(RabbitQueue) { .name = queue, .quorum = true, .ring = true, .max_messages = EVENT_MESSAGES });
    rabbit_admin_bind(r->admin, queue, AMQP_RESULTS_ENTRANCE, "");
}

/* A receiver that attaches to a quorum queue in the moment it is made crashes the whole connection there (3.10.8: noproc). */
static void rabbit_when_made(void *self, void (*done)(uint64_t number, void *user), uint64_t number, void *user)
{
    rabbit_admin_when_done(((Rabbit *) self)->admin, done, number, user);
}

static char *rabbit_queue(const char *address)
{
    g_auto(GStrv) parts = g_strsplit(address, "/", -1);
    g_autofree char *part = g_strjoinv("%2F", parts);

    return g_strconcat("/amq/queue/", part, NULL);
}

static const char *entrance_of(const char *address)
{
    return strcmp(address, AMQP_RESULTS) == 0 ? AMQP_RESULTS_ENTRANCE : strcmp(address, DEADLETTER) == 0 ? DEADLETTER_IN : address;
}

static void rabbit_source(void *self, int32_t mode, const char *address, const char *subject, AttachSource *ret)
{
    Rabbit *r = self;
    const char *entrance = mode == MEND_GATE ? AMQP_CONTROL_ENTRANCE : entrance_of(address);
    g_autofree char *name = mode == MEND_GATE ? g_strdup("mend.gate") : mode == MEND_TAP ? attach_tap_name(address, subject) : g_strdup(address);
    RabbitQueue queue = { .name = name, .quorum = true, .single = true, .max_messages = mode == MEND_GATE ? GATE_MESSAGES : TAP_MESSAGES };

    ret->literal = true;
    ret->address = rabbit_queue(name);
    if (mode != MEND_GATE && mode != MEND_TAP)
        return;
    if (mode == MEND_TAP) {
        queue.ring = true;
        queue.max_bytes = TAP_BYTES;
        queue.expires_ms = TAP_EXPIRES_MS;
    }
    rabbit_admin_queue(r->admin, &queue);
    rabbit_admin_bind(r->admin, name, entrance, mode == MEND_GATE || subject[0] == '\0' ? "#" : subject);
}

const AttachDialect attach_rabbitmq = {
    .name = "rabbitmq", .caps = MEND_CAP_PEERS | MEND_CAP_DECLARE, .lacks = lacks, .open = rabbit_open, .close = rabbit_close,
    .connected = rabbit_connected, .declare = rabbit_declare, .undeclare = rabbit_undeclare, .subscriber = rabbit_subscriber, .results = rabbit_results,
    .source = rabbit_source, .when_made = rabbit_when_made, .queue = rabbit_queue,
};
