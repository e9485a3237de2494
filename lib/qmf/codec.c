/* A 0-10 value is a type byte and a content whose length the type tells (fixed, or a length of one, two or four bytes in front). Maps
 * and lists carry both their size and their count, and the two can disagree: the size is the border nothing inside may cross, the
 * count says how many items must be there, and bytes left over inside the border are an error. So is a length that points behind the
 * end, whatever the allocation it would ask for: nothing is reserved from a number a peer wrote.
 *
 * The types are those libqmf2 and qpidd put on the wire, plus the rest of 0-10's fixed widths (char, bin8 …), read as what they
 * come nearest to, because a peer that sends one is odd but not wrong. str8 and str16 in latin-1 and UTF-16 become UTF-8. */
#include "lib/qmf/codec.h"
#include "lib/qmf/message.h"

#include <inttypes.h>
#include <string.h>

enum { /* type bytes of AMQP 0-10 */
    T_INT8 = 0x01, T_UINT8 = 0x02, T_CHAR = 0x04, T_BOOL = 0x08, T_INT16 = 0x11, T_UINT16 = 0x12, T_INT32 = 0x21, T_UINT32 = 0x22,
    T_FLOAT = 0x23, T_INT64 = 0x31, T_UINT64 = 0x32, T_DOUBLE = 0x33, T_DATETIME = 0x38, T_UUID = 0x48,
    T_VBIN8 = 0x80, T_STR8_LATIN = 0x84, T_STR8 = 0x85, T_STR8_UTF16 = 0x86,
    T_VBIN16 = 0x90, T_STR16_LATIN = 0x94, T_STR16 = 0x95, T_STR16_UTF16 = 0x96,
    T_VBIN32 = 0xa0, T_MAP = 0xa8, T_LIST = 0xa9, T_ARRAY = 0xaa, T_BIN8 = 0x00, T_VOID = 0xf0, T_BIT = 0xf1,
};

/* --- writing --- */

static void put_uint(GByteArray *out, uint64_t v, unsigned width)
{
    uint8_t bytes[8];

    for (unsigned i = 0; i < width; i++)
        bytes[i] = (uint8_t) (v >> (8 * (width - 1 - i)));
    g_byte_array_append(out, bytes, width);
}

static void put_typed(GByteArray *out, uint8_t type, uint64_t v, unsigned width)
{
    g_byte_array_append(out, &type, 1);
    put_uint(out, v, width);
}

static void put_bytes(GByteArray *out, uint8_t short_type, const void *bytes, size_t n)
{
    if (n <= UINT16_MAX)
        put_typed(out, short_type, n, 2);
    else
        put_typed(out, T_VBIN32, n, 4);
    g_byte_array_append(out, bytes, (guint) n);
}

static void put_items(GByteArray *out, const Value *value);

static void put_compound(GByteArray *out, const Value *value)
{
    uint8_t type = value_type(value) == VALUE_MAP ? T_MAP : T_LIST;

    g_byte_array_append(out, &type, 1);
    put_items(out, value);
}

static void put_number(GByteArray *out, const Value *value)
{
    int64_t v = 0;
    uint64_t u = 0;
    double d = 0;
    float f;

    switch (value_type(value)) {
    case VALUE_UINT64:
        value_as_uint(value, &u);
        put_typed(out, T_UINT64, u, 8);
        return;
    case VALUE_FLOAT: {
        uint32_t raw;

        value_as_double(value, &d);
        f = (float) d;
        memcpy(&raw, &f, 4);
        put_typed(out, T_FLOAT, raw, 4);
        return;
    }
    case VALUE_DOUBLE:
        value_as_double(value, &d);
        memcpy(&u, &d, 8);
        put_typed(out, T_DOUBLE, u, 8);
        return;
    default: break;
    }
    value_as_int(value, &v);
    switch (value_type(value)) {
    case VALUE_INT8:   put_typed(out, T_INT8, (uint64_t) v, 1); break;
    case VALUE_INT16:  put_typed(out, T_INT16, (uint64_t) v, 2); break;
    case VALUE_INT32:  put_typed(out, T_INT32, (uint64_t) v, 4); break;
    case VALUE_INT64:  put_typed(out, T_INT64, (uint64_t) v, 8); break;
    case VALUE_UINT8:  put_typed(out, T_UINT8, (uint64_t) v, 1); break;
    case VALUE_UINT16: put_typed(out, T_UINT16, (uint64_t) v, 2); break;
    case VALUE_UINT32: put_typed(out, T_UINT32, (uint64_t) v, 4); break;
    default:           put_typed(out, T_DATETIME, (uint64_t) v, 8); break;
    }
}

