/* The scanner reads a message once, front to back, and stops at the body: of the body only the outer shape is checked, since it is
 * passed on unseen. Hostile input is the normal case here: every step compares against the end before it reads, sizes are compared
 * as differences (never added to pointers first), nesting is limited. Compound values in header and properties are walked, not
 * trusted: their declared size must be what their fields take. */
#include "broker-plugin/hosts/embedded/message.h"

#include "lib/base/clock.h"

#include <stdlib.h>
#include <string.h>

G_DEFINE_QUARK(mend-message-error-quark, message_error)

enum { SECTION_HEADER = 0x70, SECTION_DELIVERY_ANNOTATIONS, SECTION_MESSAGE_ANNOTATIONS, SECTION_PROPERTIES, SECTION_APP_PROPERTIES,
       SECTION_DATA, SECTION_SEQUENCE, SECTION_VALUE, SECTION_FOOTER };

#define DEPTH_MAX 32

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t) p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t) be32(p) << 32 | be32(p + 4);
}

Message *message_alloc(size_t n_bytes)
{
    Message *message = malloc(sizeof(Message) + n_bytes);

    g_assert(message != NULL);
    memset(message, 0, sizeof *message);
    message->refs = 1;
    message->n_bytes = (uint32_t) n_bytes;
    return message;
}

Message *message_ref(Message *message)
{
    __atomic_add_fetch(&message->refs, 1, __ATOMIC_RELAXED);
    return message;
}

