/* Sections are read as values and their fields picked by position: AMQP's own lists are short, and one decoder to trust is better
 * than two. Order of sections is the specification's; a body may be absent (some senders) and amqp-value null counts as absent.
 * Without a body we send amqp-value null, since the specification wants a body and some brokers insist. */
#include "lib/amqp/message.h"

#include "lib/amqp/codec.h"
#include "lib/base/uuid.h"

#include <string.h>

G_DEFINE_QUARK(mend-amqp-message-error-quark, amqp_message_error)

enum {
    SECTION_HEADER = 0x70,
    SECTION_DELIVERY_ANNOTATIONS,
    SECTION_ANNOTATIONS,
    SECTION_PROPERTIES,
    SECTION_APPLICATION_PROPERTIES,
    SECTION_DATA,
    SECTION_SEQUENCE,
    SECTION_VALUE,
    SECTION_FOOTER,
};

static const struct {
    const char *symbol;
    uint64_t code;
} section_symbols[] = {
    { "amqp:header:list", SECTION_HEADER },
    { "amqp:delivery-annotations:map", SECTION_DELIVERY_ANNOTATIONS },
    { "amqp:message-annotations:map", SECTION_ANNOTATIONS },
    { "amqp:properties:list", SECTION_PROPERTIES },
    { "amqp:application-properties:map", SECTION_APPLICATION_PROPERTIES },
    { "amqp:data:binary", SECTION_DATA },
    { "amqp:amqp-sequence:list", SECTION_SEQUENCE },
    { "amqp:amqp-value:*", SECTION_VALUE },
    { "amqp:footer:map", SECTION_FOOTER },
};

AmqpMessage *amqp_message_new(void)
{
    AmqpMessage *message = g_new0(AmqpMessage, 1);

    message->priority = AMQP_PRIORITY_DEFAULT;
    return message;
}

void amqp_message_free(AmqpMessage *message)
{
    if (message == NULL)
        return;
    g_free(message->message_id);
    g_free(message->user_id);
    g_free(message->to);
    g_free(message->subject);
    g_free(message->reply_to);
    g_free(message->correlation_id);
    g_free(message->content_type);
    g_free(message->group_id);
    value_unref(message->annotations);
    value_unref(message->properties);
    g_clear_pointer(&message->data, g_bytes_unref);
    value_unref(message->body);
    g_free(message);
}

void amqp_message_set_property(AmqpMessage *message, const char *key, Value *value)
{
    if (message->properties == NULL)
        message->properties = value_map();
    value_set(message->properties, key, value);
}

const char *amqp_message_property(const AmqpMessage *message, const char *key)
{
    return value_get_string(message->properties, key);
}

/* ---- encoding ---- */

static void write_header(GByteArray *out, const AmqpMessage *m)
{
    bool priority = m->priority != AMQP_PRIORITY_DEFAULT;
    uint32_t count = m->delivery_count > 0 ? 5 : m->ttl_ms > 0 ? 3 : priority ? 2 : m->durable ? 1 : 0;
    const uint8_t null = 0x40, truth = 0x41, falsehood = 0x42;
    size_t begin;

    if (count == 0)
        return;
    codec_write_descriptor(out, SECTION_HEADER);
    begin = codec_compound_begin(out);
    g_byte_array_append(out, m->durable ? &truth : &falsehood, 1);
    if (count > 1 && priority)
        codec_write_uint(out, VALUE_UINT8, m->priority);
    else if (count > 1)
        g_byte_array_append(out, &null, 1);
    if (count > 2 && m->ttl_ms > 0)
        codec_write_uint(out, VALUE_UINT32, m->ttl_ms);
    else if (count > 2)
        g_byte_array_append(out, &null, 1);
    if (count > 3) {
        g_byte_array_append(out, &null, 1); /* first-acquirer */
        codec_write_uint(out, VALUE_UINT32, m->delivery_count);
    }
    codec_compound_end(out, begin, VALUE_LIST, count);
}

