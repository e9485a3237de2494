/* Walks schema and value together; the path grows with the walk, so every refusal can say where. Keywords are rows of a table, which
 * is also the list of what is known: a keyword without a row is refused before anything is checked. */
#include "broker-plugin/config_check.h"

#include "lib/base/json.h"
#include "lib/base/settings.h"

#include <string.h>

G_DEFINE_QUARK(mend-config-error-quark, config_error)

#define DEPTH_MAX 32

typedef struct Place {
    const struct Place *above;
    const char *key; /* NULL: an array's item */
    size_t index;
    unsigned depth;
} Place;

static bool check(const json_t *schema, const json_t *value, const Place *place, GError **error);

static void place_append(GString *text, const Place *place)
{
    if (place->above == NULL)
        return;
    place_append(text, place->above);
    if (place->key == NULL)
        g_string_append_printf(text, "[%zu]", place->index);
    else
        g_string_append_printf(text, "%s%s", text->len > 0 ? "." : "", place->key);
}

static bool refuse(const Place *place, GError **error, ConfigError code, const char *format, ...) G_GNUC_PRINTF(4, 5);
static bool refuse(const Place *place, GError **error, ConfigError code, const char *format, ...)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_autofree char *text = NULL;
    va_list arguments;

    place_append(path, place);
    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_set_error(error, CONFIG_ERROR, code, "%s: %s", path->len > 0 ? path->str : "(top)", text);
    return false;
}

static const char *type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:  return "object";
    case JSON_ARRAY:   return "array";
    case JSON_STRING:  return "string";
    case JSON_INTEGER: return "integer";
    case JSON_REAL:    return "number";
    case JSON_TRUE:
    case JSON_FALSE:   return "boolean";
    case JSON_NULL:    return "null";
    }
    return "?";
}

static bool type_fits(const char *wanted, const json_t *value)
{
    return strcmp(wanted, type_of(value)) == 0 || (strcmp(wanted, "number") == 0 && json_is_integer(value));
}

static bool check_type(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    g_autofree char *wanted = json_text(rule);
    const json_t *one;
    size_t i;

    if (json_is_string(rule) && type_fits(json_string_value(rule), value))
        return true;
    json_array_foreach(rule, i, one)
        if (json_is_string(one) && type_fits(json_string_value(one), value))
            return true;
    return refuse(place, error, CONFIG_ERROR_VALUE, "%s found, %s wanted", type_of(value), wanted);
}

static bool check_required(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    const json_t *name;
    size_t i;

    if (json_is_object(value))
        json_array_foreach(rule, i, name)
            if (json_object_get(value, json_string_value(name)) == NULL)
                return refuse(place, error, CONFIG_ERROR_VALUE, "\"%s\" is missing", json_string_value(name));
    return true;
}

static bool check_properties(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    const char *key;
    json_t *below;

    if (json_is_object(value))
        json_object_foreach((json_t *) rule, key, below) {
            const json_t *item = json_object_get(value, key);
            const Place at = { place, key, 0, place->depth + 1 };

            if (item != NULL && !check(below, item, &at, error))
                return false;
        }
    return true;
}

static bool refuse_unknown(const json_t *known, const char *key, const Place *at, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near, *name;
    json_t *unused;

    json_object_foreach((json_t *) known, name, unused)
        g_ptr_array_add(names, (void *) name);
    g_ptr_array_add(names, NULL);
    near = nearest_word(key, (const char *const *) names->pdata);
    return near != NULL ? refuse(at, error, CONFIG_ERROR_VALUE, "there is no such setting; did you mean \"%s\"?", near)
                        : refuse(at, error, CONFIG_ERROR_VALUE, "there is no such setting");
}

static bool check_additional(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    const json_t *known = json_object_get(schema, "properties");
    const char *key;
    json_t *item;

    if (!json_is_object(value) || json_is_true(rule))
        return true;
    json_object_foreach((json_t *) value, key, item) {
        const Place at = { place, key, 0, place->depth + 1 };

        if (json_object_get(known, key) != NULL)
            continue;
        if (json_is_false(rule))
            return refuse_unknown(known, key, &at, error);
        if (!check(rule, item, &at, error))
            return false;
    }
    return true;
}

