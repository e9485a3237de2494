/* A schema is classes, and a class is what its XML or its map on the wire says. Only kinds travel (TYPE_INT …); the width a file declares
 * is what we send, and any width is accepted, because agents do not keep to their own files.
 *
 * The hash is ours to choose: receivers compare it and nothing else. It is the first half of a SHA-256 over names, types, accesses,
 * directions and units, in order, each field ended by a zero byte; descriptions are left out, so better words do not make every
 * console read the schema again. A class that came from the wire keeps the hash it came with. */
#include "lib/qmf/schema_xml.h"

#include "lib/qmf/generated_schemas.h"

#include <string.h>

#define SCHEMA_MEMBERS_MAX 1000

struct QmfSchema {
    gatomicrefcount count;
    GPtrArray *classes; /* QmfClass */
};

/* --- types --- */

typedef struct TypeName {
    const char *name;
    ValueType wire; /* when only the kind is known */
} TypeName;

static const TypeName type_names[] = {
    [QMF_TYPE_VOID] = { "TYPE_VOID", VALUE_NULL },     [QMF_TYPE_BOOL] = { "TYPE_BOOL", VALUE_BOOL },
    [QMF_TYPE_INT] = { "TYPE_INT", VALUE_INT64 },      [QMF_TYPE_FLOAT] = { "TYPE_FLOAT", VALUE_DOUBLE },
    [QMF_TYPE_STRING] = { "TYPE_STRING", VALUE_STRING }, [QMF_TYPE_MAP] = { "TYPE_MAP", VALUE_MAP },
    [QMF_TYPE_LIST] = { "TYPE_LIST", VALUE_LIST },     [QMF_TYPE_UUID] = { "TYPE_UUID", VALUE_UUID },
};
_Static_assert(G_N_ELEMENTS(type_names) == QMF_TYPE_N, "every type has a name");

static const char *const access_names[] = { "RO", "RW", "RC" };
static const char *const direction_names[] = { "I", "I", "O", "IO" };

const char *qmf_type_name(QmfType type)
{
    return type_names[type].name;
}

static bool is_integer(ValueType type)
{
    return (type >= VALUE_INT8 && type <= VALUE_UINT64) || type == VALUE_TIMESTAMP;
}

bool qmf_type_accepts(QmfType type, const Value *value)
{
    ValueType is = value == NULL ? VALUE_NULL : value_type(value);

    switch (type) {
    case QMF_TYPE_VOID:   return is == VALUE_NULL;
    case QMF_TYPE_BOOL:   return is == VALUE_BOOL;
    case QMF_TYPE_INT:    return is_integer(is);
    case QMF_TYPE_FLOAT:  return is == VALUE_FLOAT || is == VALUE_DOUBLE || is_integer(is);
    case QMF_TYPE_STRING: return is == VALUE_STRING || is == VALUE_BINARY || is == VALUE_SYMBOL;
    case QMF_TYPE_MAP:    return is == VALUE_MAP;
    case QMF_TYPE_LIST:   return is == VALUE_LIST;
    case QMF_TYPE_UUID:   return is == VALUE_UUID;
    case QMF_TYPE_N:      break;
    }
    return false;
}

/* @value, which is_integer(), in the width of @wire; NULL: it does not fit. */
static Value *integer_to(ValueType wire, const Value *value)
{
    static const struct { ValueType wire; int64_t min; uint64_t max; } ranges[] = {
        { VALUE_INT8, INT8_MIN, INT8_MAX },   { VALUE_INT16, INT16_MIN, INT16_MAX }, { VALUE_INT32, INT32_MIN, INT32_MAX },
        { VALUE_INT64, INT64_MIN, INT64_MAX }, { VALUE_UINT8, 0, UINT8_MAX },         { VALUE_UINT16, 0, UINT16_MAX },
        { VALUE_UINT32, 0, UINT32_MAX },       { VALUE_UINT64, 0, UINT64_MAX },
    };
    uint64_t u = 0;
    int64_t v = 0;
    bool positive = value_as_uint(value, &u);

    if (!positive)
        value_as_int(value, &v);
    for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++)
        if (ranges[i].wire == wire) {
            if (positive ? u > ranges[i].max : v < ranges[i].min)
                return NULL;
            return wire >= VALUE_UINT8 && wire <= VALUE_UINT64 ? value_uint(wire, u) : value_int(wire, positive ? (int64_t) u : v);
        }
    return NULL;
}

