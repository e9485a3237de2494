/* An agent receives on qmf.default.direct by its name, so a binding there ties a name to a queue, and the queue's subscriber is the agent's
 * connection. Seen of 1.40:
 *
 *   AMQP 0-10   `bind` tells rhost, exName and key at once.
 *   AMQP 1.0    no `bind`, and `subscribe` has no rhost; `queueDeclare` has one. The rest is in qpidd's objects, which come by themselves every
 *               10 s only, so they are asked for: binding (exchangeRef, queueRef, bindingKey), outgoing (its queue is named by containerid
 *               and name; sessionRef), session (connectionRef), connection (address, authIdentity).
 *   both        subscription (queueRef, sessionRef) is what outgoing is for 0-10. So one look knows all who were here before us, too.
 *
 * A look costs five questions and grows with the site; a storm of agents that come is looked at LOOK_AFTER_US after its first, and again
 * not before LOOK_EVERY_US. Rejected: one question for each new queue, by object name, because a binding's name has its key in it. */
#include "broker-plugin/hosts/attach/qpidd_names.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define PACKAGE       "org.apache.qpid.broker"
#define DIRECT        "qmf.default.direct"
#define LOOK_AFTER_US (200 * US_PER_MS)
#define LOOK_EVERY_US (3 * US_PER_S)
#define ASK_US        (10 * US_PER_S)
#define ENDED_MAX     100000

enum { BINDINGS, OUTGOING, SUBSCRIPTIONS, SESSIONS, CONNECTIONS, CLASSES };

static const char *const classes[CLASSES] = { "binding", "outgoing", "subscription", "session", "connection" };

struct QpiddNames {
    AttachWay way;
    QmfConsole *console;
    Value *answers[CLASSES];
    GHashTable *ended; /* keys of connections that ended while a look is under way */
    GSource *timer;
    int64_t looked_us;
    unsigned open;     /* questions without an answer */
    bool again, closing;
};

typedef struct Question { QpiddNames *names; unsigned class; } Question;

/* ---- what the objects say ---------------------------------------------------------------------------------------------------- */

static const Value *values_of(const Value *object) { return value_get(object, "_values"); }

/* The name behind a reference ("org.apache.qpid.broker:queue:NAME"), or an object's own; NULL: it is none of that class. */
static const char *name_in(const Value *reference, const char *class)
{
    const char *name = value_get_string(reference, "_object_name");
    g_autofree char *prefix = g_strconcat(PACKAGE ":", class, ":", NULL);

    return name != NULL && g_str_has_prefix(name, prefix) ? name + strlen(prefix) : NULL;
}

static void take(GHashTable *map, char *key, const char *value)
{
    if (key != NULL && value != NULL)
        g_hash_table_replace(map, key, g_strdup(value));
    else
        g_free(key);
}

/* Session -> key of its connection. */
static GHashTable *read_sessions(const Value *sessions)
{
    GHashTable *map = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (size_t i = 0; i < value_size(sessions); i++) {
        const Value *object = value_at(sessions, i);

        take(map, g_strdup(name_in(value_get(object, "_object_id"), "session")),
             name_in(value_get(values_of(object), "connectionRef"), "connection"));
    }
    return map;
}

/* Queue -> session that receives from it. */
static GHashTable *read_queues(const QpiddObjects *o)
{
    GHashTable *map = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (size_t i = 0; i < value_size(o->subscriptions); i++) {
        const Value *values = values_of(value_at(o->subscriptions, i));

        take(map, g_strdup(name_in(value_get(values, "queueRef"), "queue")), name_in(value_get(values, "sessionRef"), "session"));
    }
    for (size_t i = 0; i < value_size(o->outgoing); i++) {
        const Value *values = values_of(value_at(o->outgoing, i));
        const char *container = value_get_string(values, "containerid"), *link = value_get_string(values, "name");

        take(map, container != NULL && link != NULL ? g_strconcat(container, "_", link, NULL) : NULL,
             name_in(value_get(values, "sessionRef"), "session"));
    }
    return map;
}

static char *plain_user(const char *name) { return name != NULL ? g_strndup(name, strcspn(name, "@")) : g_strdup(""); }

static void read_connections(const AttachWay *way, const Value *connections, GHashTable *ended)
{
    for (size_t i = 0; i < value_size(connections); i++) {
        const Value *values = values_of(value_at(connections, i));
        const char *key = value_get_string(values, "address");
        g_autofree char *user = plain_user(value_get_string(values, "authIdentity"));

        if (key != NULL && !g_hash_table_contains(ended, key))
            way->peer_opened(key, user, key, way->host);
    }
}

