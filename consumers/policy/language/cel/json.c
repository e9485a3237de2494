/* The two JSON forms. Depth is bounded by jansson's parser (2048), and by us below that, since everything here calls itself. */
#include "consumers/policy/language/cel/json.h"

#include "consumers/policy/language/cel/node.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>

#define DEPTH_MAX 100
#define EXACT_MAX INT64_C(9007199254740991) /* 2^53 - 1 */

static CelValue wrong(CelArena *arena, const char *format, ...) G_GNUC_PRINTF(2, 3);
static CelValue wrong(CelArena *arena, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    const char *copy = cel_alloc_text(arena, text, strlen(text));
    return cel_error_at(copy != NULL ? copy : "too large", 0);
}

/* ---- plain ---- */

static CelValue plain_in(const json_t *json, CelArena *arena, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return wrong(arena, "nested deeper than %d", DEPTH_MAX);
    switch (json_typeof(json)) {
    case JSON_TRUE:
    case JSON_FALSE:
        return cel_bool(json_is_true(json));
    case JSON_INTEGER:
        return cel_int(json_integer_value(json));
    case JSON_REAL:
        return cel_double(json_real_value(json));
    case JSON_STRING:
        return cel_string_n(json_string_value(json), json_string_length(json));
    case JSON_ARRAY: {
        size_t n = json_array_size(json);
        CelValue *items = cel_alloc(arena, n * sizeof *items);

        for (size_t i = 0; items != NULL && i < n; i++) {
            items[i] = plain_in(json_array_get(json, i), arena, depth + 1);
            if (cel_is_error(items[i]))
                return items[i];
        }
        return items == NULL ? wrong(arena, "too large") : cel_list(arena, items, n);
    }
    case JSON_OBJECT: {
        CelEntry *entries = cel_alloc(arena, json_object_size(json) * sizeof *entries);
        const char *key;
        json_t *value;
        size_t n = 0;

        if (entries == NULL)
            return wrong(arena, "too large");
        json_object_foreach((json_t *) json, key, value) {
            entries[n].key = cel_string(key);
            entries[n].value = plain_in(value, arena, depth + 1);
            if (cel_is_error(entries[n].value))
                return entries[n].value;
            n++;
        }
        return cel_map(arena, entries, n);
    }
    default:
        return cel_null();
    }
}

CelValue cel_from_json(const json_t *json, CelArena *arena)
{
    return plain_in(json, arena, 0);
}

static json_t *base64_out(CelValue bytes)
{
    g_autofree char *text = g_base64_encode((const guchar *) bytes.as.text, bytes.extra);

    return json_string(bytes.extra == 0 ? "" : text);
}

static json_t *time_out(CelValue value)
{
    char text[CEL_TIME_TEXT_MAX];
    size_t n = value.kind == CEL_TIMESTAMP ? cel_time_format(value.as.seconds, value.extra, text) : cel_duration_format(value.as.ns, text);

    return json_stringn(text, n);
}

