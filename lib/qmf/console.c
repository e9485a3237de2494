/* A console keeps two things: the agents it has heard of and the requests it waits for. Both are bounded, both are cleaned by the tick,
 * and both count time in ticks: what arrived since the last one is as old as this one. So the role needs no clock.
 *
 * Agents are known by heartbeats and locate responses alike; nobody says goodbye, silence is the only end. A locate response of libqmf2
 * has no correlation id, so it is known by its opcode. Everything else is matched by correlation id, and by the name of the agent
 * that was asked: reply keys are seen by every agent that was ever called, so another one could answer in its place.
 *
 * A completion never runs inside the call that asked. On a bus that delivers at once (agent and console in one process) the answer can
 * come back before the call has returned; it then waits for the next message or tick. */
#include "lib/qmf/console.h"

#include <string.h>

#define AGENTS_MAX   100000
#define REQUESTS_MAX 100000
#define ITEMS_MAX    200000 /* of one answer, all parts */
#define SILENCE_DEFAULT_US (5 * US_PER_MINUTE)

typedef struct KnownAgent {
    Value *attributes;
    int64_t epoch, silence_us, heard_us;
    bool heard; /* since the last tick */
} KnownAgent;

typedef struct Request {
    char *id, *agent;
    int64_t timeout_us, deadline_us; /* 0: counts from the next tick */
    Value *items; /* of the parts so far */
    QmfAnswerFn done;
    void *user;
    Value *answer;  /* once finished */
    GError *error;
} Request;

struct QmfConsole {
    const QmfBus *bus;
    char *reply_to, *reply_node, *reply_key;
    QmfConsoleEvents events;
    bool follows_heartbeats;
    QmfBinding bindings[5];
    GHashTable *agents;   /* name -> KnownAgent */
    GHashTable *requests; /* id -> Request, owned */
    GQueue finished;      /* Request, owned: completions to run */
    unsigned sending;     /* calls into the bus on the stack */
    uint64_t next_id;
    bool closing;         /* a callback that asks again at every failure must not keep us */
};

static void known_free(KnownAgent *known)
{
    value_unref(known->attributes);
    g_free(known);
}

static void request_free(Request *request)
{
    g_free(request->id);
    g_free(request->agent);
    value_unref(request->items);
    value_unref(request->answer);
    g_clear_error(&request->error);
    g_free(request);
}

QmfConsole *qmf_console_new(const QmfBus *bus, const char *reply_to, const QmfConsoleEvents *events)
{
    QmfConsole *console = g_new0(QmfConsole, 1);
    const char *slash = strchr(reply_to, '/');
    size_t n = 0;

    console->bus = bus;
    console->reply_to = g_strdup(reply_to);
    if (events != NULL)
        console->events = *events;
    console->follows_heartbeats = console->events.agent_found != NULL || console->events.agent_gone != NULL ||
                                  console->events.agent_restarted != NULL || console->events.heartbeat != NULL;
    if (slash != NULL) {
        console->reply_node = g_strndup(reply_to, (gsize) (slash - reply_to));
        console->reply_key = g_strdup(slash + 1);
        console->bindings[n++] = (QmfBinding) { console->reply_node, console->reply_key };
    }
    if (console->follows_heartbeats)
        console->bindings[n++] = (QmfBinding) { QMF_TOPIC, "agent.ind.heartbeat.#" };
    if (console->events.event != NULL)
        console->bindings[n++] = (QmfBinding) { QMF_TOPIC, "agent.ind.event.#" };
    if (console->events.data != NULL)
        console->bindings[n++] = (QmfBinding) { QMF_TOPIC, "agent.ind.data.#" };
    console->agents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) known_free);
    console->requests = g_hash_table_new(g_str_hash, g_str_equal);
    return console;
}

const QmfBinding *qmf_console_bindings(const QmfConsole *console)
{
    return console->bindings;
}

/* --- requests --- */

static void run_finished(QmfConsole *console)
{
    Request *request;

    while (console->sending == 0 && (request = g_queue_pop_head(&console->finished)) != NULL) {
        if (request->done != NULL)
            request->done(request->answer, request->error, request->user);
        request_free(request);
    }
}

