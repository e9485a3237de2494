/* Where the roles, which know no transport, meet a client, which knows no QMF.
 *
 * Sending. Each node has its own sender, made when the first message goes there and kept. Nodes are named by peers (a reply-to), so
 * there is a limit, and the one used longest ago makes room; one that the peer refuses to attach is dropped. (An answer lost that way
 * is lost to whoever named too many nodes; a command whose answer is lost comes again.) Messages that only mean
 * something for a while carry a deadline, so an agent that was cut off for an hour comes back with one heartbeat, not with a thousand.
 *
 * Commands. A request from a queue is answered some time later by whoever handles it, through the agent, through the bus, and comes by
 * here on its way out: an answer is tied to its request by correlation id and reply-to. The request is accepted only when its answer was
 * accepted, so neither can be lost by a crash in between; the price is that a request can come twice, which is why commands have ids.
 *
 * Presence. A receiver that is attached again means the connection was lost: the agent announces itself anew. */
#include "lib/qmf/session.h"

#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <string.h>

#define SENDERS_MAX   64
#define QUEUE_CREDIT  32
#define TICK_MS       500
#define TICK_SLACK_US (50 * US_PER_MS) /* a tick that comes a hair early must not cost a whole one */
#define REPLY_DEADLINE_US (30 * US_PER_S)

typedef struct Link {
    QmfSession *session;
    char *what;              /* for problems */
    AmqpReceiver *receiver;
    bool attached;           /* ever */
    bool of_console, announces, is_queue;
} Link;

typedef struct Outlet {
    QmfSession *session;
    char *node;
    AmqpSender *sender;
    uint64_t used;
} Outlet;

typedef struct Waiter {
    void (*ready)(void *user);
    void *user;
} Waiter;

/* A request from a queue that is not settled yet. */
typedef struct Command {
    QmfSession *session;     /* NULL: the session is gone */
    char *key;
    AmqpDelivery *delivery;
} Command;

struct QmfSession {
    AmqpClient *client;
    QmfBus bus;
    GSource *timer;
    GSource *ready_soon;
    QmfAgent *agent;
    QmfConsole *console;
    int64_t heartbeat_us, next_heartbeat_us; /* interval; monotonic, 0: not started */
    void (*prepare)(QmfAgent *agent, void *user);
    void *prepare_user;
    void (*problem)(const char *what, const GError *error, void *user);
    void *problem_user;
    GPtrArray *links;        /* Link */
    GHashTable *outlets;     /* node -> Outlet */
    GHashTable *commands;    /* key -> Command, unanswered */
    GHashTable *answering;   /* set of Command whose answer is on its way */
    GQueue waiters;          /* Waiter */
    uint64_t uses;
};

static void report(QmfSession *session, const char *what, const GError *error)
{
    if (session->problem != NULL)
        session->problem(what, error, session->problem_user);
}

/* --- out --- */

static void outlet_free(Outlet *outlet)
{
    amqp_sender_free(outlet->sender);
    g_free(outlet->node);
    g_free(outlet);
}

static bool is_exchange(const char *node)
{
    return strcmp(node, QMF_TOPIC) == 0 || strcmp(node, QMF_DIRECT) == 0;
}

static void on_sender_error(AmqpSender *sender, const GError *error, void *user)
{
    Outlet *outlet = user;
    QmfSession *session = outlet->session;
    g_autofree char *what = g_strconcat("sender ", outlet->node, NULL);

    if (!is_exchange(outlet->node)) /* a reply address that is no more */
        g_hash_table_remove(session->outlets, outlet->node);
    report(session, what, error);
}

/* The one used longest ago goes; one with nothing left to send before all others. The exchanges stay. */
static void make_room(QmfSession *session)
{
    const char *victim = NULL;
    bool victim_idle = false;
    uint64_t used = 0;
    GHashTableIter iter;
    void *value;

    if (g_hash_table_size(session->outlets) < SENDERS_MAX)
        return;
    g_hash_table_iter_init(&iter, session->outlets);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Outlet *outlet = value;
        bool idle = amqp_sender_pending(outlet->sender) == 0;

        if (is_exchange(outlet->node) || (victim != NULL && (idle == victim_idle ? outlet->used > used : victim_idle)))
            continue;
        victim = outlet->node;
        victim_idle = idle;
        used = outlet->used;
    }
    g_hash_table_remove(session->outlets, victim);
}

