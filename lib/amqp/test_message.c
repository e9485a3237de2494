/* Messages against proton's codec in both directions, canonical bytes, and what hostile bytes get. */
#include "lib/amqp/message.h"

#include "lib/amqp/codec.h"

#include <proton/message.h>
#include <proton/codec.h>
#include <string.h>

static Value *one_of_each(void)
{
    Value *map = value_map(), *list = value_list();

    value_set(map, "null", value_null());
    value_set(map, "true", value_bool(true));
    value_set(map, "int8", value_int(VALUE_INT8, -128));
    value_set(map, "int16", value_int(VALUE_INT16, -32768));
    value_set(map, "int32 small", value_int(VALUE_INT32, -5));
    value_set(map, "int32", value_int(VALUE_INT32, INT32_MIN));
    value_set(map, "int64 small", value_int(VALUE_INT64, 127));
    value_set(map, "int64", value_int(VALUE_INT64, INT64_MIN));
    value_set(map, "uint8", value_uint(VALUE_UINT8, 255));
    value_set(map, "uint16", value_uint(VALUE_UINT16, 65535));
    value_set(map, "uint32 0", value_uint(VALUE_UINT32, 0));
    value_set(map, "uint32 small", value_uint(VALUE_UINT32, 255));
    value_set(map, "uint32", value_uint(VALUE_UINT32, UINT32_MAX));
    value_set(map, "uint64 0", value_uint(VALUE_UINT64, 0));
    value_set(map, "uint64 small", value_uint(VALUE_UINT64, 200));
    value_set(map, "uint64", value_uint(VALUE_UINT64, UINT64_MAX));
    value_set(map, "float", value_double(VALUE_FLOAT, -1.5));
    value_set(map, "double", value_double(VALUE_DOUBLE, 1e300));
    value_set(map, "timestamp", value_int(VALUE_TIMESTAMP, -1));
    value_set(map, "uuid", value_uuid((const uint8_t *) "0123456789abcdef"));
    value_set(map, "binary", value_bytes(VALUE_BINARY, "\0\xff", 2));
    value_set(map, "symbol", value_bytes(VALUE_SYMBOL, "sym", 3));
    value_set(map, "described", value_described(value_uint(VALUE_UINT64, 7), value_string("d")));
    value_append(list, value_list());
    value_append(list, value_map());
    value_set(map, "list", list);
    return map;
}

static AmqpMessage *full_message(void)
{
    AmqpMessage *m = amqp_message_new();
    g_autofree char *long_text = g_strnfill(1000, 'x');

    m->durable = true;
    m->priority = 9;
    m->ttl_ms = 30000;
    m->delivery_count = 2;
    m->message_id = g_strdup("id-1");
    m->user_id = g_strdup("engine");
    m->to = g_strdup("mend.control.x");
    m->subject = g_strdup("agent.ind.heartbeat");
    m->reply_to = g_strdup("mend.results");
    m->correlation_id = g_strdup(long_text);
    m->content_type = g_strdup("amqp/map");
    m->created_ms = 1700000000000;
    m->expires_ms = 1700000030000;
    m->group_id = g_strdup("g");
    m->group_sequence = 77;
    m->annotations = value_map();
    value_set(m->annotations, "x-opt-a", value_int(VALUE_INT32, 1));
    amqp_message_set_property(m, "qmf.opcode", value_string("_data_indication"));
    amqp_message_set_property(m, "n", value_uint(VALUE_UINT64, 400));
    m->body_kind = AMQP_BODY_VALUE;
    m->body = one_of_each();
    return m;
}

static AmqpMessage *decode(GBytes *bytes)
{
    gsize n_bytes;
    const void *data = g_bytes_get_data(bytes, &n_bytes);
    g_autoptr(GError) error = NULL;
    AmqpMessage *message = amqp_message_decode(data, n_bytes, &error);

    g_assert_no_error(error);
    return message;
}

