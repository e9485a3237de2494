/* Why one allocation per value: messages on this bus are many small maps, and a value is read far more often than it is built.
 * Strings lie behind the head of their value and carry the answer to "is this text?" from birth, so that reading never validates.
 * A map is an array in insertion order (what a peer sent goes out in the same order) and gets an index by key only when it has
 * outgrown a linear search; the index is made while the map is written, so shared maps are never changed by readers. */
#include "lib/amqp/value.h"

#include <string.h>

#define INDEX_FROM 12 /* entries; below it a linear search is faster */

typedef struct Text {
    size_t n_bytes;
    bool readable; /* UTF-8 without NUL */
    char bytes[];  /* and a final NUL that is not counted */
} Text;

typedef struct Entry {
    char *key;
    Value *item;
} Entry;

typedef struct Map {
    GArray *entries;    /* of Entry */
    GHashTable *index;  /* key (borrowed from the entry) -> position + 1; NULL while small */
} Map;

typedef struct Described {
    Value *descriptor, *value;
} Described;

struct Value {
    int refs; /* atomic */
    ValueType type;
    union {
        bool truth;
        int64_t integer;
        uint64_t natural;
        double real;
        uint8_t uuid[16];
        Text text;
        Map map;
        GPtrArray *list;
        Described described;
    };
};

#define X(id, name) [VALUE_##id] = name,
static const char *const type_names[] = { VALUE_TYPES(X) };
#undef X
G_STATIC_ASSERT(G_N_ELEMENTS(type_names) == VALUE_TYPE_N);

static bool type_is_signed(ValueType type)
{
    return (type >= VALUE_INT8 && type <= VALUE_INT64) || type == VALUE_TIMESTAMP;
}

static bool type_is_unsigned(ValueType type)
{
    return type >= VALUE_UINT8 && type <= VALUE_UINT64;
}

static bool type_is_text(ValueType type)
{
    return type == VALUE_BINARY || type == VALUE_STRING || type == VALUE_SYMBOL;
}

static Value *value_new(ValueType type)
{
    Value *value = g_malloc0(MAX(sizeof(Value), offsetof(Value, text.bytes)));

    value->refs = 1;
    value->type = type;
    return value;
}

Value *value_null(void)
{
    return value_new(VALUE_NULL);
}

Value *value_bool(bool v)
{
    Value *value = value_new(VALUE_BOOL);

    value->truth = v;
    return value;
}

Value *value_int(ValueType type, int64_t v)
{
    Value *value = value_new(type);

    g_assert(type_is_signed(type));
    value->integer = v;
    return value;
}

Value *value_uint(ValueType type, uint64_t v)
{
    Value *value = value_new(type);

    g_assert(type_is_unsigned(type));
    value->natural = v;
    return value;
}

Value *value_double(ValueType type, double v)
{
    Value *value = value_new(type);

    g_assert(type == VALUE_FLOAT || type == VALUE_DOUBLE);
    value->real = type == VALUE_FLOAT ? (double) (float) v : v;
    return value;
}

Value *value_uuid(const uint8_t bytes[16])
{
    Value *value = value_new(VALUE_UUID);

    memcpy(value->uuid, bytes, sizeof value->uuid);
    return value;
}

Value *value_string(const char *text)
{
    return text == NULL ? value_null() : value_bytes(VALUE_STRING, text, strlen(text));
}

Value *value_bytes(ValueType type, const void *bytes, size_t n_bytes)
{
    Value *value = g_malloc(MAX(sizeof(Value), offsetof(Value, text.bytes) + n_bytes + 1));

    g_assert(type_is_text(type));
    value->refs = 1;
    value->type = type;
    value->text.n_bytes = n_bytes;
    value->text.readable = n_bytes == 0 || g_utf8_validate_len(bytes, n_bytes, NULL);
    if (n_bytes > 0)
        memcpy(value->text.bytes, bytes, n_bytes);
    value->text.bytes[n_bytes] = '\0';
    return value;
}

static void entry_done(void *data)
{
    Entry *entry = data;

    g_free(entry->key);
    value_unref(entry->item);
}