static AmqpSender *sender_for(QmfSession *session, const char *node)
{
    Outlet *outlet = g_hash_table_lookup(session->outlets, node);

    if (outlet == NULL) {
        AmqpSenderOptions options = { .address = node, .topic = is_exchange(node), .on_error = on_sender_error };

        make_room(session);
        outlet = g_new0(Outlet, 1);
        outlet->session = session;
        outlet->node = g_strdup(node);
        options.user = outlet;
        outlet->sender = amqp_sender_new(session->client, &options);
        g_hash_table_insert(session->outlets, outlet->node, outlet);
    }
    outlet->used = ++session->uses;
    return outlet->sender;
}

static void command_free(Command *command)
{
    g_free(command->key);
    g_free(command);
}

static char *command_key(const char *node, const char *subject, const char *correlation_id)
{
    return g_strconcat(node, "/", subject == NULL ? "" : subject, "\n", correlation_id, NULL);
}

static void on_answer_settled(const GError *error, void *user)
{
    Command *command = user;

    if (command->session != NULL) { /* a freed receiver took its deliveries along */
        if (error == NULL)
            amqp_delivery_accept(command->delivery);
        else
            amqp_delivery_modify(command->delivery, true, false);
        g_hash_table_remove(command->session->answering, command);
    }
    command_free(command);
}

/* The command this message answers, no longer among the unanswered; NULL: none. */
static Command *command_take(QmfSession *session, const char *node, const QmfMessage *message)
{
    Command *command = NULL;

    if (message->correlation_id == NULL || (message->opcode != QMF_METHOD_RESPONSE && message->opcode != QMF_EXCEPTION))
        return NULL;
    g_autofree char *key = command_key(node, message->subject, message->correlation_id);
    g_hash_table_steal_extended(session->commands, key, NULL, (void **) &command);
    return command;
}

static int64_t deadline_us(const QmfSession *session, QmfOpcode opcode)
{
    switch (opcode) {
    case QMF_DATA_INDICATION:            return 0;
    case QMF_AGENT_HEARTBEAT_INDICATION: return clock_now_us() + MAX(session->heartbeat_us, US_PER_S);
    default:                             return clock_now_us() + REPLY_DEADLINE_US;
    }
}

static void session_send(void *user, const char *node, const QmfMessage *message)
{
    QmfSession *session = user;
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    Command *command = command_take(session, node, message);
    AmqpSender *sender = sender_for(session, node);
    g_autoptr(GError) error = NULL;
    int64_t deadline = command == NULL ? deadline_us(session, message->opcode) : 0;
    const AmqpDialect *dialect = amqp_client_dialect(session->client);

    if (dialect != NULL && dialect->breaks_on_values)
        qmf_amqp_as_data(amqp);
    if (message->opcode == QMF_AGENT_HEARTBEAT_INDICATION)
        amqp->ttl_ms = (uint32_t) MIN(2 * session->heartbeat_us / US_PER_MS, UINT32_MAX);
    if (command != NULL)
        g_hash_table_add(session->answering, command);
    if (!amqp_sender_send(sender, amqp, deadline, command == NULL ? NULL : on_answer_settled, command, &error)) {
        report(session, node, error);
        if (command != NULL)
            on_answer_settled(error, command);
    }
}

static int64_t session_wall_us(void *user)
{
    return clock_wall_us();
}

/* --- in --- */

static void run_ready(QmfSession *session)
{
    for (guint i = 0; i < session->links->len; i++)
        if (!((const Link *) session->links->pdata[i])->attached)
            return;
    while (!g_queue_is_empty(&session->waiters)) {
        g_autofree Waiter *waiter = g_queue_pop_head(&session->waiters);

        waiter->ready(waiter->user);
    }
}