static void assert_same(const AmqpMessage *a, const AmqpMessage *b)
{
    g_assert_cmpint(a->durable, ==, b->durable);
    g_assert_cmpint(a->priority, ==, b->priority);
    g_assert_cmpint(a->ttl_ms, ==, b->ttl_ms);
    g_assert_cmpint(a->delivery_count, ==, b->delivery_count);
    g_assert_cmpstr(a->message_id, ==, b->message_id);
    g_assert_cmpstr(a->user_id, ==, b->user_id);
    g_assert_cmpstr(a->to, ==, b->to);
    g_assert_cmpstr(a->subject, ==, b->subject);
    g_assert_cmpstr(a->reply_to, ==, b->reply_to);
    g_assert_cmpstr(a->correlation_id, ==, b->correlation_id);
    g_assert_cmpstr(a->content_type, ==, b->content_type);
    g_assert_cmpint(a->created_ms, ==, b->created_ms);
    g_assert_cmpint(a->expires_ms, ==, b->expires_ms);
    g_assert_cmpstr(a->group_id, ==, b->group_id);
    g_assert_cmpint(a->group_sequence, ==, b->group_sequence);
    g_assert_true(value_equal(a->annotations, b->annotations));
    g_assert_true(value_equal(a->properties, b->properties));
    g_assert_cmpint(a->body_kind, ==, b->body_kind);
    g_assert_true(value_equal(a->body, b->body));
    g_assert_true((a->data == NULL) == (b->data == NULL) && (a->data == NULL || g_bytes_equal(a->data, b->data)));
}

static void test_round_trip(void)
{
    g_autoptr(AmqpMessage) message = full_message();
    g_autoptr(GBytes) bytes = amqp_message_encode(message);
    g_autoptr(AmqpMessage) again = decode(bytes);
    g_autoptr(GBytes) bytes_again = amqp_message_encode(again);

    assert_same(message, again);
    g_assert_true(g_bytes_equal(bytes, bytes_again));
}

static void test_header_alone(void)
{
    for (int which = 0; which < 16; which++) {
        g_autoptr(AmqpMessage) message = amqp_message_new();
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(AmqpMessage) again = NULL;

        message->durable = which & 1;
        message->priority = which & 2 ? 0 : AMQP_PRIORITY_DEFAULT;
        message->ttl_ms = which & 4 ? 1 : 0;
        message->delivery_count = which & 8 ? 300 : 0;
        bytes = amqp_message_encode(message);
        again = decode(bytes);
        assert_same(message, again);
    }
}

static void test_bodies(void)
{
    for (AmqpBodyKind kind = AMQP_BODY_NONE; kind <= AMQP_BODY_SEQUENCE; kind++) {
        g_autoptr(AmqpMessage) message = amqp_message_new();
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(AmqpMessage) again = NULL;

        message->body_kind = kind;
        if (kind == AMQP_BODY_DATA)
            message->data = g_bytes_new("\0\1\2", 3);
        if (kind == AMQP_BODY_SEQUENCE || kind == AMQP_BODY_VALUE) {
            message->body = value_list();
            for (int i = 0; i < 300; i++) /* a long list */
                value_append(message->body, value_int(VALUE_INT32, i));
        }
        bytes = amqp_message_encode(message);
        again = decode(bytes);
        assert_same(message, again);
    }
}

static void test_canonical_bytes(void)
{
    static const uint8_t expected[] = { 0x00, 0x53, 0x73, 0xc0, 0x07, 0x04, 0x40, 0x40, 0x40, 0xa1, 0x01, 's',
                                        0x00, 0x53, 0x75, 0xa0, 0x02, 'h', 'i' };
    g_autoptr(AmqpMessage) message = amqp_message_new();
    g_autoptr(GBytes) bytes = NULL;

    message->subject = g_strdup("s");
    message->body_kind = AMQP_BODY_DATA;
    message->data = g_bytes_new("hi", 2);
    bytes = amqp_message_encode(message);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), expected, sizeof expected);
}

static void test_proton_reads_ours(void)
{
    g_autoptr(AmqpMessage) message = full_message();
    g_autoptr(GBytes) bytes = amqp_message_encode(message);
    pn_message_t *theirs = pn_message();
    pn_data_t *properties;

    g_assert_cmpint(pn_message_decode(theirs, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes)), ==, 0);
    g_assert_cmpstr(pn_message_get_subject(theirs), ==, message->subject);
    g_assert_cmpstr(pn_message_get_address(theirs), ==, message->to);
    g_assert_cmpstr(pn_message_get_content_type(theirs), ==, message->content_type);
    g_assert_cmpint(pn_message_get_priority(theirs), ==, 9);
    g_assert_cmpint(pn_message_get_ttl(theirs), ==, 30000);
    g_assert_cmpint(pn_message_get_delivery_count(theirs), ==, 2);
    g_assert_cmpint(pn_message_get_group_sequence(theirs), ==, 77);
    properties = pn_message_properties(theirs);
    pn_data_rewind(properties);
    g_assert_true(pn_data_next(properties));
    g_assert_cmpuint(pn_data_get_map(properties), ==, 4);
    pn_message_free(theirs);
}

