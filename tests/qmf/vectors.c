#include "tests/qmf/vectors.h"

#include "lib/base/uuid.h"

#include <string.h>

char *vectors_path(const char *rest)
{
    const char *source = g_getenv("MEND_SOURCE_DIR");

    return g_build_filename(source == NULL ? "." : source, "tests/vectors", rest, NULL);
}

void vector_free(Vector *vector)
{
    g_free(vector->name);
    g_bytes_unref(vector->bytes);
    json_decref(vector->file);
    g_free(vector);
}

static uint8_t *hex_read(const char *hex, size_t *ret_n)
{
    size_t n = strspn(hex, "0123456789abcdef") / 2;
    uint8_t *bytes = g_malloc(n + 1);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t) (g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
    *ret_n = n;
    return bytes;
}

GBytes *vector_hex(const char *path)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    size_t n;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    uint8_t *bytes = hex_read(text, &n);
    return g_bytes_new_take(bytes, n);
}

static void load_file(GPtrArray *vectors, const char *name)
{
    g_autofree char *rest = g_build_filename("qmf2", name, NULL), *path = vectors_path(rest);
    json_error_t problem;
    g_autoptr(json_t) file = json_load_file(path, JSON_ALLOW_NUL, &problem);
    size_t i, n;
    json_t *message;

    if (file == NULL)
        g_error("%s:%d:%d: %s", path, problem.line, problem.column, problem.text);
    json_array_foreach(json_object_get(file, "messages"), i, message) {
        Vector *vector = g_new0(Vector, 1);
        uint8_t *bytes = hex_read(json_string_value(json_object_get(message, "hex")), &n);

        vector->name = g_strdup_printf("%s[%zu]", name, i);
        vector->bytes = g_bytes_new_take(bytes, n);
        vector->file = json_incref(file);
        vector->plain = json_object_get(message, "plain");
        vector->body = json_object_get(message, "amqp-0-10");
        vector->form_b = vector->body != NULL;
        if (!vector->form_b)
            vector->body = json_object_get(message, "amqp-value");
        g_ptr_array_add(vectors, vector);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *vectors_load(const char *prefix)
{
    g_autofree char *folder = vectors_path("qmf2");
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    GPtrArray *vectors = g_ptr_array_new_with_free_func((GDestroyNotify) vector_free);
    const char *name;

    g_assert_no_error(error);
    while ((name = g_dir_read_name(dir)) != NULL)
        if (g_str_has_suffix(name, ".json") && (prefix == NULL || g_str_has_prefix(name, prefix)))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, by_name);
    for (guint i = 0; i < names->len; i++)
        load_file(vectors, names->pdata[i]);
    return vectors;
}

/* --- comparing --- */

static void check_bytes(const char *at, const Value *value, const char *hex)
{
    size_t wanted, n = 0;
    g_autofree uint8_t *bytes = hex_read(hex, &wanted);
    const void *is = value_as_bytes(value, &n);

    if (is == NULL || n != wanted || memcmp(is, bytes, n) != 0)
        g_error("%s: not the bytes %s", at, hex);
}

static void check_uuid(const char *at, const Value *value, const char *text)
{
    char is[UUID_TEXT_SIZE] = "none";

    if (value_as_uuid(value) != NULL)
        uuid_from_bytes(value_as_uuid(value), is);
    if (strcmp(is, text) != 0)
        g_error("%s: uuid %s, want %s", at, is, text);
}

static void check_number(const char *at, const Value *value, const json_t *plain)
{
    int64_t v = 0;
    uint64_t u = 0;
    double d = 0;

    if (json_is_real(plain)) {
        /* A uint64 beyond what JSON libraries hold arrives as a real. */
        if (value_as_uint(value, &u) ? (double) u == json_real_value(plain)
                                     : value_as_double(value, &d) && d == json_real_value(plain))
            return;
        g_error("%s: want %g", at, json_real_value(plain));
    }
    if (!value_as_int(value, &v) || v != json_integer_value(plain))
        g_error("%s: %" G_GINT64_FORMAT ", want %" JSON_INTEGER_FORMAT, at, v, json_integer_value(plain));
}

static void check_text(const char *at, const Value *value, const char *wanted)
{
    const char *text = value_as_string(value);

    if (text == NULL || strcmp(text, wanted) != 0)
        g_error("%s: \"%s\", want \"%s\"", at, text == NULL ? "no text" : text, wanted);
}

static void check_children(const char *at, const Value *value, const json_t *plain)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_array(plain)) {
        if (value_type(value) != VALUE_LIST || value_size(value) != json_array_size(plain))
            g_error("%s: %s of %zu, want list of %zu", at, value_type_name(value_type(value)), value_size(value), json_array_size(plain));
        json_array_foreach(plain, i, item) {
            g_autofree char *where = g_strdup_printf("%s[%zu]", at, i);
            vector_check_plain(where, value_at(value, i), item);
        }
        return;
    }
    if (value_type(value) != VALUE_MAP || value_size(value) != json_object_size(plain))
        g_error("%s: %s of %zu, want map of %zu", at, value_type_name(value_type(value)), value_size(value), json_object_size(plain));
    json_object_foreach((json_t *) plain, key, item) {
        g_autofree char *where = g_strdup_printf("%s.%s", at, key);
        vector_check_plain(where, value_get(value, key), item);
    }
}

