#include "broker-plugin/abi.h"

#include "lib/base/uuid.h"

#include <stdarg.h>
#include <string.h>

mend_str str_of(const char *text)
{
    return (mend_str) { .ptr = text != NULL ? text : "", .len = text != NULL ? strlen(text) : 0 };
}

char *str_dup(mend_str text)
{
    return text.len == 0 ? NULL : g_strndup(text.ptr, text.len);
}

bool str_equal(mend_str text, const char *other)
{
    return strlen(other) == text.len && (text.len == 0 || memcmp(text.ptr, other, text.len) == 0);
}

mend_rc error_fill(mend_error *ret, mend_rc code, const char *format, ...)
{
    va_list arguments;

    if (ret == NULL || ret->size < sizeof *ret)
        return code;
    ret->code = code;
    va_start(arguments, format);
    g_vsnprintf(ret->text, sizeof ret->text, format, arguments);
    va_end(arguments);
    return code;
}

void host_log(mend_host *host, int32_t level, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    host->log(host, level, str_of(text), NULL, 0);
}

char *host_uuid(mend_host *host)
{
    uint64_t words[2] = { host->random(host), host->random(host) };
    uint8_t bytes[16];
    char text[UUID_TEXT_SIZE];

    memcpy(bytes, words, sizeof bytes);
    bytes[6] = (uint8_t) ((bytes[6] & 0x0f) | 0x40); /* RFC 9562: version 4, its variant */
    bytes[8] = (uint8_t) ((bytes[8] & 0x3f) | 0x80);
    uuid_from_bytes(bytes, text);
    return g_strdup(text);
}

const mend_prop *msg_prop(const mend_msg *msg, const char *key)
{
    for (size_t i = 0; i < msg->n_props; i++)
        if (str_equal(msg->props[i].key, key))
            return &msg->props[i];
    return NULL;
}

const char *rc_name(mend_rc rc)
{
    static const char *const positive[] = { "OK", "BUSY", "DENIED", "HELD", "UNSUPPORTED", "NOT_FOUND", "LIMIT" };
    static const char *const negative[] = { "", "EFAULT", "ECONFIG", "ENOMEM" };

    if (rc >= 0 && (size_t) rc < G_N_ELEMENTS(positive))
        return positive[rc];
    if (rc < 0 && rc > -(mend_rc) G_N_ELEMENTS(negative))
        return negative[-rc];
    return "a code this header does not have";
}
