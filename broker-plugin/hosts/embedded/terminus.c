#include "broker-plugin/hosts/embedded/terminus.h"

#include "broker-plugin/hosts/embedded/broker.h"

#include <proton/codec.h>
#include <stdlib.h>
#include <string.h>

#define FILTER_CODE 0x0000468C00000000ull

typedef enum { FILTER_NONE = -1, FILTER_DIRECT, FILTER_TOPIC, FILTER_HEADERS, FILTER_NO_LOCAL, FILTER_SELECTOR, FILTER_XQUERY } FilterKind;

static const char *const filter_names[] = {
    [FILTER_DIRECT] = "apache.org:legacy-amqp-direct-binding:string", [FILTER_TOPIC] = "apache.org:legacy-amqp-topic-binding:string",
    [FILTER_HEADERS] = "apache.org:legacy-amqp-headers-binding:map",  [FILTER_NO_LOCAL] = "apache.org:no-local-filter:list",
    [FILTER_SELECTOR] = "apache.org:selector-filter:string",          [FILTER_XQUERY] = "apache.org:xquery-filter:string",
};

static char *text_of(pn_data_t *data)
{
    pn_bytes_t b;

    switch (pn_data_type(data)) {
    case PN_STRING: b = pn_data_get_string(data); break;
    case PN_SYMBOL: b = pn_data_get_symbol(data); break;
    case PN_BINARY: b = pn_data_get_binary(data); break;
    default: return NULL;
    }
    return memchr(b.start, '\0', b.size) != NULL ? NULL : g_strndup(b.start, b.size);
}

static bool number_of(pn_data_t *data, int64_t *ret)
{
    g_autofree char *text = NULL;
    char *end;

    switch (pn_data_type(data)) {
    case PN_UBYTE: *ret = pn_data_get_ubyte(data); return true;
    case PN_BYTE: *ret = pn_data_get_byte(data); return true;
    case PN_USHORT: *ret = pn_data_get_ushort(data); return true;
    case PN_SHORT: *ret = pn_data_get_short(data); return true;
    case PN_UINT: *ret = pn_data_get_uint(data); return true;
    case PN_INT: *ret = pn_data_get_int(data); return true;
    case PN_ULONG: *ret = (int64_t) MIN(pn_data_get_ulong(data), (uint64_t) INT64_MAX); return true;
    case PN_LONG: *ret = pn_data_get_long(data); return true;
    case PN_BOOL: *ret = pn_data_get_bool(data); return true;
    default: break;
    }
    text = text_of(data);
    if (text == NULL || *text == '\0')
        return false;
    *ret = g_ascii_strtoll(text, &end, 10);
    return *end == '\0';
}

static bool truth_of(pn_data_t *data)
{
    int64_t number;
    g_autofree char *text = NULL;

    if (number_of(data, &number))
        return number != 0;
    text = text_of(data);
    return text != NULL && g_ascii_strcasecmp(text, "true") == 0;
}

static FilterKind filter_kind(pn_data_t *data)
{
    g_autofree char *name = NULL;
    uint64_t code;

    if (pn_data_type(data) == PN_ULONG) {
        code = pn_data_get_ulong(data) - FILTER_CODE;
        return code < G_N_ELEMENTS(filter_names) ? (FilterKind) code : FILTER_NONE;
    }
    name = text_of(data);
    for (size_t i = 0; name != NULL && i < G_N_ELEMENTS(filter_names); i++)
        if (strcmp(name, filter_names[i]) == 0)
            return (FilterKind) i;
    return FILTER_NONE;
}

static void filter_take(pn_data_t *data, FilterKind kind, Wish *w)
{
    switch (kind) {
    case FILTER_DIRECT: case FILTER_TOPIC:
        if (w->key == NULL) /* of two subject filters the first counts */
            w->key = text_of(data);
        break;
    case FILTER_SELECTOR:
        if (w->selector == NULL)
            w->selector = text_of(data);
        break;
    case FILTER_NO_LOCAL:
        w->no_local = true;
        break;
    default:
        w->foreign_filter = true;
        break;
    }
}