/* Every type, through proton's decoder and encoder and back. */
static void test_proton_carries_every_type(void)
{
    g_autoptr(Value) value = one_of_each();
    g_autoptr(GByteArray) bytes = amqp_value_encode(value);
    pn_data_t *data = pn_data(0);
    char buffer[4096];
    ssize_t n_bytes;
    g_autoptr(Value) again = NULL;

    g_assert_cmpint(pn_data_decode(data, (const char *) bytes->data, bytes->len), ==, bytes->len);
    n_bytes = pn_data_encode(data, buffer, sizeof buffer);
    g_assert_cmpint(n_bytes, >, 0);
    again = amqp_value_decode(buffer, (size_t) n_bytes, NULL);
    g_assert_true(value_equal(value, again));
    pn_data_free(data);
}

static void test_we_read_proton(void)
{
    pn_message_t *theirs = pn_message();
    char buffer[1024];
    size_t n_bytes = sizeof buffer;
    g_autoptr(AmqpMessage) message = NULL;

    pn_message_set_durable(theirs, true);
    pn_message_set_subject(theirs, "s");
    pn_message_set_user_id(theirs, pn_bytes(3, "\xff\x00\x01"));
    pn_message_set_id(theirs, (pn_atom_t){ .type = PN_ULONG, .u.as_ulong = UINT64_MAX });
    pn_message_set_correlation_id(theirs, (pn_atom_t){ .type = PN_UUID, .u.as_uuid = { "0123456789abcde" } });
    pn_message_set_inferred(theirs, true);
    pn_data_put_list(pn_message_body(theirs));
    pn_data_enter(pn_message_body(theirs));
    pn_data_put_char(pn_message_body(theirs), 'c');
    pn_data_put_array(pn_message_body(theirs), true, PN_INT);
    pn_data_enter(pn_message_body(theirs));
    pn_data_put_symbol(pn_message_body(theirs), pn_bytes(1, "d"));
    pn_data_put_int(pn_message_body(theirs), 1);
    pn_data_put_int(pn_message_body(theirs), 2);
    pn_data_exit(pn_message_body(theirs));
    pn_data_exit(pn_message_body(theirs));
    g_assert_cmpint(pn_message_encode(theirs, buffer, &n_bytes), ==, 0);
    message = amqp_message_decode(buffer, n_bytes, NULL);
    g_assert_nonnull(message);
    g_assert_true(message->durable);
    g_assert_cmpstr(message->user_id, ==, "ff0001");
    g_assert_cmpstr(message->message_id, ==, "18446744073709551615");
    g_assert_cmpstr(message->correlation_id, ==, "30313233-3435-3637-3839-616263646500");
    g_assert_cmpint(message->body_kind, ==, AMQP_BODY_SEQUENCE);
    g_assert_cmpuint(value_size(message->body), ==, 2);
    g_assert_cmpuint(value_size(value_at(message->body, 1)), ==, 2);
    g_assert_cmpstr(value_as_string(value_descriptor(value_at(value_at(message->body, 1), 1))), ==, "d");
    pn_message_free(theirs);
}

static void assert_refused(const char *bytes, size_t n_bytes, AmqpMessageError code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AmqpMessage) message = amqp_message_decode(bytes, n_bytes, &error);

    g_assert_error(error, AMQP_MESSAGE_ERROR, (int) code);
    g_assert_null(message);
}

#define REFUSED(bytes, code) assert_refused(bytes, sizeof(bytes) - 1, AMQP_MESSAGE_ERROR_##code)