Value *value_map(void)
{
    Value *value = value_new(VALUE_MAP);

    value->map.entries = g_array_new(FALSE, FALSE, sizeof(Entry));
    g_array_set_clear_func(value->map.entries, entry_done);
    return value;
}

Value *value_list(void)
{
    Value *value = value_new(VALUE_LIST);

    value->list = g_ptr_array_new_with_free_func((GDestroyNotify) value_unref);
    return value;
}

Value *value_described(Value *descriptor, Value *described)
{
    Value *value = value_new(VALUE_DESCRIBED);

    value->described = (Described){ descriptor, described };
    return value;
}

Value *value_ref(Value *value)
{
    g_atomic_int_inc(&value->refs);
    return value;
}

void value_unref(Value *value)
{
    if (value == NULL || !g_atomic_int_dec_and_test(&value->refs))
        return;
    switch (value->type) {
    case VALUE_MAP:
        g_clear_pointer(&value->map.index, g_hash_table_unref);
        g_array_unref(value->map.entries);
        break;
    case VALUE_LIST: g_ptr_array_unref(value->list); break;
    case VALUE_DESCRIBED:
        value_unref(value->described.descriptor);
        value_unref(value->described.value);
        break;
    default: break;
    }
    g_free(value);
}

ValueType value_type(const Value *value)
{
    return value == NULL ? VALUE_NULL : value->type;
}

const char *value_type_name(ValueType type)
{
    return (unsigned) type < VALUE_TYPE_N ? type_names[type] : "?";
}

static const Entry *map_entry(const Value *map, size_t i)
{
    return &g_array_index(map->map.entries, Entry, i);
}

/* Position + 1; 0: no such key. */
static size_t map_find(const Value *map, const char *key)
{
    size_t n = map->map.entries->len;

    if (map->map.index != NULL)
        return GPOINTER_TO_SIZE(g_hash_table_lookup(map->map.index, key));
    for (size_t i = 0; i < n; i++)
        if (strcmp(map_entry(map, i)->key, key) == 0)
            return i + 1;
    return 0;
}

static void map_index(Value *map)
{
    size_t n = map->map.entries->len;

    if (map->map.index == NULL) {
        if (n < INDEX_FROM)
            return;
        map->map.index = g_hash_table_new(g_str_hash, g_str_equal);
        for (size_t i = 0; i + 1 < n; i++)
            g_hash_table_insert(map->map.index, map_entry(map, i)->key, GSIZE_TO_POINTER(i + 1));
    }
    g_hash_table_insert(map->map.index, map_entry(map, n - 1)->key, GSIZE_TO_POINTER(n));
}

void value_set(Value *map, const char *key, Value *item)
{
    size_t at;

    g_assert(map->type == VALUE_MAP);
    at = map_find(map, key);
    if (at > 0) {
        Entry *entry = &g_array_index(map->map.entries, Entry, at - 1);
        value_unref(entry->item);
        entry->item = item;
    } else {
        Entry entry = { g_strdup(key), item };
        g_array_append_val(map->map.entries, entry);
        map_index(map);
    }
}

void value_append(Value *list, Value *item)
{
    g_assert(list->type == VALUE_LIST);
    g_ptr_array_add(list->list, item);
}

size_t value_size(const Value *value)
{
    switch (value_type(value)) {
    case VALUE_MAP: return value->map.entries->len;
    case VALUE_LIST: return value->list->len;
    case VALUE_BINARY:
    case VALUE_STRING:
    case VALUE_SYMBOL: return value->text.n_bytes;
    default: return 0;
    }
}

const Value *value_get(const Value *map, const char *key)
{
    size_t at = value_type(map) == VALUE_MAP && key != NULL ? map_find(map, key) : 0;

    return at > 0 ? map_entry(map, at - 1)->item : NULL;
}

const Value *value_at(const Value *list, size_t i)
{
    return value_type(list) == VALUE_LIST && i < list->list->len ? g_ptr_array_index(list->list, i) : NULL;
}

