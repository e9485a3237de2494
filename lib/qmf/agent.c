/* An agent is a name, some classes and some objects; everything it sends answers something, except heartbeats and events. It holds no
 * timer and no socket: messages are handed in, the bus takes what comes out, so the same code serves a small agent in a guest, the
 * broker plugin with ten thousand objects, and a test with an array for a bus.
 *
 * What a peer can make it hold is bounded: calls not yet answered, subscriptions, and nothing else. What it says when it refuses is
 * what libqmf2 says, where libqmf2 says something; where libqmf2 is silent (an unknown _what, a bad predicate, a missing object id),
 * it answers an exception, because silence costs the caller a timeout and tells him nothing.
 *
 * The key on which an agent is reached directly is made from its name, not from dice: the same agent has the same key after a restart. */
#include "lib/qmf/agent_parts.h"

#include "lib/base/uuid.h"

#include <string.h>

#define CALLS_MAX 1000

struct QmfCall {
    QmfAgent *agent;
    QmfMessage *request;
    char *object_name;  /* NULL: none named */
    Value *arguments;
    Value *extra;       /* of the answer; NULL: none */
};

/* --- identity --- */

static void agent_class_free(AgentClass *class)
{
    value_unref(class->id);
    g_free(class);
}

static void object_free(QmfObject *object)
{
    g_free(object->name);
    value_unref(object->id);
    value_unref(object->values);
    g_free(object);
}

static char *direct_key(const char *name)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize length = sizeof digest;
    char text[UUID_TEXT_SIZE];

    g_checksum_update(sum, (const guchar *) name, -1);
    g_checksum_get_digest(sum, digest, &length);
    uuid_from_bytes(digest, text);
    return g_strconcat("direct-agent.route.", text, NULL);
}

QmfAgent *qmf_agent_new(const QmfBus *bus, const QmfAgentOptions *options)
{
    QmfAgent *agent = g_new0(QmfAgent, 1);

    agent->bus = bus;
    agent->name = g_strdup_printf("%s:%s:%s", options->vendor, options->product, options->instance);
    agent->vendor = g_strdup(options->vendor);
    agent->product = g_strdup(options->product);
    agent->direct_key = direct_key(agent->name);
    agent->heartbeat_subject = g_strdup_printf("agent.ind.heartbeat.%s.%s", options->vendor, options->product);
    agent->epoch = MAX(options->epoch, 1);
    agent->heartbeat_interval_s = options->heartbeat_interval_s;
    agent->schema_updated_us = bus->wall_us(bus->user);
    agent->bindings[0] = (QmfBinding) { QMF_TOPIC, agent->direct_key };
    agent->bindings[1] = (QmfBinding) { QMF_TOPIC, "console.#" };
    agent->bindings[2] = (QmfBinding) { QMF_DIRECT, agent->name };
    agent->attributes = value_map();
    value_set(agent->attributes, "_vendor", value_string(options->vendor));
    value_set(agent->attributes, "_product", value_string(options->product));
    value_set(agent->attributes, "_instance", value_string(options->instance));
    value_set(agent->attributes, "_name", value_string(agent->name));
    value_set(agent->attributes, "_direct_subject", value_string(agent->direct_key));
    agent->classes = g_ptr_array_new_with_free_func((GDestroyNotify) agent_class_free);
    agent->objects = g_ptr_array_new_with_free_func((GDestroyNotify) object_free);
    agent->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    agent->calls = g_hash_table_new(NULL, NULL);
    agent->subscriptions = qmf_subscriptions_new(agent);
    return agent;
}

void qmf_agent_free(QmfAgent *agent)
{
    g_autoptr(GList) calls = NULL;

    if (agent == NULL)
        return;
    calls = g_hash_table_get_keys(agent->calls);
    for (const GList *l = calls; l != NULL; l = l->next)
        qmf_call_raise(l->data, "The agent stops", NULL);
    qmf_subscriptions_free(agent->subscriptions);
    g_hash_table_unref(agent->calls);
    g_hash_table_unref(agent->by_name);
    g_ptr_array_unref(agent->objects);
    g_ptr_array_unref(agent->classes);
    value_unref(agent->attributes);
    g_free(agent->name);
    g_free(agent->vendor);
    g_free(agent->product);
    g_free(agent->direct_key);
    g_free(agent->heartbeat_subject);
    g_free(agent);
}

const char *qmf_agent_name(const QmfAgent *agent)
{
    return agent->name;
}

const QmfBinding *qmf_agent_bindings(const QmfAgent *agent)
{
    return agent->bindings;
}

void qmf_agent_set_attribute(QmfAgent *agent, const char *name, Value *value)
{
    value_set(agent->attributes, name, value);
}