/* In the declared width; text becomes a string if it is text. NULL: does not fit. */
static Value *to_wire(const QmfProperty *property, const Value *value)
{
    double d = 0;
    const char *text;

    switch (property->type) {
    case QMF_TYPE_INT: return integer_to(property->wire, value);
    case QMF_TYPE_FLOAT:
        value_as_double(value, &d);
        return value_double(property->wire, d);
    case QMF_TYPE_STRING:
        text = value_as_string(value);
        return text != NULL ? value_string(text) : value_ref((Value *) value);
    default: return value_ref((Value *) value);
    }
}

Value *qmf_values_conform(const QmfProperty *properties, size_t n_properties, unsigned directions, const Value *values, GError **error)
{
    g_autoptr(Value) result = value_map();
    const char *key;
    const Value *item;

    for (size_t i = 0; value_entry(values, i, &key, &item); i++) {
        const QmfProperty *property = NULL;
        Value *converted;

        for (size_t j = 0; j < n_properties && property == NULL; j++)
            if (strcmp(properties[j].name, key) == 0 && (directions == 0 || (properties[j].direction & directions) != 0))
                property = &properties[j];
        if (property == NULL) {
            g_set_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT, "Invalid argument: %.255s", key);
            return NULL;
        }
        if (!qmf_type_accepts(property->type, item)) {
            g_set_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT, "Invalid argument: %s: %s, want %s", key,
                        value_type_name(value_type(item)), qmf_type_name(property->type));
            return NULL;
        }
        converted = to_wire(property, item);
        if (converted == NULL) {
            g_set_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT, "Invalid argument: %s: does not fit %s", key,
                        value_type_name(property->wire));
            return NULL;
        }
        value_set(result, key, converted);
    }
    return g_steal_pointer(&result);
}

/* --- classes --- */

void schema_property_done(QmfProperty *property)
{
    g_free(property->name);
    g_free(property->unit);
    g_free(property->description);
    g_free(property->subtype);
    memset(property, 0, sizeof *property);
}

static void properties_free(QmfProperty *properties, size_t n)
{
    for (size_t i = 0; i < n; i++)
        schema_property_done(&properties[i]);
    g_free(properties);
}

void schema_method_done(QmfMethod *method)
{
    g_free(method->name);
    g_free(method->description);
    properties_free(method->arguments, method->n_arguments);
    memset(method, 0, sizeof *method);
}

void qmf_class_free(QmfClass *class)
{
    if (class == NULL)
        return;
    g_free(class->package);
    g_free(class->name);
    g_free(class->description);
    properties_free(class->properties, class->n_properties);
    for (size_t i = 0; i < class->n_methods; i++)
        schema_method_done(&class->methods[i]);
    g_free(class->methods);
    g_free(class);
}

const QmfMethod *qmf_class_method(const QmfClass *class, const char *name)
{
    for (size_t i = 0; i < class->n_methods; i++)
        if (strcmp(class->methods[i].name, name) == 0)
            return &class->methods[i];
    return NULL;
}

const QmfProperty *qmf_class_property(const QmfClass *class, const char *name)
{
    for (size_t i = 0; i < class->n_properties; i++)
        if (strcmp(class->properties[i].name, name) == 0)
            return &class->properties[i];
    return NULL;
}

static void hash_text(GChecksum *sum, const char *text)
{
    const char *bytes = text == NULL ? "" : text;

    g_checksum_update(sum, (const guchar *) bytes, (gssize) strlen(bytes) + 1);
}

static void hash_property(GChecksum *sum, const QmfProperty *p)
{
    hash_text(sum, p->name);
    hash_text(sum, qmf_type_name(p->type));
    hash_text(sum, p->subtype);
    hash_text(sum, access_names[p->access]);
    hash_text(sum, direction_names[p->direction]);
    hash_text(sum, p->unit);
    hash_text(sum, p->index ? "index" : "");
}

static void class_hash(QmfClass *class)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize length = sizeof digest;
    char severity[2] = { (char) ('0' + MAX(class->severity, 0)), '\0' };

    hash_text(sum, class->package);
    hash_text(sum, class->name);
    hash_text(sum, class->event ? severity : "class");
    for (size_t i = 0; i < class->n_properties; i++)
        hash_property(sum, &class->properties[i]);
    for (size_t i = 0; i < class->n_methods; i++) {
        hash_text(sum, "method");
        hash_text(sum, class->methods[i].name);
        for (size_t j = 0; j < class->methods[i].n_arguments; j++)
            hash_property(sum, &class->methods[i].arguments[j]);
    }
    g_checksum_get_digest(sum, digest, &length);
    memcpy(class->hash, digest, sizeof class->hash);
}

/* --- to the wire --- */

Value *qmf_class_id(const QmfClass *class)
{
    Value *id = value_map();

    value_set(id, "_package_name", value_string(class->package));
    value_set(id, "_class_name", value_string(class->name));
    value_set(id, "_type", value_string(class->event ? "_event" : "_data"));
    value_set(id, "_hash", value_uuid(class->hash));
    return id;
}

