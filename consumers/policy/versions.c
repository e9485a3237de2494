#include "consumers/policy/versions.h"

#include "consumers/policy/engine/id.h"
#include "lib/base/json.h"

#include <string.h>

struct Versions {
    GPtrArray *list; /* of Version */
    int64_t newest;
};

static void version_free(void *data)
{
    Version *v = data;

    g_free(v->name);
    g_free(v->text);
    g_free(v->version);
    g_free(v->from);
    g_free(v->who);
    g_free(v);
}

Versions *versions_new(void)
{
    Versions *versions = g_new0(Versions, 1);

    versions->list = g_ptr_array_new_with_free_func(version_free);
    return versions;
}

void versions_free(Versions *versions)
{
    if (versions == NULL)
        return;
    g_ptr_array_unref(versions->list);
    g_free(versions);
}

static size_t texts_bytes(const Versions *versions)
{
    size_t bytes = 0;

    for (guint i = 0; i < versions->list->len; i++)
        bytes += strlen(versions_at(versions, i)->text);
    return bytes;
}

static void add(Versions *versions, Version version)
{
    g_ptr_array_add(versions->list, g_memdup2(&version, sizeof version));
    versions->newest = version.number;
    while (versions->list->len > VERSIONS_MAX || (versions->list->len > 2 && texts_bytes(versions) > VERSIONS_MAX_BYTES))
        g_ptr_array_remove_index(versions->list, 0);
}

void versions_add(Versions *versions, const Policy *policy, int64_t at_us, const char *from, const char *who)
{
    add(versions, (Version){ .number = versions->newest + 1, .at_us = at_us, .name = g_strdup(policy->name), .text = g_strdup(policy->text),
                             .version = g_strdup(policy->version), .from = g_strdup(from == NULL ? "" : from),
                             .who = g_strdup(who == NULL ? "" : who) });
}

size_t versions_size(const Versions *versions)
{
    return versions->list->len;
}

const Version *versions_at(const Versions *versions, size_t i)
{
    return i < versions->list->len ? versions->list->pdata[i] : NULL;
}

const Version *versions_number(const Versions *versions, int64_t number)
{
    for (guint i = 0; i < versions->list->len; i++)
        if (versions_at(versions, i)->number == number)
            return versions_at(versions, i);
    return NULL;
}

const Version *versions_before(const Versions *versions)
{
    const Version *current = versions_at(versions, versions->list->len - 1);

    for (guint i = versions->list->len; i > 0; i--)
        if (strcmp(versions_at(versions, i - 1)->version, current->version) != 0)
            return versions_at(versions, i - 1);
    return NULL;
}

const Version *versions_of_file(const Versions *versions)
{
    for (guint i = versions->list->len; i > 0; i--)
        if (strcmp(versions_at(versions, i - 1)->from, "file") == 0)
            return versions_at(versions, i - 1);
    return NULL;
}

json_t *versions_to_json(const Versions *versions)
{
    json_t *list = json_array();

    for (guint i = 0; i < versions->list->len; i++) {
        const Version *v = versions_at(versions, i);

        json_array_append_new(list, json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "number", (json_int_t) v->number, "at_us", (json_int_t) v->at_us,
                                              "name", v->name, "text", v->text, "from", v->from, "who", v->who));
    }
    return list;
}

Versions *versions_from_json(const json_t *json)
{
    Versions *versions = versions_new();
    size_t i;
    json_t *item;

    json_array_foreach(json, i, item) {
        const char *name, *text;
        char version[UUID_TEXT_SIZE];
        int64_t number;

        if (!json_get_string(item, "name", &name, NULL) || !json_get_string(item, "text", &text, NULL) ||
            !json_get_int(item, "number", &number, NULL) || number <= versions->newest)
            continue;
        id_derive(version, "policy", text, NULL);
        add(versions, (Version){ .number = number, .at_us = json_int_or(item, "at_us", 0), .name = g_strdup(name), .text = g_strdup(text),
                                 .version = g_strdup(version), .from = g_strdup(json_string_or(item, "from", "")),
                                 .who = g_strdup(json_string_or(item, "who", "")) });
    }
    return versions;
}