static void put_value(GByteArray *out, const Value *value)
{
    size_t n = 0;
    const void *bytes;
    bool truth = false;

    switch (value == NULL ? VALUE_NULL : value_type(value)) {
    case VALUE_BOOL:
        value_as_bool(value, &truth);
        put_typed(out, T_BOOL, truth, 1);
        break;
    case VALUE_UUID:
        put_typed(out, T_UUID, 0, 0);
        g_byte_array_append(out, value_as_uuid(value), 16);
        break;
    case VALUE_BINARY:
        bytes = value_as_bytes(value, &n);
        put_bytes(out, T_VBIN16, bytes, n);
        break;
    case VALUE_STRING:
    case VALUE_SYMBOL:
        bytes = value_as_bytes(value, &n);
        put_bytes(out, T_STR16, bytes, n);
        break;
    case VALUE_MAP:
    case VALUE_LIST:      put_compound(out, value); break;
    case VALUE_DESCRIBED: put_value(out, value_described_value(value)); break;
    case VALUE_NULL:      put_typed(out, T_VOID, 0, 0); break;
    default:              put_number(out, value); break;
    }
}

static uint32_t put_entries(GByteArray *out, const Value *map)
{
    const char *key;
    const Value *item;
    uint32_t count = 0;

    for (size_t i = 0; value_entry(map, i, &key, &item); i++) {
        size_t length = strlen(key);

        if (length > UINT8_MAX)
            continue;
        put_uint(out, length, 1);
        g_byte_array_append(out, (const uint8_t *) key, (guint) length);
        put_value(out, item);
        count++;
    }
    return count;
}

static void put_items(GByteArray *out, const Value *value)
{
    guint start = out->len;
    uint32_t count = (uint32_t) value_size(value), ordered;

    put_uint(out, 0, 8); /* size and count, known at the end */
    if (value_type(value) == VALUE_MAP)
        count = put_entries(out, value);
    else
        for (size_t i = 0; i < count; i++)
            put_value(out, value_at(value, i));
    ordered = GUINT32_TO_BE((uint32_t) (out->len - start - 4));
    memcpy(out->data + start, &ordered, 4);
    ordered = GUINT32_TO_BE(count);
    memcpy(out->data + start + 4, &ordered, 4);
}

GByteArray *qmf_0_10_encode(const Value *map_or_list)
{
    GByteArray *out = g_byte_array_new();

    if (map_or_list == NULL)
        put_typed(out, 0, 0, 7), out->data[3] = 4;
    else
        put_items(out, map_or_list);
    return out;
}

/* --- reading --- */

typedef struct Reader {
    const uint8_t *start, *at, *end; /* end: border of the innermost map or list */
    unsigned depth;
    size_t items;
    GError **error;
} Reader;

static void *fail(const Reader *r, QmfErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);
static void *fail(const Reader *r, QmfErrorCode code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(r->error, QMF_ERROR, (int) code, "byte %zu: %s", (size_t) (r->at - r->start), what);
    return NULL;
}

static bool take(Reader *r, size_t n, const uint8_t **ret_bytes)
{
    if ((size_t) (r->end - r->at) < n) {
        fail(r, QMF_ERROR_MALFORMED, "%zu bytes announced, %zu there", n, (size_t) (r->end - r->at));
        return false;
    }
    *ret_bytes = r->at;
    r->at += n;
    return true;
}

static bool take_uint(Reader *r, unsigned width, uint64_t *ret)
{
    const uint8_t *bytes;
    uint64_t v = 0;

    if (!take(r, width, &bytes))
        return false;
    for (unsigned i = 0; i < width; i++)
        v = v << 8 | bytes[i];
    *ret = v;
    return true;
}

