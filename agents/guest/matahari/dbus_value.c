#include "agents/guest/matahari/dbus_value.h"

#include <string.h>

typedef struct Budget {
    size_t n_bytes, n_items;
    unsigned level;
} Budget;

/* ---- from D-Bus ---- */

static bool afford(Budget *budget, size_t n_bytes, GError **error)
{
    budget->n_bytes += n_bytes;
    if (++budget->n_items <= DBUS_VALUE_ITEMS && budget->n_bytes <= DBUS_VALUE_BYTES && budget->level <= DBUS_VALUE_LEVELS)
        return true;
    g_set_error(error, QMF_ERROR, QMF_ERROR_LIMIT, "the D-Bus answer is more than is taken (%d bytes, %d items, %d levels)", DBUS_VALUE_BYTES,
                DBUS_VALUE_ITEMS, DBUS_VALUE_LEVELS);
    return false;
}

static Value *from_variant(GVariant *variant, Budget *budget, GError **error);

static Value *list_from_variant(GVariant *variant, Budget *budget, GError **error)
{
    g_autoptr(Value) list = value_list();

    for (gsize i = 0; i < g_variant_n_children(variant); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(variant, i);
        Value *item = from_variant(child, budget, error);

        if (item == NULL)
            return NULL;
        value_append(list, item);
    }
    return g_steal_pointer(&list);
}

static Value *text_from_variant(GVariant *variant, Budget *budget, GError **error)
{
    gsize n_bytes = 0;
    const char *text = g_variant_get_string(variant, &n_bytes);

    return afford(budget, n_bytes, error) ? value_bytes(VALUE_STRING, text, n_bytes) : NULL;
}

static Value *inner_from_variant(GVariant *variant, Budget *budget, GError **error)
{
    g_autoptr(GVariant) inner = g_variant_get_variant(variant);

    return from_variant(inner, budget, error);
}

static Value *number_from_variant(GVariant *variant)
{
    switch (g_variant_classify(variant)) {
    case G_VARIANT_CLASS_BOOLEAN: return value_bool(g_variant_get_boolean(variant));
    case G_VARIANT_CLASS_BYTE: return value_uint(VALUE_UINT8, g_variant_get_byte(variant));
    case G_VARIANT_CLASS_INT16: return value_int(VALUE_INT16, g_variant_get_int16(variant));
    case G_VARIANT_CLASS_UINT16: return value_uint(VALUE_UINT16, g_variant_get_uint16(variant));
    case G_VARIANT_CLASS_INT32: return value_int(VALUE_INT32, g_variant_get_int32(variant));
    case G_VARIANT_CLASS_UINT32: return value_uint(VALUE_UINT32, g_variant_get_uint32(variant));
    case G_VARIANT_CLASS_INT64: return value_int(VALUE_INT64, g_variant_get_int64(variant));
    case G_VARIANT_CLASS_UINT64: return value_uint(VALUE_UINT64, g_variant_get_uint64(variant));
    case G_VARIANT_CLASS_DOUBLE: return value_double(VALUE_DOUBLE, g_variant_get_double(variant));
    default: return NULL;
    }
}

static Value *from_variant(GVariant *variant, Budget *budget, GError **error)
{
    Value *value = NULL;

    budget->level++;
    if (!afford(budget, 8, error))
        return NULL;
    switch (g_variant_classify(variant)) {
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE: value = text_from_variant(variant, budget, error); break;
    case G_VARIANT_CLASS_VARIANT: value = inner_from_variant(variant, budget, error); break;
    case G_VARIANT_CLASS_ARRAY:
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY: value = list_from_variant(variant, budget, error); break;
    default:
        value = number_from_variant(variant);
        if (value == NULL)
            g_set_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT, "the D-Bus answer holds a %s, which has no form here",
                        g_variant_get_type_string(variant));
    }
    budget->level--;
    return value;
}

Value *value_from_variant(GVariant *variant, GError **error)
{
    Budget budget = {0};

    return from_variant(variant, &budget, error);
}

/* ---- to D-Bus ---- */

static GVariant *misfit(const Value *value, const GVariantType *type, GError **error)
{
    g_autofree char *wanted = g_variant_type_dup_string(type);

    g_set_error(error, QMF_ERROR, QMF_ERROR_ARGUMENT, "a %s does not fit D-Bus type %s",
                value != NULL ? value_type_name(value_type(value)) : "missing value", wanted);
    return NULL;
}

static GVariant *integer_to_variant(const Value *value, char type)
{
    int64_t n = 0;
    uint64_t u = 0;

    if (strchr("nix", type) != NULL ? !value_as_int(value, &n) : !value_as_uint(value, &u))
        return NULL;
    switch (type) {
    case 'n': return n >= INT16_MIN && n <= INT16_MAX ? g_variant_new_int16((gint16) n) : NULL;
    case 'i': return n >= INT32_MIN && n <= INT32_MAX ? g_variant_new_int32((gint32) n) : NULL;
    case 'x': return g_variant_new_int64(n);
    case 'y': return u <= UINT8_MAX ? g_variant_new_byte((guchar) u) : NULL;
    case 'q': return u <= UINT16_MAX ? g_variant_new_uint16((guint16) u) : NULL;
    case 'u': return u <= UINT32_MAX ? g_variant_new_uint32((guint32) u) : NULL;
    default: return g_variant_new_uint64(u);
    }
}

