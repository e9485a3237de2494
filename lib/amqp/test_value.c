/* Values: building, reading with the wrong type, equality, JSON. */
#include "lib/amqp/value.h"

#include "lib/base/json.h"

#include <math.h>
#include <string.h>

static void test_map(void)
{
    g_autoptr(Value) map = value_map();
    char key[16];

    for (int i = 0; i < 100; i++) { /* past the size where the index starts */
        g_snprintf(key, sizeof key, "k%d", i);
        value_set(map, key, value_int(VALUE_INT32, i));
    }
    value_set(map, "k7", value_string("seven"));
    g_assert_cmpuint(value_size(map), ==, 100);
    g_assert_cmpstr(value_get_string(map, "k7"), ==, "seven");
    g_assert_cmpint(value_get_int(map, "k99", -1), ==, 99);
    g_assert_cmpint(value_get_int(map, "k7", -1), ==, -1);
    g_assert_null(value_get(map, "k100"));
    for (int i = 0; i < 100; i++) {
        const char *found = NULL;
        g_snprintf(key, sizeof key, "k%d", i);
        g_assert_true(value_entry(map, (size_t) i, &found, NULL));
        g_assert_cmpstr(found, ==, key);
    }
    g_assert_false(value_entry(map, 100, NULL, NULL));
}

static void test_reading_is_total(void)
{
    g_autoptr(Value) text = value_string("x");
    g_autoptr(Value) null = value_string(NULL);
    int64_t integer = 5;
    uint64_t natural = 5;
    double real = 5;
    bool truth = true;
    size_t n_bytes = 5;

    for (const Value *v = text; v != NULL; v = v == text ? null : NULL) {
        g_assert_false(value_as_int(v, &integer) || value_as_uint(v, &natural) || value_as_double(v, &real) || value_as_bool(v, &truth));
        g_assert_null(value_get(v, "k"));
        g_assert_null(value_at(v, 0));
        g_assert_null(value_as_uuid(v));
        g_assert_null(value_descriptor(v));
        g_assert_false(value_entry(v, 0, NULL, NULL));
    }
    g_assert_cmpint(integer, ==, 5);
    g_assert_cmpint(value_type(NULL), ==, VALUE_NULL);
    g_assert_null(value_get_string(NULL, "k"));
    g_assert_null(value_as_bytes(NULL, &n_bytes));
    g_assert_cmpuint(value_size(NULL), ==, 0);
    g_assert_cmpstr(value_type_name(VALUE_DESCRIBED), ==, "described");
    g_assert_cmpstr(value_type_name((ValueType) 99), ==, "?");
}

static void test_numbers(void)
{
    g_autoptr(Value) high = value_uint(VALUE_UINT64, UINT64_MAX);
    g_autoptr(Value) low = value_int(VALUE_INT64, INT64_MIN);
    g_autoptr(Value) real = value_double(VALUE_FLOAT, 0.1);
    int64_t integer;
    uint64_t natural;
    double d;

    g_assert_false(value_as_int(high, &integer));
    g_assert_true(value_as_uint(high, &natural) && natural == UINT64_MAX);
    g_assert_true(value_as_int(low, &integer) && integer == INT64_MIN);
    g_assert_false(value_as_uint(low, &natural));
    g_assert_true(value_as_double(real, &d) && d == (double) 0.1f);
}

static void test_text(void)
{
    g_autoptr(Value) latin = value_bytes(VALUE_BINARY, "caf\xe9", 4);
    g_autoptr(Value) nul = value_bytes(VALUE_STRING, "a\0b", 3);
    g_autoptr(Value) binary = value_bytes(VALUE_BINARY, "caf\xc3\xa9", 5);
    g_autoptr(Value) empty = value_bytes(VALUE_SYMBOL, NULL, 0);
    size_t n_bytes = 0;

    g_assert_null(value_as_string(latin));
    g_assert_null(value_as_string(nul));
    g_assert_cmpstr(value_as_string(binary), ==, "caf\xc3\xa9");
    g_assert_cmpstr(value_as_string(empty), ==, "");
    g_assert_nonnull(value_as_bytes(nul, &n_bytes));
    g_assert_cmpuint(n_bytes, ==, 3);
}

static void test_equal(void)
{
    g_autoptr(Value) a = value_map();
    g_autoptr(Value) b = value_map();
    g_autoptr(Value) nan = value_double(VALUE_DOUBLE, NAN);
    g_autoptr(Value) small = value_int(VALUE_INT32, 1);
    g_autoptr(Value) large = value_int(VALUE_INT64, 1);

    value_set(a, "x", value_string("1"));
    value_set(a, "y", value_bool(true));
    value_set(b, "y", value_bool(true));
    g_assert_false(value_equal(a, b));
    value_set(b, "x", value_string("1"));
    g_assert_true(value_equal(a, b));
    value_set(b, "x", value_bytes(VALUE_SYMBOL, "1", 1));
    g_assert_false(value_equal(a, b));
    g_assert_true(value_equal(nan, nan));
    g_assert_false(value_equal(small, large));
    g_assert_true(value_equal(NULL, NULL));
    g_assert_false(value_equal(NULL, small));
}

static void test_json(void)
{
    static const char text[] = "{\"a\":[1,-2.5,true,null,\"x\"],\"b\":{\"c\":\"\"}}";
    g_autoptr(json_t) json = json_parse(text, strlen(text), "test", NULL);
    g_autoptr(Value) value = value_from_json(json);
    g_autoptr(json_t) again = value_to_json(value);
    g_autofree char *again_text = json_text(again);
    g_autoptr(Value) odd = value_list();
    g_autoptr(json_t) odd_json = NULL;
    g_autofree char *odd_text = NULL;

    g_assert_cmpint(value_type(value_at(value_get(value, "a"), 0)), ==, VALUE_INT64);
    g_assert_cmpstr(again_text, ==, text);
    value_append(odd, value_bytes(VALUE_BINARY, "\xff\x01", 2));
    value_append(odd, value_uint(VALUE_UINT64, UINT64_MAX));
    value_append(odd, value_double(VALUE_DOUBLE, INFINITY));
    value_append(odd, value_uuid((const uint8_t *) "0123456789abcdef"));
    value_append(odd, value_described(value_string("d"), value_int(VALUE_TIMESTAMP, 3)));
    odd_json = value_to_json(odd);
    odd_text = json_text(odd_json);
    g_assert_cmpstr(odd_text, ==, "[{\"$hex\":\"ff01\"},\"18446744073709551615\",null,\"30313233-3435-3637-3839-616263646566\","
                                  "{\"$descriptor\":\"d\",\"$value\":3}]");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/value/map", test_map);
    g_test_add_func("/value/reading-is-total", test_reading_is_total);
    g_test_add_func("/value/numbers", test_numbers);
    g_test_add_func("/value/text", test_text);
    g_test_add_func("/value/equal", test_equal);
    g_test_add_func("/value/json", test_json);
    return g_test_run();
}
