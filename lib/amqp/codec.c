/* An own decoder instead of proton's: pn_data_t keeps its tree in 16-bit node numbers, and malformed input has reached asserts in
 * it. Here every length is checked against what is left before anything is made, an array's elements against their constructor,
 * and what one message may make us allocate is bounded by CODEC_ITEMS_MAX whatever its bytes say (an array of four thousand million
 * nulls takes seven bytes on the wire).
 *
 * Writing is canonical: the shortest form of each type. A compound is written behind a short head (constructor, size and count in
 * one byte each) and moved up only when it turned out long; on this bus that is rare. */
#include "lib/amqp/codec.h"

#include "lib/amqp/message.h"
#include "lib/base/uuid.h"

#include <string.h>

#define SHORT_HEAD 3 /* constructor, size, count in one byte each */
#define LONG_HEAD  9 /* constructor, size, count in four bytes each */

/* ---- reading ---- */

static void *malformed(const Reader *reader, GError **error, const char *what)
{
    g_set_error(error, AMQP_MESSAGE_ERROR, AMQP_MESSAGE_ERROR_MALFORMED, "byte %zu: %s", reader->at, what);
    return NULL;
}

static size_t left(const Reader *reader)
{
    return reader->n_bytes - reader->at;
}

static bool take(Reader *reader, size_t n_bytes, const uint8_t **ret_bytes, GError **error)
{
    if (left(reader) < n_bytes) {
        malformed(reader, error, "ends inside a value");
        return false;
    }
    *ret_bytes = reader->bytes + reader->at;
    reader->at += n_bytes;
    return true;
}

static bool take_uint(Reader *reader, size_t width, uint64_t *ret, GError **error)
{
    const uint8_t *bytes;
    uint64_t v = 0;

    if (!take(reader, width, &bytes, error))
        return false;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | bytes[i];
    *ret = v;
    return true;
}

static Value *read_body(Reader *reader, uint8_t code, GError **error);

static bool count_items(Reader *reader, uint64_t n, GError **error)
{
    if (n > CODEC_ITEMS_MAX - reader->items) {
        g_set_error(error, AMQP_MESSAGE_ERROR, AMQP_MESSAGE_ERROR_LIMIT, "byte %zu: more than %d values", reader->at,
                    CODEC_ITEMS_MAX);
        return false;
    }
    reader->items += (unsigned) n;
    return true;
}

static bool descend(Reader *reader, GError **error)
{
    if (reader->depth >= CODEC_DEPTH_MAX) {
        g_set_error(error, AMQP_MESSAGE_ERROR, AMQP_MESSAGE_ERROR_LIMIT, "byte %zu: nested deeper than %d", reader->at,
                    CODEC_DEPTH_MAX);
        return false;
    }
    reader->depth++;
    return true;
}

static int64_t sign_extend(uint64_t v, size_t width)
{
    unsigned shift = (unsigned) (64 - 8 * width);

    return (int64_t) (v << shift) >> shift;
}

static Value *read_fixed(Reader *reader, ValueType type, size_t width, GError **error)
{
    uint64_t bits;
    union { uint32_t u; float f; } small;
    union { uint64_t u; double d; } large;

    if (!take_uint(reader, width, &bits, error))
        return NULL;
    switch (type) {
    case VALUE_BOOL: return bits > 1 ? malformed(reader, error, "boolean is neither 0 nor 1") : value_bool(bits != 0);
    case VALUE_FLOAT: small.u = (uint32_t) bits; return value_double(VALUE_FLOAT, small.f);
    case VALUE_DOUBLE: large.u = bits; return value_double(VALUE_DOUBLE, large.d);
    case VALUE_INT8:
    case VALUE_INT16:
    case VALUE_INT32:
    case VALUE_INT64:
    case VALUE_TIMESTAMP: return value_int(type, sign_extend(bits, width));
    default: return value_uint(type, bits);
    }
}

static Value *read_bytes(Reader *reader, ValueType type, size_t length_width, GError **error)
{
    const uint8_t *bytes;
    uint64_t n_bytes;

    if (!take_uint(reader, length_width, &n_bytes, error) || !take(reader, n_bytes, &bytes, error))
        return NULL;
    return value_bytes(type, bytes, n_bytes);
}

static Value *read_raw(Reader *reader, size_t n_bytes, ValueType type, GError **error)
{
    const uint8_t *bytes;

    if (!take(reader, n_bytes, &bytes, error))
        return NULL;
    return type == VALUE_UUID ? value_uuid(bytes) : value_bytes(VALUE_BINARY, bytes, n_bytes);
}

static Value *read_described(Reader *reader, GError **error)
{
    g_autoptr(Value) descriptor = NULL;
    Value *value;

    if (!descend(reader, error) || (descriptor = codec_read(reader, error)) == NULL || (value = codec_read(reader, error)) == NULL)
        return NULL;
    reader->depth--;
    return value_described(g_steal_pointer(&descriptor), value);
}

