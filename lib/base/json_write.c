/* The canonical form is written for every record of the journal and compared with it in every replay, so it is written here in one
 * pass: jansson formats the address of each container to find circles, calls back for every piece of text, and allocates twice. The
 * bytes are jansson's own (JSON_COMPACT | JSON_SORT_KEYS); a test compares them. */
#include "lib/base/json.h"

#include <stdlib.h>
#include <string.h>

typedef struct Member {
    const char *key;
    json_t *value;
} Member;

typedef struct Writer {
    GString *to;
    GArray *members; /* of Member: those of the objects that are being written, the innermost last */
} Writer;

static void put_string(GString *to, const char *text, size_t length)
{
    static const char short_escapes[0x20] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };
    size_t begin = 0;

    g_string_append_c(to, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char) text[i];

        if (G_LIKELY(c >= 0x20 && c != '"' && c != '\\'))
            continue;
        g_string_append_len(to, text + begin, (gssize) (i - begin));
        begin = i + 1;
        if (c >= 0x20 || short_escapes[c] != 0) {
            g_string_append_c(to, '\\');
            g_string_append_c(to, c >= 0x20 ? (char) c : short_escapes[c]);
        } else {
            g_string_append_printf(to, "\\u%04X", c);
        }
    }
    g_string_append_len(to, text + begin, (gssize) (length - begin));
    g_string_append_c(to, '"');
}

static void put_integer(GString *to, json_int_t value)
{
    char digits[24], *at = digits + sizeof digits;
    uint64_t rest = value < 0 ? 0 - (uint64_t) value : (uint64_t) value;

    do
        *--at = (char) ('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        *--at = '-';
    g_string_append_len(to, at, digits + sizeof digits - at);
}

static void put_real(GString *to, const json_t *value)
{
    char digits[64];

    g_string_append_len(to, digits, (gssize) json_dumpb(value, digits, sizeof digits, JSON_ENCODE_ANY));
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const Member *) a)->key, ((const Member *) b)->key);
}

static void put_value(Writer *w, const json_t *value);

static void put_array(Writer *w, const json_t *array)
{
    size_t n = json_array_size(array);

    g_string_append_c(w->to, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            g_string_append_c(w->to, ',');
        put_value(w, json_array_get(array, i));
    }
    g_string_append_c(w->to, ']');
}

static void put_object(Writer *w, json_t *object)
{
    guint first = w->members->len, n;
    Member member;

    json_object_foreach(object, member.key, member.value)
        g_array_append_val(w->members, member);
    n = w->members->len - first;
    if (n > 1)
        qsort(&g_array_index(w->members, Member, first), n, sizeof member, by_key);
    g_string_append_c(w->to, '{');
    for (guint i = 0; i < n; i++) {
        member = g_array_index(w->members, Member, first + i); /* the array may move */
        if (i > 0)
            g_string_append_c(w->to, ',');
        put_string(w->to, member.key, strlen(member.key));
        g_string_append_c(w->to, ':');
        put_value(w, member.value);
    }
    g_string_append_c(w->to, '}');
    g_array_set_size(w->members, first);
}

static void put_value(Writer *w, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:    g_string_append_len(w->to, "null", 4);                                        break;
    case JSON_FALSE:   g_string_append_len(w->to, "false", 5);                                       break;
    case JSON_TRUE:    g_string_append_len(w->to, "true", 4);                                        break;
    case JSON_INTEGER: put_integer(w->to, json_integer_value(value));                                break;
    case JSON_REAL:    put_real(w->to, value);                                                       break;
    case JSON_STRING:  put_string(w->to, json_string_value(value), json_string_length(value));       break;
    case JSON_ARRAY:   put_array(w, value);                                                          break;
    case JSON_OBJECT:  put_object(w, (json_t *) value);                                              break;
    }
}

void json_write(GString *to, const json_t *value)
{
    Writer writer = { to, g_array_sized_new(FALSE, FALSE, sizeof(Member), 32) };

    put_value(&writer, value);
    g_array_unref(writer.members);
}

char *json_text(const json_t *value)
{
    if (value == NULL)
        return NULL;
    GString *text = g_string_sized_new(256);
    json_write(text, value);
    return g_string_free(text, FALSE);
}
