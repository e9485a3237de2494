/* Arena, equality, order, maps. Maps keep the order they were written in, so nothing of a hash shows; the table beside it exists only when a
 * walk would be slower. */
#include "consumers/policy/language/cel/value.h"

#include <math.h>

#define BLOCK_BYTES 4096
#define WALKED_ENTRIES 8

struct CelBlock {
    CelBlock *next;
    size_t padding; /* what follows stays aligned */
};

void cel_arena_init(CelArena *arena, void *first, size_t first_bytes, size_t limit_bytes)
{
    uintptr_t start = ((uintptr_t) first + 15) & ~(uintptr_t) 15, end = (uintptr_t) first + first_bytes;

    *arena = (CelArena){ .limit_bytes = limit_bytes };
    if (first != NULL && start < end) {
        arena->at = (char *) start;
        arena->end = (char *) end;
    }
}

void cel_arena_done(CelArena *arena)
{
    while (arena->blocks != NULL) {
        CelBlock *block = arena->blocks;

        arena->blocks = block->next;
        g_free(block);
    }
    *arena = (CelArena){ 0 };
}

void *cel_arena_more(CelArena *arena, size_t bytes)
{
    if (bytes > arena->limit_bytes)
        return NULL;
    size_t wanted = MAX((bytes + 15) & ~(size_t) 15, BLOCK_BYTES);
    if (arena->used_bytes > arena->limit_bytes - MIN(wanted, arena->limit_bytes))
        return NULL;
    CelBlock *block = g_malloc(sizeof *block + wanted);
    arena->used_bytes += wanted;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->at = (char *) (block + 1);
    arena->end = arena->at + wanted;
    return cel_alloc(arena, bytes);
}

