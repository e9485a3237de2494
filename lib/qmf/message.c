/* One place knows how a QMFv2 message looks on AMQP 1.0, in both of its shapes.
 *
 * Sending has one shape: content-type, one data section, AMQP 0-10 encoding. It is the only one that 0-10 agents behind a qpidd,
 * libqmf2 peers on AMQP 1.0 and qpidd's own agent all read. The other shape, an amqp-value, goes only to who asked for it by name:
 * an answer in the shape of its request would reach 0-10 consoles behind a qpidd in the shape that disconnects them when it is long.
 *
 * Reading takes what those peers were seen to send: a data section or an amqp-value (what qpidd makes of a 0-10 message), a binary
 * amqp-value holding 0-10 content, opcodes and names as string, symbol or binary, no app-id (qpidd's own agent), no content-type,
 * no body at all (a locate request for everybody). What kind of body an opcode has is a row in a table, so a list where a map
 * belongs is found here and not by ten callers. The property "partial" counts by being there; its value is null. */
#include "lib/qmf/message.h"

#include "lib/qmf/qmf1.h"

#include <string.h>

G_DEFINE_QUARK(mend-qmf-error-quark, qmf_error)

#define APP_ID_KEY "x-amqp-0-10.app-id"

#define X(id, text) [QMF_##id] = text,
static const char *const names[] = { QMF_OPCODES(X) };
#undef X

typedef struct OpcodeRow {
    const char *method;
    ValueType body;
    bool bodyless; /* may come without body */
} OpcodeRow;

static const OpcodeRow rows[] = {
    [QMF_AGENT_LOCATE_REQUEST] = { "request", VALUE_LIST, true },
    [QMF_AGENT_LOCATE_RESPONSE] = { "indication", VALUE_MAP, false },
    [QMF_AGENT_HEARTBEAT_INDICATION] = { "indication", VALUE_MAP, false },
    [QMF_QUERY_REQUEST] = { "request", VALUE_MAP, false },
    [QMF_QUERY_RESPONSE] = { "response", VALUE_LIST, false },
    [QMF_SUBSCRIBE_REQUEST] = { "request", VALUE_MAP, false },
    [QMF_SUBSCRIBE_RESPONSE] = { "response", VALUE_MAP, false },
    [QMF_SUBSCRIBE_CANCEL_INDICATION] = { "request", VALUE_MAP, false },
    [QMF_SUBSCRIBE_REFRESH_INDICATION] = { "request", VALUE_MAP, false },
    [QMF_DATA_INDICATION] = { "indication", VALUE_LIST, false },
    [QMF_METHOD_REQUEST] = { "request", VALUE_MAP, false },
    [QMF_METHOD_RESPONSE] = { "response", VALUE_MAP, false },
    [QMF_EXCEPTION] = { "response", VALUE_MAP, false },
    [QMF_V1_SCHEMA_REQUEST] = { NULL, VALUE_BINARY, false },
    [QMF_V1_SCHEMA_RESPONSE] = { NULL, VALUE_BINARY, false },
};
_Static_assert(G_N_ELEMENTS(rows) == QMF_OPCODE_N, "every opcode has a row");

QmfMessage *qmf_message_new(QmfOpcode opcode)
{
    QmfMessage *message = g_new0(QmfMessage, 1);

    message->opcode = opcode;
    return message;
}

QmfMessage *qmf_message_copy(const QmfMessage *message)
{
    QmfMessage *copy = qmf_message_new(message->opcode);

    copy->subject = g_strdup(message->subject);
    copy->reply_to = g_strdup(message->reply_to);
    copy->correlation_id = g_strdup(message->correlation_id);
    copy->agent = g_strdup(message->agent);
    copy->content = g_strdup(message->content);
    copy->partial = message->partial;
    copy->plain = message->plain;
    copy->body = message->body == NULL ? NULL : value_ref(message->body);
    copy->extra = message->extra == NULL ? NULL : value_ref(message->extra);
    return copy;
}

void qmf_message_free(QmfMessage *message)
{
    if (message == NULL)
        return;
    g_free(message->subject);
    g_free(message->reply_to);
    g_free(message->correlation_id);
    g_free(message->agent);
    g_free(message->content);
    value_unref(message->body);
    value_unref(message->extra);
    g_free(message);
}

const char *qmf_opcode_name(QmfOpcode opcode)
{
    return names[opcode];
}

/* --- QMFv1 --- */