/* @answer, @error (transfer full): one of them. */
static void request_finish(QmfConsole *console, Request *request, Value *answer, GError *error)
{
    g_hash_table_remove(console->requests, request->id);
    request->answer = answer;
    request->error = error;
    g_queue_push_tail(&console->finished, request);
}

static void fail_all(QmfConsole *console, const char *why)
{
    g_autoptr(GList) requests = g_hash_table_get_values(console->requests);

    for (const GList *l = requests; l != NULL; l = l->next)
        request_finish(console, l->data, NULL, g_error_new_literal(QMF_ERROR, QMF_ERROR_BUS, why));
}

void qmf_console_free(QmfConsole *console)
{
    if (console == NULL)
        return;
    g_assert(console->sending == 0);
    console->closing = true;
    fail_all(console, "the console was closed");
    run_finished(console);
    g_hash_table_unref(console->requests);
    g_hash_table_unref(console->agents);
    g_free(console->reply_to);
    g_free(console->reply_node);
    g_free(console->reply_key);
    g_free(console);
}

static void console_send(QmfConsole *console, const char *node, const QmfMessage *message)
{
    console->sending++;
    console->bus->send(console->bus->user, node, message);
    console->sending--;
}

static void request_send(QmfConsole *console, QmfOpcode opcode, const char *agent, Value *body, int64_t timeout_us, QmfAnswerFn done,
                         void *user)
{
    g_autoptr(QmfMessage) message = qmf_message_new(opcode);
    Request *request;

    message->body = body;
    if (console->closing)
        return;
    request = g_new0(Request, 1);
    request->id = g_strdup_printf("%" G_GUINT64_FORMAT, ++console->next_id);
    request->agent = g_strdup(agent);
    request->timeout_us = timeout_us;
    request->items = value_list();
    request->done = done;
    request->user = user;
    message->subject = g_strdup(agent);
    message->reply_to = g_strdup(console->reply_to);
    message->correlation_id = g_strdup(request->id);
    g_hash_table_insert(console->requests, request->id, request);
    if (g_hash_table_size(console->requests) > REQUESTS_MAX)
        request_finish(console, request, NULL,
                       g_error_new(QMF_ERROR, QMF_ERROR_LIMIT, "more than %d requests without an answer", REQUESTS_MAX));
    else
        console_send(console, QMF_DIRECT, message);
}

void qmf_console_locate(QmfConsole *console, const Value *predicate)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_AGENT_LOCATE_REQUEST);

    message->subject = g_strdup("console.request.agent_locate");
    message->reply_to = g_strdup(console->reply_to);
    message->correlation_id = g_strdup("agent-locate");
    message->body = predicate == NULL ? NULL : value_ref((Value *) predicate);
    console_send(console, QMF_TOPIC, message);
}

void qmf_console_call(QmfConsole *console, const char *agent, const Value *object_id, const char *method, const Value *arguments,
                      int64_t timeout_us, QmfAnswerFn done, void *user)
{
    Value *body = value_map();

    value_set(body, "_method_name", value_string(method));
    value_set(body, "_object_id", object_id == NULL ? value_map() : value_ref((Value *) object_id));
    value_set(body, "_arguments", arguments == NULL ? value_map() : value_ref((Value *) arguments));
    request_send(console, QMF_METHOD_REQUEST, agent, body, timeout_us, done, user);
}

static Value *query_new(const char *what)
{
    Value *body = value_map();

    value_set(body, "_what", value_string(what));
    return body;
}

void qmf_console_query_objects(QmfConsole *console, const char *agent, const char *package, const char *class, const Value *where,
                               int64_t timeout_us, QmfAnswerFn done, void *user)
{
    Value *body = query_new("OBJECT"), *id = value_map();

    value_set(id, "_package_name", value_string(package));
    value_set(id, "_class_name", value_string(class));
    value_set(body, "_schema_id", id);
    if (where != NULL)
        value_set(body, "_where", value_ref((Value *) where));
    request_send(console, QMF_QUERY_REQUEST, agent, body, timeout_us, done, user);
}