static void set_text(Value *map, const char *key, const char *text)
{
    if (text != NULL && *text != '\0')
        value_set(map, key, value_string(text));
}

static Value *properties_to_list(const QmfProperty *properties, size_t n)
{
    Value *list = value_list();

    for (size_t i = 0; i < n; i++) {
        Value *map = value_map();

        value_set(map, "_name", value_string(properties[i].name));
        value_set(map, "_type", value_string(qmf_type_name(properties[i].type)));
        value_set(map, "_access", value_string(access_names[properties[i].access]));
        value_set(map, "_dir", value_string(direction_names[properties[i].direction]));
        if (properties[i].index)
            value_set(map, "_index", value_bool(true));
        set_text(map, "_subtype", properties[i].subtype);
        set_text(map, "_unit", properties[i].unit);
        set_text(map, "_desc", properties[i].description);
        value_append(list, map);
    }
    return list;
}

Value *qmf_class_to_map(const QmfClass *class)
{
    Value *map = value_map(), *methods = value_list();

    value_set(map, "_schema_id", qmf_class_id(class));
    set_text(map, "_desc", class->description);
    if (class->event)
        value_set(map, "_default_severity", value_uint(VALUE_UINT32, (uint64_t) MAX(class->severity, 0)));
    value_set(map, "_properties", properties_to_list(class->properties, class->n_properties));
    for (size_t i = 0; i < class->n_methods; i++) {
        Value *method = value_map();

        value_set(method, "_name", value_string(class->methods[i].name));
        set_text(method, "_desc", class->methods[i].description);
        value_set(method, "_arguments", properties_to_list(class->methods[i].arguments, class->methods[i].n_arguments));
        value_append(methods, method);
    }
    value_set(map, "_methods", methods);
    return map;
}

/* --- from the wire --- */

static bool word_find(const char *const *words, size_t n, const char *word, unsigned *ret)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0) {
            *ret = (unsigned) i;
            return true;
        }
    return false;
}

static bool property_read(const Value *map, QmfProperty *property, GError **error)
{
    const char *name = value_get_string(map, "_name"), *type = value_get_string(map, "_type");
    const char *access = value_get_string(map, "_access"), *direction = value_get_string(map, "_dir");
    unsigned word = 0;
    bool known = false, index = false;

    if (name == NULL || type == NULL) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "a property without %s", name == NULL ? "_name" : "_type");
        return false;
    }
    for (int i = 0; i < QMF_TYPE_N && !known; i++)
        if (strcmp(type_names[i].name, type) == 0) {
            property->type = (QmfType) i;
            property->wire = type_names[i].wire;
            known = true;
        }
    if (!known) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "\"%.255s\" has the unknown _type \"%.64s\"", name, type);
        return false;
    }
    if (access != NULL && word_find(access_names, G_N_ELEMENTS(access_names), access, &word))
        property->access = (QmfAccess) word;
    property->direction = QMF_DIR_IN;
    if (direction != NULL && word_find(direction_names + 1, 3, direction, &word))
        property->direction = (QmfDirection) (word + 1);
    value_as_bool(value_get(map, "_index"), &index);
    property->index = index;
    property->name = g_strdup(name);
    property->subtype = g_strdup(value_get_string(map, "_subtype"));
    property->unit = g_strdup(value_get_string(map, "_unit"));
    property->description = g_strdup(value_get_string(map, "_desc"));
    return true;
}

static bool list_size(const Value *map, const char *key, size_t *ret, GError **error)
{
    *ret = value_size(value_get(map, key));
    if (*ret > SCHEMA_MEMBERS_MAX) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_LIMIT, "%zu %s, at most %d are read", *ret, key, SCHEMA_MEMBERS_MAX);
        return false;
    }
    return true;
}

static bool properties_read(const Value *map, const char *key, QmfProperty **ret, size_t *ret_n, GError **error)
{
    const Value *list = value_get(map, key);
    size_t n;

    if (!list_size(map, key, &n, error))
        return false;
    *ret = g_new0(QmfProperty, n);
    for (*ret_n = 0; *ret_n < n; (*ret_n)++)
        if (!property_read(value_at(list, *ret_n), &(*ret)[*ret_n], error))
            return false;
    return true;
}