char *cel_alloc_text(CelArena *arena, const char *text, size_t length)
{
    char *copy = cel_alloc(arena, length + 1);

    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

const char *cel_kind_name(CelKind kind)
{
    static const char *const names[] = {
        [CEL_ERROR] = "error",   [CEL_NULL] = "null_type", [CEL_BOOL] = "bool",
        [CEL_INT] = "int",       [CEL_UINT] = "uint",      [CEL_DOUBLE] = "double",
        [CEL_STRING] = "string", [CEL_BYTES] = "bytes",    [CEL_LIST] = "list",
        [CEL_MAP] = "map",       [CEL_TYPE] = "type",      [CEL_TIMESTAMP] = "google.protobuf.Timestamp",
        [CEL_DURATION] = "google.protobuf.Duration",
    };
    _Static_assert(G_N_ELEMENTS(names) == CEL_KIND_N, "every kind has a name");

    return names[kind];
}

/* ---- order ---- */

static int order_int(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_uint(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int order_int_uint(int64_t a, uint64_t b)
{
    return a < 0 ? -1 : order_uint((uint64_t) a, b);
}

/* @b is not NaN. The specification's suite wants the whole number rounded to a double here: 2^63-1 is not below 2^63 as a double. */
static int order_int_double(int64_t a, double b)
{
    return b > 0x1p63 ? -1 : b < -0x1p63 ? 1 : ((double) a > b) - ((double) a < b);
}

static int order_uint_double(uint64_t a, double b)
{
    return b > 0x1p64 ? -1 : b < 0 ? 1 : ((double) a > b) - ((double) a < b);
}

static bool compare_numbers(CelValue a, CelValue b, int *ret_order)
{
    if ((a.kind == CEL_DOUBLE && isnan(a.as.real)) || (b.kind == CEL_DOUBLE && isnan(b.as.real)))
        return false;
    if (a.kind > b.kind) {
        bool ordered = compare_numbers(b, a, ret_order);

        *ret_order = -*ret_order;
        return ordered;
    }
    if (a.kind == CEL_INT)
        *ret_order = b.kind == CEL_INT    ? order_int(a.as.integer, b.as.integer)
                     : b.kind == CEL_UINT ? order_int_uint(a.as.integer, b.as.uinteger)
                                          : order_int_double(a.as.integer, b.as.real);
    else if (a.kind == CEL_UINT)
        *ret_order = b.kind == CEL_UINT ? order_uint(a.as.uinteger, b.as.uinteger) : order_uint_double(a.as.uinteger, b.as.real);
    else
        *ret_order = (a.as.real > b.as.real) - (a.as.real < b.as.real);
    return true;
}

static int order_bytes(CelValue a, CelValue b)
{
    int order = memcmp(a.as.text, b.as.text, MIN(a.extra, b.extra));

    return order != 0 ? (order > 0) - (order < 0) : order_uint(a.extra, b.extra);
}

bool cel_compare(CelValue a, CelValue b, int *ret_order)
{
    if (cel_is_number(a) && cel_is_number(b))
        return compare_numbers(a, b, ret_order);
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case CEL_BOOL:
        *ret_order = (int) a.as.boolean - (int) b.as.boolean;
        return true;
    case CEL_STRING:
    case CEL_BYTES:
        *ret_order = order_bytes(a, b);
        return true;
    case CEL_TIMESTAMP:
        *ret_order = a.as.seconds != b.as.seconds ? order_int(a.as.seconds, b.as.seconds) : order_int(a.extra, b.extra);
        return true;
    case CEL_DURATION:
        *ret_order = order_int(a.as.ns, b.as.ns);
        return true;
    default:
        return false;
    }
}

static bool equal_lists(const CelList *a, const CelList *b)
{
    if (a->n != b->n || a->depth != b->depth)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!cel_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static bool equal_maps(const CelMap *a, const CelMap *b)
{
    if (a->n != b->n || a->depth != b->depth)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const CelValue *other = cel_map_get(b, a->entries[i].key);

        if (other == NULL || !cel_equal(a->entries[i].value, *other))
            return false;
    }
    return true;
}

bool cel_equal(CelValue a, CelValue b)
{
    int order = 0;

    if (a.kind != b.kind)
        return cel_is_number(a) && cel_is_number(b) && compare_numbers(a, b, &order) && order == 0;
    switch (a.kind) {
    case CEL_NULL:
        return true;
    case CEL_STRING:
    case CEL_BYTES:
        return a.extra == b.extra && memcmp(a.as.text, b.as.text, a.extra) == 0;
    case CEL_DOUBLE:
        return a.as.real == b.as.real;
    case CEL_LIST:
        return equal_lists(a.as.list, b.as.list);
    case CEL_MAP:
        return equal_maps(a.as.map, b.as.map);
    case CEL_TYPE:
        return a.as.uinteger == b.as.uinteger;
    case CEL_ERROR:
        return false;
    default:
        return cel_compare(a, b, &order) && order == 0;
    }
}

/* ---- lists and maps ---- */

static CelValue too_big(void)
{
    return cel_error_at("this needs more memory than an expression may have", 0);
}

static CelValue too_deep(void)
{
    return cel_error_at("a value is nested too deep", 0);
}

static uint32_t depth_of(CelValue value)
{
    return value.kind == CEL_LIST ? value.as.list->depth : value.kind == CEL_MAP ? value.as.map->depth : 0;
}

CelValue cel_list(CelArena *arena, const CelValue *items, size_t n)
{
    CelList *list = cel_alloc(arena, sizeof *list);
    uint32_t depth = 0;

    if (list == NULL)
        return too_big();
    for (size_t i = 0; i < n; i++)
        depth = MAX(depth, depth_of(items[i]));
    if (depth >= CEL_VALUE_DEPTH_MAX)
        return too_deep();
    *list = (CelList){ .n = n, .items = items, .depth = depth + 1 };
    return (CelValue){ .kind = CEL_LIST, .as.list = list };
}

static uint32_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    return (uint32_t) (x ^ (x >> 32));
}

/* Of a key: equal numbers of two kinds are the same bits. */
static uint32_t hash_key(CelValue key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    if (key.kind != CEL_STRING)
        return mix(key.as.uinteger);
    for (uint32_t i = 0; i < key.extra; i++)
        hash = (hash ^ (unsigned char) key.as.text[i]) * UINT64_C(0x100000001b3);
    return mix(hash);
}

/* A double as the key that equals it; false: none does. */
static bool as_key(CelValue *key)
{
    if (key->kind == CEL_DOUBLE) {
        double d = key->as.real;

        if (!(d >= -0x1p63 && d < 0x1p64) || d != trunc(d))
            return false;
        *key = d < 0x1p63 ? cel_int((int64_t) d) : cel_uint((uint64_t) d);
    }
    return key->kind == CEL_BOOL || key->kind == CEL_INT || key->kind == CEL_UINT || key->kind == CEL_STRING;
}

const CelValue *cel_map_get(const CelMap *map, CelValue key)
{
    if (!as_key(&key))
        return NULL;
    if (map->index == NULL) {
        for (size_t i = 0; i < map->n; i++)
            if (cel_equal(map->entries[i].key, key))
                return &map->entries[i].value;
        return NULL;
    }
    for (uint32_t at = hash_key(key) & map->mask; map->index[at] != 0; at = (at + 1) & map->mask)
        if (cel_equal(map->entries[map->index[at] - 1].key, key))
            return &map->entries[map->index[at] - 1].value;
    return NULL;
}

static CelValue key_twice(CelArena *arena, CelValue key)
{
    g_autofree char *text = key.kind == CEL_STRING ? g_strdup_printf("the key \"%.*s\" is there twice", (int) key.extra, key.as.text)
                            : key.kind == CEL_BOOL ? g_strdup_printf("the key %s is there twice", key.as.boolean ? "true" : "false")
                            : key.kind == CEL_INT  ? g_strdup_printf("the key %" PRId64 " is there twice", key.as.integer)
                                                   : g_strdup_printf("the key %" PRIu64 " is there twice", key.as.uinteger);
    const char *copy = cel_alloc_text(arena, text, strlen(text));
    return cel_error_at(copy != NULL ? copy : "a key is there twice", 0);
}

CelValue cel_map(CelArena *arena, const CelEntry *entries, size_t n)
{
    CelMap *map = cel_alloc(arena, sizeof *map);
    uint32_t slots = 16, *index = NULL;

    while (slots < 2 * n && slots < UINT32_C(1) << 31)
        slots *= 2;
    if (n > WALKED_ENTRIES)
        index = cel_alloc(arena, slots * sizeof *index);
    if (map == NULL || (n > WALKED_ENTRIES && index == NULL) || n > INT32_MAX)
        return too_big();
    if (index != NULL)
        memset(index, 0, slots * sizeof *index);
    *map = (CelMap){ .entries = entries, .index = index, .mask = slots - 1, .depth = 1 };
    for (size_t i = 0; i < n; i++) {
        CelValue key = entries[i].key;

        if (key.kind == CEL_DOUBLE || !as_key(&key))
            return cel_error_at("unsupported key type: a key is a bool, int, uint or string", 0);
        if (cel_map_get(map, key) != NULL)
            return key_twice(arena, key);
        map->n = i + 1;
        map->depth = MAX(map->depth, depth_of(entries[i].value) + 1);
        if (map->depth > CEL_VALUE_DEPTH_MAX)
            return too_deep();
        if (index == NULL)
            continue;
        uint32_t at = hash_key(key) & map->mask;
        while (index[at] != 0)
            at = (at + 1) & map->mask;
        index[at] = (uint32_t) i + 1;
    }
    return (CelValue){ .kind = CEL_MAP, .as.map = map };
}

size_t cel_string_size(CelValue text)
{
    size_t n = 0;

    for (uint32_t i = 0; i < text.extra; i++)
        n += ((unsigned char) text.as.text[i] & 0xc0) != 0x80;
    return n;
}

size_t cel_weight(CelValue value, size_t limit)
{
    size_t weight = 1;

    if (value.kind == CEL_STRING || value.kind == CEL_BYTES)
        return 1 + value.extra / 32;
    if (value.kind == CEL_LIST)
        for (size_t i = 0; i < value.as.list->n && weight < limit; i++)
            weight += cel_weight(value.as.list->items[i], limit - weight);
    if (value.kind == CEL_MAP)
        for (size_t i = 0; i < value.as.map->n && weight < limit; i++) {
            weight += cel_weight(value.as.map->entries[i].key, limit - weight);
            if (weight < limit)
                weight += cel_weight(value.as.map->entries[i].value, limit - weight);
        }
    return weight;
}
