/* qpidd (qpid-cpp), asked by QMFv2 at its own agent `broker`.
 *
 *   qmf.default.topic, qmf.default.direct   qpidd has them
 *   mend.events         topic
 *   mend.control        topic  ─▶ mend.gate ─▶ us ─▶ mend.control.AGENT
 *   mend.results.in     fanout ─▶ mend.results, mend.tap.…
 *   mend.deadletter.in  fanout ─▶ mend.deadletter, mend.tap.…   (alternate exchange of control queues)
 *
 * Taps are ring queues of our own: what a plain subscription cannot take is refused to the agents, and old ones die of that. qpidd takes
 * no message whose user-id is not the sender's own, so a user-id is its word. clientConnect and clientDisconnect tell who comes and goes; which agent that is, qpidd_names.c finds out. */
#include "broker-plugin/hosts/attach/dialect.h"
#include "broker-plugin/hosts/attach/qpidd_names.h"

#include "lib/base/log.h"
#include "lib/qmf/session.h"

#include <string.h>

#define BROKER        "broker" /* the alias of its agent on qmf.default.direct */
#define BROKER_OBJECT "org.apache.qpid.broker:broker:amqp-broker"
#define PACKAGE       "org.apache.qpid.broker"
#define DEADLETTER    "mend.deadletter"
#define DEADLETTER_IN "mend.deadletter.in"
#define TAP_MESSAGES  200000
#define TAP_BYTES     (64 * 1024 * 1024)
#define GATE_MESSAGES 100000
#define ASK_US        (10 * US_PER_S)

typedef struct Wish { char *type, *name; Value *properties; } Wish;

typedef struct Qpidd {
    AttachWay way;
    QmfSession *session;
    QmfConsole *console;
    QpiddNames *names;
    GPtrArray *wishes; /* Wish, in order */
    GQueue waiting;    /* of Waiter: to be told when all was made */
    GSource *telling;
    unsigned open;     /* questions without an answer */
    bool ready, closing;
} Qpidd;

typedef struct Asked { Qpidd *qpidd; char *what; bool creates; } Asked;
typedef struct Waiter { void (*done)(uint64_t number, void *user); uint64_t number; void *user; } Waiter;

static const AttachLack lacks[] = {
    { "no gate at the entrance of control queues", "commands go through the queue mend.gate; who sent a refused one hears so at its reply-to" },
    { "no time to live of a queue's messages", "each command has its own" },
    { "no owner of a control queue", "the ACL file says who may receive (docs/attach.md)" },
    { "no connection known with a message", "a peer is a user, which qpidd vouches for, and an agent where users are shared: by the name its connection receives under" },
    { "no goodbye told from a loss", "a connection that ends counts as lost" },
    { NULL, NULL },
};

static void wish_free(gpointer data)
{
    Wish *w = data;

    g_free(w->type);
    g_free(w->name);
    value_unref(w->properties);
    g_free(w);
}

static gboolean tell_made(gpointer user)
{
    Qpidd *q = user;

    g_clear_pointer(&q->telling, g_source_unref);
    while (q->ready && q->open == 0 && q->waiting.length > 0) {
        g_autofree Waiter *waiter = g_queue_pop_head(&q->waiting);

        waiter->done(waiter->number, waiter->user);
    }
    return G_SOURCE_REMOVE;
}

static void tell_made_soon(Qpidd *q)
{
    if (q->telling != NULL || q->closing || !q->ready || q->open > 0 || q->waiting.length == 0)
        return;
    q->telling = g_idle_source_new();
    g_source_set_callback(q->telling, tell_made, q, NULL);
    g_source_attach(q->telling, g_main_context_get_thread_default());
}

static void on_asked(const Value *answer, const GError *error, void *user)
{
    Asked *asked = user;

    asked->qpidd->open--;
    tell_made_soon(asked->qpidd);

    if (error != NULL && strstr(error->message, "already exists") == NULL && asked->creates)
        log_warning("attach: qpidd, %s: %s", asked->what, error->message);
    g_free(asked->what);
    g_free(asked);
}

