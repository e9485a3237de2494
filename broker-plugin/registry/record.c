#include "broker-plugin/registry/record.h"

#include "lib/base/json.h"
#include "lib/base/uuid.h"

#include <string.h>

#define X(id, name) [LIFETIME_##id] = name,
static const char *const lifetimes[] = { UUID_LIFETIMES(X) };
#undef X

/* Text fields that survive a restart, under their own names. */
#define RECORD_TEXTS(X) X(vm) X(hostname) X(boot_id) X(genid) X(user) X(role) X(address)

bool text_update(char **text, const char *to)
{
    if (to == NULL || to[0] == '\0' || g_strcmp0(*text, to) == 0)
        return false;
    g_free(*text);
    *text = g_strdup(to);
    return true;
}

AgentRecord *record_new(const char *name)
{
    AgentRecord *r = g_new0(AgentRecord, 1);
    g_auto(GStrv) parts = g_strsplit(name, ":", 3);

    r->name = g_strdup(name);
    r->product = g_strdup(g_strv_length(parts) == 3 ? parts[1] : "");
    if (strcmp(r->product, "mend-guest") == 0) /* its instance is the machine's UUID */
        r->vm = uuid_canonical(parts[2]);
    return r;
}

void record_free(AgentRecord *r)
{
    if (r == NULL)
        return;
#define X(field) g_free(r->field);
    RECORD_TEXTS(X)
#undef X
    for (int i = 0; i < LIFETIME_N; i++)
        g_free(r->uuid[i]);
    g_strfreev(r->capabilities);
    g_free(r->served);
    g_free(r->state);
    g_free(r->reach);
    g_free(r->reach_text);
    g_free(r->product);
    g_free(r->name);
    g_free(r);
}

bool record_has(const AgentRecord *r, const char *capability)
{
    return r->capabilities != NULL && g_strv_contains((const char *const *) r->capabilities, capability);
}

static void put_text(json_t *json, const char *key, const char *text)
{
    json_t *value = text != NULL ? json_string(text) : NULL; /* NULL too for what is no UTF-8 */

    if (value != NULL)
        json_object_set_new(json, key, value);
}

json_t *record_to_json(const AgentRecord *r)
{
    json_t *json = json_object(), *uuid = json_object(), *capabilities = json_array();

    put_text(json, "name", r->name);
#define X(field) put_text(json, #field, r->field);
    RECORD_TEXTS(X)
#undef X
    for (int i = 0; i < LIFETIME_N; i++)
        put_text(uuid, lifetimes[i], r->uuid[i]);
    json_object_set_new(json, "uuid", uuid);
    for (size_t i = 0; r->capabilities != NULL && r->capabilities[i] != NULL; i++)
        json_array_append_new(capabilities, json_string(r->capabilities[i]));
    json_object_set_new(json, "capabilities", capabilities);
    json_object_set_new(json, "epoch", json_integer((json_int_t) r->epoch));
    json_object_set_new(json, "interval_ms", json_integer(r->interval_ms));
    json_object_set_new(json, "last_seen_us", json_integer(r->last_seen_us));
    json_object_set_new(json, "gone_us", json_integer(r->gone_us));
    return json;
}

AgentRecord *record_from_json(const json_t *json)
{
    const char *name = json_string_or(json, "name", "");
    const json_t *uuid = json_object_get(json, "uuid"), *capabilities = json_object_get(json, "capabilities"), *one;
    g_autoptr(GStrvBuilder) list = g_strv_builder_new();
    AgentRecord *r;
    size_t i;

    if (name[0] == '\0')
        return NULL;
    r = record_new(name);
#define X(field) text_update(&r->field, json_string_or(json, #field, NULL));
    RECORD_TEXTS(X)
#undef X
    for (int k = 0; k < LIFETIME_N; k++)
        r->uuid[k] = g_strdup(json_string_or(uuid, lifetimes[k], NULL));
    json_array_foreach(capabilities, i, one)
        if (json_is_string(one))
            g_strv_builder_add(list, json_string_value(one));
    r->capabilities = g_strv_builder_end(list);
    r->epoch = (uint64_t) json_int_or(json, "epoch", 0);
    r->interval_ms = (uint32_t) CLAMP(json_int_or(json, "interval_ms", 0), 0, UINT32_MAX);
    r->last_seen_us = json_int_or(json, "last_seen_us", 0);
    r->gone_us = json_int_or(json, "gone_us", 0);
    return r;
}