/* --- classes and objects --- */

static AgentClass *class_find(const QmfAgent *agent, const QmfClass *class)
{
    for (guint i = 0; i < agent->classes->len; i++) {
        AgentClass *known = agent->classes->pdata[i];

        if (known->class == class)
            return known;
    }
    return NULL;
}

static AgentClass *class_add(QmfAgent *agent, const QmfClass *class)
{
    AgentClass *known = class_find(agent, class);

    if (known != NULL)
        return known;
    known = g_new0(AgentClass, 1);
    known->class = class;
    known->id = qmf_class_id(class);
    g_ptr_array_add(agent->classes, known);
    agent->schema_updated_us = agent->bus->wall_us(agent->bus->user);
    return known;
}

void qmf_agent_add_class(QmfAgent *agent, const QmfClass *class)
{
    class_add(agent, class);
}

void qmf_agent_on_method(QmfAgent *agent, const QmfClass *class, QmfMethodFn handler, void *user)
{
    AgentClass *known = class_add(agent, class);

    known->handler = handler;
    known->user = user;
}

QmfObject *qmf_agent_add_object(QmfAgent *agent, const QmfClass *class, const char *object_name, Value *values)
{
    QmfObject *object = g_new0(QmfObject, 1);
    const char *key;
    const Value *item;

    g_assert(!g_hash_table_contains(agent->by_name, object_name)); /* names are the owner's to keep apart */
    object->agent = agent;
    object->class = class_add(agent, class);
    object->name = g_strdup(object_name);
    object->id = qmf_object_id(agent->name, object_name, agent->epoch);
    object->values = value_map();
    object->changed = ++agent->changes;
    for (size_t i = 0; value_entry(values, i, &key, &item); i++)
        qmf_object_set(object, key, value_ref((Value *) item));
    value_unref(values);
    g_ptr_array_add(agent->objects, object);
    g_hash_table_insert(agent->by_name, object->name, object);
    return object;
}

void qmf_agent_remove_object(QmfAgent *agent, QmfObject *object)
{
    subscriptions_object_gone(agent->subscriptions, object);
    g_hash_table_remove(agent->by_name, object->name);
    g_ptr_array_remove(agent->objects, object);
}

QmfObject *qmf_agent_object(const QmfAgent *agent, const char *object_name)
{
    return g_hash_table_lookup(agent->by_name, object_name);
}

static bool is_denied(const QmfAgent *agent, const QmfClass *class, const char *member)
{
    return agent->denied != NULL && agent->denied(class, member, agent->denied_user);
}

void qmf_object_set(QmfObject *object, const char *property, Value *value)
{
    g_assert(qmf_class_property(object->class->class, property) != NULL); /* what the schema does not declare nobody can read */
    if (is_denied(object->agent, object->class->class, property)) {
        value_unref(value);
        return;
    }
    object->changed = ++object->agent->changes;
    value_set(object->values, property, value);
}

const Value *qmf_object_values(const QmfObject *object)
{
    return object->values;
}

const char *qmf_object_name(const QmfObject *object)
{
    return object->name;
}

const QmfClass *qmf_object_class(const QmfObject *object)
{
    return object->class->class;
}

Value *qmf_object_id(const char *agent, const char *object_name, uint32_t epoch)
{
    Value *id = value_map();

    if (agent != NULL)
        value_set(id, "_agent_name", value_string(agent));
    value_set(id, "_object_name", value_string(object_name));
    if (epoch != 0)
        value_set(id, "_agent_epoch", value_uint(VALUE_UINT32, epoch));
    return id;
}

static Value *map_copy(const Value *map)
{
    Value *copy = value_map();
    const char *key;
    const Value *item;

    for (size_t i = 0; value_entry(map, i, &key, &item); i++)
        value_set(copy, key, value_ref((Value *) item));
    return copy;
}

Value *agent_object_to_map(const QmfObject *object)
{
    Value *map = value_map();

    value_set(map, "_object_id", value_ref(object->id));
    value_set(map, "_schema_id", value_ref(object->class->id));
    value_set(map, "_values", map_copy(object->values));
    return map;
}

/* --- sending --- */

QmfMessage *agent_message(const QmfAgent *agent, QmfOpcode opcode, const char *content)
{
    QmfMessage *message = qmf_message_new(opcode);

    message->agent = g_strdup(agent->name);
    message->content = g_strdup(content);
    return message;
}