static AmqpMessage *v1_to_amqp(const QmfMessage *message)
{
    AmqpMessage *amqp = amqp_message_new();
    size_t n_bytes;
    const void *bytes = value_as_bytes(message->body, &n_bytes);

    amqp->subject = g_strdup(message->subject);
    amqp->reply_to = g_strdup(message->reply_to);
    if (message->agent != NULL)
        amqp_message_set_property(amqp, "qmf.agent", value_string(message->agent));
    amqp->body_kind = AMQP_BODY_DATA;
    amqp->data = g_bytes_new(bytes, n_bytes);
    return amqp;
}

/* NULL: it is none. */
static QmfMessage *v1_from_amqp(const AmqpMessage *amqp)
{
    size_t n_bytes = 0;
    const void *bytes = amqp->body_kind == AMQP_BODY_DATA && amqp->data != NULL          ? g_bytes_get_data(amqp->data, &n_bytes)
                        : amqp->body != NULL && value_type(amqp->body) == VALUE_BINARY ? value_as_bytes(amqp->body, &n_bytes)
                                                                                         : NULL;
    QmfMessage *message;

    if (!qmf1_is_schema_request(bytes, n_bytes))
        return NULL;
    message = qmf_message_new(QMF_V1_SCHEMA_REQUEST);
    message->subject = g_strdup(amqp->subject);
    message->reply_to = g_strdup(amqp->reply_to);
    message->body = value_bytes(VALUE_BINARY, bytes, n_bytes);
    return message;
}

/* --- out --- */

AmqpMessage *qmf_message_to_amqp(const QmfMessage *message)
{
    const OpcodeRow *row = &rows[message->opcode];

    if (row->body == VALUE_BINARY)
        return v1_to_amqp(message);
    AmqpMessage *amqp = amqp_message_new();
    const char *key;
    const Value *item;
    g_autoptr(Value) empty = message->body == NULL ? (row->body == VALUE_MAP ? value_map() : value_list()) : NULL;
    const Value *body = message->body == NULL ? empty : message->body;

    amqp->subject = g_strdup(message->subject);
    amqp->reply_to = g_strdup(message->reply_to);
    amqp->correlation_id = g_strdup(message->correlation_id);
    amqp->content_type = g_strdup(value_type(body) == VALUE_MAP ? "amqp/map" : "amqp/list");
    amqp_message_set_property(amqp, "method", value_string(row->method));
    amqp_message_set_property(amqp, "qmf.opcode", value_string(names[message->opcode]));
    amqp_message_set_property(amqp, APP_ID_KEY, value_string("qmf2"));
    if (message->agent != NULL)
        amqp_message_set_property(amqp, "qmf.agent", value_string(message->agent));
    if (message->content != NULL)
        amqp_message_set_property(amqp, "qmf.content", value_string(message->content));
    if (message->partial)
        amqp_message_set_property(amqp, "partial", value_null());
    for (size_t i = 0; value_entry(message->extra, i, &key, &item); i++)
        amqp_message_set_property(amqp, key, value_ref((Value *) item));
    if (message->plain) {
        amqp->body_kind = AMQP_BODY_VALUE;
        amqp->body = value_ref((Value *) body);
    } else {
        amqp->body_kind = AMQP_BODY_DATA;
        amqp->data = g_byte_array_free_to_bytes(qmf_0_10_encode(body));
    }
    return amqp;
}

void qmf_amqp_as_data(AmqpMessage *amqp)
{
    if (amqp->body_kind != AMQP_BODY_VALUE || (value_type(amqp->body) != VALUE_MAP && value_type(amqp->body) != VALUE_LIST))
        return;
    amqp->data = g_byte_array_free_to_bytes(qmf_0_10_encode(amqp->body));
    g_clear_pointer(&amqp->body, value_unref);
    amqp->body_kind = AMQP_BODY_DATA;
}

/* --- in --- */

static bool opcode_parse(const char *name, QmfOpcode *ret, GError **error)
{
    for (int i = 0; i < QMF_OPCODE_N; i++)
        if (strcmp(names[i], name) == 0 && rows[i].body != VALUE_BINARY) {
            *ret = (QmfOpcode) i;
            return true;
        }
    g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "unknown qmf.opcode \"%.64s\"", name);
    return false;
}

/* What the content-type promises; without one, what the opcode wants. */
static bool body_type(const AmqpMessage *amqp, const OpcodeRow *row, ValueType *ret, GError **error)
{
    const char *type = amqp->content_type;

    if (type == NULL || *type == '\0')
        *ret = row->body;
    else if (strcmp(type, "amqp/map") == 0)
        *ret = VALUE_MAP;
    else if (strcmp(type, "amqp/list") == 0)
        *ret = VALUE_LIST;
    else {
        g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "%s: content-type \"%.64s\", want amqp/map or amqp/list", names[row - rows], type);
        return false;
    }
    return true;
}