static GVariant *basic_to_variant(const Value *value, char type)
{
    const char *text = value_as_string(value);
    double real;
    bool truth;

    switch (type) {
    case 'b': return value_as_bool(value, &truth) ? g_variant_new_boolean(truth) : NULL;
    case 'd': return value_as_double(value, &real) ? g_variant_new_double(real) : NULL;
    case 's': return text != NULL && g_utf8_validate(text, -1, NULL) ? g_variant_new_string(text) : NULL;
    case 'o': return text != NULL && g_variant_is_object_path(text) ? g_variant_new_object_path(text) : NULL;
    case 'g': return text != NULL && g_variant_is_signature(text) ? g_variant_new_signature(text) : NULL;
    case 'h': return NULL; /* no file handle travels over QMF */
    default: return integer_to_variant(value, type);
    }
}

/* The type a value has of itself. NULL: none. */
static const char *own_type(const Value *value)
{
    switch (value_type(value)) {
    case VALUE_BOOL: return "b";
    case VALUE_UINT8: return "y";
    case VALUE_INT8:
    case VALUE_INT16: return "n";
    case VALUE_UINT16: return "q";
    case VALUE_INT32: return "i";
    case VALUE_UINT32: return "u";
    case VALUE_INT64:
    case VALUE_TIMESTAMP: return "x";
    case VALUE_UINT64: return "t";
    case VALUE_FLOAT:
    case VALUE_DOUBLE: return "d";
    case VALUE_STRING:
    case VALUE_SYMBOL: return "s";
    case VALUE_BINARY: return value_as_string(value) != NULL ? "s" : "ay";
    case VALUE_LIST: return "av";
    case VALUE_MAP: return "a{sv}";
    default: return NULL;
    }
}

/* Adds each item of the builder's container. False: error. */
static bool add_item(GVariantBuilder *builder, const Value *value, const GVariantType *type, GError **error)
{
    GVariant *item = variant_from_value(value, type, error);

    if (item != NULL)
        g_variant_builder_add_value(builder, item);
    return item != NULL;
}

static bool add_entry(GVariantBuilder *builder, const char *key, const Value *value, const GVariantType *entry, GError **error)
{
    g_autoptr(Value) name = value_string(key);
    GVariant *left = variant_from_value(name, g_variant_type_key(entry), error), *right;

    if (left == NULL)
        return false;
    g_variant_ref_sink(left);
    right = variant_from_value(value, g_variant_type_value(entry), error);
    if (right != NULL)
        g_variant_builder_add_value(builder, g_variant_new_dict_entry(left, right));
    g_variant_unref(left);
    return right != NULL;
}

static bool add_items(GVariantBuilder *builder, const Value *value, const GVariantType *type, GError **error)
{
    const GVariantType *item_type = g_variant_type_is_array(type) ? g_variant_type_element(type) : g_variant_type_first(type);
    bool same = g_variant_type_is_array(type);
    const Value *item;
    const char *key;

    if (value_type(value) == VALUE_MAP) {
        for (size_t i = 0; value_entry(value, i, &key, &item); i++)
            if (!add_entry(builder, key, item, item_type, error))
                return false;
        return true;
    }
    for (size_t i = 0; i < value_size(value); i++) {
        if (!add_item(builder, value_at(value, i), item_type, error))
            return false;
        item_type = same ? item_type : g_variant_type_next(item_type);
    }
    return true;
}

static GVariant *container_to_variant(const Value *value, const GVariantType *type, GError **error)
{
    bool array = g_variant_type_is_array(type), dictionary = array && g_variant_type_is_dict_entry(g_variant_type_element(type));
    size_t n_bytes = 0;
    const void *bytes = value_as_bytes(value, &n_bytes);
    GVariantBuilder builder;

    if (value_type(value) == VALUE_BINARY && g_variant_type_equal(type, G_VARIANT_TYPE_BYTESTRING))
        return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, bytes, n_bytes, 1);
    if (value_type(value) != VALUE_LIST && !(dictionary && value_type(value) == VALUE_MAP))
        return misfit(value, type, error);
    if (!array && value_size(value) != g_variant_type_n_items(type))
        return misfit(value, type, error);
    g_variant_builder_init(&builder, type);
    if (add_items(&builder, value, type, error))
        return g_variant_builder_end(&builder);
    g_variant_builder_clear(&builder);
    return NULL;
}

GVariant *variant_from_value(const Value *value, const GVariantType *type, GError **error)
{
    GVariant *variant;
    const char *own;

    if (value == NULL)
        return misfit(value, type, error);
    if (g_variant_type_is_basic(type)) {
        variant = basic_to_variant(value, *g_variant_type_peek_string(type));
        return variant != NULL ? variant : misfit(value, type, error);
    }
    if (!g_variant_type_is_variant(type))
        return container_to_variant(value, type, error);
    own = own_type(value);
    variant = own != NULL ? variant_from_value(value, G_VARIANT_TYPE(own), error) : misfit(value, type, error);
    return variant != NULL ? g_variant_new_variant(variant) : NULL;
}

QmfType qmf_type_of_dbus(const char *signature)
{
    switch (*signature) {
    case 'b': return QMF_TYPE_BOOL;
    case 'y':
    case 'n':
    case 'q':
    case 'i':
    case 'u':
    case 'x':
    case 't': return QMF_TYPE_INT;
    case 'd': return QMF_TYPE_FLOAT;
    case 'a':
    case '(': return QMF_TYPE_LIST;
    default: return QMF_TYPE_STRING;
    }
}
