#include "bridges/deltacloud/deltacloud_model.h"

#include "lib/base/json.h"

#include <string.h>

#define ID_MAX   256
#define TEXT_MAX 1024

G_DEFINE_QUARK(mend-deltacloud-error, deltacloud_error)

void deltacloud_instance_free(DeltacloudInstance *instance)
{
    if (instance == NULL)
        return;
    g_free(instance->id);
    g_free(instance->name);
    g_free(instance->address);
    g_free(instance->word);
    g_free(instance);
}

/* Drivers know more words than their API names: what is none of these is odd. */
static DeltacloudState state_of(const char *word)
{
    static const struct { const char *word; DeltacloudState state; } words[] = {
        { "START", DELTACLOUD_COMES }, { "PENDING", DELTACLOUD_COMES }, { "RUNNING", DELTACLOUD_RUNS }, { "STOPPING", DELTACLOUD_GOES },
        { "SHUTTING_DOWN", DELTACLOUD_GOES }, { "STOPPED", DELTACLOUD_DOWN }, { "FINISH", DELTACLOUD_GONE }, { "FINISHED", DELTACLOUD_GONE },
        { "ERROR", DELTACLOUD_BROKEN },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_ascii_strcasecmp(word, words[i].word) == 0)
            return words[i].state;
    return DELTACLOUD_ODD;
}

static unsigned offers_of(const json_t *actions)
{
    static const struct { const char *rel; DeltacloudOffer offer; } rels[] = {
        { "start", DELTACLOUD_START }, { "stop", DELTACLOUD_STOP }, { "reboot", DELTACLOUD_REBOOT }, { "destroy", DELTACLOUD_DESTROY },
    };
    unsigned offers = 0;

    for (size_t i = 0; i < json_array_size(actions); i++)
        for (size_t j = 0; j < G_N_ELEMENTS(rels); j++)
            if (strcmp(json_string_or(json_array_get(actions, i), "rel", ""), rels[j].rel) == 0)
                offers |= rels[j].offer;
    return offers;
}

/* An IP address before a host name; public ones first. NULL: none is known. */
static char *address_of(const json_t *instance)
{
    const json_t *lists[] = { json_object_get(instance, "public_addresses"), json_object_get(instance, "private_addresses") };
    const char *name = NULL;

    for (size_t i = 0; i < 2 * G_N_ELEMENTS(lists); i++) {
        const json_t *each = json_array_get(lists[i / 2], i % 2);
        const char *address = json_string_or(each, "address", NULL), *type = json_string_or(each, "type", "");

        if (address != NULL && (strcmp(type, "ipv4") == 0 || strcmp(type, "ipv6") == 0))
            return g_strndup(address, TEXT_MAX);
        if (name == NULL && strcmp(type, "hostname") == 0)
            name = address;
    }
    return name != NULL ? g_strndup(name, TEXT_MAX) : NULL;
}

static DeltacloudInstance *take(const json_t *json, GError **error)
{
    const char *id = json_string_or(json, "id", NULL), *word = json_string_or(json, "state", NULL), *name = json_string_or(json, "name", NULL);
    DeltacloudInstance *instance;

    if (id == NULL || *id == '\0' || strlen(id) > ID_MAX || word == NULL || *word == '\0' || strlen(word) > ID_MAX) {
        g_set_error(error, DELTACLOUD_ERROR, DELTACLOUD_ERROR_MALFORMED, "Deltacloud's answer is malformed: an instance without %s",
                    id == NULL || *id == '\0' || strlen(id) > ID_MAX ? "an id of at most 256 bytes" : "a state");
        return NULL;
    }
    instance = g_new0(DeltacloudInstance, 1);
    instance->id = g_strdup(id);
    instance->word = g_strdup(word);
    instance->name = name != NULL ? g_strndup(name, TEXT_MAX) : NULL;
    instance->address = address_of(json);
    instance->state = state_of(word);
    instance->offers = offers_of(json_object_get(json, "actions"));
    return instance;
}

DeltacloudInstance *deltacloud_instance_read(const json_t *body, GError **error)
{
    const json_t *inside = json_object_get(body, "instance");

    return take(inside != NULL ? inside : body, error);
}

GPtrArray *deltacloud_instances_read(const json_t *body, GError **error)
{
    const json_t *list = json_object_get(body, "instances");
    g_autoptr(GPtrArray) instances = g_ptr_array_new_with_free_func((GDestroyNotify) deltacloud_instance_free);
    g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);

    if (!json_is_array(list) || json_array_size(list) > DELTACLOUD_LIST_MAX) {
        g_set_error(error, DELTACLOUD_ERROR, DELTACLOUD_ERROR_MALFORMED, "Deltacloud's answer is malformed: no list \"instances\"%s",
                    json_is_array(list) ? " of at most 100000" : "");
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        DeltacloudInstance *instance = take(json_array_get(list, i), error);

        if (instance == NULL)
            return NULL;
        if (g_hash_table_add(ids, instance->id))
            g_ptr_array_add(instances, instance);
        else
            deltacloud_instance_free(instance);
    }
    return g_steal_pointer(&instances);
}