static void read_filters(pn_data_t *data, Wish *w)
{
    size_t n;

    pn_data_rewind(data);
    if (!pn_data_next(data) || pn_data_type(data) != PN_MAP)
        return;
    n = pn_data_get_map(data) / 2;
    pn_data_enter(data);
    for (; n > 0 && pn_data_next(data); n--) {
        bool symbol = pn_data_type(data) == PN_SYMBOL;
        if (!pn_data_next(data))
            break;
        if (!symbol) {
            w->foreign_filter = true;
        } else if (pn_data_is_described(data)) {
            pn_data_enter(data);
            if (pn_data_next(data)) {
                FilterKind kind = filter_kind(data);
                if (pn_data_next(data))
                    filter_take(data, kind, w);
            }
            pn_data_exit(data);
        } else if (pn_data_type(data) == PN_STRING) {
            filter_take(data, FILTER_TOPIC, w);
        } else {
            w->foreign_filter = true;
        }
    }
    pn_data_exit(data);
}

static void read_lifetime(pn_data_t *data, Wish *w)
{
    static const char *const names[] = {"amqp:delete-on-close:list", "amqp:delete-on-no-links:list", "amqp:delete-on-no-messages:list",
                                        "amqp:delete-on-no-links-or-messages:list"};
    static const char *const legacy[] = {"manual", "delete-on-close", "delete-if-unused", "", "delete-if-unused-and-empty"};
    g_autofree char *text = NULL;

    if (pn_data_is_described(data)) {
        pn_data_enter(data);
        if (pn_data_next(data)) {
            uint64_t code = pn_data_type(data) == PN_ULONG ? pn_data_get_ulong(data) : 0;
            text = text_of(data);
            for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
                if (code == 0x2b + i || g_strcmp0(text, names[i]) == 0) {
                    w->lifetime = (Lifetime) (LIFETIME_ON_CLOSE + (int) i);
                    w->has_lifetime = true;
                }
        }
        pn_data_exit(data);
        return;
    }
    text = text_of(data);
    for (unsigned i = 0; text != NULL && *text != '\0' && i < G_N_ELEMENTS(legacy); i++)
        if (strcmp(text, legacy[i]) == 0) {
            w->lifetime = (Lifetime) i;
            w->has_lifetime = true;
        }
}

static bool read_policy(pn_data_t *data, Wish *w, GError **error)
{
    g_autofree char *text = text_of(data);

    if (g_strcmp0(text, "ring") == 0 || g_strcmp0(text, "ring_strict") == 0)
        w->shape.ring = true;
    else if (g_strcmp0(text, "self-destruct") == 0)
        w->self_destruct = true;
    else if (g_strcmp0(text, "reject") != 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SHAPE, "qpid.policy_type: want reject, ring or self-destruct, got \"%s\"",
                    text != NULL ? text : "(not a string)");
        return false;
    }
    return true;
}

static bool read_limit(pn_data_t *data, const char *key, int64_t *ret, GError **error)
{
    if (number_of(data, ret) && *ret >= 0)
        return true;
    g_set_error(error, BROKER_ERROR, BROKER_ERROR_SHAPE, "%s: want a number that is not negative", key);
    return false;
}