void qmf_session_heartbeat(QmfSession *session)
{
    if (session->agent == NULL)
        return;
    if (session->prepare != NULL)
        session->prepare(session->agent, session->prepare_user);
    qmf_agent_heartbeat(session->agent);
    session->next_heartbeat_us = clock_now_us() + session->heartbeat_us;
}

static void on_attached(AmqpReceiver *receiver, void *user)
{
    Link *link = user;
    QmfSession *session = link->session;

    link->attached = true;
    if (link->announces)
        qmf_session_heartbeat(session);
    run_ready(session);
}

static void on_receiver_error(AmqpReceiver *receiver, const GError *error, void *user)
{
    const Link *link = user;

    report(link->session, link->what, error);
}

/* The command is remembered before the agent sees it: the answer may come at once. */
static void receive_command(QmfSession *session, AmqpDelivery *delivery, const QmfMessage *message)
{
    const char *to = message->reply_to, *slash = to == NULL ? NULL : strchr(to, '/');
    Command *command;

    if (to == NULL || message->correlation_id == NULL) {
        amqp_delivery_accept(delivery); /* nobody waits for an answer, so it cannot be repeated either */
        qmf_agent_receive(session->agent, message);
        return;
    }
    g_autofree char *node = slash == NULL ? g_strdup(to) : g_strndup(to, (gsize) (slash - to));
    command = g_new0(Command, 1);
    command->session = session;
    command->key = command_key(node, slash == NULL ? NULL : slash + 1, message->correlation_id);
    command->delivery = delivery;
    g_hash_table_replace(session->commands, command->key, command); /* one that came again: the older delivery is void */
    qmf_agent_receive(session->agent, message);
}

static void on_message(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *amqp, void *user)
{
    const Link *link = user;
    QmfSession *session = link->session;
    g_autoptr(GError) error = NULL;
    g_autoptr(QmfMessage) message = qmf_message_from_amqp(amqp, &error);

    if (link->is_queue) {
        if (message == NULL || message->opcode != QMF_METHOD_REQUEST)
            amqp_delivery_reject(delivery, "amqp:decode-error", message == NULL ? error->message : "not a method request");
        else
            receive_command(session, delivery, message);
        return;
    }
    amqp_delivery_accept(delivery);
    if (message == NULL)
        return; /* the exchanges carry what anybody sends; what is not for us is not our problem */
    if (link->of_console)
        qmf_console_receive(session->console, message);
    else
        qmf_agent_receive(session->agent, message);
}

static void link_free(Link *link)
{
    amqp_receiver_free(link->receiver);
    g_free(link->what);
    g_free(link);
}

static Link *link_open(QmfSession *session, const char *address, const char *key, bool of_console)
{
    Link *link = g_new0(Link, 1);
    AmqpReceiverOptions options = { .address = address, .subject_filter = key, .topic = key != NULL,
                                    .credit = key == NULL ? QUEUE_CREDIT : 0, .on_message = on_message, .on_attached = on_attached,
                                    .on_error = on_receiver_error, .user = link };

    link->session = session;
    link->what = g_strconcat("receiver ", address, key == NULL ? NULL : " ", key, NULL);
    link->of_console = of_console;
    link->is_queue = key == NULL;
    link->receiver = amqp_receiver_new(session->client, &options);
    g_ptr_array_add(session->links, link);
    return link;
}

/* --- the session --- */

static gboolean on_tick(void *user)
{
    QmfSession *session = user;
    int64_t now_us = clock_now_us();

    if (session->agent != NULL) {
        qmf_agent_tick(session->agent, now_us);
        if (session->next_heartbeat_us != 0 && now_us + TICK_SLACK_US >= session->next_heartbeat_us)
            qmf_session_heartbeat(session);
    }
    if (session->console != NULL)
        qmf_console_tick(session->console, now_us);
    return G_SOURCE_CONTINUE;
}

