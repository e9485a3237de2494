#include "lib/base/json.h"

#include <string.h>

G_DEFINE_QUARK(mend-json-error-quark, json_error)

json_t *json_parse(const char *text, size_t length, const char *where, GError **error)
{
    json_error_t problem;
    json_t *value = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);

    if (value == NULL)
        g_set_error(error, JSON_ERROR, JSON_ERROR_SYNTAX, "%s:%d:%d: %s", where, problem.line, problem.column, problem.text);
    return value;
}

char *json_pretty(const json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *copy = g_strdup(text); /* jansson's memory is malloc's, callers free GLib's */

    free(text);
    return copy;
}

static const json_t *get(const json_t *object, const char *key, GError **error)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL)
        g_set_error(error, JSON_ERROR, JSON_ERROR_MISSING, "\"%s\" is missing", key);
    return value;
}

bool json_get_string(const json_t *object, const char *key, const char **ret_text, GError **error)
{
    const json_t *value = get(object, key, error);

    if (value == NULL)
        return false;
    if (!json_is_string(value)) {
        g_set_error(error, JSON_ERROR, JSON_ERROR_TYPE, "\"%s\" is not a string", key);
        return false;
    }
    *ret_text = json_string_value(value);
    return true;
}

bool json_get_int(const json_t *object, const char *key, int64_t *ret_value, GError **error)
{
    const json_t *value = get(object, key, error);

    if (value == NULL)
        return false;
    if (!json_is_integer(value)) {
        g_set_error(error, JSON_ERROR, JSON_ERROR_TYPE, "\"%s\" is not an integer", key);
        return false;
    }
    *ret_value = json_integer_value(value);
    return true;
}

const char *json_string_or(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_int_or(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool json_bool_or(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

void json_set_string(json_t *object, const char *key, const char *text)
{
    if (text != NULL)
        json_object_set_new(object, key, json_string(text));
}