typedef struct Field {
    ValueType type;
    const char *text;
    int64_t integer;
} Field;

static bool field_present(const Field *field)
{
    return field->text != NULL || field->integer != 0;
}

static void write_field(GByteArray *out, const Field *field)
{
    const uint8_t null = 0x40;
    uint8_t timestamp[9] = { 0x83 };
    uint64_t bits = GUINT64_TO_BE((uint64_t) field->integer);

    if (!field_present(field)) {
        g_byte_array_append(out, &null, 1);
    } else if (field->text != NULL) {
        codec_write_bytes(out, field->type, field->text, strlen(field->text));
    } else if (field->type == VALUE_UINT32) {
        codec_write_uint(out, VALUE_UINT32, (uint64_t) field->integer);
    } else {
        memcpy(timestamp + 1, &bits, sizeof bits);
        g_byte_array_append(out, timestamp, sizeof timestamp);
    }
}

static void write_properties(GByteArray *out, const AmqpMessage *m)
{
    const Field fields[] = {
        { VALUE_STRING, m->message_id, 0 },
        { VALUE_BINARY, m->user_id, 0 },
        { VALUE_STRING, m->to, 0 },
        { VALUE_STRING, m->subject, 0 },
        { VALUE_STRING, m->reply_to, 0 },
        { VALUE_STRING, m->correlation_id, 0 },
        { VALUE_SYMBOL, m->content_type, 0 },
        { VALUE_SYMBOL, NULL, 0 }, /* content-encoding */
        { VALUE_TIMESTAMP, NULL, m->expires_ms },
        { VALUE_TIMESTAMP, NULL, m->created_ms },
        { VALUE_STRING, m->group_id, 0 },
        { VALUE_UINT32, NULL, m->group_sequence },
    };
    size_t count = G_N_ELEMENTS(fields), begin;

    while (count > 0 && !field_present(&fields[count - 1]))
        count--;
    if (count == 0)
        return;
    codec_write_descriptor(out, SECTION_PROPERTIES);
    begin = codec_compound_begin(out);
    for (size_t i = 0; i < count; i++)
        write_field(out, &fields[i]);
    codec_compound_end(out, begin, VALUE_LIST, (uint32_t) count);
}

static void write_body(GByteArray *out, const AmqpMessage *m)
{
    gsize n_bytes = 0;
    const void *bytes;

    switch (m->body_kind) {
    case AMQP_BODY_DATA:
        codec_write_descriptor(out, SECTION_DATA);
        bytes = m->data == NULL ? NULL : g_bytes_get_data(m->data, &n_bytes);
        codec_write_bytes(out, VALUE_BINARY, bytes, n_bytes);
        break;
    case AMQP_BODY_SEQUENCE:
        codec_write_descriptor(out, SECTION_SEQUENCE);
        if (value_type(m->body) == VALUE_LIST)
            codec_write(out, m->body, false);
        else
            codec_compound_end(out, codec_compound_begin(out), VALUE_LIST, 0);
        break;
    default:
        codec_write_descriptor(out, SECTION_VALUE);
        codec_write(out, m->body_kind == AMQP_BODY_VALUE ? m->body : NULL, false);
        break;
    }
}

GBytes *amqp_message_encode(const AmqpMessage *message)
{
    gsize body = message->data == NULL ? 0 : g_bytes_get_size(message->data);
    GByteArray *out = g_byte_array_sized_new((guint) (body + 256));

    write_header(out, message);
    if (value_size(message->annotations) > 0) {
        codec_write_descriptor(out, SECTION_ANNOTATIONS);
        codec_write(out, message->annotations, true);
    }
    write_properties(out, message);
    if (value_size(message->properties) > 0) {
        codec_write_descriptor(out, SECTION_APPLICATION_PROPERTIES);
        codec_write(out, message->properties, false);
    }
    write_body(out, message);
    return g_byte_array_free_to_bytes(out);
}

