/* Values between D-Bus and QMF, and the rules, without a bus. */
#include "agents/guest/matahari/dbus_rules.h"
#include "agents/guest/matahari/dbus_value.h"

#include "lib/base/json.h"

static void from(const char *text, const char *wanted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) variant = g_variant_parse(NULL, text, NULL, NULL, &error);
    g_autoptr(Value) value = NULL;
    g_autoptr(json_t) json = NULL;
    g_autofree char *said = NULL;

    g_assert_no_error(error);
    value = value_from_variant(variant, &error);
    g_assert_no_error(error);
    json = json_array();
    json_array_append_new(json, value_to_json(value));
    said = json_text(json);
    g_assert_cmpstr(said, ==, wanted);
}

static void test_from_dbus(void)
{
    from("true", "[true]");
    from("byte 255", "[255]");
    from("int16 -5", "[-5]");
    from("uint64 18446744073709551615", "[\"18446744073709551615\"]");
    from("1.5", "[1.5]");
    from("objectpath '/a/b'", "[\"/a/b\"]");
    from("signature 'a{sv}'", "[\"a{sv}\"]");
    from("['a', 'b']", "[[\"a\",\"b\"]]");
    from("@as []", "[[]]");
    from("(1, 'x', [2.0])", "[[1,\"x\",[2.0]]]");
    from("{'k': <1>, 'l': <['x']>}", "[[[\"k\",1],[\"l\",[\"x\"]]]]");
    from("{uint32 7: 'seven'}", "[[[7,\"seven\"]]]");
    from("<<<'deep'>>>", "[\"deep\"]");
}

static void test_from_dbus_has_limits(void)
{
    g_autoptr(GVariant) deep = g_variant_ref_sink(g_variant_new_int32(1));
    g_autofree char *big = g_strnfill(DBUS_VALUE_BYTES + 1, 'x');
    g_autoptr(GVariant) text = g_variant_ref_sink(g_variant_new_string(big));
    g_autoptr(GVariant) bytes = g_variant_ref_sink(g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, big, DBUS_VALUE_ITEMS + 1, 1));
    g_autoptr(GVariant) handle = g_variant_ref_sink(g_variant_new_handle(3));
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < DBUS_VALUE_LEVELS; i++) {
        GVariant *outer = g_variant_ref_sink(g_variant_new_variant(deep));

        g_variant_unref(deep);
        deep = outer;
    }
    g_assert_null(value_from_variant(deep, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
    g_clear_error(&error);
    g_assert_null(value_from_variant(text, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
    g_clear_error(&error);
    g_assert_null(value_from_variant(bytes, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_LIMIT);
    g_clear_error(&error);
    g_assert_null(value_from_variant(handle, &error));
    g_assert_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT);
}

/* @wanted: as GVariant prints it, or "! error". */
static void to(const char *json_text_, const char *type, const char *wanted)
{
    g_autoptr(json_t) json = json_loads(json_text_, JSON_DECODE_ANY, NULL);
    g_autoptr(Value) value = value_from_json(json);
    g_autoptr(GError) error = NULL;
    GVariant *variant = variant_from_value(value, G_VARIANT_TYPE(type), &error);
    g_autofree char *said = variant != NULL ? g_variant_print(g_variant_ref_sink(variant), TRUE) : g_strconcat("! ", error->message, NULL);

    g_assert_cmpstr(said, ==, wanted);
    if (variant != NULL)
        g_variant_unref(variant);
}

static void test_to_dbus(void)
{
    to("true", "b", "true");
    to("1", "b", "! a int64 does not fit D-Bus type b");
    to("255", "y", "byte 0xff");
    to("256", "y", "! a int64 does not fit D-Bus type y");
    to("-1", "u", "! a int64 does not fit D-Bus type u");
    to("-32769", "n", "! a int64 does not fit D-Bus type n");
    to("4294967295", "u", "uint32 4294967295");
    to("2147483648", "i", "! a int64 does not fit D-Bus type i");
    to("1", "d", "1.0");
    to("\"/a\"", "o", "objectpath '/a'");
    to("\"a\"", "o", "! a string does not fit D-Bus type o");
    to("\"(\"", "g", "! a string does not fit D-Bus type g");
    to("1", "h", "! a int64 does not fit D-Bus type h");
    to("null", "s", "! a null does not fit D-Bus type s");
    to("[\"a\"]", "as", "['a']");
    to("\"a\"", "as", "! a string does not fit D-Bus type as");
    to("[\"a\", 1]", "as", "! a int64 does not fit D-Bus type s");
    to("{\"k\": 1}", "a{su}", "{'k': uint32 1}");
    to("[[\"k\", 1]]", "a{su}", "{'k': uint32 1}");
    to("[[7, \"x\"]]", "a{us}", "{uint32 7: 'x'}");
    to("{\"k\": 1}", "a{us}", "! a string does not fit D-Bus type u");
    to("[[7]]", "a{us}", "! a list does not fit D-Bus type {us}");
    to("{\"k\": [1, {\"l\": \"m\"}]}", "a{sv}", "{'k': <[<int64 1>, <{'l': <'m'>}>]>}");
    to("[1, \"x\", [2.5]]", "(isad)", "(1, 'x', [2.5])");
    to("[1]", "(is)", "! a list does not fit D-Bus type (is)");
    to("[1, 2, 3]", "ay", "[byte 0x01, 0x02, 0x03]");
    to("null", "v", "! a null does not fit D-Bus type v");
    to("[]", "()", "()");
}

static void test_rules(void)
{
    char *const *rules = (char *const[]){(char *) "org.a/org.a.One.*", (char *) "org.b*/*.Get", NULL};
    char *const *wrong = (char *const[]){(char *) "org.a", NULL};
    g_autoptr(GError) error = NULL;

    g_assert_true(dbus_rules_check(rules, NULL));
    g_assert_false(dbus_rules_check(wrong, &error));
    g_assert_true(g_str_has_prefix(error->message, "'org.a' is no rule: wanted is BUS/INTERFACE.MEMBER"));
    g_assert_true(dbus_rules_allow(rules, "org.a", "org.a.One", "Go"));
    g_assert_false(dbus_rules_allow(rules, "org.a", "org.a.Two", "Go"));
    g_assert_false(dbus_rules_allow(rules, "org.ab", "org.a.One", "Go"));
    g_assert_true(dbus_rules_allow(rules, "org.b.x", "org.anything", "Get"));
    g_assert_false(dbus_rules_allow(rules, "org.b.x", "org.anything", "Set"));
    g_assert_true(dbus_rules_know(rules, "org.b"));
    g_assert_false(dbus_rules_know(rules, ":1.5"));
    g_assert_false(dbus_rules_allow(NULL, "org.a", "org.a.One", "Go"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dbus-value/from D-Bus", test_from_dbus);
    g_test_add_func("/dbus-value/from D-Bus has limits", test_from_dbus_has_limits);
    g_test_add_func("/dbus-value/to D-Bus", test_to_dbus);
    g_test_add_func("/dbus-value/rules", test_rules);
    return g_test_run();
}