void vector_check_plain(const char *at, const Value *value, const json_t *plain)
{
    const char *uuid = json_string_value(json_object_get(plain, "$uuid")), *hex = json_string_value(json_object_get(plain, "$hex"));
    bool truth = false;

    if (value == NULL)
        g_error("%s: missing", at);
    if (uuid != NULL)
        check_uuid(at, value, uuid);
    else if (hex != NULL)
        check_bytes(at, value, hex);
    else if (json_is_string(plain))
        check_text(at, value, json_string_value(plain));
    else if (json_is_number(plain))
        check_number(at, value, plain);
    else if (json_is_boolean(plain)) {
        if (!value_as_bool(value, &truth) || truth != json_is_true(plain))
            g_error("%s: not %s", at, json_is_true(plain) ? "true" : "false");
    } else if (json_is_null(plain)) {
        if (value_type(value) != VALUE_NULL)
            g_error("%s: %s, want null", at, value_type_name(value_type(value)));
    } else
        check_children(at, value, plain);
}

static ValueType typed_type(const char *name)
{
    static const struct { const char *name; ValueType type; } rows[] = {
        { "void", VALUE_NULL },     { "null", VALUE_NULL },     { "boolean", VALUE_BOOL }, { "int16", VALUE_INT16 },
        { "short", VALUE_INT16 },   { "int32", VALUE_INT32 },   { "int", VALUE_INT32 },    { "int64", VALUE_INT64 },
        { "long", VALUE_INT64 },    { "uint8", VALUE_UINT8 },   { "ubyte", VALUE_UINT8 },  { "uint16", VALUE_UINT16 },
        { "ushort", VALUE_UINT16 }, { "uint32", VALUE_UINT32 }, { "uint", VALUE_UINT32 },  { "uint64", VALUE_UINT64 },
        { "ulong", VALUE_UINT64 },  { "float", VALUE_FLOAT },   { "double", VALUE_DOUBLE }, { "uuid", VALUE_UUID },
        { "vbin16", VALUE_BINARY }, { "binary", VALUE_BINARY }, { "str16", VALUE_STRING }, { "string", VALUE_STRING },
        { "map", VALUE_MAP },       { "list", VALUE_LIST },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].type;
    g_error("a vector has the type %s, which this test does not know", name);
}

void vector_check_typed(const char *at, const Value *value, const json_t *typed, bool form_b)
{
    const char *type = json_string_value(json_array_get(typed, 0));
    const json_t *content = json_array_get(typed, 1), *item;
    ValueType wanted = typed_type(type);
    size_t i;

    if (value == NULL || value_type(value) != wanted)
        g_error("%s: %s, want %s", at, value == NULL ? "missing" : value_type_name(value_type(value)), type);
    if (wanted == VALUE_LIST) {
        json_array_foreach(content, i, item) {
            g_autofree char *where = g_strdup_printf("%s[%zu]", at, i);
            vector_check_typed(where, value_at(value, i), item, form_b);
        }
    } else if (wanted == VALUE_MAP) {
        json_array_foreach(content, i, item) {
            const json_t *name = json_array_get(item, 0);
            const char *key = json_string_value(form_b ? name : json_array_get(name, 1));
            g_autofree char *where = g_strdup_printf("%s.%s", at, key);

            vector_check_typed(where, value_get(value, key), json_array_get(item, 1), form_b);
        }
    }
    if (wanted == VALUE_MAP || wanted == VALUE_LIST)
        g_assert_cmpuint(value_size(value), ==, json_array_size(content));
}