/* ---- decoding ---- */

static bool refuse(GError **error, const char *what)
{
    g_set_error_literal(error, AMQP_MESSAGE_ERROR, AMQP_MESSAGE_ERROR_MALFORMED, what);
    return false;
}

/* Any id as text: AMQP allows ulong, uuid, binary and string. (transfer full) */
static char *id_text(const Value *value)
{
    uint64_t natural;
    char uuid[UUID_TEXT_SIZE];
    size_t n_bytes = 0;
    const uint8_t *bytes = value_as_bytes(value, &n_bytes);
    GString *hex;

    if (value_as_string(value) != NULL)
        return g_strdup(value_as_string(value));
    if (value_as_uint(value, &natural))
        return g_strdup_printf("%" G_GUINT64_FORMAT, natural);
    if (value_as_uuid(value) != NULL) {
        uuid_from_bytes(value_as_uuid(value), uuid);
        return g_strdup(uuid);
    }
    if (bytes == NULL)
        return NULL;
    hex = g_string_sized_new(2 * n_bytes);
    for (size_t i = 0; i < n_bytes; i++)
        g_string_append_printf(hex, "%02x", bytes[i]);
    return g_string_free(hex, FALSE);
}

static uint32_t field_uint32(const Value *list, size_t i)
{
    int64_t v = 0;

    return value_as_int(value_at(list, i), &v) && v >= 0 && v <= UINT32_MAX ? (uint32_t) v : 0;
}

static int64_t field_time(const Value *list, size_t i)
{
    int64_t v = 0;

    value_as_int(value_at(list, i), &v);
    return v;
}

static void read_header(AmqpMessage *m, const Value *list)
{
    int64_t priority;

    value_as_bool(value_at(list, 0), &m->durable);
    if (value_as_int(value_at(list, 1), &priority) && priority >= 0 && priority <= UINT8_MAX)
        m->priority = (uint8_t) priority;
    m->ttl_ms = field_uint32(list, 2);
    m->delivery_count = field_uint32(list, 4);
}

static void read_properties(AmqpMessage *m, const Value *list)
{
    m->message_id = id_text(value_at(list, 0));
    m->user_id = id_text(value_at(list, 1));
    m->to = id_text(value_at(list, 2));
    m->subject = id_text(value_at(list, 3));
    m->reply_to = id_text(value_at(list, 4));
    m->correlation_id = id_text(value_at(list, 5));
    m->content_type = id_text(value_at(list, 6));
    m->expires_ms = field_time(list, 8);
    m->created_ms = field_time(list, 9);
    m->group_id = id_text(value_at(list, 10));
    m->group_sequence = field_uint32(list, 11);
}

static bool read_data(AmqpMessage *m, GByteArray **data, const Value *value, GError **error)
{
    size_t n_bytes = 0;
    const void *bytes = value_as_bytes(value, &n_bytes);

    if (value_type(value) != VALUE_BINARY)
        return refuse(error, "data section is not binary");
    m->body_kind = AMQP_BODY_DATA;
    if (*data == NULL)
        *data = g_byte_array_sized_new((guint) n_bytes);
    g_byte_array_append(*data, bytes, (guint) n_bytes);
    return true;
}

static bool read_sequence(AmqpMessage *m, const Value *list, GError **error)
{
    if (value_type(list) != VALUE_LIST)
        return refuse(error, "amqp-sequence section is not a list");
    m->body_kind = AMQP_BODY_SEQUENCE;
    if (m->body == NULL)
        m->body = value_list();
    for (size_t i = 0; i < value_size(list); i++)
        value_append(m->body, value_ref((Value *) value_at(list, i)));
    return true;
}

static bool read_map_section(Value **ret_map, const Value *map, GError **error)
{
    if (value_type(map) != VALUE_MAP)
        return refuse(error, "annotations or application-properties are not a map");
    *ret_map = value_ref((Value *) map);
    return true;
}

