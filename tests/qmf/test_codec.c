/* The 0-10 encoding: every type, every border, and input nobody meant well. */
#include "lib/qmf/message.h"

#include <string.h>

static Value *decode(const char *bytes, size_t n, ValueType type, QmfErrorCode wanted, const char *place)
{
    g_autoptr(GError) error = NULL;
    Value *value = qmf_0_10_decode(bytes, n, type, &error);

    if (wanted == (QmfErrorCode) -1) {
        g_assert_no_error(error);
        return value;
    }
    g_assert_null(value);
    g_assert_error(error, QMF_ERROR, (int) wanted);
    if (strstr(error->message, place) == NULL)
        g_error("\"%s\" does not say \"%s\"", error->message, place);
    return NULL;
}

#define GOOD(bytes, type) decode(bytes, sizeof bytes - 1, type, (QmfErrorCode) -1, NULL)
#define BAD(bytes, type, place) decode(bytes, sizeof bytes - 1, type, QMF_ERROR_MALFORMED, place)

static void test_every_type_goes_both_ways(void)
{
    g_autoptr(Value) map = value_map(), again = NULL;
    static const uint8_t uuid[16] = { 1, 2, 3 };
    Value *inner = value_list();

    value_append(inner, value_string("é"));
    value_append(inner, value_map());
    value_append(inner, value_list());
    value_set(map, "null", value_null());
    value_set(map, "true", value_bool(true));
    value_set(map, "false", value_bool(false));
    value_set(map, "i8", value_int(VALUE_INT8, -128));
    value_set(map, "i16", value_int(VALUE_INT16, -32768));
    value_set(map, "i32", value_int(VALUE_INT32, INT32_MIN));
    value_set(map, "i64", value_int(VALUE_INT64, INT64_MIN));
    value_set(map, "u8", value_uint(VALUE_UINT8, 255));
    value_set(map, "u16", value_uint(VALUE_UINT16, 65535));
    value_set(map, "u32", value_uint(VALUE_UINT32, UINT32_MAX));
    value_set(map, "u64", value_uint(VALUE_UINT64, UINT64_MAX));
    value_set(map, "float", value_double(VALUE_FLOAT, -1.5));
    value_set(map, "double", value_double(VALUE_DOUBLE, 1e300));
    value_set(map, "time", value_int(VALUE_TIMESTAMP, 1330000000));
    value_set(map, "uuid", value_uuid(uuid));
    value_set(map, "binary", value_bytes(VALUE_BINARY, "\0\1\377", 3));
    value_set(map, "", value_string(""));
    value_set(map, "list", inner);
    g_autoptr(GByteArray) bytes = qmf_0_10_encode(map);
    again = qmf_0_10_decode(bytes->data, bytes->len, VALUE_MAP, NULL);
    g_assert_nonnull(again);
    g_assert_true(value_equal(map, again));
}

static void test_long_strings_and_keys(void)
{
    g_autofree char *just = g_strnfill(65535, 'x'), *longer = g_strnfill(65536, 'y'), *key = g_strnfill(255, 'k'),
                    *key_too_long = g_strnfill(256, 'k');
    g_autoptr(Value) map = value_map();

    value_set(map, "just", value_string(just));
    value_set(map, "longer", value_string(longer));
    value_set(map, key, value_bool(true));
    value_set(map, key_too_long, value_bool(true));
    g_autoptr(GByteArray) bytes = qmf_0_10_encode(map);
    g_autoptr(Value) again = qmf_0_10_decode(bytes->data, bytes->len, VALUE_MAP, NULL);
    g_assert_cmpuint(value_size(again), ==, 3); /* 0-10 has no longer keys */
    g_assert_cmpint(value_type(value_get(again, "just")), ==, VALUE_STRING);
    g_assert_cmpint(value_type(value_get(again, "longer")), ==, VALUE_BINARY); /* vbin32, as libqmf2 */
    g_assert_cmpstr(value_get_string(again, "longer"), ==, longer);
    g_assert_nonnull(value_get(again, key));
}

static void test_empty_comes_in_three_forms(void)
{
    g_autoptr(Value) with_count = GOOD("\0\0\0\4\0\0\0\0", VALUE_MAP), without = GOOD("\0\0\0\0", VALUE_LIST);
    g_autoptr(GByteArray) nothing = qmf_0_10_encode(NULL);

    g_assert_cmpuint(value_size(with_count), ==, 0);
    g_assert_cmpuint(value_size(without), ==, 0);
    g_assert_cmpuint(nothing->len, ==, 8);
    g_assert_cmpint(memcmp(nothing->data, "\0\0\0\4\0\0\0\0", 8), ==, 0);
}

static void test_strings_of_other_character_sets(void)
{
    g_autoptr(Value) list = GOOD("\0\0\0\x1a\0\0\0\5"
                                 "\x84\1\xe9"
                                 "\x86\4\0\xe9\0t"
                                 "\x96\0\2\0x"
                                 "\x85\3\377\376a"
                                 "\x80\1z",
                                 VALUE_LIST);

    g_assert_cmpstr(value_as_string(value_at(list, 0)), ==, "é");
    g_assert_cmpstr(value_as_string(value_at(list, 1)), ==, "ét");
    g_assert_cmpstr(value_as_string(value_at(list, 2)), ==, "x");
    g_assert_cmpint(value_type(value_at(list, 3)), ==, VALUE_BINARY); /* said to be UTF-8 and is not: kept as it came */
    g_assert_cmpstr(value_as_string(value_at(list, 4)), ==, "z");
}