static Value *read_number(Reader *r, uint8_t type)
{
    static const struct {
        uint8_t type, width;
        ValueType value;
    } rows[] = {
        { T_INT8, 1, VALUE_INT8 },     { T_UINT8, 1, VALUE_UINT8 },   { T_BIN8, 1, VALUE_UINT8 },   { T_CHAR, 1, VALUE_UINT8 },
        { T_BOOL, 1, VALUE_BOOL },     { T_INT16, 2, VALUE_INT16 },   { T_UINT16, 2, VALUE_UINT16 }, { T_INT32, 4, VALUE_INT32 },
        { T_UINT32, 4, VALUE_UINT32 }, { T_FLOAT, 4, VALUE_FLOAT },   { T_INT64, 8, VALUE_INT64 },  { T_UINT64, 8, VALUE_UINT64 },
        { T_DOUBLE, 8, VALUE_DOUBLE }, { T_DATETIME, 8, VALUE_TIMESTAMP },
    };
    uint64_t v = 0;
    double d;
    float f;
    uint32_t raw;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        unsigned spare = 64 - 8 * rows[i].width;

        if (rows[i].type != type)
            continue;
        if (!take_uint(r, rows[i].width, &v))
            return NULL;
        switch (rows[i].value) {
        case VALUE_BOOL:   return value_bool(v != 0);
        case VALUE_FLOAT:  raw = (uint32_t) v; memcpy(&f, &raw, 4); return value_double(VALUE_FLOAT, (double) f);
        case VALUE_DOUBLE: memcpy(&d, &v, 8); return value_double(VALUE_DOUBLE, d);
        case VALUE_INT8:
        case VALUE_INT16:
        case VALUE_INT32:
        case VALUE_INT64:  return value_int(rows[i].value, (int64_t) (v << spare) >> spare);
        case VALUE_TIMESTAMP: return value_int(VALUE_TIMESTAMP, (int64_t) v);
        default:           return value_uint(rows[i].value, v);
        }
    }
    r->at--;
    return fail(r, QMF_ERROR_MALFORMED, "unknown type 0x%02x", type);
}

/* In the character set the type names; what does not convert stays binary, so that nothing a peer said is lost. */
static Value *read_text(Reader *r, unsigned width, const char *charset)
{
    uint64_t n;
    const uint8_t *bytes;
    gsize written = 0;

    if (!take_uint(r, width, &n) || !take(r, (size_t) n, &bytes))
        return NULL;
    if (charset == NULL)
        return g_utf8_validate((const char *) bytes, (gssize) n, NULL) ? value_bytes(VALUE_STRING, bytes, n)
                                                                     : value_bytes(VALUE_BINARY, bytes, n);
    g_autofree char *text = g_convert((const char *) bytes, (gssize) n, "UTF-8", charset, NULL, &written, NULL);
    return text == NULL || !g_utf8_validate(text, (gssize) written, NULL) ? value_bytes(VALUE_BINARY, bytes, n)
                                                                         : value_bytes(VALUE_STRING, text, written);
}

static Value *read_binary(Reader *r, unsigned width)
{
    uint64_t n;
    const uint8_t *bytes;

    if (!take_uint(r, width, &n) || !take(r, (size_t) n, &bytes))
        return NULL;
    return value_bytes(VALUE_BINARY, bytes, n);
}

static Value *read_content(Reader *r, uint8_t type);

static Value *read_value(Reader *r)
{
    uint64_t type;

    return take_uint(r, 1, &type) ? read_content(r, (uint8_t) type) : NULL;
}

static bool read_entry(Reader *r, Value *map)
{
    uint64_t n;
    const uint8_t *bytes;

    if (!take_uint(r, 1, &n) || !take(r, (size_t) n, &bytes))
        return false;
    if (memchr(bytes, '\0', n) != NULL || !g_utf8_validate((const char *) bytes, (gssize) n, NULL)) {
        fail(r, QMF_ERROR_MALFORMED, "a map's key is not UTF-8");
        return false;
    }
    g_autofree char *key = g_strndup((const char *) bytes, n);
    Value *item = read_value(r);

    if (item != NULL)
        value_set(map, key, item);
    return item != NULL;
}