void message_unref(Message *message)
{
    if (message == NULL || __atomic_sub_fetch(&message->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (message->held != NULL)
        __atomic_sub_fetch(message->held, (gint64) (sizeof(Message) + message->n_bytes), __ATOMIC_RELAXED);
    free(message);
}

static const uint8_t *compound_end(const uint8_t *p, const uint8_t *end, size_t size, uint32_t count, unsigned depth)
{
    const uint8_t *stop;

    if ((size_t) (end - p) < size || depth >= DEPTH_MAX)
        return NULL;
    stop = p + size;
    for (; count > 0; count--) {
        p = amqp_value_end(p, stop, depth + 1);
        if (p == NULL)
            return NULL;
    }
    return p == stop ? stop : NULL;
}

/* Arrays: the elements share one constructor; nothing of ours reads them, so only the outer size is checked. */
static const uint8_t *array_end(const uint8_t *p, const uint8_t *end, size_t width)
{
    size_t size;

    if ((size_t) (end - p) < width)
        return NULL;
    size = width == 1 ? p[0] : be32(p);
    p += width;
    return size >= width && (size_t) (end - p) >= size ? p + size : NULL;
}

static const uint8_t *sized_end(const uint8_t *p, const uint8_t *end, uint8_t code, unsigned depth)
{
    size_t left = (size_t) (end - p);

    switch (code) {
    case 0xa0: case 0xa1: case 0xa3:
        return left >= 1 && left - 1 >= p[0] ? p + 1 + p[0] : NULL;
    case 0xb0: case 0xb1: case 0xb3:
        return left >= 4 && left - 4 >= be32(p) ? p + 4 + be32(p) : NULL;
    case 0xc0: case 0xc1: /* list8, map8: size counts the count octet */
        return left >= 2 && p[0] >= 1 ? compound_end(p + 2, end, (size_t) p[0] - 1, p[1], depth) : NULL;
    case 0xd0: case 0xd1:
        return left >= 8 && be32(p) >= 4 ? compound_end(p + 8, end, (size_t) be32(p) - 4, be32(p + 4), depth) : NULL;
    case 0xe0:
        return array_end(p, end, 1);
    case 0xf0:
        return array_end(p, end, 4);
    default:
        return NULL;
    }
}

const uint8_t *amqp_value_end(const uint8_t *p, const uint8_t *end, unsigned depth)
{
    static const uint8_t fixed[16] = {[0x4] = 0, [0x5] = 1, [0x6] = 2, [0x7] = 4, [0x8] = 8, [0x9] = 16};
    uint8_t code;

    if (p >= end || depth > DEPTH_MAX)
        return NULL;
    code = *p++;
    if (code == 0x00) { /* described: descriptor, value */
        p = amqp_value_end(p, end, depth + 1);
        return p == NULL ? NULL : amqp_value_end(p, end, depth + 1);
    }
    if (code >> 4 >= 0x4 && code >> 4 <= 0x9)
        return (size_t) (end - p) >= fixed[code >> 4] ? p + fixed[code >> 4] : NULL;
    return sized_end(p, end, code, depth);
}

/* As amqp_value_end(), but believes the outer size of a compound value. */
static const uint8_t *value_skip(const uint8_t *p, const uint8_t *end)
{
    for (unsigned i = 0; i < DEPTH_MAX && p < end && *p == 0x00; i++) {
        p = amqp_value_end(p + 1, end, 0);
        if (p == NULL)
            return NULL;
    }
    if (p >= end)
        return NULL;
    switch (*p) {
    case 0xc0: case 0xc1: case 0xe0:
        return end - p >= 2 && end - p - 2 >= p[1] ? p + 2 + p[1] : NULL;
    case 0xd0: case 0xd1: case 0xf0:
        return end - p >= 5 && (size_t) (end - p) - 5 >= be32(p + 1) ? p + 5 + be32(p + 1) : NULL;
    default:
        return *p == 0x00 ? NULL : amqp_value_end(p, end, 0);
    }
}

static void fact_set_int(Fact *ret, int64_t value)
{
    ret->type = FACT_INT;
    ret->i64 = value;
    ret->f64 = (double) value;
}

static void fact_read_fixed(uint8_t code, const uint8_t *p, Fact *ret)
{
    uint32_t bits32;
    uint64_t bits64;
    float f;

    switch (code) {
    case 0x40: ret->type = FACT_NULL; break;
    case 0x41: ret->type = FACT_BOOL; ret->i64 = 1; break;
    case 0x42: ret->type = FACT_BOOL; ret->i64 = 0; break;
    case 0x56: ret->type = FACT_BOOL; ret->i64 = p[0] != 0; break;
    case 0x43: case 0x44: fact_set_int(ret, 0); break;
    case 0x50: case 0x52: case 0x53: fact_set_int(ret, p[0]); break;
    case 0x51: case 0x54: case 0x55: fact_set_int(ret, (int8_t) p[0]); break;
    case 0x60: fact_set_int(ret, (int64_t) be16(p)); break;
    case 0x61: fact_set_int(ret, (int16_t) be16(p)); break;
    case 0x70: fact_set_int(ret, (int64_t) be32(p)); break;
    case 0x71: fact_set_int(ret, (int32_t) be32(p)); break;
    case 0x80: fact_set_int(ret, be64(p) > INT64_MAX ? INT64_MAX : (int64_t) be64(p)); break;
    case 0x81: case 0x83: fact_set_int(ret, (int64_t) be64(p)); break;
    case 0x72:
        bits32 = be32(p);
        memcpy(&f, &bits32, sizeof f);
        ret->type = FACT_DOUBLE;
        ret->f64 = (double) f;
        break;
    case 0x82:
        bits64 = be64(p);
        memcpy(&ret->f64, &bits64, sizeof ret->f64);
        ret->type = FACT_DOUBLE;
        break;
    default: ret->type = FACT_OTHER; break;
    }
}

const uint8_t *amqp_read_fact(const uint8_t *p, const uint8_t *end, Fact *ret)
{
    const uint8_t *after = amqp_value_end(p, end, 0);

    *ret = (Fact){.type = FACT_OTHER};
    if (after == NULL)
        return NULL;
    switch (*p) {
    case 0xa0: case 0xa1: case 0xa3:
        *ret = (Fact){.type = FACT_TEXT, .text = (const char *) p + 2, .n_text = p[1]};
        break;
    case 0xb0: case 0xb1: case 0xb3:
        *ret = (Fact){.type = FACT_TEXT, .text = (const char *) p + 5, .n_text = be32(p + 1)};
        break;
    default:
        fact_read_fixed(*p, p + 1, ret);
        break;
    }
    return after;
}

/* Opens a list or map at @p. Returns its first element; NULL: not one. */
static const uint8_t *compound_open(const uint8_t *p, const uint8_t *end, bool map, uint32_t *ret_count, const uint8_t **ret_stop)
{
    const uint8_t *stop = amqp_value_end(p, end, 0);

    if (stop == NULL)
        return NULL;
    *ret_stop = stop;
    if (!map && *p == 0x45) {
        *ret_count = 0;
        return stop;
    }
    if (*p == (map ? 0xc1 : 0xc0)) {
        *ret_count = p[2];
        return p + 3;
    }
    if (*p == (map ? 0xd1 : 0xd0)) {
        *ret_count = be32(p + 5);
        return p + 9;
    }
    return NULL;
}

static bool scan_header(Message *m, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *stop;
    uint32_t count;
    Fact f;

    p = compound_open(p, end, false, &count, &stop);
    if (p == NULL)
        return false;
    for (uint32_t i = 0; i < count && i < 5; i++) {
        p = amqp_read_fact(p, stop, &f);
        if (p == NULL)
            return false;
        if (f.type == FACT_NULL)
            continue;
        switch (i) {
        case 0: m->durable = f.type == FACT_BOOL && f.i64 != 0; break;
        case 1: m->priority = (uint8_t) (f.type == FACT_INT ? CLAMP(f.i64, 0, MESSAGE_PRIORITIES - 1) : MESSAGE_PRIORITY_DEFAULT); break;
        case 2: m->ttl_ms = f.type == FACT_INT ? (uint32_t) f.i64 : 0; break;
        case 4: m->delivery_count = f.type == FACT_INT ? (uint32_t) f.i64 : 0; break;
        default: break;
        }
    }
    return true;
}

static bool scan_properties(Message *m, const uint8_t *p, const uint8_t *end)
{
    Span *const fields[] = {&m->message_id, &m->user_id, &m->to, &m->subject, &m->reply_to, &m->correlation_id, &m->content_type,
                            NULL, NULL, NULL, &m->group_id};
    const uint8_t *stop, *value;
    uint32_t count;
    Fact f;

    p = compound_open(p, end, false, &count, &stop);
    if (p == NULL)
        return false;
    for (uint32_t i = 0; i < count && i < G_N_ELEMENTS(fields); i++) {
        value = p;
        p = amqp_read_fact(p, stop, &f);
        if (p == NULL)
            return false;
        if (i == 0)
            m->message_id_type = *value;
        if (i == 5)
            m->correlation_id_type = *value;
        if (fields[i] != NULL && f.type == FACT_TEXT)
            *fields[i] = (Span){(uint32_t) ((const uint8_t *) f.text - m->bytes), (uint32_t) f.n_text};
    }
    return true;
}

/* @p at a section's descriptor. Returns the section's value, its code in @ret_code; NULL: no section. */
static const uint8_t *section_open(const uint8_t *p, const uint8_t *end, unsigned *ret_code)
{
    if (end - p >= 3 && p[0] == 0x00 && p[1] == 0x53) {
        *ret_code = p[2];
        return p + 3;
    }
    if (end - p >= 10 && p[0] == 0x00 && p[1] == 0x80 && be64(p + 2) <= 0xff) {
        *ret_code = (unsigned) be64(p + 2);
        return p + 10;
    }
    return NULL;
}

static bool section_take(Message *m, unsigned code, const uint8_t *value, const uint8_t *after)
{
    switch (code) {
    case SECTION_HEADER:
        return scan_header(m, value, after);
    case SECTION_DELIVERY_ANNOTATIONS:
        m->changed = true;
        return *value == 0xc1 || *value == 0xd1;
    case SECTION_PROPERTIES:
        m->properties = (uint32_t) (value - m->bytes);
        return scan_properties(m, value, after);
    case SECTION_APP_PROPERTIES:
        m->app_properties = (uint32_t) (value - m->bytes);
        return *value == 0xc1 || *value == 0xd1;
    case SECTION_MESSAGE_ANNOTATIONS:
    case SECTION_FOOTER:
        return *value == 0xc1 || *value == 0xd1;
    case SECTION_DATA:
        return *value == 0xa0 || *value == 0xb0;
    default:
        return true;
    }
}

/* Sections come in order, each once, except that data and sequence sections may repeat. */
static bool section_in_order(unsigned before, unsigned code)
{
    if (code < SECTION_HEADER || code > SECTION_FOOTER)
        return false;
    if (before >= SECTION_DATA && before <= SECTION_VALUE && code <= SECTION_VALUE)
        return code == before && code != SECTION_VALUE;
    return code > before;
}

bool message_scan(Message *m, GError **error)
{
    const uint8_t *p = m->bytes, *end = m->bytes + m->n_bytes, *value, *after, *rest = NULL;
    unsigned code = 0, before = 0;

    m->priority = MESSAGE_PRIORITY_DEFAULT;
    while (p < end) {
        value = section_open(p, end, &code);
        /* a body's inside is between sender and receiver: only its size is checked */
        after = value == NULL || value >= end ? NULL : code >= SECTION_DATA ? value_skip(value, end) : amqp_value_end(value, end, 0);
        if (after == NULL || !section_in_order(before, code) || !section_take(m, code, value, after)) {
            g_set_error(error, MESSAGE_ERROR, MESSAGE_ERROR_MALFORMED, "message is malformed at byte %zu of %u", (size_t) (p - m->bytes),
                        m->n_bytes);
            return false;
        }
        if (code >= SECTION_MESSAGE_ANNOTATIONS && rest == NULL)
            rest = p;
        before = code;
        p = after;
    }
    if (rest == NULL)
        rest = end;
    m->rest = (Span){(uint32_t) (rest - m->bytes), (uint32_t) (end - rest)};
    if (m->ttl_ms > 0) {
        m->changed = true;
        m->arrived_us = clock_now_us();
    }
    return true;
}

Message *message_new(const void *bytes, size_t n_bytes, GError **error)
{
    g_autoptr(Message) message = message_alloc(n_bytes);

    memcpy(message->bytes, bytes, n_bytes);
    if (!message_scan(message, error))
        return NULL;
    return g_steal_pointer(&message);
}

static uint8_t *put_uint(uint8_t *p, uint32_t value)
{
    if (value == 0) {
        *p++ = 0x43;
        return p;
    }
    *p++ = 0x70;
    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t) (value >> shift);
    return p;
}

size_t message_header(const Message *m, uint32_t delivery_count, uint32_t remaining_ms, uint8_t out[MESSAGE_HEADER_MAX])
{
    uint8_t *p = out + 5;

    if (!m->durable && m->priority == MESSAGE_PRIORITY_DEFAULT && remaining_ms == 0 && delivery_count == 0)
        return 0;
    *p++ = m->durable ? 0x41 : 0x42;
    *p++ = 0x50;
    *p++ = m->priority;
    if (remaining_ms > 0)
        p = put_uint(p, remaining_ms);
    else
        *p++ = 0x40;
    *p++ = delivery_count == 0 ? 0x41 : 0x42; /* first-acquirer */
    p = put_uint(p, delivery_count);
    memcpy(out, (const uint8_t[]){0x00, 0x53, SECTION_HEADER, 0xc0, (uint8_t) (p - out - 4)}, 5);
    memmove(out + 6, out + 5, (size_t) (p - out) - 5); /* the count octet goes between */
    out[5] = 5;
    return (size_t) (p - out) + 1;
}

Fact message_property(const Message *m, const char *key, size_t n_key)
{
    const uint8_t *end = m->bytes + m->n_bytes, *stop, *p;
    uint32_t count;
    Fact name, value = {.type = FACT_ABSENT};

    if (m->app_properties == 0)
        return value;
    p = compound_open(m->bytes + m->app_properties, end, true, &count, &stop);
    for (; p != NULL && count >= 2; count -= 2) {
        p = amqp_read_fact(p, stop, &name);
        if (p == NULL)
            break;
        if (name.type == FACT_TEXT && name.n_text == n_key && memcmp(name.text, key, n_key) == 0)
            return amqp_read_fact(p, stop, &value) != NULL ? value : (Fact){.type = FACT_ABSENT};
        p = amqp_value_end(p, stop, 0);
    }
    return value;
}

static void put_be32(GByteArray *out, uint32_t value)
{
    const uint8_t b[4] = {(uint8_t) (value >> 24), (uint8_t) (value >> 16), (uint8_t) (value >> 8), (uint8_t) value};

    g_byte_array_append(out, b, 4);
}

static void put_string(GByteArray *out, const char *text)
{
    g_byte_array_append(out, (const uint8_t[]){0xb1}, 1);
    put_be32(out, (uint32_t) strlen(text));
    g_byte_array_append(out, (const uint8_t *) text, (guint) strlen(text));
}

Message *message_copy_with(const Message *m, const char *key, const char *text)
{
    const uint8_t *end = m->bytes + m->n_bytes, *inside = NULL, *stop = NULL, *p = m->bytes + m->rest.at, *value;
    g_autoptr(GByteArray) out = g_byte_array_sized_new(m->n_bytes + 256), extra = g_byte_array_new();
    uint8_t header[MESSAGE_HEADER_MAX];
    uint32_t count = 0;
    unsigned code;
    Message *copy;

    g_byte_array_append(out, header, (guint) message_header(m, m->delivery_count, 0, header));
    while (p < end && (value = section_open(p, end, &code)) != NULL && code < SECTION_APP_PROPERTIES)
        p = amqp_value_end(value, end, 0);
    g_byte_array_append(out, m->bytes + m->rest.at, (guint) (p - m->bytes - m->rest.at));
    if (m->app_properties != 0) {
        inside = compound_open(m->bytes + m->app_properties, end, true, &count, &stop);
        p = stop;
    }
    put_string(extra, key);
    put_string(extra, text);
    g_byte_array_append(out, (const uint8_t[]){0x00, 0x53, SECTION_APP_PROPERTIES, 0xd1}, 4);
    put_be32(out, 4 + (uint32_t) (inside != NULL ? stop - inside : 0) + extra->len);
    put_be32(out, count + 2);
    if (inside != NULL)
        g_byte_array_append(out, inside, (guint) (stop - inside));
    g_byte_array_append(out, extra->data, extra->len);
    g_byte_array_append(out, p, (guint) (end - p));
    copy = message_new(out->data, out->len, NULL);
    if (copy != NULL)
        copy->peer = m->peer;
    return copy;
}