static bool section_code(const Value *section, uint64_t *ret_code)
{
    const char *symbol = value_as_string(value_descriptor(section));

    if (value_type(section) != VALUE_DESCRIBED)
        return false;
    if (value_as_uint(value_descriptor(section), ret_code))
        return true;
    for (size_t i = 0; symbol != NULL && i < G_N_ELEMENTS(section_symbols); i++)
        if (strcmp(symbol, section_symbols[i].symbol) == 0) {
            *ret_code = section_symbols[i].code;
            return true;
        }
    return false;
}

/* After this body section, is another of the same kind allowed? Others come once, in order. */
static bool section_follows(uint64_t code, uint64_t last)
{
    bool body = last >= SECTION_DATA && last <= SECTION_VALUE;

    if (code == last)
        return code == SECTION_DATA || code == SECTION_SEQUENCE;
    return code > last && code <= SECTION_FOOTER && !(body && code < SECTION_FOOTER);
}

static bool read_section(AmqpMessage *m, GByteArray **data, uint64_t code, const Value *value, GError **error)
{
    switch (code) {
    case SECTION_HEADER:
    case SECTION_PROPERTIES:
        if (value_type(value) != VALUE_LIST)
            return refuse(error, "header or properties are not a list");
        if (code == SECTION_HEADER)
            read_header(m, value);
        else
            read_properties(m, value);
        return true;
    case SECTION_ANNOTATIONS: return read_map_section(&m->annotations, value, error);
    case SECTION_APPLICATION_PROPERTIES: return read_map_section(&m->properties, value, error);
    case SECTION_DATA: return read_data(m, data, value, error);
    case SECTION_SEQUENCE: return read_sequence(m, value, error);
    case SECTION_VALUE:
        m->body_kind = value_type(value) == VALUE_NULL ? AMQP_BODY_NONE : AMQP_BODY_VALUE;
        m->body = m->body_kind == AMQP_BODY_NONE ? NULL : value_ref((Value *) value);
        return true;
    default: return true; /* delivery annotations and footer are for hops and are not kept */
    }
}

AmqpMessage *amqp_message_decode(const void *bytes, size_t n_bytes, GError **error)
{
    g_autoptr(AmqpMessage) message = amqp_message_new();
    Reader reader = { .bytes = bytes, .n_bytes = n_bytes };
    g_autoptr(GByteArray) data = NULL; /* data sections so far */
    uint64_t code = 0, last = 0;

    if (n_bytes == 0) {
        refuse(error, "message without a byte");
        return NULL;
    }
    while (reader.at < n_bytes) {
        size_t at = reader.at;
        g_autoptr(Value) section = codec_read(&reader, error);
        if (section == NULL)
            return NULL;
        if (!section_code(section, &code) || code < SECTION_HEADER || !section_follows(code, last)) {
            g_set_error(error, AMQP_MESSAGE_ERROR, AMQP_MESSAGE_ERROR_MALFORMED, "byte %zu: no section of a message may stand here", at);
            return NULL;
        }
        if (!read_section(message, &data, code, value_described_value(section), error))
            return NULL;
        last = code;
    }
    if (data != NULL)
        message->data = g_byte_array_free_to_bytes(g_steal_pointer(&data));
    return g_steal_pointer(&message);
}

GByteArray *amqp_value_encode(const Value *value)
{
    GByteArray *out = g_byte_array_new();

    codec_write(out, value, false);
    return out;
}

Value *amqp_value_decode(const void *bytes, size_t n_bytes, GError **error)
{
    Reader reader = { .bytes = bytes, .n_bytes = n_bytes };
    g_autoptr(Value) value = codec_read(&reader, error);

    if (value != NULL && reader.at < n_bytes) {
        refuse(error, "bytes behind the value");
        return NULL;
    }
    return g_steal_pointer(&value);
}