static void ask(Qpidd *q, const char *method, const char *type, const char *name, Value *properties)
{
    g_autoptr(Value) object = value_map(), arguments = value_map();
    Asked *asked = g_new(Asked, 1);

    *asked = (Asked) { q, g_strdup_printf("%s %s %s", method, type, name), strcmp(method, "create") == 0 };
    q->open++;
    value_set(object, "_object_name", value_string(BROKER_OBJECT));
    value_set(arguments, "type", value_string(type));
    value_set(arguments, "name", value_string(name));
    if (properties != NULL)
        value_set(arguments, "properties", value_ref(properties));
    qmf_console_call(q->console, BROKER, object, method, arguments, ASK_US, on_asked, asked);
}

static void wish(Qpidd *q, const char *type, const char *name, Value *properties)
{
    Wish *w = NULL;

    for (guint i = 0; i < q->wishes->len && w == NULL; i++)
        if (strcmp(((Wish *) q->wishes->pdata[i])->name, name) == 0 && strcmp(((Wish *) q->wishes->pdata[i])->type, type) == 0)
            w = q->wishes->pdata[i];
    if (w == NULL) {
        w = g_new0(Wish, 1);
        w->type = g_strdup(type);
        w->name = g_strdup(name);
        g_ptr_array_add(q->wishes, w);
    }
    value_unref(w->properties);
    w->properties = properties;
    if (q->ready)
        ask(q, "create", w->type, w->name, w->properties);
}

static void wish_exchange(Qpidd *q, const char *name, const char *type)
{
    Value *properties = value_map();

    value_set(properties, "exchange-type", value_string(type));
    value_set(properties, "durable", value_bool(true));
    wish(q, "exchange", name, properties);
}

static void wish_binding(Qpidd *q, const char *exchange, const char *queue, const char *key)
{
    g_autofree char *name = g_strdup_printf("%s/%s/%s", exchange, queue, key);

    wish(q, "binding", name, value_map());
}

static void wish_queue(Qpidd *q, const AttachNode *node)
{
    Value *properties = value_map();

    value_set(properties, "durable", value_bool(node->durable));
    value_set(properties, "qpid.policy_type", value_string(node->ring ? "ring" : "reject"));
    if (node->max_messages > 0)
        value_set(properties, "qpid.max_count", value_int(VALUE_INT64, node->max_messages));
    if (node->max_bytes > 0)
        value_set(properties, "qpid.max_size", value_int(VALUE_INT64, node->max_bytes));
    if (node->last_value_key != NULL)
        value_set(properties, "qpid.last_value_queue_key", value_string(node->last_value_key));
    if (node->dead_letter != NULL)
        value_set(properties, "alternate-exchange", value_string(strcmp(node->dead_letter, DEADLETTER) == 0 ? DEADLETTER_IN : node->dead_letter));
    wish(q, "queue", node->address, properties);
}

/* ---- who comes and goes ------------------------------------------------------------------------------------------------------ */

static void on_qpidd_event(const char *agent, const Value *event, void *user)
{
    Qpidd *q = user;
    const Value *id = value_get(event, "_schema_id"), *values = value_get(event, "_values");
    const char *class = value_get_string(id, "_class_name");

    if (class != NULL && values != NULL && g_strcmp0(value_get_string(id, "_package_name"), PACKAGE) == 0)
        qpidd_names_event(q->names, class, values);
}

static void on_ready(void *user)
{
    Qpidd *q = user;

    q->ready = true;
    for (guint i = 0; i < q->wishes->len; i++) {
        const Wish *w = q->wishes->pdata[i];

        ask(q, "create", w->type, w->name, w->properties);
    }
    tell_made_soon(q);
    qpidd_names_look(q->names); /* who was here before us */
}

static void *qpidd_open(const AttachWay *way, GError **error)
{
    static const struct { const char *name, *type; } exchanges[] = {
        { "qmf.default.topic", "topic" }, { "qmf.default.direct", "direct" }, { AMQP_EVENTS, "topic" },
        { AMQP_CONTROL_ENTRANCE, "topic" }, { AMQP_RESULTS_ENTRANCE, "fanout" }, { DEADLETTER_IN, "fanout" },
    };
    Qpidd *q = g_new0(Qpidd, 1);

    q->way = *way;
    q->wishes = g_ptr_array_new_with_free_func(wish_free);
    g_queue_init(&q->waiting);
    for (size_t i = 0; i < G_N_ELEMENTS(exchanges); i++)
        wish_exchange(q, exchanges[i].name, exchanges[i].type);
    q->session = qmf_session_new(way->client);
    q->console = qmf_session_console(q->session, &(QmfConsoleEvents) { .event = on_qpidd_event, .user = q });
    q->names = qpidd_names_new(way, q->console);
    qmf_session_when_ready(q->session, on_ready, q);
    return q;
}