static bool check_items(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    const json_t *item;
    size_t i;

    json_array_foreach(value, i, item) {
        const Place at = { place, NULL, i, place->depth + 1 };

        if (!check(rule, item, &at, error))
            return false;
    }
    return true;
}

static bool check_minimum(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    if (!json_is_number(value) || json_number_value(value) >= json_number_value(rule))
        return true;
    return refuse(place, error, CONFIG_ERROR_VALUE, "%g found, at least %g wanted", json_number_value(value), json_number_value(rule));
}

static bool check_maximum(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    if (!json_is_number(value) || json_number_value(value) <= json_number_value(rule))
        return true;
    return refuse(place, error, CONFIG_ERROR_VALUE, "%g found, at most %g wanted", json_number_value(value), json_number_value(rule));
}

static bool check_enum(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    g_autofree char *found = json_text(value), *wanted = json_text(rule);
    const json_t *one;
    size_t i;

    json_array_foreach(rule, i, one)
        if (json_equal(one, value))
            return true;
    return refuse(place, error, CONFIG_ERROR_VALUE, "%s found, one of %s wanted", found, wanted);
}

static bool schema_object_or_bool(const json_t *rule) { return json_is_object(rule) || json_is_boolean(rule); }
static bool schema_object(const json_t *rule) { return json_is_object(rule); }
static bool schema_array(const json_t *rule) { return json_is_array(rule); }
static bool schema_number(const json_t *rule) { return json_is_number(rule); }
static bool schema_type(const json_t *rule) { return json_is_string(rule) || json_is_array(rule); }
static bool schema_any(const json_t *rule) { return true; }
static bool schema_names(const json_t *rule)
{
    const json_t *name;
    size_t i;

    json_array_foreach(rule, i, name)
        if (!json_is_string(name))
            return false;
    return json_is_array(rule);
}

static const struct {
    const char *word;
    bool (*well_formed)(const json_t *rule);
    bool (*check)(const json_t *rule, const json_t *schema, const json_t *value, const Place *place, GError **error);
} keywords[] = { /* in the order of checking: what a person would want to hear first */
    { "type", schema_type, check_type },
    { "additionalProperties", schema_object_or_bool, check_additional },
    { "required", schema_names, check_required },
    { "enum", schema_array, check_enum },
    { "minimum", schema_number, check_minimum },
    { "maximum", schema_number, check_maximum },
    { "properties", schema_object, check_properties },
    { "items", schema_object, check_items },
    { "title", schema_any, NULL }, { "description", schema_any, NULL }, { "default", schema_any, NULL },
    { "$schema", schema_any, NULL }, { "$id", schema_any, NULL },
};

static bool check_keywords(const json_t *schema, const Place *place, GError **error)
{
    const char *word;
    json_t *rule;

    json_object_foreach((json_t *) schema, word, rule) {
        size_t i = 0;

        while (i < G_N_ELEMENTS(keywords) && strcmp(keywords[i].word, word) != 0)
            i++;
        if (i == G_N_ELEMENTS(keywords))
            return refuse(place, error, CONFIG_ERROR_SCHEMA, "the schema uses \"%s\", which is not checked here", word);
        if (!keywords[i].well_formed(rule))
            return refuse(place, error, CONFIG_ERROR_SCHEMA, "the schema's \"%s\" is malformed", word);
    }
    return true;
}

static bool check(const json_t *schema, const json_t *value, const Place *place, GError **error)
{
    if (place->depth > DEPTH_MAX)
        return refuse(place, error, CONFIG_ERROR_VALUE, "deeper than %d levels", DEPTH_MAX);
    if (!json_is_object(schema))
        return refuse(place, error, CONFIG_ERROR_SCHEMA, "the schema is no object");
    if (!check_keywords(schema, place, error))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(keywords); i++) {
        const json_t *rule = json_object_get(schema, keywords[i].word);

        if (rule != NULL && keywords[i].check != NULL && !keywords[i].check(rule, schema, value, place, error))
            return false;
    }
    return true;
}

bool config_check(const json_t *schema, const json_t *config, GError **error)
{
    const Place top = { 0 };

    return check(schema, config, &top, error);
}