void qpidd_names_read(const AttachWay *way, const QpiddObjects *o, GHashTable *ended)
{
    g_autoptr(GHashTable) sessions = read_sessions(o->sessions), queues = read_queues(o);

    read_connections(way, o->connections, ended);
    for (size_t i = 0; i < value_size(o->bindings); i++) {
        const Value *values = values_of(value_at(o->bindings, i));
        const char *exchange = name_in(value_get(values, "exchangeRef"), "exchange"), *agent = value_get_string(values, "bindingKey");
        const char *queue = name_in(value_get(values, "queueRef"), "queue");
        const char *session = queue != NULL ? g_hash_table_lookup(queues, queue) : NULL;
        const char *key = session != NULL ? g_hash_table_lookup(sessions, session) : NULL;

        if (key != NULL && agent != NULL && g_strcmp0(exchange, DIRECT) == 0 && !g_hash_table_contains(ended, key))
            way->peer_named(key, agent, way->host);
    }
}

/* ---- asking ------------------------------------------------------------------------------------------------------------------ */

static void look_over(QpiddNames *n)
{
    const QpiddObjects objects = { n->answers[BINDINGS], n->answers[OUTGOING], n->answers[SUBSCRIPTIONS], n->answers[SESSIONS], n->answers[CONNECTIONS] };

    qpidd_names_read(&n->way, &objects, n->ended);
    for (unsigned i = 0; i < CLASSES; i++) {
        value_unref(n->answers[i]);
        n->answers[i] = NULL;
    }
    g_hash_table_remove_all(n->ended);
    if (n->again)
        qpidd_names_look(n);
}

static void on_answer(const Value *answer, const GError *error, void *user)
{
    g_autofree Question *q = user;
    QpiddNames *n = q->names;

    if (answer != NULL)
        n->answers[q->class] = value_ref((Value *) answer);
    else if (!n->closing)
        log_info("attach: qpidd did not tell its objects of class %s: %s", classes[q->class], error->message);
    if (--n->open == 0 && !n->closing)
        look_over(n);
}

static gboolean look(gpointer user)
{
    QpiddNames *n = user;

    g_clear_pointer(&n->timer, g_source_unref);
    n->again = false;
    n->looked_us = clock_now_us();
    n->open = CLASSES;
    for (unsigned i = 0; i < CLASSES; i++) {
        Question *q = g_new(Question, 1);

        *q = (Question) { n, i };
        qmf_console_query_objects(n->console, "broker", PACKAGE, classes[i], NULL, ASK_US, on_answer, q);
    }
    return G_SOURCE_REMOVE;
}

void qpidd_names_look(QpiddNames *n)
{
    int64_t wait_us = n->looked_us != 0 ? MAX(n->looked_us + LOOK_EVERY_US - clock_now_us(), LOOK_AFTER_US) : LOOK_AFTER_US;

    n->again = n->open > 0;
    if (n->again || n->timer != NULL || n->closing)
        return;
    n->timer = g_timeout_source_new((guint) (wait_us / US_PER_MS));
    g_source_set_callback(n->timer, look, n, NULL);
    g_source_attach(n->timer, g_main_context_get_thread_default());
}

void qpidd_names_event(QpiddNames *n, const char *class, const Value *values)
{
    const char *rhost = value_get_string(values, "rhost"), *agent = value_get_string(values, "key");
    g_autofree char *user = plain_user(value_get_string(values, "user"));
    bool exclusive;

    if (rhost == NULL || rhost[0] == '\0')
        return;
    if (strcmp(class, "clientConnect") == 0) {
        n->way.peer_opened(rhost, user, rhost, n->way.host);
    } else if (strcmp(class, "clientDisconnect") == 0) {
        if (n->open > 0 && g_hash_table_size(n->ended) < ENDED_MAX)
            g_hash_table_add(n->ended, g_strdup(rhost));
        n->way.peer_closed(rhost, n->way.host);
    } else if (strcmp(class, "bind") == 0 && agent != NULL && g_strcmp0(value_get_string(values, "exName"), DIRECT) == 0) {
        n->way.peer_named(rhost, agent, n->way.host);
    } else if (strcmp(class, "queueDeclare") == 0 && value_as_bool(value_get(values, "excl"), &exclusive) && exclusive) {
        qpidd_names_look(n); /* AMQP 1.0 tells no more than that */
    }
}

QpiddNames *qpidd_names_new(const AttachWay *way, QmfConsole *console)
{
    QpiddNames *n = g_new0(QpiddNames, 1);

    n->way = *way;
    n->console = console;
    n->ended = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return n;
}

void qpidd_names_close(QpiddNames *n)
{
    n->closing = true;
    if (n->timer != NULL)
        g_source_destroy(n->timer);
    g_clear_pointer(&n->timer, g_source_unref);
}

void qpidd_names_free(QpiddNames *n)
{
    if (n == NULL)
        return;
    for (unsigned i = 0; i < CLASSES; i++)
        value_unref(n->answers[i]);
    g_hash_table_unref(n->ended);
    g_free(n);
}