/* An array has one type byte for all its items, which then have none. */
static bool read_array(Reader *r, Value *list, uint64_t count, uint8_t type)
{
    for (uint64_t i = 0; i < count; i++) {
        Value *item = read_content(r, type);

        if (item == NULL)
            return false;
        value_append(list, item);
    }
    return true;
}

static bool read_items(Reader *r, Value *into, uint8_t type)
{
    uint64_t count = 0, item_type = 0;

    if (r->at == r->end)
        return true; /* size 0, not even a count: empty */
    if (type == T_ARRAY && !take_uint(r, 1, &item_type))
        return false;
    if (!take_uint(r, 4, &count))
        return false;
    if (count > (uint64_t) (r->end - r->at)) { /* an item has a byte at least */
        fail(r, QMF_ERROR_MALFORMED, "%" PRIu64 " items announced, %zu bytes there", count, (size_t) (r->end - r->at));
        return false;
    }
    if (count > QMF_ITEMS_MAX - r->items) {
        fail(r, QMF_ERROR_LIMIT, "%" PRIu64 " items, with those before more than %d", count, QMF_ITEMS_MAX);
        return false;
    }
    r->items += count;
    if (type == T_ARRAY) {
        if (!read_array(r, into, count, (uint8_t) item_type))
            return false;
    } else {
        for (uint64_t i = 0; i < count; i++) {
            Value *item = type == T_MAP ? NULL : read_value(r);

            if (type == T_MAP ? !read_entry(r, into) : item == NULL)
                return false;
            if (item != NULL)
                value_append(into, item);
        }
    }
    if (r->at != r->end)
        fail(r, QMF_ERROR_MALFORMED, "%zu bytes left over after %" PRIu64 " items", (size_t) (r->end - r->at), count);
    return r->at == r->end;
}

static Value *read_compound(Reader *r, uint8_t type)
{
    g_autoptr(Value) value = NULL;
    const uint8_t *content, *border = r->end;
    uint64_t size;

    if (r->depth == QMF_DEPTH_MAX)
        return fail(r, QMF_ERROR_LIMIT, "more than %d maps and lists inside each other", QMF_DEPTH_MAX);
    if (!take_uint(r, 4, &size) || !take(r, (size_t) size, &content))
        return NULL;
    value = type == T_MAP ? value_map() : value_list();
    r->at = content;
    r->end = content + size;
    r->depth++;
    if (!read_items(r, value, type))
        return NULL;
    r->depth--;
    r->end = border;
    return g_steal_pointer(&value);
}

static Value *read_content(Reader *r, uint8_t type)
{
    const uint8_t *bytes;

    switch (type) {
    case T_VOID:         return value_null();
    case T_BIT:          return value_bool(true);
    case T_UUID:         return take(r, 16, &bytes) ? value_uuid(bytes) : NULL;
    case T_VBIN8:        return read_binary(r, 1);
    case T_VBIN16:       return read_binary(r, 2);
    case T_VBIN32:       return read_binary(r, 4);
    case T_STR8:         return read_text(r, 1, NULL);
    case T_STR16:        return read_text(r, 2, NULL);
    case T_STR8_LATIN:   return read_text(r, 1, "ISO-8859-15");
    case T_STR16_LATIN:  return read_text(r, 2, "ISO-8859-15");
    case T_STR8_UTF16:   return read_text(r, 1, "UTF-16BE");
    case T_STR16_UTF16:  return read_text(r, 2, "UTF-16BE");
    case T_MAP:
    case T_LIST:
    case T_ARRAY:        return read_compound(r, type);
    default:             return read_number(r, type);
    }
}

Value *qmf_0_10_decode(const void *bytes, size_t n_bytes, ValueType map_or_list, GError **error)
{
    Reader r = { .start = bytes, .at = bytes, .end = (const uint8_t *) bytes + n_bytes, .error = error };
    g_autoptr(Value) value = read_compound(&r, map_or_list == VALUE_MAP ? T_MAP : T_LIST);

    if (value != NULL && r.at != r.end)
        return fail(&r, QMF_ERROR_MALFORMED, "%zu bytes after the end of the %s", (size_t) (r.end - r.at), value_type_name(map_or_list));
    return g_steal_pointer(&value);
}