void agent_reply(QmfAgent *agent, const QmfMessage *request, QmfMessage *answer)
{
    const char *to = request->reply_to, *slash = to == NULL ? NULL : strchr(to, '/');

    if (to != NULL && *to != '\0' && slash != to) {
        g_autofree char *node = slash == NULL ? g_strdup(to) : g_strndup(to, (gsize) (slash - to));

        answer->subject = slash == NULL ? NULL : g_strdup(slash + 1);
        answer->correlation_id = g_strdup(request->correlation_id);
        answer->plain = g_strcmp0(value_get_string(request->extra, QMF_BODY_KEY), QMF_BODY_PLAIN) == 0;
        agent->bus->send(agent->bus->user, node, answer);
    }
    qmf_message_free(answer);
}

static QmfMessage *exception_new(const QmfAgent *agent, const char *error_text, const Value *more)
{
    QmfMessage *exception = agent_message(agent, QMF_EXCEPTION, "_data");
    Value *values = map_copy(more);

    value_set(values, "error_text", value_string(error_text));
    exception->body = value_map();
    value_set(exception->body, "_values", values);
    return exception;
}

void agent_raise(QmfAgent *agent, const QmfMessage *request, const char *error_text)
{
    agent_reply(agent, request, exception_new(agent, error_text, NULL));
}

Value *agent_heartbeat_body(const QmfAgent *agent)
{
    Value *body = value_map(), *values = map_copy(agent->attributes);
    int64_t now_us = agent->bus->wall_us(agent->bus->user);

    value_set(values, "_epoch", value_uint(VALUE_UINT32, agent->epoch));
    value_set(values, "_heartbeat_interval", value_uint(VALUE_UINT32, agent->heartbeat_interval_s));
    value_set(values, "_timestamp", value_uint(VALUE_UINT64, (uint64_t) now_us * 1000));
    value_set(values, "_schema_updated", value_uint(VALUE_UINT64, (uint64_t) agent->schema_updated_us * 1000));
    value_set(values, "qmf.agent_capability", value_uint(VALUE_UINT32, 1));
    value_set(body, "_values", values);
    return body;
}

void qmf_agent_heartbeat(QmfAgent *agent)
{
    g_autoptr(QmfMessage) message = agent_message(agent, QMF_AGENT_HEARTBEAT_INDICATION, NULL);

    message->subject = g_strdup(agent->heartbeat_subject);
    message->body = agent_heartbeat_body(agent);
    agent->bus->send(agent->bus->user, QMF_TOPIC, message);
}

void qmf_agent_raise_event(QmfAgent *agent, const QmfClass *class, int severity, Value *values)
{
    g_autoptr(QmfMessage) message = agent_message(agent, QMF_DATA_INDICATION, "_event");
    AgentClass *known = class_add(agent, class);
    Value *event = value_map();

    value_set(event, "_schema_id", value_ref(known->id));
    value_set(event, "_severity", value_int(VALUE_INT32, severity < 0 ? class->severity : severity));
    value_set(event, "_timestamp", value_uint(VALUE_UINT64, (uint64_t) agent->bus->wall_us(agent->bus->user) * 1000));
    value_set(event, "_values", values);
    message->subject = g_strdup_printf("agent.ind.event.%s.%s", class->package, class->name);
    message->body = value_list();
    value_append(message->body, event);
    agent->bus->send(agent->bus->user, QMF_TOPIC, message);
}

/* --- methods --- */

static void call_free(QmfCall *call)
{
    qmf_message_free(call->request);
    g_free(call->object_name);
    value_unref(call->arguments);
    value_unref(call->extra);
    g_free(call);
}

static void call_answer(QmfCall *call, QmfMessage *answer, const char *error_text)
{
    QmfAgent *agent = call->agent;
    bool pending = g_hash_table_remove(agent->calls, call);

    g_assert(pending); /* answering twice is our bug */
    if (agent->answered != NULL)
        agent->answered(call, error_text, agent->answered_user);
    answer->extra = g_steal_pointer(&call->extra);
    agent_reply(agent, call->request, answer);
    call_free(call);
}

const char *qmf_call_method(const QmfCall *call)
{
    return value_get_string(call->request->body, "_method_name");
}

const QmfObject *qmf_call_object(const QmfCall *call)
{
    return call->object_name == NULL ? NULL : qmf_agent_object(call->agent, call->object_name);
}

const Value *qmf_call_arguments(const QmfCall *call)
{
    return call->arguments;
}

const QmfMessage *qmf_call_request(const QmfCall *call)
{
    return call->request;
}

void qmf_call_return(QmfCall *call, Value *outputs)
{
    QmfMessage *answer = agent_message(call->agent, QMF_METHOD_RESPONSE, NULL);

    answer->body = value_map();
    value_set(answer->body, "_arguments", outputs == NULL ? value_map() : outputs);
    call_answer(call, answer, NULL);
}

void qmf_call_raise(QmfCall *call, const char *error_text, Value *more)
{
    QmfMessage *answer = exception_new(call->agent, error_text, more);

    value_unref(more);
    call_answer(call, answer, error_text);
}