static bool read_0_10(const void *bytes, size_t n_bytes, const AmqpMessage *amqp, const OpcodeRow *row, Value **ret, GError **error)
{
    ValueType type;

    if (n_bytes == 0)
        return true;
    if (!body_type(amqp, row, &type, error))
        return false;
    *ret = qmf_0_10_decode(bytes, n_bytes, type, error);
    if (*ret == NULL)
        g_prefix_error(error, "%s: ", names[row - rows]);
    return *ret != NULL;
}

static bool read_body(const AmqpMessage *amqp, const OpcodeRow *row, Value **ret, GError **error)
{
    size_t n_bytes;
    const void *bytes;

    if (amqp->body_kind == AMQP_BODY_DATA && amqp->data != NULL) {
        bytes = g_bytes_get_data(amqp->data, &n_bytes);
        return read_0_10(bytes, n_bytes, amqp, row, ret, error);
    }
    if (amqp->body == NULL || value_type(amqp->body) == VALUE_NULL)
        return true;
    if (value_type(amqp->body) == VALUE_BINARY) {
        bytes = value_as_bytes(amqp->body, &n_bytes);
        return read_0_10(bytes, n_bytes, amqp, row, ret, error);
    }
    *ret = value_ref(amqp->body);
    return true;
}

static bool check_body(QmfMessage *message, const OpcodeRow *row, GError **error)
{
    if (message->body == NULL) {
        if (!row->bodyless)
            g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "%s without a body, want a %s", names[row - rows], value_type_name(row->body));
        return row->bodyless;
    }
    if (value_type(message->body) == row->body)
        return true;
    if (row->bodyless && value_size(message->body) == 0 && value_type(message->body) == VALUE_MAP) {
        g_clear_pointer(&message->body, value_unref); /* an empty map for an empty list: nothing was meant */
        return true;
    }
    g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "%s with a %s as body, want a %s", names[row - rows],
                value_type_name(value_type(message->body)), value_type_name(row->body));
    return false;
}

/* Ours by another field, or noise of the transport. */
static bool is_own_key(const char *key)
{
    static const char *const own[] = { "method", "qmf.opcode", APP_ID_KEY, "app_id", "qmf.agent", "qmf.content", "partial",
                                       "qpid.subject", NULL };

    return g_strv_contains(own, key);
}

static void read_properties(QmfMessage *message, const Value *properties)
{
    const char *key;
    const Value *item;

    message->agent = g_strdup(value_get_string(properties, "qmf.agent"));
    message->content = g_strdup(value_get_string(properties, "qmf.content"));
    message->partial = value_get(properties, "partial") != NULL;
    for (size_t i = 0; value_entry(properties, i, &key, &item); i++) {
        if (is_own_key(key))
            continue;
        if (message->extra == NULL)
            message->extra = value_map();
        value_set(message->extra, key, value_ref((Value *) item));
    }
}

QmfMessage *qmf_message_from_amqp(const AmqpMessage *amqp, GError **error)
{
    const char *app_id = amqp_message_property(amqp, APP_ID_KEY), *opcode = amqp_message_property(amqp, "qmf.opcode");
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_EXCEPTION);
    const OpcodeRow *row;

    if (app_id == NULL)
        app_id = amqp_message_property(amqp, "app_id");
    if (app_id != NULL && strcmp(app_id, "qmf2") != 0) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "app-id \"%.64s\", want qmf2", app_id);
        return NULL;
    }
    if (opcode == NULL) {
        QmfMessage *v1 = v1_from_amqp(amqp);

        if (v1 != NULL)
            return v1;
        g_set_error(error, QMF_ERROR, QMF_ERROR_MALFORMED, "no qmf.opcode: not a QMFv2 message");
        return NULL;
    }
    if (!opcode_parse(opcode, &message->opcode, error))
        return NULL;
    row = &rows[message->opcode];
    message->subject = g_strdup(amqp->subject);
    message->reply_to = g_strdup(amqp->reply_to);
    message->correlation_id = g_strdup(amqp->correlation_id);
    read_properties(message, amqp->properties);
    if (!read_body(amqp, row, &message->body, error) || !check_body(message, row, error))
        return NULL;
    return g_steal_pointer(&message);
}
