/* schemas/policy.schema.json and docs/policy-file.md know what the reader knows: the same sections, keys, needed keys, words and numbers. */
#include "consumers/policy/language/fields.h"
#include "lib/base/json.h"

#include <string.h>

static char *read_source(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(g_getenv("MEND_SOURCE_DIR"), folder, name, NULL);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

static json_t *read_schema(void)
{
    g_autofree char *text = read_source("schemas", "policy.schema.json");
    g_autoptr(GError) error = NULL;
    json_t *schema = json_parse(text, strlen(text), "policy.schema.json", &error);

    g_assert_no_error(error);
    return schema;
}

static json_t *section_of(json_t *schema, const char *name)
{
    return strcmp(name, "root") == 0 ? schema : json_object_get(json_object_get(schema, "$defs"), name);
}

static bool holds_text(const json_t *list, const char *text)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
        if (g_strcmp0(json_string_value(item), text) == 0)
            return true;
    return false;
}

/* The first object at @json or in its anyOf that has @key. */
static const json_t *find_with(const json_t *json, const char *key)
{
    size_t i;
    json_t *item;

    if (json_object_get(json, key) != NULL)
        return json;
    json_array_foreach(json_object_get(json, "anyOf"), i, item)
        if (json_object_get(item, key) != NULL)
            return item;
    return NULL;
}

static void check_words(const Field *field, json_t *schema, const json_t *property)
{
    bool is_event = field->words == event_kind_words;
    const json_t *with = find_with(is_event ? json_object_get(json_object_get(schema, "$defs"), "event") : property, "enum");
    const json_t *words = json_object_get(with, "enum");
    size_t n = 0;

    g_assert_nonnull(words);
    for (; field->words[n] != NULL; n++)
        if (!holds_text(words, field->words[n]))
            g_error("%s: \"%s\" is not in the schema", field->name, field->words[n]);
    g_assert_cmpuint(json_array_size(words), ==, n);
}

static void check_range(const Field *field, const json_t *property)
{
    const json_t *with = find_with(property, "minimum");

    g_assert_nonnull(with);
    g_assert_cmpfloat(json_number_value(json_object_get(with, "minimum")), ==, field->min);
    g_assert_cmpfloat(json_number_value(json_object_get(with, "maximum")), ==, field->max);
}

static void check_field(const Field *field, json_t *schema, const json_t *section)
{
    const json_t *property = json_object_get(json_object_get(section, "properties"), field->name);
    const json_t *then = json_object_get(json_object_get(section, "then"), "required");
    const json_t *required = then != NULL ? then : json_object_get(section, "required");

    g_test_message("%s", field->name);
    g_assert_nonnull(property);
    g_assert_cmpint(holds_text(required, field->name), ==, field->needed);
    if (field->words != NULL)
        check_words(field, schema, property);
    if (field->type == FIELD_COUNT || field->type == FIELD_WHOLE || field->type == FIELD_NUMBER)
        check_range(field, property);
}

static void test_the_schema_has_the_readers_keys(void)
{
    g_autoptr(json_t) schema = read_schema();
    const char *key;
    json_t *value;

    for (const NamedSection *s = policy_sections; s->name != NULL; s++) {
        const json_t *section = section_of(schema, s->name);

        g_test_message("section %s", s->name);
        g_assert_nonnull(section);
        g_assert_true(json_is_false(json_object_get(section, "additionalProperties")));
        for (size_t i = 0; i < s->section->n_fields; i++)
            check_field(&s->section->fields[i], schema, section);
        json_object_foreach(json_object_get(section, "properties"), key, value)
            if (section_field(s->section, key) == NULL && strcmp(key, "template") != 0)
                g_error("%s: the schema has \"%s\", the reader has not", s->name, key);
    }
}

static void test_the_schema_has_the_engines_actions(void)
{
    g_autoptr(json_t) schema = read_schema();
    const json_t *step = section_of(schema, "step");
    const json_t *actions = json_object_get(json_object_get(json_object_get(step, "properties"), "do"), "enum");
    size_t n = 0;

    for (; policy_actions[n] != NULL; n++)
        if (!holds_text(actions, policy_actions[n]))
            g_error("%s is not in the schema", policy_actions[n]);
    g_assert_cmpuint(json_array_size(actions), ==, n);
}

static void test_the_page_has_every_key(void)
{
    g_autofree char *page = read_source("docs", "policy-file.md");

    for (const NamedSection *s = policy_sections; s->name != NULL; s++) {
        g_autofree char *anchor = g_strdup_printf("<a id=\"%s\"></a>", s->name);
        const char *begin = strstr(page, anchor);

        if (begin == NULL)
            g_error("docs/policy-file.md has no %s", anchor);
        const char *end = strstr(begin + strlen(anchor), "<a id=");
        g_autofree char *part = end == NULL ? g_strdup(begin) : g_strndup(begin, (size_t) (end - begin));
        for (size_t i = 0; i < s->section->n_fields; i++) {
            g_autofree char *row = g_strdup_printf("\n| `%s` |", s->section->fields[i].name);

            if (strstr(part, row) == NULL)
                g_error("docs/policy-file.md: %s has no row for %s", s->name, s->section->fields[i].name);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/schema/keys", test_the_schema_has_the_readers_keys);
    g_test_add_func("/policy/schema/actions", test_the_schema_has_the_engines_actions);
    g_test_add_func("/policy/schema/page", test_the_page_has_every_key);
    return g_test_run();
}