void qmf_call_raise_object(QmfCall *call, const QmfClass *class, Value *values, const char *text)
{
    QmfMessage *answer = agent_message(call->agent, QMF_EXCEPTION, "_data");

    answer->body = value_map();
    value_set(answer->body, "_schema_id", qmf_class_id(class));
    value_set(answer->body, "_values", values);
    call_answer(call, answer, text);
}

void qmf_call_set_extra(QmfCall *call, const char *key, Value *value)
{
    if (call->extra == NULL)
        call->extra = value_map();
    value_set(call->extra, key, value);
}

void qmf_agent_set_filter(QmfAgent *agent, bool (*filter)(QmfCall *call, void *user), void *user)
{
    agent->filter = filter;
    agent->filter_user = user;
}

void qmf_agent_on_answer(QmfAgent *agent, void (*hook)(QmfCall *call, const char *error_text, void *user), void *user)
{
    agent->answered = hook;
    agent->answered_user = user;
}

void qmf_agent_deny(QmfAgent *agent, bool (*denied)(const QmfClass *class, const char *member, void *user), const char *text, void *user)
{
    agent->denied = denied;
    agent->denied_text = text;
    agent->denied_user = user;
}

/* Checks what the schema says of the call, then hands it over. */
static void call_dispatch(QmfCall *call)
{
    const QmfObject *object = qmf_call_object(call);
    g_autoptr(GError) error = NULL;
    const QmfMethod *method;
    Value *arguments;

    if (object == NULL) {
        qmf_call_raise(call, "No data object found with the specified address", NULL);
        return;
    }
    method = qmf_class_method(object->class->class, qmf_call_method(call));
    if (method == NULL || object->class->handler == NULL) {
        g_autofree char *text = g_strdup_printf(method == NULL ? "Unknown method: %.255s" : "Not implemented: %.255s",
                                                qmf_call_method(call));

        qmf_call_raise(call, text, NULL);
        return;
    }
    if (is_denied(call->agent, object->class->class, method->name)) {
        qmf_call_raise(call, call->agent->denied_text, NULL);
        return;
    }
    arguments = qmf_values_conform(method->arguments, method->n_arguments, QMF_DIR_IN, call->arguments, &error);
    if (arguments == NULL) {
        qmf_call_raise(call, error->message, NULL);
        return;
    }
    value_unref(call->arguments);
    call->arguments = arguments;
    object->class->handler(call, object->class->user);
}

/* An object id of another agent names nothing here; one without agent name is ours, as qpidd's are. */
static char *own_object_name(const QmfAgent *agent, const Value *object_id)
{
    const char *named = value_get_string(object_id, "_agent_name");

    return named != NULL && strcmp(named, agent->name) != 0 ? NULL : g_strdup(value_get_string(object_id, "_object_name"));
}

static void receive_call(QmfAgent *agent, const QmfMessage *request)
{
    const Value *arguments = value_get(request->body, "_arguments");
    QmfCall *call;

    if (value_get_string(request->body, "_method_name") == NULL) {
        agent_raise(agent, request, "Malformed MethodRequest: missing _method_name field");
        return;
    }
    if (g_hash_table_size(agent->calls) >= CALLS_MAX) {
        agent_raise(agent, request, "Too many calls in progress");
        return;
    }
    call = g_new0(QmfCall, 1);
    call->agent = agent;
    call->request = qmf_message_copy(request);
    call->object_name = own_object_name(agent, value_get(request->body, "_object_id"));
    call->arguments = arguments == NULL ? value_map() : value_ref((Value *) arguments);
    g_hash_table_add(agent->calls, call);
    if (agent->filter == NULL || agent->filter(call, agent->filter_user))
        call_dispatch(call);
}

void qmf_agent_receive(QmfAgent *agent, const QmfMessage *message)
{
    switch (message->opcode) {
    case QMF_AGENT_LOCATE_REQUEST:          agent_locate(agent, message); break;
    case QMF_QUERY_REQUEST:                 agent_query(agent, message); break;
    case QMF_METHOD_REQUEST:                receive_call(agent, message); break;
    case QMF_V1_SCHEMA_REQUEST:             agent_query_v1(agent, message); break;
    case QMF_SUBSCRIBE_REQUEST:
    case QMF_SUBSCRIBE_REFRESH_INDICATION:
    case QMF_SUBSCRIBE_CANCEL_INDICATION:   subscriptions_receive(agent->subscriptions, message); break;
    default:                                break; /* other agents' and consoles' traffic */
    }
}

void qmf_agent_tick(QmfAgent *agent, int64_t now_us)
{
    subscriptions_tick(agent->subscriptions, now_us);
}
