/* "AM2", what it is, a number that is given back; then short strings, numbers in network order, and maps as 0-10 has them. */
#include "lib/qmf/qmf1.h"

#include <string.h>

#define REQUEST   "AM2S"
#define ANSWER    "AM2s"
#define HEAD      8    /* with the number */
#define HASH      16
#define KIND_DATA  1
#define KIND_EVENT 2

bool qmf1_is_schema_request(const void *bytes, size_t n_bytes)
{
    return n_bytes >= HEAD && memcmp(bytes, REQUEST, strlen(REQUEST)) == 0;
}

/* ---- in --------------------------------------------------------------------------------------------------------------------------------- */

typedef struct Asked {
    char package[256], name[256];
    uint8_t hash[HASH];
} Asked;

static bool take_string(const uint8_t **at, const uint8_t *end, char text[256])
{
    uint8_t length;

    if (*at == end || (length = **at) >= end - *at)
        return false;
    memcpy(text, *at + 1, length);
    text[length] = '\0';
    *at += 1 + length;
    return true;
}

static bool read_request(const uint8_t *bytes, size_t n_bytes, Asked *ret)
{
    const uint8_t *at = bytes + HEAD, *end = bytes + n_bytes;

    if (!take_string(&at, end, ret->package) || !take_string(&at, end, ret->name) || end - at < HASH)
        return false;
    memcpy(ret->hash, at, HASH);
    return true;
}

/* ---- out -------------------------------------------------------------------------------------------------------------------------------- */

static void put_u16(GByteArray *out, size_t number)
{
    const uint8_t bytes[] = { (uint8_t) (number >> 8), (uint8_t) number };

    g_byte_array_append(out, bytes, sizeof bytes);
}

static void put_u8(GByteArray *out, uint8_t number)
{
    g_byte_array_append(out, &number, 1);
}

static void put_string(GByteArray *out, const char *text)
{
    uint8_t length = (uint8_t) MIN(strlen(text), UINT8_MAX);

    put_u8(out, length);
    g_byte_array_append(out, (const uint8_t *) text, length);
}

static void put_map(GByteArray *out, Value *map /* (transfer full) */)
{
    g_autoptr(Value) given = map;
    g_autoptr(GByteArray) bytes = qmf_0_10_encode(given);

    g_byte_array_append(out, bytes->data, bytes->len);
}

static uint8_t type_code(const QmfProperty *p)
{
    static const uint8_t codes[] = { [QMF_TYPE_VOID] = 1, [QMF_TYPE_BOOL] = 11, [QMF_TYPE_INT] = 19, [QMF_TYPE_FLOAT] = 13, [QMF_TYPE_STRING] = 7,
                                     [QMF_TYPE_MAP] = 15, [QMF_TYPE_LIST] = 21, [QMF_TYPE_UUID] = 14 };
    static const struct {
        QmfType type;
        const char *subtype;
        uint8_t code;
    } special[] = { { QMF_TYPE_INT, "timestamp", 8 }, { QMF_TYPE_INT, "duration", 9 }, { QMF_TYPE_MAP, "reference", 10 }, { QMF_TYPE_MAP, "data", 20 } };

    for (size_t i = 0; i < G_N_ELEMENTS(special); i++)
        if (special[i].type == p->type && g_strcmp0(special[i].subtype, p->subtype) == 0)
            return special[i].code;
    return codes[p->type];
}

static Value *named(const char *name, const char *description)
{
    Value *map = value_map();

    value_set(map, "name", value_string(name));
    if (description != NULL)
        value_set(map, "desc", value_string(description));
    return map;
}

static Value *typed(const QmfProperty *p)
{
    Value *map = named(p->name, p->description);

    value_set(map, "type", value_uint(VALUE_UINT8, type_code(p)));
    if (p->unit != NULL)
        value_set(map, "unit", value_string(p->unit));
    return map;
}

static void put_property(GByteArray *out, const QmfProperty *p)
{
    static const int access[] = { [QMF_ACCESS_READ_CREATE] = 1, [QMF_ACCESS_READ_WRITE] = 2, [QMF_ACCESS_READ_ONLY] = 3 };
    Value *map = typed(p);

    value_set(map, "access", value_int(VALUE_INT32, access[p->access]));
    value_set(map, "index", value_int(VALUE_INT32, p->index));
    value_set(map, "optional", value_int(VALUE_INT32, p->optional));
    put_map(out, map);
}

static void put_method(GByteArray *out, const QmfMethod *m)
{
    static const char *const directions[] = { "I", [QMF_DIR_IN] = "I", [QMF_DIR_OUT] = "O", [QMF_DIR_IN_OUT] = "IO" };
    Value *map = named(m->name, m->description);

    value_set(map, "argCount", value_uint(VALUE_UINT64, m->n_arguments));
    put_map(out, map);
    for (size_t i = 0; i < m->n_arguments; i++) {
        Value *argument = typed(&m->arguments[i]);

        value_set(argument, "dir", value_string(directions[m->arguments[i].direction]));
        put_map(out, argument);
    }
}

static void put_class(GByteArray *out, const QmfClass *class)
{
    put_u8(out, class->event ? KIND_EVENT : KIND_DATA);
    put_string(out, class->package);
    put_string(out, class->name);
    g_byte_array_append(out, class->hash, HASH);
    put_u16(out, class->n_properties);
    if (!class->event) {
        put_u16(out, 0); /* statistics are properties since QMFv2 */
        put_u16(out, class->n_methods);
    }
    for (size_t i = 0; i < class->n_properties; i++) {
        if (class->event)
            put_map(out, typed(&class->properties[i]));
        else
            put_property(out, &class->properties[i]);
    }
    for (size_t i = 0; !class->event && i < class->n_methods; i++)
        put_method(out, &class->methods[i]);
}

GBytes *qmf1_schema_answer(const void *bytes, size_t n_bytes, const QmfClass *(*classes)(size_t i, const void *user), const void *user)
{
    const QmfClass *class;
    Asked asked;

    if (!qmf1_is_schema_request(bytes, n_bytes) || !read_request(bytes, n_bytes, &asked))
        return NULL;
    for (size_t i = 0; (class = classes(i, user)) != NULL; i++) {
        if (strcmp(class->package, asked.package) != 0 || strcmp(class->name, asked.name) != 0 || memcmp(class->hash, asked.hash, HASH) != 0)
            continue;
        GByteArray *out = g_byte_array_new();

        g_byte_array_append(out, (const uint8_t *) ANSWER, strlen(ANSWER));
        g_byte_array_append(out, (const uint8_t *) bytes + strlen(REQUEST), HEAD - strlen(REQUEST));
        put_class(out, class);
        return g_byte_array_free_to_bytes(out);
    }
    return NULL;
}
