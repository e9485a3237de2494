/* The scanner on good, odd and hostile bytes; the header it writes back. */
#include "broker-plugin/hosts/embedded/message.h"

#include <string.h>

#define B(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

/* header(durable, priority 7, ttl 1000), properties(subject "a.b", correlation "c"), application-properties{k: "v", n: 5}, data "xy" */
static const uint8_t full[] = {
    0x00, 0x53, 0x70, 0xc0, 0x0b, 0x05, 0x41, 0x50, 0x07, 0x70, 0x00, 0x00, 0x03, 0xe8, 0x40, 0x43,
    0x00, 0x53, 0x71, 0xc1, 0x06, 0x02, 0xa3, 0x01, 'd', 0x54, 0x01,
    0x00, 0x53, 0x73, 0xc0, 0x0d, 0x06, 0x40, 0x40, 0x40, 0xa1, 0x03, 'a', '.', 'b', 0x40, 0xa1, 0x01, 'c',
    0x00, 0x53, 0x74, 0xc1, 0x0c, 0x04, 0xa1, 0x01, 'k', 0xa1, 0x01, 'v', 0xa1, 0x01, 'n', 0x54, 0x05,
    0x00, 0x53, 0x75, 0xa0, 0x02, 'x', 'y',
};
#define BARE_AT 27

static void test_facts(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Message) m = message_new(full, sizeof full, &error);
    Fact f;

    g_assert_no_error(error);
    g_assert_true(m->durable);
    g_assert_cmpuint(m->priority, ==, 7);
    g_assert_cmpuint(m->ttl_ms, ==, 1000);
    g_assert_cmpmem(message_text(m, m->subject), m->subject.n_bytes, "a.b", 3);
    g_assert_cmpmem(message_text(m, m->correlation_id), m->correlation_id.n_bytes, "c", 1);
    g_assert_cmpuint(m->to.n_bytes, ==, 0);
    f = message_property(m, "k", 1);
    g_assert_cmpint(f.type, ==, FACT_TEXT);
    g_assert_cmpmem(f.text, f.n_text, "v", 1);
    f = message_property(m, "n", 1);
    g_assert_cmpint(f.type, ==, FACT_INT);
    g_assert_cmpint(f.i64, ==, 5);
    g_assert_cmpint(message_property(m, "absent", 6).type, ==, FACT_ABSENT);
}

static void test_bare_passes_unchanged(void)
{
    g_autoptr(Message) m = message_new(full, sizeof full, NULL);

    g_assert_cmpmem(message_text(m, m->rest), m->rest.n_bytes, full + BARE_AT, sizeof full - BARE_AT);
    g_assert_true(m->changed); /* delivery annotations end here */
}

static void test_header_is_rewritten(void)
{
    g_autoptr(Message) m = message_new(full, sizeof full, NULL);
    uint8_t header[MESSAGE_HEADER_MAX];
    size_t n = message_header(m, 3, 500, header);
    g_autoptr(GByteArray) again = g_byte_array_new();
    g_autoptr(Message) read = NULL;

    g_byte_array_append(again, header, (guint) n);
    g_byte_array_append(again, full + BARE_AT, sizeof full - BARE_AT);
    read = message_new(again->data, again->len, NULL);
    g_assert_nonnull(read);
    g_assert_true(read->durable);
    g_assert_cmpuint(read->priority, ==, 7);
    g_assert_cmpuint(read->ttl_ms, ==, 500);
    g_assert_cmpuint(read->delivery_count, ==, 3);
}

static void test_plain_needs_no_header(void)
{
    g_autoptr(Message) m = message_new(B(0x00, 0x53, 0x77, 0xa1, 0x01, 'x'), NULL);
    uint8_t header[MESSAGE_HEADER_MAX];

    g_assert_false(m->changed);
    g_assert_cmpuint(message_header(m, 0, 0, header), ==, 0);
    g_assert_cmpuint(message_header(m, 1, 0, header), >, 0);
}