QmfSession *qmf_session_new(AmqpClient *client)
{
    QmfSession *session = g_new0(QmfSession, 1);

    session->client = client;
    session->bus = (QmfBus) { session_send, session_wall_us, session };
    session->links = g_ptr_array_new_with_free_func((GDestroyNotify) link_free);
    session->outlets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) outlet_free);
    session->commands = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify) command_free);
    session->answering = g_hash_table_new(NULL, NULL);
    session->timer = g_timeout_source_new(TICK_MS);
    g_source_set_callback(session->timer, on_tick, session, NULL);
    g_source_attach(session->timer, g_main_context_get_thread_default());
    return session;
}

static void source_end(GSource **source)
{
    if (*source == NULL)
        return;
    g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

void qmf_session_free(QmfSession *session)
{
    GHashTableIter iter;
    void *command;

    if (session == NULL)
        return;
    source_end(&session->timer);
    source_end(&session->ready_soon);
    g_clear_pointer(&session->console, qmf_console_free);
    g_clear_pointer(&session->agent, qmf_agent_free); /* answers what is open, as far as it gets */
    g_hash_table_iter_init(&iter, session->answering);
    while (g_hash_table_iter_next(&iter, &command, NULL))
        ((Command *) command)->session = NULL;
    g_clear_pointer(&session->links, g_ptr_array_unref);
    g_clear_pointer(&session->outlets, g_hash_table_unref);
    g_hash_table_unref(session->commands);
    g_hash_table_unref(session->answering);
    g_queue_clear_full(&session->waiters, g_free);
    g_free(session);
}

void qmf_session_on_problem(QmfSession *session, void (*problem)(const char *what, const GError *error, void *user), void *user)
{
    session->problem = problem;
    session->problem_user = user;
}

QmfAgent *qmf_session_agent(QmfSession *session, const QmfAgentOptions *options)
{
    g_assert(session->agent == NULL);
    session->agent = qmf_agent_new(&session->bus, options);
    session->heartbeat_us = (int64_t) MAX(options->heartbeat_interval_s, 1) * US_PER_S;
    return session->agent;
}

void qmf_session_agent_start(QmfSession *session)
{
    Link *link = NULL;

    for (const QmfBinding *b = qmf_agent_bindings(session->agent); b->node != NULL; b++)
        link = link_open(session, b->node, b->key, false);
    link->announces = true; /* the last: all others were asked for before it */
    session->next_heartbeat_us = clock_now_us() + session->heartbeat_us;
}

void qmf_session_on_heartbeat(QmfSession *session, void (*prepare)(QmfAgent *agent, void *user), void *user)
{
    session->prepare = prepare;
    session->prepare_user = user;
}

QmfConsole *qmf_session_console(QmfSession *session, const QmfConsoleEvents *events)
{
    g_autofree char *uuid = uuid_new(), *reply_to = g_strconcat(QMF_TOPIC "/direct-console.", uuid, NULL);

    g_assert(session->console == NULL);
    session->console = qmf_console_new(&session->bus, reply_to, events);
    for (const QmfBinding *b = qmf_console_bindings(session->console); b->node != NULL; b++)
        link_open(session, b->node, b->key, true);
    return session->console;
}

static gboolean on_ready_soon(void *user)
{
    QmfSession *session = user;

    source_end(&session->ready_soon);
    run_ready(session);
    return G_SOURCE_REMOVE;
}

void qmf_session_when_ready(QmfSession *session, void (*ready)(void *user), void *user)
{
    Waiter *waiter = g_new0(Waiter, 1);

    waiter->ready = ready;
    waiter->user = user;
    g_queue_push_tail(&session->waiters, waiter);
    if (session->ready_soon != NULL)
        return;
    session->ready_soon = g_idle_source_new();
    g_source_set_callback(session->ready_soon, on_ready_soon, session, NULL);
    g_source_attach(session->ready_soon, g_main_context_get_thread_default());
}

void qmf_session_agent_add_queue(QmfSession *session, const char *address)
{
    link_open(session, address, NULL, false);
}
