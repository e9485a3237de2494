/* Values as JSON, which is how they come in, are kept between cycles, and leave; and as words for errors. */
#include "consumers/policy/mom/value.h"

#include <math.h>
#include <string.h>

#define DEPTH_MAX 100

char *mom_value_text(MomValue v)
{
    switch (v.kind) {
    case MOM_NIL:
        return g_strdup("nil");
    case MOM_BOOL:
        return g_strdup(v.as.truth ? "True" : "False");
    case MOM_INT:
        return g_strdup_printf("number %" G_GINT64_FORMAT, v.as.i);
    case MOM_FLOAT: {
        char digits[G_ASCII_DTOSTR_BUF_SIZE];
        return g_strdup_printf("number %s", g_ascii_formatd(digits, sizeof digits, "%.10g", v.as.d));
    }
    case MOM_TEXT: {
        uint32_t n = MIN(v.n, 40u);
        g_autofree char *part = g_utf8_make_valid(v.as.text, n);
        return g_strdup_printf("text \"%s%s\"", part, v.n > n ? "…" : "");
    }
    case MOM_LIST:
        return g_strdup_printf("a list of %u", v.n);
    case MOM_ENTITY:
        return g_strdup("a guest or the host itself");
    case MOM_DISK:
    case MOM_LIMITS:
        return g_strdup("a disk's limits");
    case MOM_METHOD:
        break;
    }
    return g_strdup("something to call");
}

static MomFault to_json(MomArena *arena, MomValue v, guint depth, json_t **ret)
{
    MomFault fault = MOM_FINE;

    *ret = NULL;
    if (!mom_work(arena, 1 + (v.kind == MOM_TEXT ? v.n / 64 : 0)) || depth > DEPTH_MAX)
        return MOM_NO_TIME;
    switch (v.kind) {
    case MOM_NIL:
        *ret = json_null();
        return MOM_FINE;
    case MOM_BOOL:
        *ret = json_boolean(v.as.truth);
        return MOM_FINE;
    case MOM_INT:
        *ret = json_integer(v.as.i);
        return MOM_FINE;
    case MOM_FLOAT:
        *ret = isfinite(v.as.d) ? json_real(v.as.d) : NULL;
        return *ret == NULL ? MOM_TOO_LARGE : MOM_FINE;
    case MOM_TEXT:
        *ret = json_stringn(v.as.text, v.n);
        return *ret == NULL ? MOM_TYPES : MOM_FINE;
    case MOM_LIST:
        *ret = json_array();
        for (uint32_t i = 0; fault == MOM_FINE && i < v.n; i++) {
            json_t *item;

            fault = to_json(arena, v.as.items[i], depth + 1, &item);
            if (fault == MOM_FINE)
                json_array_append_new(*ret, item);
        }
        if (fault != MOM_FINE)
            g_clear_pointer(ret, json_decref);
        return fault;
    default:
        return MOM_TYPES;
    }
}

MomFault mom_to_json(MomArena *arena, MomValue value, json_t **ret)
{
    return to_json(arena, value, 0, ret);
}

static MomFault from_json(MomArena *arena, const json_t *json, guint depth, MomValue *ret)
{
    *ret = MOM_NOTHING;
    if (!mom_work(arena, 1) || depth > DEPTH_MAX)
        return MOM_NO_TIME;
    switch (json == NULL ? JSON_NULL : json_typeof(json)) {
    case JSON_TRUE:
    case JSON_FALSE:
        *ret = mom_bool(json_is_true(json));
        break;
    case JSON_INTEGER:
        *ret = mom_int(json_integer_value(json));
        break;
    case JSON_REAL:
        *ret = mom_float(json_real_value(json));
        break;
    case JSON_STRING: { /* copied: what it is kept in may be set anew meanwhile */
        size_t n = json_string_length(json);
        char *copy = mom_alloc(arena, n + 1);

        if (copy == NULL)
            return MOM_NO_MEMORY;
        memcpy(copy, json_string_value(json), n + 1);
        *ret = mom_text_of(copy, n);
        break;
    }
    case JSON_ARRAY: {
        size_t n = json_array_size(json);
        MomValue *items = mom_alloc(arena, MAX(n, 1) * sizeof *items);
        MomFault fault = items == NULL ? MOM_NO_MEMORY : MOM_FINE;

        for (size_t i = 0; fault == MOM_FINE && i < n; i++)
            fault = from_json(arena, json_array_get(json, i), depth + 1, &items[i]);
        if (fault != MOM_FINE)
            return fault;
        *ret = (MomValue) { .kind = MOM_LIST, .n = (uint32_t) n, .as.items = items };
        break;
    }
    case JSON_OBJECT:
        return MOM_TYPES;
    case JSON_NULL:
        break;
    }
    return MOM_FINE;
}

MomFault mom_from_json(MomArena *arena, const json_t *json, MomValue *ret)
{
    return from_json(arena, json, 0, ret);
}