/* A reader for the contents of a compound whose size comes next; the outer one is moved behind it. */
static bool enter(Reader *outer, size_t width, Reader *ret_inner, uint64_t *ret_count, GError **error)
{
    uint64_t size;

    if (!take_uint(outer, width, &size, error))
        return false;
    if (size > left(outer) || size < width) {
        malformed(outer, error, "compound is longer than what it is in");
        return false;
    }
    *ret_inner = *outer;
    ret_inner->n_bytes = outer->at + size;
    outer->at += size;
    return take_uint(ret_inner, width, ret_count, error) && descend(ret_inner, error);
}

static bool leave(Reader *outer, const Reader *inner, GError **error)
{
    if (left(inner) > 0) {
        malformed(inner, error, "compound has bytes behind its last item");
        return false;
    }
    outer->items = inner->items;
    return true;
}

static Value *read_list(Reader *reader, size_t width, GError **error)
{
    g_autoptr(Value) list = value_list();
    Reader inner;
    uint64_t count;

    if (!enter(reader, width, &inner, &count, error))
        return NULL;
    if (count > left(&inner))
        return malformed(&inner, error, "list has fewer items than it says");
    for (uint64_t i = 0; i < count; i++) {
        Value *item = codec_read(&inner, error);
        if (item == NULL)
            return NULL;
        value_append(list, item);
    }
    return leave(reader, &inner, error) ? g_steal_pointer(&list) : NULL;
}

static char *key_text(const Value *key)
{
    int64_t integer;
    uint64_t natural;
    char uuid[UUID_TEXT_SIZE];

    if (value_as_string(key) != NULL)
        return g_strdup(value_as_string(key));
    if (value_as_int(key, &integer))
        return g_strdup_printf("%" G_GINT64_FORMAT, integer);
    if (value_as_uint(key, &natural))
        return g_strdup_printf("%" G_GUINT64_FORMAT, natural);
    if (value_as_uuid(key) == NULL)
        return NULL;
    uuid_from_bytes(value_as_uuid(key), uuid);
    return g_strdup(uuid);
}

static bool read_entry(Reader *reader, Value *map, GError **error)
{
    g_autoptr(Value) key = codec_read(reader, error);
    g_autofree char *text = NULL;
    Value *item;

    if (key == NULL)
        return false;
    text = key_text(key);
    if (text == NULL) {
        malformed(reader, error, "key of a map is no text");
        return false;
    }
    item = codec_read(reader, error);
    if (item == NULL)
        return false;
    value_set(map, text, item);
    return true;
}

static Value *read_map(Reader *reader, size_t width, GError **error)
{
    g_autoptr(Value) map = value_map();
    Reader inner;
    uint64_t count;

    if (!enter(reader, width, &inner, &count, error))
        return NULL;
    if (count % 2 != 0 || count > left(&inner))
        return malformed(&inner, error, "map has fewer items than it says, or a key without a value");
    for (uint64_t i = 0; i < count; i += 2)
        if (!read_entry(&inner, map, error))
            return NULL;
    return leave(reader, &inner, error) ? g_steal_pointer(&map) : NULL;
}

static Value *read_array_item(Reader *reader, uint8_t code, const Value *descriptor, GError **error)
{
    Value *item = read_body(reader, code, error);

    if (item == NULL || descriptor == NULL)
        return item;
    return value_described(value_ref((Value *) descriptor), item);
}

static Value *read_array(Reader *reader, size_t width, GError **error)
{
    g_autoptr(Value) list = value_list();
    g_autoptr(Value) descriptor = NULL;
    Reader inner;
    uint64_t count, code;

    if (!enter(reader, width, &inner, &count, error) || !count_items(&inner, count, error) || !take_uint(&inner, 1, &code, error))
        return NULL;
    if (code == 0) {
        descriptor = codec_read(&inner, error);
        if (descriptor == NULL || !take_uint(&inner, 1, &code, error))
            return NULL;
        if (code == 0)
            return malformed(&inner, error, "array of values described twice");
    }
    for (uint64_t i = 0; i < count; i++) {
        Value *item = read_array_item(&inner, (uint8_t) code, descriptor, error);
        if (item == NULL)
            return NULL;
        value_append(list, item);
    }
    return leave(reader, &inner, error) ? g_steal_pointer(&list) : NULL;
}

