/* What is packed comes back as it was; what is damaged is refused and never read past its end. */
#include "lib/base/json.h"
#include "lib/base/pack.h"

#include <string.h>

static GByteArray *packed(const char *json)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) value = json_parse(json, strlen(json), "row", &error);
    GByteArray *block = g_byte_array_new();
    Packer packer;

    g_assert_no_error(error);
    pack_begin(&packer, block);
    pack_value(&packer, value);
    return block;
}

static const char *const rows[] = {
    "null", "true", "[]", "{}", "0", "-1", "63", "-64", "64", "9223372036854775807", "-9223372036854775808", "0.5", "-1e300", "\"\"",
    "\"none\"", "\"none of them\"", "[1, [2, [3, {\"a\": [true, false, null]}]]]", "\"gr\\u00fcn \\u2764\"",
    "{\"agent\": \"guest:web\", \"intent\": \"none\", \"host\": \"guest:web\", \"again\": [\"guest:web\", \"web\"]}",
    "{\"z\": 1, \"a\": 2, \"m\": {\"z\": \"\\u00e4\\u00e4\\u00e4\", \"y\": \"\\u00e4\\u00e4\\u00e4\"}}",
};

static void test_values_come_back(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) block = packed(rows[i]), block_again = g_byte_array_new();
        g_autoptr(json_t) value = json_parse(rows[i], strlen(rows[i]), "row", NULL);
        Unpacker unpacker;

        unpack_begin(&unpacker, block->data, block->len);
        g_autoptr(json_t) back = unpack_value(&unpacker);
        g_assert_false(unpack_failed(&unpacker, "it", NULL));
        g_autofree char *wanted = json_dumps(value, JSON_ENCODE_ANY), *got = json_dumps(back, JSON_ENCODE_ANY);
        g_assert_cmpstr(got, ==, wanted); /* in the order it had */
        unpack_begin(&unpacker, block->data, block->len);
        unpack_skip(&unpacker);
        g_assert_false(unpack_failed(&unpacker, "it", NULL));
        Packer packer;
        pack_begin(&packer, block_again);
        pack_value(&packer, back);
        g_assert_cmpmem(block->data, block->len, block_again->data, block_again->len);
    }
}

static void test_what_repeats_is_said_once(void)
{
    g_autoptr(GByteArray) words = packed("{\"intent\": \"none\", \"state\": \"running\"}");
    g_autoptr(GByteArray) again = packed("[\"matahariproject.org:mend-guest:1\", \"matahariproject.org:mend-guest:1\"]");
    Unpacker unpacker;

    g_assert_cmpuint(words->len, <=, 8);
    g_assert_cmpuint(again->len, <=, 2 + 1 + 1 + 34 + 1 + 3);
    unpack_begin(&unpacker, words->data, words->len);
    g_assert_cmpstr(unpack_find_text(&unpacker, "state"), ==, "running");
    g_assert_null(unpack_find_text(&unpacker, "reason"));
}

static void test_texts_with_zeros_come_back(void)
{
    g_autoptr(json_t) zero = json_stringn("a\0bc", 4), value = json_pack("[O, O]", zero, zero);
    g_autoptr(GByteArray) block = g_byte_array_new();
    Packer packer;
    Unpacker unpacker;

    pack_begin(&packer, block);
    pack_value(&packer, value);
    unpack_begin(&unpacker, block->data, block->len);
    g_autoptr(json_t) back = unpack_value(&unpacker);
    g_assert_true(json_equal(back, value));
}

/* Cut anywhere, and every byte turned into every other: it may mean something else, it must not be read wrongly. The block ends where
 * its memory ends, so that a sanitizer sees a step too far. */
static void test_damage_is_refused_or_harmless(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GByteArray) block = packed(rows[i]);

        for (guint length = 0; length < block->len; length++) {
            g_autofree guint8 *cut = g_memdup2(block->data, length);
            Unpacker unpacker;

            unpack_begin(&unpacker, cut, length);
            g_autoptr(json_t) value = unpack_value(&unpacker);
            g_assert_true(unpack_failed(&unpacker, "it", NULL));
        }
        for (guint at = 0; at < block->len; at++)
            for (int byte = 0; byte < 256; byte++) {
                g_autofree guint8 *changed = g_memdup2(block->data, block->len);
                Unpacker unpacker, skipper;

                changed[at] = (guint8) byte;
                unpack_begin(&unpacker, changed, block->len);
                skipper = unpacker;
                g_autoptr(json_t) value = unpack_value(&unpacker);
                unpack_skip(&skipper);
                g_assert_true(skipper.failed == unpacker.failed); /* what was looked through can be built */
                g_autofree char *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY);
                g_assert_true((text == NULL) == unpacker.failed); /* always UTF-8 */
            }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/pack/back", test_values_come_back);
    g_test_add_func("/base/pack/once", test_what_repeats_is_said_once);
    g_test_add_func("/base/pack/zeros", test_texts_with_zeros_come_back);
    g_test_add_func("/base/pack/damage", test_damage_is_refused_or_harmless);
    return g_test_run();
}
