#include "lib/base/json.h"
#include "lib/base/yaml.h"

#include <string.h>

static YamlFile *read_text(const char *text, GError **error)
{
    return yaml_read("p.yaml", text, strlen(text), error);
}

static void test_every_node_knows_its_place(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlFile) file = read_text("mend: 1\nrules:\n  - name: heal\n    on: [a, b]\n", &error);

    g_assert_no_error(error);
    const YamlNode *rule = yaml_at(yaml_get(file->root, "rules"), 0), *on = yaml_get(rule, "on");
    g_assert_cmpint(on->line, ==, 4);
    g_assert_cmpint(on->column, ==, 9);
    g_assert_cmpuint(yaml_size(on), ==, 2);
    g_assert_false(yaml_error(file, yaml_at(on, 1), &error, "no such kind"));
    g_assert_cmpstr(error->message, ==, "p.yaml:4:13: no such kind");
}

static void check_json(const char *yaml, const char *json)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlFile) file = read_text(yaml, &error);

    g_assert_no_error(error);
    g_autoptr(json_t) value = yaml_to_json(file->root);
    g_autofree char *text = json_text(value);
    g_assert_cmpstr(text, ==, json);
}

static void test_scalars_follow_the_core_schema(void)
{
    check_json("[1, -2, 1.5, true, null, ~, \"1\", 'true', yes, 10s, 1e3, 0x10, .]",
               "[1,-2,1.5,true,null,null,\"1\",\"true\",\"yes\",\"10s\",1000.0,\"0x10\",\".\"]");
    check_json("{\"a\": {\"b\": []}}", "{\"a\":{\"b\":[]}}");
    check_json("", "null");
    check_json("a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}");
}

static void check_refusal(const char *text, const char *message)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlFile) file = read_text(text, &error);

    g_assert_null(file);
    if (!g_str_has_prefix(error->message, message))
        g_assert_cmpstr(error->message, ==, message);
}

static void test_what_is_wrong_is_named_with_its_place(void)
{
    check_refusal("a: 1\nb: [1, 2\nc: 3\n", "p.yaml:");
    check_refusal("a: 1\n\nb: 2\na: 3\n", "p.yaml:4:1: \"a\" is here twice");
    check_refusal("a: &x 1\nb: *x\n", "p.yaml:2:4: an alias (*name); write the value out");
    check_refusal("[a]: 1\n", "p.yaml:1:1: a name is wanted here, not a list or mapping");
    check_refusal("a: \"\\0\"\n", "p.yaml:1:4: a NUL character in a value");
    check_refusal("a: \xff\n", "p.yaml:1:1: not UTF-8 text");

    g_autoptr(GString) deep = g_string_new(NULL);
    for (int i = 0; i < 100; i++)
        g_string_append_c(deep, '[');
    check_refusal(deep->str, "p.yaml:1:65: nested deeper than 64");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/yaml/every node knows its place", test_every_node_knows_its_place);
    g_test_add_func("/base/yaml/scalars follow the core schema", test_scalars_follow_the_core_schema);
    g_test_add_func("/base/yaml/what is wrong is named with its place", test_what_is_wrong_is_named_with_its_place);
    return g_test_run();
}