static void test_arrays_are_lists(void)
{
    g_autoptr(Value) list = GOOD("\0\0\0\x12\0\0\0\1\xaa\0\0\0\x09\x12\0\0\0\2\0\5\0\6", VALUE_LIST);
    const Value *array = value_at(list, 0);

    g_assert_cmpint(value_type(array), ==, VALUE_LIST);
    g_assert_cmpint(value_type(value_at(array, 1)), ==, VALUE_UINT16);
    int64_t v = 0;
    g_assert_true(value_as_int(value_at(array, 1), &v));
    g_assert_cmpint(v, ==, 6);
}

static void test_borders_hold(void)
{
    BAD("", VALUE_MAP, "byte 0");
    BAD("\0\0\0", VALUE_MAP, "4 bytes announced, 3 there");
    BAD("\0\0\0\5\0\0\0\0", VALUE_MAP, "5 bytes announced, 4 there");
    BAD("\377\377\377\377\0\0\0\0", VALUE_MAP, "4294967295 bytes announced");
    BAD("\0\0\0\4\377\377\377\377", VALUE_LIST, "items announced");
    BAD("\0\0\0\4\0\0\0\0x", VALUE_LIST, "1 bytes after the end");
    BAD("\0\0\0\5\0\0\0\0x", VALUE_LIST, "1 bytes left over");
    BAD("\0\0\0\6\0\0\0\1\x21\0", VALUE_LIST, "4 bytes announced, 1 there");
    BAD("\0\0\0\7\0\0\0\1\x95\0\2", VALUE_LIST, "2 bytes announced, 0 there");
    BAD("\0\0\0\5\0\0\0\1\x7f", VALUE_LIST, "byte 8: unknown type 0x7f");
    BAD("\0\0\0\7\0\0\0\1\1\377\xf0", VALUE_MAP, "not UTF-8");
    BAD("\0\0\0\7\0\0\0\1\1\0\xf0", VALUE_MAP, "not UTF-8");
    BAD("\0\0\0\x11\0\0\0\1\xaa\0\0\0\x05\xf0\0\1\0\0\0\0\0\0", VALUE_LIST, "announced"); /* an array of nothings costs no bytes */
    /* A list inside that claims more than the list around it has. */
    BAD("\0\0\0\x0d\0\0\0\1\xa9\0\0\0\5\0\0\0\0", VALUE_LIST, "5 bytes announced, 4 there");
}

static void test_depth_is_limited(void)
{
    for (unsigned depth = QMF_DEPTH_MAX - 1; depth <= QMF_DEPTH_MAX + 1; depth++) {
        g_autoptr(Value) value = value_list();
        g_autoptr(GError) error = NULL;

        for (unsigned i = 1; i < depth; i++) {
            Value *outer = value_list();

            value_append(outer, g_steal_pointer(&value));
            value = outer;
        }
        g_autoptr(GByteArray) bytes = qmf_0_10_encode(value);
        g_autoptr(Value) again = qmf_0_10_decode(bytes->data, bytes->len, VALUE_LIST, &error);
        if (depth <= QMF_DEPTH_MAX)
            g_assert_no_error(error);
        else
            g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
        g_assert_true((again != NULL) == (depth <= QMF_DEPTH_MAX));
    }
}

static void test_number_of_items_is_limited(void)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    uint32_t head[2] = { GUINT32_TO_BE(4 + QMF_ITEMS_MAX + 1), GUINT32_TO_BE(QMF_ITEMS_MAX + 1) };

    g_byte_array_append(bytes, (const uint8_t *) head, sizeof head);
    g_byte_array_set_size(bytes, sizeof head + QMF_ITEMS_MAX + 1);
    memset(bytes->data + sizeof head, 0xf0, QMF_ITEMS_MAX + 1);
    g_assert_null(qmf_0_10_decode(bytes->data, bytes->len, VALUE_LIST, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
}

/* Every byte of a good body wrong in turn: an error or a value, never more than that. */
static void test_any_single_wrong_byte(void)
{
    static const char body[] = "\0\0\0\x2d\0\0\0\2\4name\x95\0\2ab\4list\xa9\0\0\0\x11\0\0\0\3\x21\0\0\0\1\x90\0\2\1\2\xf0" "\5";

    for (size_t i = 0; i < sizeof body - 1; i++)
        for (unsigned b = 0; b < 256; b++) {
            uint8_t broken[sizeof body - 1];

            memcpy(broken, body, sizeof broken);
            broken[i] = (uint8_t) b;
            value_unref(qmf_0_10_decode(broken, sizeof broken, VALUE_MAP, NULL));
            value_unref(qmf_0_10_decode(broken, sizeof broken - 1, VALUE_MAP, NULL));
            value_unref(qmf_0_10_decode(broken, sizeof broken, VALUE_LIST, NULL));
        }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/codec/every type goes both ways", test_every_type_goes_both_ways);
    g_test_add_func("/codec/long strings and keys", test_long_strings_and_keys);
    g_test_add_func("/codec/empty comes in three forms", test_empty_comes_in_three_forms);
    g_test_add_func("/codec/strings of other character sets", test_strings_of_other_character_sets);
    g_test_add_func("/codec/arrays are lists", test_arrays_are_lists);
    g_test_add_func("/codec/borders hold", test_borders_hold);
    g_test_add_func("/codec/depth is limited", test_depth_is_limited);
    g_test_add_func("/codec/number of items is limited", test_number_of_items_is_limited);
    g_test_add_func("/codec/any single wrong byte", test_any_single_wrong_byte);
    return g_test_run();
}