static Value *read_body(Reader *reader, uint8_t code, GError **error)
{
    switch (code) {
    case 0x40: return value_null();
    case 0x41: return value_bool(true);
    case 0x42: return value_bool(false);
    case 0x43: return value_uint(VALUE_UINT32, 0);
    case 0x44: return value_uint(VALUE_UINT64, 0);
    case 0x45: return value_list();
    case 0x50: return read_fixed(reader, VALUE_UINT8, 1, error);
    case 0x51: return read_fixed(reader, VALUE_INT8, 1, error);
    case 0x52: return read_fixed(reader, VALUE_UINT32, 1, error);
    case 0x53: return read_fixed(reader, VALUE_UINT64, 1, error);
    case 0x54: return read_fixed(reader, VALUE_INT32, 1, error);
    case 0x55: return read_fixed(reader, VALUE_INT64, 1, error);
    case 0x56: return read_fixed(reader, VALUE_BOOL, 1, error);
    case 0x60: return read_fixed(reader, VALUE_UINT16, 2, error);
    case 0x61: return read_fixed(reader, VALUE_INT16, 2, error);
    case 0x70: return read_fixed(reader, VALUE_UINT32, 4, error);
    case 0x71: return read_fixed(reader, VALUE_INT32, 4, error);
    case 0x72: return read_fixed(reader, VALUE_FLOAT, 4, error);
    case 0x73: return read_fixed(reader, VALUE_UINT32, 4, error);  /* char */
    case 0x74: return read_raw(reader, 4, VALUE_BINARY, error);    /* decimal32 */
    case 0x80: return read_fixed(reader, VALUE_UINT64, 8, error);
    case 0x81: return read_fixed(reader, VALUE_INT64, 8, error);
    case 0x82: return read_fixed(reader, VALUE_DOUBLE, 8, error);
    case 0x83: return read_fixed(reader, VALUE_TIMESTAMP, 8, error);
    case 0x84: return read_raw(reader, 8, VALUE_BINARY, error);    /* decimal64 */
    case 0x94: return read_raw(reader, 16, VALUE_BINARY, error);   /* decimal128 */
    case 0x98: return read_raw(reader, 16, VALUE_UUID, error);
    case 0xa0: return read_bytes(reader, VALUE_BINARY, 1, error);
    case 0xa1: return read_bytes(reader, VALUE_STRING, 1, error);
    case 0xa3: return read_bytes(reader, VALUE_SYMBOL, 1, error);
    case 0xb0: return read_bytes(reader, VALUE_BINARY, 4, error);
    case 0xb1: return read_bytes(reader, VALUE_STRING, 4, error);
    case 0xb3: return read_bytes(reader, VALUE_SYMBOL, 4, error);
    case 0xc0: return read_list(reader, 1, error);
    case 0xc1: return read_map(reader, 1, error);
    case 0xd0: return read_list(reader, 4, error);
    case 0xd1: return read_map(reader, 4, error);
    case 0xe0: return read_array(reader, 1, error);
    case 0xf0: return read_array(reader, 4, error);
    default: return malformed(reader, error, "no such type");
    }
}

Value *codec_read(Reader *reader, GError **error)
{
    uint64_t code;

    if (!count_items(reader, 1, error) || !take_uint(reader, 1, &code, error))
        return NULL;
    return code == 0 ? read_described(reader, error) : read_body(reader, (uint8_t) code, error);
}

/* ---- writing ---- */

static void put_code(GByteArray *out, uint8_t code)
{
    g_byte_array_append(out, &code, 1);
}

static void put(GByteArray *out, uint8_t code, uint64_t v, size_t width)
{
    uint8_t bytes[9] = { code };

    for (size_t i = 0; i < width; i++)
        bytes[1 + i] = (uint8_t) (v >> 8 * (width - 1 - i));
    g_byte_array_append(out, bytes, (guint) (1 + width));
}

void codec_write_descriptor(GByteArray *out, uint8_t code)
{
    const uint8_t bytes[] = { 0x00, 0x53, code };

    g_byte_array_append(out, bytes, sizeof bytes);
}

void codec_write_bytes(GByteArray *out, ValueType type, const void *bytes, size_t n_bytes)
{
    uint8_t code = type == VALUE_STRING ? 0xa1 : type == VALUE_SYMBOL ? 0xa3 : 0xa0;

    if (n_bytes <= 255)
        put(out, code, n_bytes, 1);
    else
        put(out, code | 0x10, n_bytes, 4);
    if (n_bytes > 0)
        g_byte_array_append(out, bytes, (guint) n_bytes);
}

void codec_write_uint(GByteArray *out, ValueType type, uint64_t v)
{
    switch (type) {
    case VALUE_UINT8: put(out, 0x50, v, 1); break;
    case VALUE_UINT16: put(out, 0x60, v, 2); break;
    case VALUE_UINT32:
        if (v == 0)
            put_code(out, 0x43);
        else
            v <= 255 ? put(out, 0x52, v, 1) : put(out, 0x70, v, 4);
        break;
    default:
        if (v == 0)
            put_code(out, 0x44);
        else
            v <= 255 ? put(out, 0x53, v, 1) : put(out, 0x80, v, 8);
        break;
    }
}