void qmf_console_query_object(QmfConsole *console, const char *agent, const char *object_name, int64_t timeout_us, QmfAnswerFn done,
                              void *user)
{
    Value *body = query_new("OBJECT");

    value_set(body, "_object_id", qmf_object_id(agent, object_name, 0));
    request_send(console, QMF_QUERY_REQUEST, agent, body, timeout_us, done, user);
}

void qmf_console_query_schema_ids(QmfConsole *console, const char *agent, int64_t timeout_us, QmfAnswerFn done, void *user)
{
    request_send(console, QMF_QUERY_REQUEST, agent, query_new("SCHEMA_ID"), timeout_us, done, user);
}

void qmf_console_query_schema(QmfConsole *console, const char *agent, const Value *schema_id, int64_t timeout_us, QmfAnswerFn done,
                              void *user)
{
    Value *body = query_new("SCHEMA");

    value_set(body, "_schema_id", value_ref((Value *) schema_id));
    request_send(console, QMF_QUERY_REQUEST, agent, body, timeout_us, done, user);
}

/* --- answers --- */

static GError *exception_error(const Value *body)
{
    const Value *values = value_get(body, "_values");
    const char *text = value_get_string(values, "error_text");

    if (text != NULL)
        return g_error_new_literal(QMF_ERROR, QMF_ERROR_EXCEPTION, text);
    /* Raised with an object of the agent's own instead, for example type, value, traceback. */
    g_autoptr(json_t) json = value_to_json(values == NULL ? body : values);
    g_autofree char *dumped = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    return g_error_new_literal(QMF_ERROR, QMF_ERROR_EXCEPTION, dumped == NULL ? "no text" : dumped);
}

static Request *request_find(const QmfConsole *console, const QmfMessage *message)
{
    Request *request = message->correlation_id == NULL ? NULL : g_hash_table_lookup(console->requests, message->correlation_id);

    return request != NULL && (message->agent == NULL || strcmp(message->agent, request->agent) == 0) ? request : NULL;
}

static void receive_part(QmfConsole *console, Request *request, const QmfMessage *message)
{
    if (value_size(request->items) + value_size(message->body) > ITEMS_MAX) {
        request_finish(console, request, NULL,
                       g_error_new(QMF_ERROR, QMF_ERROR_LIMIT, "%s answered with more than %d items", request->agent, ITEMS_MAX));
        return;
    }
    for (size_t i = 0; i < value_size(message->body); i++)
        value_append(request->items, value_ref((Value *) value_at(message->body, i)));
    if (!message->partial)
        request_finish(console, request, g_steal_pointer(&request->items), NULL);
}

static void receive_answer(QmfConsole *console, const QmfMessage *message)
{
    Request *request = request_find(console, message);
    const Value *outputs;

    if (request == NULL)
        return; /* too late, or not ours */
    switch (message->opcode) {
    case QMF_EXCEPTION:
        request_finish(console, request, NULL, exception_error(message->body));
        break;
    case QMF_METHOD_RESPONSE:
        outputs = value_get(message->body, "_arguments");
        request_finish(console, request, outputs == NULL ? value_map() : value_ref((Value *) outputs), NULL);
        break;
    default:
        receive_part(console, request, message);
        break;
    }
}

/* --- agents --- */

/* Very old peers leave the underscore out. */
static int64_t number(const Value *attributes, const char *name, int64_t fallback)
{
    return value_get_int(attributes, name, value_get_int(attributes, name + 1, fallback));
}