static bool property_take(pn_data_t *data, const char *key, Wish *w, GError **error)
{
    int64_t seconds;

    if (strcmp(key, "qpid.policy_type") == 0)
        return read_policy(data, w, error);
    if (strcmp(key, "qpid.max_count") == 0)
        return read_limit(data, key, &w->shape.max_messages, error);
    if (strcmp(key, "qpid.max_size") == 0)
        return read_limit(data, key, &w->shape.max_bytes, error);
    if (strcmp(key, "qpid.last_value_queue_key") == 0) {
        g_free(w->shape.last_value_key);
        w->shape.last_value_key = text_of(data);
    } else if (strcmp(key, "lifetime-policy") == 0 || strcmp(key, "qpid.lifetime-policy") == 0) {
        read_lifetime(data, w);
    } else if (strcmp(key, "auto-delete") == 0 || strcmp(key, "qpid.auto_delete") == 0) {
        w->has_lifetime = w->has_lifetime || truth_of(data);
        if (truth_of(data) && w->lifetime == LIFETIME_MANUAL)
            w->lifetime = LIFETIME_NO_LINKS;
    } else if (strcmp(key, "qpid.auto_delete_timeout") == 0) {
        if (!read_limit(data, key, &seconds, error))
            return false;
        w->lifetime = LIFETIME_NO_LINKS;
        w->has_lifetime = true;
    } else if (strcmp(key, "durable") == 0) {
        w->shape.durable = truth_of(data);
    } else if (strcmp(key, "alternate-exchange") == 0) {
        g_free(w->shape.dead_letter);
        w->shape.dead_letter = text_of(data);
    }
    return true; /* what is not known is kept by qpidd and means nothing here */
}

static bool read_properties(pn_data_t *data, Wish *w, GError **error)
{
    size_t n;
    bool ok = true;

    pn_data_rewind(data);
    if (!pn_data_next(data) || pn_data_type(data) != PN_MAP)
        return true;
    n = pn_data_get_map(data) / 2;
    w->shaped = n > 0;
    pn_data_enter(data);
    for (; ok && n > 0 && pn_data_next(data); n--) {
        g_autofree char *key = text_of(data);
        if (!pn_data_next(data))
            break;
        if (key != NULL)
            ok = property_take(data, key, w, error);
    }
    pn_data_exit(data);
    return ok;
}

static void read_capabilities(pn_data_t *data, Wish *w)
{
    bool array;
    size_t n = 1;

    pn_data_rewind(data);
    if (!pn_data_next(data))
        return;
    array = pn_data_type(data) == PN_ARRAY || pn_data_type(data) == PN_LIST;
    if (array) {
        n = pn_data_type(data) == PN_ARRAY ? pn_data_get_array(data) : pn_data_get_list(data);
        pn_data_enter(data);
        if (!pn_data_next(data))
            n = 0;
    }
    for (; n > 0; n--) {
        g_autofree char *name = text_of(data);
        w->create |= g_strcmp0(name, "create-on-demand") == 0;
        w->topic |= g_strcmp0(name, "topic") == 0;
        if (n > 1 && !pn_data_next(data))
            break;
    }
    if (array)
        pn_data_exit(data);
}

bool wish_read(pn_terminus_t *t, Wish *w, GError **error)
{
    const char *address = pn_terminus_get_address(t);

    *w = (Wish){.address = g_strdup(address), .timeout_us = INT64_MAX};
    w->dynamic = pn_terminus_is_dynamic(t);
    w->browse = pn_terminus_get_distribution_mode(t) == PN_DIST_MODE_COPY;
    w->durable = pn_terminus_get_durability(t) != PN_NONDURABLE;
    w->lasting = pn_terminus_get_expiry_policy(t) == PN_EXPIRE_NEVER || w->durable;
    if (pn_terminus_get_timeout(t) > 0)
        w->timeout_us = (int64_t) pn_terminus_get_timeout(t) * US_PER_S;
    else if (pn_terminus_get_expiry_policy(t) != PN_EXPIRE_NEVER)
        w->lasting = false; /* ends with link, session or connection, at once */
    read_filters(pn_terminus_filter(t), w);
    read_capabilities(pn_terminus_capabilities(t), w);
    if (!read_properties(pn_terminus_properties(t), w, error))
        return false;
    if (w->shape.last_value_key != NULL && w->shape.ring && w->shape.max_messages == 0 && w->shape.max_bytes == 0)
        w->shape.ring = false;
    return true;
}

void wish_done(Wish *w)
{
    g_clear_pointer(&w->address, g_free);
    g_clear_pointer(&w->key, g_free);
    g_clear_pointer(&w->selector, g_free);
    g_clear_pointer(&w->shape.last_value_key, g_free);
    g_clear_pointer(&w->shape.dead_letter, g_free);
}