static void write_int(GByteArray *out, ValueType type, int64_t v)
{
    bool small = v >= INT8_MIN && v <= INT8_MAX;

    switch (type) {
    case VALUE_INT8: put(out, 0x51, (uint64_t) v, 1); break;
    case VALUE_INT16: put(out, 0x61, (uint64_t) v, 2); break;
    case VALUE_INT32: small ? put(out, 0x54, (uint64_t) v, 1) : put(out, 0x71, (uint64_t) v, 4); break;
    case VALUE_INT64: small ? put(out, 0x55, (uint64_t) v, 1) : put(out, 0x81, (uint64_t) v, 8); break;
    default: put(out, 0x83, (uint64_t) v, 8); break;
    }
}

size_t codec_compound_begin(GByteArray *out)
{
    size_t begin = out->len;

    g_byte_array_set_size(out, (guint) (begin + SHORT_HEAD));
    return begin;
}

void codec_compound_end(GByteArray *out, size_t begin, ValueType type, uint32_t count)
{
    size_t n_bytes = out->len - begin - SHORT_HEAD;
    uint8_t code = type == VALUE_MAP ? 0xc1 : 0xc0;
    uint32_t head[2];

    if (count == 0 && type == VALUE_LIST) {
        g_byte_array_set_size(out, (guint) begin);
        put_code(out, 0x45);
    } else if (n_bytes + 1 <= 255 && count <= 255) {
        out->data[begin] = code;
        out->data[begin + 1] = (uint8_t) (n_bytes + 1);
        out->data[begin + 2] = (uint8_t) count;
    } else {
        g_byte_array_set_size(out, (guint) (out->len + LONG_HEAD - SHORT_HEAD));
        memmove(out->data + begin + LONG_HEAD, out->data + begin + SHORT_HEAD, n_bytes);
        out->data[begin] = code | 0x10;
        head[0] = GUINT32_TO_BE((uint32_t) (n_bytes + 4));
        head[1] = GUINT32_TO_BE(count);
        memcpy(out->data + begin + 1, head, sizeof head);
    }
}

static void write_map(GByteArray *out, const Value *map, bool symbol_keys)
{
    size_t begin = codec_compound_begin(out), i;
    const char *key;
    const Value *item;

    for (i = 0; value_entry(map, i, &key, &item); i++) {
        codec_write_bytes(out, symbol_keys ? VALUE_SYMBOL : VALUE_STRING, key, strlen(key));
        codec_write(out, item, false);
    }
    codec_compound_end(out, begin, VALUE_MAP, (uint32_t) (2 * i));
}

static void write_list(GByteArray *out, const Value *list)
{
    size_t begin = codec_compound_begin(out), n = value_size(list);

    for (size_t i = 0; i < n; i++)
        codec_write(out, value_at(list, i), false);
    codec_compound_end(out, begin, VALUE_LIST, (uint32_t) n);
}

static void write_real(GByteArray *out, const Value *value)
{
    union { uint32_t u; float f; } small;
    union { uint64_t u; double d; } large = { .u = 0 };

    value_as_double(value, &large.d);
    small.f = (float) large.d;
    if (value_type(value) == VALUE_FLOAT)
        put(out, 0x72, small.u, 4);
    else
        put(out, 0x82, large.u, 8);
}

static void write_scalar(GByteArray *out, const Value *value)
{
    ValueType type = value_type(value);
    int64_t integer = 0;
    uint64_t natural = 0;
    size_t n_bytes = 0;
    const void *bytes = value_as_bytes(value, &n_bytes);

    if (bytes != NULL) {
        codec_write_bytes(out, type, bytes, n_bytes);
    } else if (type >= VALUE_UINT8 && type <= VALUE_UINT64) {
        value_as_uint(value, &natural);
        codec_write_uint(out, type, natural);
    } else {
        value_as_int(value, &integer);
        write_int(out, type, integer);
    }
}

void codec_write(GByteArray *out, const Value *value, bool symbol_keys)
{
    bool truth = false;

    switch (value_type(value)) {
    case VALUE_NULL: put_code(out, 0x40); break;
    case VALUE_BOOL: value_as_bool(value, &truth); put_code(out, truth ? 0x41 : 0x42); break;
    case VALUE_FLOAT:
    case VALUE_DOUBLE: write_real(out, value); break;
    case VALUE_UUID:
        put_code(out, 0x98);
        g_byte_array_append(out, value_as_uuid(value), 16);
        break;
    case VALUE_MAP: write_map(out, value, symbol_keys); break;
    case VALUE_LIST: write_list(out, value); break;
    case VALUE_DESCRIBED:
        put_code(out, 0x00);
        codec_write(out, value_descriptor(value), false);
        codec_write(out, value_described_value(value), symbol_keys);
        break;
    default: write_scalar(out, value); break;
    }
}