static void agent_heard(QmfConsole *console, const QmfMessage *message)
{
    const Value *attributes = value_get(message->body, "_values");
    const char *name = message->agent != NULL ? message->agent : value_get_string(attributes, "_name");
    int64_t interval_s = number(attributes, "_heartbeat_interval", 0), epoch = number(attributes, "_epoch", 0);
    KnownAgent *known = name == NULL ? NULL : g_hash_table_lookup(console->agents, name);
    bool found = known == NULL, restarted = known != NULL && epoch > known->epoch;

    if (name == NULL || attributes == NULL || (found && g_hash_table_size(console->agents) >= AGENTS_MAX))
        return;
    if (found) {
        known = g_new0(KnownAgent, 1);
        g_hash_table_insert(console->agents, g_strdup(name), known);
    }
    value_unref(known->attributes);
    known->attributes = value_ref((Value *) attributes);
    known->epoch = MAX(epoch, known->epoch);
    known->silence_us = interval_s <= 0 ? SILENCE_DEFAULT_US : 3 * MIN(interval_s, 24 * 3600) * US_PER_S;
    known->heard = true;
    if (found && console->events.agent_found != NULL)
        console->events.agent_found(name, attributes, console->events.user);
    if (restarted && console->events.agent_restarted != NULL)
        console->events.agent_restarted(name, attributes, console->events.user);
    if (message->opcode == QMF_AGENT_HEARTBEAT_INDICATION && console->events.heartbeat != NULL)
        console->events.heartbeat(name, attributes, console->events.user);
}

static void receive_data(QmfConsole *console, const QmfMessage *message)
{
    bool event = message->content != NULL && strcmp(message->content, "_event") == 0;
    void (*tell)(const char *, const Value *, void *) = event ? console->events.event : console->events.data;

    if (tell == NULL || message->agent == NULL)
        return;
    for (size_t i = 0; i < value_size(message->body); i++)
        if (value_type(value_at(message->body, i)) == VALUE_MAP)
            tell(message->agent, value_at(message->body, i), console->events.user);
}

void qmf_console_receive(QmfConsole *console, const QmfMessage *message)
{
    switch (message->opcode) {
    case QMF_AGENT_LOCATE_RESPONSE:
    case QMF_AGENT_HEARTBEAT_INDICATION: agent_heard(console, message); break;
    case QMF_DATA_INDICATION:            receive_data(console, message); break;
    case QMF_QUERY_RESPONSE:
    case QMF_METHOD_RESPONSE:
    case QMF_EXCEPTION:                  receive_answer(console, message); break;
    default:                             break; /* requests to agents */
    }
    run_finished(console);
}

size_t qmf_console_agents(const QmfConsole *console, const char ***ret_names)
{
    guint n;

    *ret_names = (const char **) g_hash_table_get_keys_as_array(console->agents, &n);
    return n;
}

const Value *qmf_console_agent_attributes(const QmfConsole *console, const char *agent)
{
    const KnownAgent *known = g_hash_table_lookup(console->agents, agent);

    return known == NULL ? NULL : known->attributes;
}

/* --- time --- */

static void age_out(QmfConsole *console, int64_t now_us)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    void *name, *value;

    g_hash_table_iter_init(&iter, console->agents);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        KnownAgent *known = value;

        if (known->heard)
            known->heard_us = now_us;
        else if (now_us - known->heard_us > known->silence_us)
            g_ptr_array_add(gone, g_strdup(name));
        known->heard = false;
    }
    for (guint i = 0; i < gone->len; i++) {
        g_hash_table_remove(console->agents, gone->pdata[i]);
        if (console->events.agent_gone != NULL)
            console->events.agent_gone(gone->pdata[i], console->events.user);
    }
}

void qmf_console_tick(QmfConsole *console, int64_t now_us)
{
    g_autoptr(GList) requests = g_hash_table_get_values(console->requests);

    for (const GList *l = requests; l != NULL; l = l->next) {
        Request *request = l->data;

        if (request->deadline_us == 0)
            request->deadline_us = now_us + request->timeout_us;
        else if (now_us >= request->deadline_us)
            request_finish(console, request, NULL,
                           g_error_new(QMF_ERROR, QMF_ERROR_TIMEOUT, "%s did not answer within %" G_GINT64_FORMAT " ms", request->agent,
                                       request->timeout_us / US_PER_MS));
    }
    if (console->follows_heartbeats)
        age_out(console, now_us);
    run_finished(console);
}