static void test_copy_carries_reason(void)
{
    g_autoptr(Message) m = message_new(full, sizeof full, NULL), copy = message_copy_with(m, "mend.reason", "expired");
    g_autoptr(Message) bare = message_new(B(0x00, 0x53, 0x75, 0xa0, 0x01, 'x'), NULL), bare_copy = message_copy_with(bare, "mend.reason", "r");
    Fact f = message_property(copy, "mend.reason", strlen("mend.reason"));

    g_assert_cmpmem(f.text, f.n_text, "expired", 7);
    g_assert_cmpint(message_property(copy, "n", 1).i64, ==, 5);
    g_assert_cmpuint(copy->ttl_ms, ==, 0);
    g_assert_true(copy->durable);
    g_assert_cmpmem(copy->bytes + copy->n_bytes - 2, 2, "xy", 2);
    f = message_property(bare_copy, "mend.reason", strlen("mend.reason"));
    g_assert_cmpmem(f.text, f.n_text, "r", 1);
}

static void refused(const uint8_t *bytes, size_t n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Message) m = message_new(bytes, n, &error);

    g_assert_null(m);
    g_assert_error(error, MESSAGE_ERROR, MESSAGE_ERROR_MALFORMED);
}

static void test_malformed(void)
{
    refused(B(0x00));
    refused(B(0x00, 0x53, 0x75));
    refused(B(0x00, 0x53, 0x75, 0xa0, 0x05, 'x'));                         /* longer than there is */
    refused(B(0x00, 0x53, 0x75, 0xb0, 0xff, 0xff, 0xff, 0xff, 'x'));
    refused(B(0x00, 0x53, 0x79, 0x40));                                    /* no such section */
    refused(B(0x00, 0x53, 0x75, 0xa0, 0x00, 0x00, 0x53, 0x73, 0x45));      /* properties behind the body */
    refused(B(0x00, 0x53, 0x77, 0x40, 0x00, 0x53, 0x77, 0x40));            /* two values */
    refused(B(0x00, 0x53, 0x73, 0xc0, 0x02, 0x05, 0x40));                  /* five fields, room for one */
    refused(B(0x00, 0x53, 0x74, 0xc1, 0x01, 0x00, 0xff));                  /* rubbish behind the last section */
    refused(B(0x00, 0x53, 0x74, 0xa1, 0x01, 'x'));                         /* application properties that are no map */
    refused(B('A', 'M', 'Q', 'P', 0, 1, 0, 0));
}

/* Whatever is cut off or turned over: refused or read, never outside the bytes (the sanitizers watch). */
static void test_mutations(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);

    for (size_t n = 0; n < sizeof full; n++) {
        g_autofree uint8_t *exact = g_memdup2(full, n + 1);
        g_autoptr(Message) m = message_new(exact, n, NULL);
        (void) m;
    }
    for (int i = 0; i < 20000; i++) {
        g_autofree uint8_t *bytes = g_memdup2(full, sizeof full);
        g_autoptr(Message) m = NULL;
        for (int j = g_rand_int_range(random, 1, 4); j > 0; j--)
            bytes[g_rand_int_range(random, 0, sizeof full)] = (uint8_t) g_rand_int(random);
        m = message_new(bytes, sizeof full, NULL);
        if (m != NULL) {
            g_autoptr(Message) copy = message_copy_with(m, "k", "v");
            message_property(m, "n", 1);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/message/facts", test_facts);
    g_test_add_func("/message/bare-passes-unchanged", test_bare_passes_unchanged);
    g_test_add_func("/message/header-is-rewritten", test_header_is_rewritten);
    g_test_add_func("/message/plain-needs-no-header", test_plain_needs_no_header);
    g_test_add_func("/message/copy-carries-reason", test_copy_carries_reason);
    g_test_add_func("/message/malformed", test_malformed);
    g_test_add_func("/message/mutations", test_mutations);
    return g_test_run();
}