static bool methods_read(const Value *map, QmfClass *class, GError **error)
{
    const Value *list = value_get(map, "_methods");
    size_t n;

    if (!list_size(map, "_methods", &n, error))
        return false;
    class->methods = g_new0(QmfMethod, n);
    for (size_t i = 0; i < n; i++) {
        const Value *from = value_at(list, i);
        QmfMethod *method = &class->methods[i];

        class->n_methods = i + 1;
        method->name = g_strdup(value_get_string(from, "_name"));
        method->description = g_strdup(value_get_string(from, "_desc"));
        if (method->name == NULL) {
            g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "a method without _name");
            return false;
        }
        if (!properties_read(from, "_arguments", &method->arguments, &method->n_arguments, error)) {
            g_prefix_error(error, "method \"%.255s\": ", method->name);
            return false;
        }
    }
    return true;
}

QmfClass *qmf_class_from_map(const Value *map, GError **error)
{
    const Value *id = value_get(map, "_schema_id");
    const char *package = value_get_string(id, "_package_name"), *name = value_get_string(id, "_class_name");
    const char *type = value_get_string(id, "_type");
    const uint8_t *hash = value_as_uuid(value_get(id, "_hash"));
    QmfClass *class;

    if (package == NULL || name == NULL) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "a schema without %s", package == NULL ? "_package_name" : "_class_name");
        return NULL;
    }
    class = g_new0(QmfClass, 1);
    class->package = g_strdup(package);
    class->name = g_strdup(name);
    class->description = g_strdup(value_get_string(map, "_desc"));
    class->event = type != NULL && strcmp(type, "_event") == 0;
    class->severity = class->event ? (int) CLAMP(value_get_int(map, "_default_severity", 6), 0, 7) : -1;
    if (!properties_read(map, "_properties", &class->properties, &class->n_properties, error) || !methods_read(map, class, error)) {
        g_prefix_error(error, "schema of %.255s:%.255s: ", package, name);
        qmf_class_free(class);
        return NULL;
    }
    if (hash != NULL)
        memcpy(class->hash, hash, sizeof class->hash);
    else
        class_hash(class);
    return class;
}

/* --- schemas --- */

QmfSchema *qmf_schema_new(void)
{
    QmfSchema *schema = g_new0(QmfSchema, 1);

    g_atomic_ref_count_init(&schema->count);
    schema->classes = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_class_free);
    return schema;
}

QmfSchema *qmf_schema_ref(QmfSchema *schema)
{
    g_atomic_ref_count_inc(&schema->count);
    return schema;
}

void qmf_schema_unref(QmfSchema *schema)
{
    if (schema == NULL || !g_atomic_ref_count_dec(&schema->count))
        return;
    g_ptr_array_unref(schema->classes);
    g_free(schema);
}

bool qmf_schema_add_xml(QmfSchema *schema, const char *text, size_t length, const char *file, GError **error)
{
    g_autoptr(GPtrArray) classes = schema_xml_parse(text, length, file, error);

    if (classes == NULL)
        return false;
    for (guint i = 0; i < classes->len; i++) {
        QmfClass *class = classes->pdata[i];

        if (qmf_schema_find(schema, class->package, class->name) != NULL) {
            g_set_error(error, QMF_ERROR, QMF_ERROR_SCHEMA, "%s:1:1: %s:%s was already read from another file", file, class->package,
                        class->name);
            return false;
        }
        class_hash(class);
    }
    g_ptr_array_extend_and_steal(schema->classes, g_steal_pointer(&classes));
    return true;
}

bool qmf_schema_add_file(QmfSchema *schema, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, error)) {
        g_prefix_error(error, "schema: ");
        return false;
    }
    return qmf_schema_add_xml(schema, text, length, path, error);
}

const QmfSchema *qmf_schema_builtin(void)
{
    static gsize once;

    if (g_once_init_enter(&once)) {
        QmfSchema *schema = qmf_schema_new();

        for (size_t i = 0; i < G_N_ELEMENTS(generated_schemas); i++) {
            g_autoptr(GError) error = NULL;

            if (!qmf_schema_add_xml(schema, generated_schemas[i].text, generated_schemas[i].length, generated_schemas[i].file, &error))
                g_error("%s", error->message); /* ours, and a test reads them all */
        }
        g_once_init_leave(&once, (gsize) schema);
    }
    return (const QmfSchema *) once;
}

const QmfClass *qmf_schema_find(const QmfSchema *schema, const char *package, const char *name)
{
    for (guint i = 0; i < schema->classes->len; i++) {
        const QmfClass *class = schema->classes->pdata[i];

        if (strcmp(class->name, name) == 0 && (package == NULL || strcmp(class->package, package) == 0))
            return class;
    }
    return NULL;
}

size_t qmf_schema_size(const QmfSchema *schema)
{
    return schema->classes->len;
}

const QmfClass *qmf_schema_at(const QmfSchema *schema, size_t i)
{
    return i < schema->classes->len ? schema->classes->pdata[i] : NULL;
}
