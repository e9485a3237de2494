#include "broker-plugin/ingress/indication.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/bridge.h"

#include <string.h>

#define EVENTS_MAX 256
#define NAME_MAX_BYTES 255

G_DEFINE_QUARK(mend-indication-error-quark, indication_error)

void indication_free(Indication *i)
{
    if (i == NULL)
        return;
    g_free(i->agent);
    g_clear_pointer(&i->events, g_ptr_array_unref);
    qmf_message_free(i->message);
    g_free(i);
}

static bool check_values(const QmfClass *class, const Value *values, GError **error)
{
    for (size_t i = 0; i < class->n_properties; i++) {
        const QmfProperty *p = &class->properties[i];
        const Value *value = value_get(values, p->name);

        if (value == NULL || value_type(value) == VALUE_NULL || qmf_type_accepts(p->type, value))
            continue;
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_SCHEMA, "%s:%s.%s is %s, %s wanted", class->package, class->name, p->name,
                    value_type_name(value_type(value)), qmf_type_name(p->type));
        return false;
    }
    return true;
}

static bool check_event(const QmfSchema *schema, const Value *event, GError **error)
{
    const Value *id = value_get(event, "_schema_id"), *values = value_get(event, "_values");
    const char *package = value_get_string(id, "_package_name"), *name = value_get_string(id, "_class_name");
    const QmfClass *class = package != NULL && name != NULL ? qmf_schema_find(schema, package, name) : NULL;

    if (values == NULL || value_type(values) != VALUE_MAP) {
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_MALFORMED, "an event without a map of _values");
        return false;
    }
    return class == NULL || check_values(class, values, error);
}

static bool take_events(Indication *i, const QmfSchema *schema, GError **error)
{
    const Value *body = i->message->body;
    bool list = body != NULL && value_type(body) == VALUE_LIST;
    size_t n = list ? value_size(body) : 1;

    if (n > EVENTS_MAX) {
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_SIZE, "%zu events in one message, at most %d", n, EVENTS_MAX);
        return false;
    }
    i->events = g_ptr_array_new();
    for (size_t k = 0; k < n; k++) {
        const Value *event = list ? value_at(body, k) : body;

        if (!check_event(schema, event, error))
            return false;
        g_ptr_array_add(i->events, (void *) event);
    }
    return true;
}

static bool take_attributes(Indication *i, GError **error)
{
    i->attributes = value_get(i->message->body, "_values");
    if (i->attributes != NULL && value_type(i->attributes) == VALUE_MAP)
        return true;
    g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_MALFORMED, "%s without a map of _values", qmf_opcode_name(i->message->opcode));
    return false;
}

/* The name is taken from qmf.agent; those who leave it out say it in their attributes. */
static bool take_agent(Indication *i, GError **error)
{
    const char *said = value_get_string(value_get(i->message->body, "_values"), "_name");
    const char *name = i->message->agent != NULL && i->message->agent[0] != '\0' ? i->message->agent : said;

    if (name == NULL || name[0] == '\0' || strlen(name) > NAME_MAX_BYTES || strchr(name, '/') != NULL) {
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_MALFORMED,
                    "no agent name of at most %d bytes and without '/' in qmf.agent or _name", NAME_MAX_BYTES);
        return false;
    }
    if (said != NULL && strcmp(said, name) != 0) {
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_MALFORMED, "qmf.agent and _name are not the same");
        i->agent = g_strdup(name);
        return false;
    }
    i->agent = g_strdup(name);
    return true;
}

static bool take_content(Indication *i, const QmfSchema *schema, GError **error)
{
    switch (i->message->opcode) {
    case QMF_AGENT_HEARTBEAT_INDICATION:
    case QMF_AGENT_LOCATE_RESPONSE:
        i->kind = INDICATION_ALIVE;
        return take_attributes(i, error);
    case QMF_DATA_INDICATION:
        i->kind = g_strcmp0(i->message->content, "_event") == 0 ? INDICATION_EVENTS : INDICATION_DATA;
        return i->kind == INDICATION_DATA || take_events(i, schema, error);
    default:
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_MALFORMED, "%s is no indication", qmf_opcode_name(i->message->opcode));
        return false;
    }
}

Indication *indication_decode(const mend_msg *msg, const QmfSchema *schema, size_t max_bytes, char **ret_agent, GError **error)
{
    g_autoptr(Indication) i = g_new0(Indication, 1);
    g_autoptr(AmqpMessage) message = NULL;
    const mend_prop *claimed = msg_prop(msg, "qmf.agent");

    *ret_agent = claimed != NULL && (claimed->type == MEND_T_STR || claimed->type == MEND_T_BIN) ? str_dup(claimed->str) : NULL;
    if (msg->body.len > max_bytes) {
        g_set_error(error, INDICATION_ERROR, INDICATION_ERROR_SIZE, "a body of %zu bytes, at most %zu", msg->body.len, max_bytes);
        return NULL;
    }
    message = amqp_from_msg(msg, error);
    i->message = message != NULL ? qmf_message_from_amqp(message, error) : NULL;
    if (i->message == NULL || !take_agent(i, error))
        return NULL;
    g_free(*ret_agent);
    *ret_agent = g_strdup(i->agent);
    return take_content(i, schema, error) ? g_steal_pointer(&i) : NULL;
}