static void qpidd_close(void *self)
{
    Qpidd *q = self;

    q->closing = true;
    qpidd_names_close(q->names);
    qmf_session_free(q->session);
    qpidd_names_free(q->names);
    if (q->telling != NULL)
        g_source_destroy(q->telling);
    g_clear_pointer(&q->telling, g_source_unref);
    g_queue_clear_full(&q->waiting, g_free);
    g_ptr_array_unref(q->wishes);
    g_free(q);
}

static void qpidd_connected(void *self, bool first)
{
    Qpidd *q = self;

    if (first)
        return;
    q->way.peers_unknown(q->way.host);
    q->ready = false;
    qmf_session_when_ready(q->session, on_ready, q);
}

static void qpidd_declare(void *self, const AttachNode *node)
{
    Qpidd *q = self;

    if (node->topic) {
        wish_exchange(q, node->address, "topic");
        return;
    }
    wish_queue(q, node);
    if (strcmp(node->address, AMQP_RESULTS) == 0)
        wish_binding(q, AMQP_RESULTS_ENTRANCE, node->address, "#");
    else if (strcmp(node->address, DEADLETTER) == 0)
        wish_binding(q, DEADLETTER_IN, node->address, "#");
}

static void qpidd_undeclare(void *self, const char *address)
{
    Qpidd *q = self;

    for (guint i = q->wishes->len; i-- > 0;)
        if (strcmp(((Wish *) q->wishes->pdata[i])->name, address) == 0)
            g_ptr_array_remove_index(q->wishes, i);
    if (q->ready)
        ask(q, "delete", "queue", address, NULL);
}

static void qpidd_subscriber(void *self, const char *name)
{
    /* qpidd makes a durable subscription's queue by itself, when its receiver attaches */
}

static void qpidd_source(void *self, int32_t mode, const char *address, const char *subject, AttachSource *ret)
{
    Qpidd *q = self;
    g_autofree char *name = mode == MEND_GATE ? g_strdup("mend.gate") : mode == MEND_TAP ? attach_tap_name(address, subject) : g_strdup(address);
    const char *entrance = mode == MEND_GATE                        ? AMQP_CONTROL_ENTRANCE
                           : strcmp(address, AMQP_RESULTS) == 0 ? AMQP_RESULTS_ENTRANCE
                           : strcmp(address, DEADLETTER) == 0   ? DEADLETTER_IN
                                                                  : address;

    ret->literal = true;
    ret->address = g_strdup(name);
    if (mode == MEND_GATE)
        wish_queue(q, &(AttachNode) { .address = name, .durable = true, .max_messages = GATE_MESSAGES });
    else if (mode == MEND_TAP)
        wish_queue(q, &(AttachNode) { .address = name, .ring = true, .max_messages = TAP_MESSAGES, .max_bytes = TAP_BYTES });
    else
        return;
    wish_binding(q, entrance, name, mode == MEND_GATE || subject[0] == '\0' ? "#" : subject);
}

static void qpidd_when_made(void *self, void (*done)(uint64_t number, void *user), uint64_t number, void *user)
{
    Qpidd *q = self;
    Waiter *waiter = g_new(Waiter, 1);

    *waiter = (Waiter) { done, number, user };
    g_queue_push_tail(&q->waiting, waiter);
    tell_made_soon(q);
}

const AttachDialect attach_qpidd = {
    .name = "qpidd", .caps = MEND_CAP_PEERS | MEND_CAP_DECLARE, .lacks = lacks, .open = qpidd_open, .close = qpidd_close,
    .connected = qpidd_connected, .declare = qpidd_declare, .undeclare = qpidd_undeclare, .subscriber = qpidd_subscriber,
    .source = qpidd_source, .when_made = qpidd_when_made, .queue = attach_plain_queue,
};
