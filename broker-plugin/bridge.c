#include "broker-plugin/bridge.h"

#include "broker-plugin/abi.h"

#include <string.h>

static bool prop_fill(mend_prop *prop, const char *key, const Value *value)
{
    int64_t integer;
    double number;
    bool truth;
    size_t n_bytes;

    prop->key = str_of(key);
    switch (value_type(value)) {
    case VALUE_NULL:
        prop->type = MEND_T_NULL;
        return true;
    case VALUE_STRING: case VALUE_SYMBOL: case VALUE_BINARY:
        prop->type = value_as_string(value) != NULL ? MEND_T_STR : MEND_T_BIN;
        prop->str.ptr = value_as_bytes(value, &n_bytes);
        prop->str.len = n_bytes;
        return true;
    case VALUE_BOOL:
        value_as_bool(value, &truth);
        prop->type = MEND_T_BOOL;
        prop->i64 = truth;
        return true;
    default:
        break;
    }
    if (value_as_int(value, &integer)) {
        prop->type = MEND_T_I64;
        prop->i64 = integer;
        return true;
    }
    if (value_as_double(value, &number)) {
        prop->type = MEND_T_F64;
        prop->f64 = number;
        return true;
    }
    return false;
}

static void view_props(MsgView *view, const Value *map)
{
    size_t n = value_size(map);

    view->props = g_new0(mend_prop, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *key;
        const Value *item;

        if (value_entry(map, i, &key, &item) && prop_fill(&view->props[view->msg.n_props], key, item))
            view->msg.n_props++;
    }
    view->msg.props = view->props;
}

static void view_body(MsgView *view, const AmqpMessage *message)
{
    gsize n_bytes = 0;

    switch (message->body_kind) {
    case AMQP_BODY_DATA:
        view->msg.body_kind = MEND_BODY_DATA;
        view->msg.body.ptr = message->data != NULL ? g_bytes_get_data(message->data, &n_bytes) : NULL;
        view->msg.body.len = n_bytes;
        break;
    case AMQP_BODY_VALUE:
    case AMQP_BODY_SEQUENCE:
        view->msg.body_kind = MEND_BODY_VALUE;
        view->value = amqp_value_encode(message->body);
        view->msg.body = (mend_str) { (const char *) view->value->data, view->value->len };
        break;
    case AMQP_BODY_NONE:
        break;
    }
}

void msg_view_init(MsgView *view, const AmqpMessage *message, const char *address, mend_id peer)
{
    *view = (MsgView) { .msg = {
        .size = sizeof view->msg, .peer = peer, .address = str_of(address),
        .subject = str_of(message->subject), .message_id = str_of(message->message_id),
        .correlation_id = str_of(message->correlation_id), .reply_to = str_of(message->reply_to),
        .content_type = str_of(message->content_type), .delivery_count = message->delivery_count,
        .created_us = message->created_ms * US_PER_MS, .ttl_us = (int64_t) message->ttl_ms * US_PER_MS,
        .durable = message->durable, .priority = message->priority,
    } };
    view_props(view, message->properties);
    view_body(view, message);
}

void msg_view_done(MsgView *view)
{
    g_clear_pointer(&view->props, g_free);
    g_clear_pointer(&view->value, g_byte_array_unref);
}

static Value *prop_value(const mend_prop *prop)
{
    switch (prop->type) {
    case MEND_T_STR:  return value_bytes(VALUE_STRING, prop->str.ptr, prop->str.len);
    case MEND_T_BIN:  return value_bytes(VALUE_BINARY, prop->str.ptr, prop->str.len);
    case MEND_T_I64:  return value_int(VALUE_INT64, prop->i64);
    case MEND_T_F64:  return value_double(VALUE_DOUBLE, prop->f64);
    case MEND_T_BOOL: return value_bool(prop->i64 != 0);
    default:          return value_null();
    }
}

AmqpMessage *amqp_from_msg(const mend_msg *msg, GError **error)
{
    g_autoptr(AmqpMessage) m = amqp_message_new();

    m->durable = msg->durable != 0;
    m->priority = msg->priority;
    m->ttl_ms = (uint32_t) CLAMP(msg->ttl_us / US_PER_MS, 0, UINT32_MAX);
    m->delivery_count = msg->delivery_count;
    m->created_ms = msg->created_us / US_PER_MS;
    m->subject = str_dup(msg->subject);
    m->message_id = str_dup(msg->message_id);
    m->correlation_id = str_dup(msg->correlation_id);
    m->reply_to = str_dup(msg->reply_to);
    m->content_type = str_dup(msg->content_type);
    for (size_t i = 0; i < msg->n_props; i++) {
        g_autofree char *key = str_dup(msg->props[i].key);

        if (key != NULL)
            amqp_message_set_property(m, key, prop_value(&msg->props[i]));
    }
    if (msg->body_kind == MEND_BODY_DATA) {
        m->body_kind = AMQP_BODY_DATA;
        m->data = g_bytes_new(msg->body.ptr, msg->body.len);
    } else if (msg->body_kind == MEND_BODY_VALUE) {
        m->body_kind = AMQP_BODY_VALUE;
        m->body = amqp_value_decode(msg->body.ptr, msg->body.len, error);
        if (m->body == NULL)
            return NULL;
    }
    return g_steal_pointer(&m);
}