static json_t *special_out(double d)
{
    return json_string(isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
}

static json_t *integer_text(CelValue value)
{
    char text[24];
    int n = value.kind == CEL_INT ? g_snprintf(text, sizeof text, "%" PRId64, value.as.integer)
                                  : g_snprintf(text, sizeof text, "%" PRIu64, value.as.uinteger);

    return json_stringn(text, (size_t) n);
}

static json_t *map_out(const CelMap *map)
{
    json_t *object = json_object();

    for (size_t i = 0; i < map->n; i++) {
        CelValue key = map->entries[i].key;
        g_autoptr(json_t) name = key.kind == CEL_STRING ? json_stringn(key.as.text, key.extra)
                                 : key.kind == CEL_BOOL ? json_string(key.as.boolean ? "true" : "false")
                                                        : integer_text(key);

        json_object_set_new(object, name == NULL ? "" : json_string_value(name), cel_to_json(map->entries[i].value));
    }
    return object;
}

json_t *cel_to_json(CelValue value)
{
    switch (value.kind) {
    case CEL_BOOL:
        return json_boolean(value.as.boolean);
    case CEL_INT:
        return ABS(value.as.integer / 2) > EXACT_MAX / 2 ? integer_text(value) : json_integer(value.as.integer);
    case CEL_UINT:
        return value.as.uinteger > (uint64_t) EXACT_MAX ? integer_text(value) : json_integer((json_int_t) value.as.uinteger);
    case CEL_DOUBLE:
        return isfinite(value.as.real) ? json_real(value.as.real) : special_out(value.as.real);
    case CEL_STRING:
        return json_stringn(value.as.text, value.extra);
    case CEL_BYTES:
        return base64_out(value);
    case CEL_LIST: {
        json_t *array = json_array();

        for (size_t i = 0; i < value.as.list->n; i++)
            json_array_append_new(array, cel_to_json(value.as.list->items[i]));
        return array;
    }
    case CEL_MAP:
        return map_out(value.as.map);
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        return time_out(value);
    case CEL_TYPE:
        return json_string(cel_kind_name(value.as.type));
    case CEL_ERROR:
        return json_string(value.as.error);
    default:
        return json_null();
    }
}

/* ---- typed ---- */

static CelValue typed_in(const json_t *json, CelArena *arena, unsigned depth);

static CelValue int_in(const json_t *json, CelArena *arena)
{
    const char *text = json_string_value(json);
    char *end = NULL;

    if (json_is_integer(json))
        return cel_int(json_integer_value(json));
    errno = 0;
    gint64 value = text == NULL ? 0 : g_ascii_strtoll(text, &end, 10);
    if (end == NULL || end == text || *end != '\0' || errno != 0 || g_ascii_isspace(*text))
        return wrong(arena, "\"int\": a text with a whole number of 64 bits is wanted");
    return cel_int(value);
}

static CelValue uint_in(const json_t *json, CelArena *arena)
{
    const char *text = json_string_value(json);
    char *end = NULL;

    if (json_is_integer(json) && json_integer_value(json) >= 0)
        return cel_uint((uint64_t) json_integer_value(json));
    errno = 0;
    guint64 value = text == NULL || !g_ascii_isdigit(*text) ? 0 : g_ascii_strtoull(text, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0)
        return wrong(arena, "\"uint\": a text with a whole number of 64 bits without sign is wanted");
    return cel_uint(value);
}

static CelValue double_in(const json_t *json, CelArena *arena)
{
    const char *text = json_string_value(json);

    if (json_is_number(json))
        return cel_double(json_number_value(json));
    if (text != NULL && strcmp(text, "NaN") == 0)
        return cel_double(NAN);
    if (text != NULL && (strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0))
        return cel_double(*text == '-' ? -INFINITY : INFINITY);
    return wrong(arena, "\"double\": a number, \"NaN\", \"Infinity\" or \"-Infinity\" is wanted");
}

static CelValue bytes_in(const json_t *json, CelArena *arena)
{
    size_t length = json_string_length(json);
    gint state = 0;
    guint save = 0;

    if (!json_is_string(json) || length % 4 != 0 ||
        strspn(json_string_value(json), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != length)
        return wrong(arena, "\"bytes\": a text in base64 is wanted");
    guchar *bytes = cel_alloc(arena, length / 4 * 3 + 3);
    if (bytes == NULL)
        return wrong(arena, "too large");
    return cel_bytes(bytes, g_base64_decode_step(json_string_value(json), length, bytes, &state, &save));
}

static CelValue list_in(const json_t *json, CelArena *arena, unsigned depth)
{
    size_t n = json_array_size(json);
    CelValue *items = json_is_array(json) ? cel_alloc(arena, n * sizeof *items) : NULL;

    if (items == NULL)
        return wrong(arena, "\"list\": an array of tagged values is wanted");
    for (size_t i = 0; i < n; i++) {
        items[i] = typed_in(json_array_get(json, i), arena, depth);
        if (cel_is_error(items[i]))
            return items[i];
    }
    return cel_list(arena, items, n);
}

static CelValue map_in(const json_t *json, CelArena *arena, unsigned depth)
{
    size_t n = json_array_size(json);
    CelEntry *entries = json_is_array(json) ? cel_alloc(arena, n * sizeof *entries) : NULL;

    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(json, i);

        if (entries == NULL || json_array_size(pair) != 2) {
            entries = NULL;
            break;
        }
        entries[i].key = typed_in(json_array_get(pair, 0), arena, depth);
        entries[i].value = typed_in(json_array_get(pair, 1), arena, depth);
        if (cel_is_error(entries[i].key) || cel_is_error(entries[i].value))
            return cel_is_error(entries[i].key) ? entries[i].key : entries[i].value;
    }
    return entries == NULL ? wrong(arena, "\"map\": an array of pairs [KEY, VALUE] is wanted") : cel_map(arena, entries, n);
}

static CelValue type_in(const json_t *json, CelArena *arena)
{
    for (CelKind kind = CEL_NULL; json_is_string(json) && kind < CEL_KIND_N; kind++)
        if (strcmp(json_string_value(json), cel_kind_name(kind)) == 0)
            return cel_type(kind);
    return wrong(arena, "\"type\": the name of a type is wanted");
}

static CelValue text_in(const char *tag, const json_t *json, CelArena *arena)
{
    const char *text = json_string_value(json);
    size_t length = json_string_length(json);
    int64_t number;
    uint32_t ns;

    if (text == NULL)
        return wrong(arena, "\"%s\": a text is wanted", tag);
    if (strcmp(tag, "string") == 0)
        return cel_string_n(text, length);
    if (strcmp(tag, "timestamp") == 0)
        return cel_time_parse(text, length, &number, &ns) ? cel_timestamp(number, ns)
                                                          : wrong(arena, "\"timestamp\": RFC 3339 is wanted, such as 2026-11-24T08:00:00Z");
    return cel_duration_parse(text, length, &number) ? cel_duration(number)
                                                     : wrong(arena, "\"duration\": a time such as 1.5s is wanted");
}

static CelValue typed_in(const json_t *json, CelArena *arena, unsigned depth)
{
    const char *tag = json_is_object(json) ? json_object_iter_key(json_object_iter((json_t *) json)) : NULL;
    const json_t *inner = tag == NULL ? NULL : json_object_get(json, tag);

    if (tag == NULL || json_object_size(json) != 1)
        return wrong(arena, "a tagged value is an object with one key, such as {\"int\": \"1\"}");
    if (depth > DEPTH_MAX)
        return wrong(arena, "nested deeper than %d", DEPTH_MAX);
    if (strcmp(tag, "int") == 0)
        return int_in(inner, arena);
    if (strcmp(tag, "uint") == 0)
        return uint_in(inner, arena);
    if (strcmp(tag, "double") == 0)
        return double_in(inner, arena);
    if (strcmp(tag, "bool") == 0)
        return json_is_boolean(inner) ? cel_bool(json_is_true(inner)) : wrong(arena, "\"bool\": true or false is wanted");
    if (strcmp(tag, "null") == 0)
        return json_is_null(inner) ? cel_null() : wrong(arena, "\"null\": null is wanted");
    if (strcmp(tag, "bytes") == 0)
        return bytes_in(inner, arena);
    if (strcmp(tag, "list") == 0)
        return list_in(inner, arena, depth + 1);
    if (strcmp(tag, "map") == 0)
        return map_in(inner, arena, depth + 1);
    if (strcmp(tag, "type") == 0)
        return type_in(inner, arena);
    if (strcmp(tag, "string") == 0 || strcmp(tag, "timestamp") == 0 || strcmp(tag, "duration") == 0)
        return text_in(tag, inner, arena);
    return wrong(arena, "\"%s\" is no tag: null bool int uint double string bytes list map timestamp duration type are", tag);
}

CelValue cel_from_typed(const json_t *json, CelArena *arena)
{
    return typed_in(json, arena, 0);
}

static json_t *tagged(const char *tag, json_t *value)
{
    json_t *object = json_object();

    json_object_set_new(object, tag, value);
    return object;
}

json_t *cel_to_typed(CelValue value)
{
    json_t *array;

    switch (value.kind) {
    case CEL_BOOL:
        return tagged("bool", json_boolean(value.as.boolean));
    case CEL_INT:
        return tagged("int", integer_text(value));
    case CEL_UINT:
        return tagged("uint", integer_text(value));
    case CEL_DOUBLE:
        return tagged("double", cel_to_json(value));
    case CEL_STRING:
        return tagged("string", cel_to_json(value));
    case CEL_BYTES:
        return tagged("bytes", cel_to_json(value));
    case CEL_LIST:
        array = json_array();
        for (size_t i = 0; i < value.as.list->n; i++)
            json_array_append_new(array, cel_to_typed(value.as.list->items[i]));
        return tagged("list", array);
    case CEL_MAP:
        array = json_array();
        for (size_t i = 0; i < value.as.map->n; i++) {
            json_t *pair = json_array();

            json_array_append_new(pair, cel_to_typed(value.as.map->entries[i].key));
            json_array_append_new(pair, cel_to_typed(value.as.map->entries[i].value));
            json_array_append_new(array, pair);
        }
        return tagged("map", array);
    case CEL_TIMESTAMP:
        return tagged("timestamp", time_out(value));
    case CEL_DURATION:
        return tagged("duration", time_out(value));
    case CEL_TYPE:
        return tagged("type", cel_to_json(value));
    case CEL_ERROR:
        return tagged("error", cel_to_json(value));
    default:
        return tagged("null", json_null());
    }
}

/* ---- writing ---- */

static void append_scalar(GString *line, const json_t *json)
{
    char *text = json_dumps(json, JSON_ENCODE_ANY);

    g_string_append(line, text != NULL ? text : "null");
    free(text);
}

static void append_real(GString *line, double value)
{
    char text[40];

    cel_double_text(value, text);
    g_string_append(line, text);
    if (strpbrk(text, ".e") == NULL)
        g_string_append(line, ".0");
}

static void append_json(GString *line, const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i = 0;

    if (json_is_array(json)) {
        g_string_append_c(line, '[');
        for (; i < json_array_size(json); i++) {
            g_string_append(line, i == 0 ? "" : ", ");
            append_json(line, json_array_get(json, i));
        }
        g_string_append_c(line, ']');
    } else if (json_is_object(json)) {
        g_string_append_c(line, '{');
        json_object_foreach((json_t *) json, key, value) {
            g_autoptr(json_t) name = json_string(key);

            g_string_append(line, i++ == 0 ? "" : ", ");
            append_scalar(line, name);
            g_string_append(line, ": ");
            append_json(line, value);
        }
        g_string_append_c(line, '}');
    } else if (json_is_real(json)) {
        append_real(line, json_real_value(json));
    } else {
        append_scalar(line, json);
    }
}

char *cel_json_line(const json_t *json)
{
    GString *line = g_string_new(NULL);

    append_json(line, json);
    return g_string_free(line, FALSE);
}