bool value_entry(const Value *map, size_t i, const char **ret_key, const Value **ret_item)
{
    if (value_type(map) != VALUE_MAP || i >= map->map.entries->len)
        return false;
    if (ret_key != NULL)
        *ret_key = map_entry(map, i)->key;
    if (ret_item != NULL)
        *ret_item = map_entry(map, i)->item;
    return true;
}

bool value_as_int(const Value *value, int64_t *ret)
{
    ValueType type = value_type(value);

    if (type_is_signed(type))
        *ret = value->integer;
    else if (type_is_unsigned(type) && value->natural <= INT64_MAX)
        *ret = (int64_t) value->natural;
    else
        return false;
    return true;
}

bool value_as_uint(const Value *value, uint64_t *ret)
{
    ValueType type = value_type(value);

    if (type_is_unsigned(type))
        *ret = value->natural;
    else if (type_is_signed(type) && value->integer >= 0)
        *ret = (uint64_t) value->integer;
    else
        return false;
    return true;
}

bool value_as_double(const Value *value, double *ret)
{
    ValueType type = value_type(value);

    if (type == VALUE_FLOAT || type == VALUE_DOUBLE)
        *ret = value->real;
    else if (type_is_signed(type))
        *ret = (double) value->integer;
    else if (type_is_unsigned(type))
        *ret = (double) value->natural;
    else
        return false;
    return true;
}

bool value_as_bool(const Value *value, bool *ret)
{
    if (value_type(value) != VALUE_BOOL)
        return false;
    *ret = value->truth;
    return true;
}

const char *value_as_string(const Value *value)
{
    return type_is_text(value_type(value)) && value->text.readable ? value->text.bytes : NULL;
}

const void *value_as_bytes(const Value *value, size_t *ret_n_bytes)
{
    if (!type_is_text(value_type(value)))
        return NULL;
    *ret_n_bytes = value->text.n_bytes;
    return value->text.bytes;
}

const uint8_t *value_as_uuid(const Value *value)
{
    return value_type(value) == VALUE_UUID ? value->uuid : NULL;
}

const Value *value_descriptor(const Value *value)
{
    return value_type(value) == VALUE_DESCRIBED ? value->described.descriptor : NULL;
}

const Value *value_described_value(const Value *value)
{
    return value_type(value) == VALUE_DESCRIBED ? value->described.value : NULL;
}

const char *value_get_string(const Value *map, const char *key)
{
    return value_as_string(value_get(map, key));
}

int64_t value_get_int(const Value *map, const char *key, int64_t fallback)
{
    int64_t found = fallback;

    value_as_int(value_get(map, key), &found);
    return found;
}

static bool map_equal(const Value *a, const Value *b)
{
    if (value_size(a) != value_size(b))
        return false;
    for (size_t i = 0; i < value_size(a); i++) {
        size_t at = map_find(b, map_entry(a, i)->key);
        if (at == 0 || !value_equal(map_entry(a, i)->item, map_entry(b, at - 1)->item))
            return false;
    }
    return true;
}

static bool list_equal(const Value *a, const Value *b)
{
    if (value_size(a) != value_size(b))
        return false;
    for (size_t i = 0; i < value_size(a); i++)
        if (!value_equal(value_at(a, i), value_at(b, i)))
            return false;
    return true;
}

bool value_equal(const Value *a, const Value *b)
{
    ValueType type = value_type(a);

    if (type != value_type(b))
        return false;
    if (a == b || type == VALUE_NULL)
        return true;
    if (type_is_text(type))
        return a->text.n_bytes == b->text.n_bytes && memcmp(a->text.bytes, b->text.bytes, a->text.n_bytes) == 0;
    switch (type) {
    case VALUE_BOOL: return a->truth == b->truth;
    case VALUE_FLOAT:
    case VALUE_DOUBLE: return memcmp(&a->real, &b->real, sizeof a->real) == 0; /* NaN equals itself, 0 is not -0 */
    case VALUE_UUID: return memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0;
    case VALUE_MAP: return map_equal(a, b);
    case VALUE_LIST: return list_equal(a, b);
    case VALUE_DESCRIBED:
        return value_equal(a->described.descriptor, b->described.descriptor) && value_equal(a->described.value, b->described.value);
    default: return a->natural == b->natural;
    }
}