static void test_malformed(void)
{
    REFUSED("", MALFORMED);
    REFUSED("\x00\x53", MALFORMED);
    REFUSED("\x40", MALFORMED);                                       /* no section */
    REFUSED("\x00\x53\x10\x40", MALFORMED);                           /* a performative */
    REFUSED("\x00\x53\x77\xa1\x05hi", MALFORMED);                     /* longer than what is there */
    REFUSED("\x00\x53\x77\xb1\xff\xff\xff\xffhi", MALFORMED);
    REFUSED("\x00\x53\x77\xc0\x03\x01\x40\x40", MALFORMED);           /* bytes behind the last item */
    REFUSED("\x00\x53\x77\xc0\x02\x05\x40", MALFORMED);               /* fewer items than said */
    REFUSED("\x00\x53\x77\xc1\x02\x01\x40", MALFORMED);               /* a key without a value */
    REFUSED("\x00\x53\x77\xc1\x03\x02\x40\x40", MALFORMED);           /* null as a key */
    REFUSED("\x00\x53\x77\xd0\xff\xff\xff\xff\x00\x00\x00\x01\x40", MALFORMED);
    REFUSED("\x00\x53\x77\xd0\x00\x00\x00\x01\x00", MALFORMED);       /* size without room for a count */
    REFUSED("\x00\x53\x77\x3f", MALFORMED);                           /* no such type */
    REFUSED("\x00\x53\x77\x56\x02", MALFORMED);
    REFUSED("\x00\x53\x75\x40", MALFORMED);                           /* data is not binary */
    REFUSED("\x00\x53\x76\x40", MALFORMED);
    REFUSED("\x00\x53\x74\x45", MALFORMED);
    REFUSED("\x00\x53\x77\x40\x00\x53\x70\x45", MALFORMED);           /* header behind the body */
    REFUSED("\x00\x53\x77\x40\x00\x53\x77\x40", MALFORMED);           /* two bodies */
    REFUSED("\x00\x53\x75\xa0\x00\x00\x53\x77\x40", MALFORMED);
    REFUSED("\x00\x53\x77\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40", LIMIT); /* 4,294,967,295 nulls in one byte */
}

static void test_deep(void)
{
    for (unsigned depth = CODEC_DEPTH_MAX - 2; depth < CODEC_DEPTH_MAX + 2; depth++) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();
        g_autoptr(AmqpMessage) message = NULL;

        codec_write_descriptor(bytes, 0x77); /* itself one level */
        for (unsigned i = 0; i < depth; i++) {
            uint8_t list[] = { 0xc0, (uint8_t) (1 + 3 * (depth - i - 1) + 1), 1 };
            g_byte_array_append(bytes, list, sizeof list);
        }
        g_byte_array_append(bytes, (const uint8_t *) "\x40", 1);
        message = amqp_message_decode(bytes->data, bytes->len, NULL);
        g_assert_true((message != NULL) == (depth < CODEC_DEPTH_MAX));
    }
}

/* Cut anywhere or changed anywhere, the answer is a message or an error, and what was read can be written. */
static void test_damaged(void)
{
    g_autoptr(AmqpMessage) message = full_message();
    g_autoptr(GBytes) bytes = amqp_message_encode(message);
    gsize n_bytes;
    const uint8_t *data = g_bytes_get_data(bytes, &n_bytes);
    g_autoptr(GRand) dice = g_rand_new_with_seed(7);
    unsigned refused = 0;

    for (gsize cut = 0; cut < n_bytes; cut++) {
        g_autofree uint8_t *copy = g_memdup2(data, cut); /* its own block, so that reading past it is seen by ASan */
        g_autoptr(AmqpMessage) part = amqp_message_decode(copy, cut, NULL);
        refused += part == NULL;
    }
    for (unsigned i = 0; i < 20000; i++) {
        g_autofree uint8_t *copy = g_memdup2(data, n_bytes);
        g_autoptr(AmqpMessage) read = NULL;

        for (int n = g_rand_int_range(dice, 1, 4); n > 0; n--)
            copy[g_rand_int_range(dice, 0, (gint32) n_bytes)] = (uint8_t) g_rand_int(dice);
        read = amqp_message_decode(copy, n_bytes, NULL);
        refused += read == NULL;
        if (read != NULL) {
            g_autoptr(GBytes) written = amqp_message_encode(read);
            g_autoptr(AmqpMessage) again = decode(written);
            assert_same(read, again);
        }
    }
    g_assert_cmpuint(refused, >, 1000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/message/round-trip", test_round_trip);
    g_test_add_func("/message/header-alone", test_header_alone);
    g_test_add_func("/message/bodies", test_bodies);
    g_test_add_func("/message/canonical-bytes", test_canonical_bytes);
    g_test_add_func("/message/proton-reads-ours", test_proton_reads_ours);
    g_test_add_func("/message/proton-carries-every-type", test_proton_carries_every_type);
    g_test_add_func("/message/we-read-proton", test_we_read_proton);
    g_test_add_func("/message/malformed", test_malformed);
    g_test_add_func("/message/deep", test_deep);
    g_test_add_func("/message/damaged", test_damaged);
    return g_test_run();
}
