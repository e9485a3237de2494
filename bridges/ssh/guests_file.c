#include "bridges/ssh/guests_file.h"

#include "agents/guest/services/backend.h"
#include "lib/base/settings.h"
#include "lib/base/uuid.h"
#include "lib/base/yaml.h"

#include <string.h>

#define GUESTS_MAX 10000

static const struct {
    const char *key;
    size_t offset;
} texts[] = {
    { "id", offsetof(GuestEntry, id) },           { "host", offsetof(GuestEntry, host) },
    { "name", offsetof(GuestEntry, name) },       { "user", offsetof(GuestEntry, user) },
    { "become", offsetof(GuestEntry, become) },   { "identity", offsetof(GuestEntry, identity) },
    { "known-hosts", offsetof(GuestEntry, known_hosts) }, { "systemd-bus", offsetof(GuestEntry, systemd_bus) },
};

void guest_entry_free(GuestEntry *entry)
{
    if (entry == NULL)
        return;
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(*(char **) ((char *) entry + texts[i].offset));
    g_clear_pointer(&entry->services, g_ptr_array_unref);
    json_decref(entry->said);
    g_free(entry);
}

static char **text_of(GuestEntry *entry, const char *key)
{
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        if (strcmp(texts[i].key, key) == 0)
            return (char **) (void *) ((char *) entry + texts[i].offset);
    return NULL;
}

/* A word that begins with "-" would be an option of ssh. */
static bool read_text(const YamlFile *file, const YamlNode *node, const char *key, char **slot, GError **error)
{
    if (node->kind != YAML_SCALAR || *node->text == '\0')
        return yaml_error(file, node, error, "'%s' must be a text", key);
    if (*node->text == '-')
        return yaml_error(file, node, error, "'%s' cannot begin with '-'", key);
    *slot = g_strdup(node->text);
    return true;
}

static bool read_port(const YamlFile *file, const YamlNode *node, unsigned *ret_port, GError **error)
{
    guint64 port;

    if (node->kind != YAML_SCALAR || !g_ascii_string_to_unsigned(node->text, 10, 1, 65535, &port, NULL))
        return yaml_error(file, node, error, "'port' must be a number from 1 to 65535");
    *ret_port = (unsigned) port;
    return true;
}

static bool unknown_key(const YamlFile *file, const YamlNode *key, GError **error)
{
    const char *known[G_N_ELEMENTS(texts) + 3] = { "port", "services" }, *near;

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        known[i + 2] = texts[i].key;
    near = nearest_word(key->text, known);
    return yaml_error(file, key, error, "a guest has no '%s'%s%s%s", key->text, near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                      near != NULL ? "'?" : "");
}

static bool can_be_elsewhere(const YamlFile *file, const YamlNode *node, const ServiceSpec *spec, GError **error)
{
    g_autoptr(GError) why = NULL;

    return backend_can_be_elsewhere(spec, &why) || yaml_error(file, node, error, "%s", why->message);
}

static bool read_services(const YamlFile *file, const YamlNode *list, GuestEntry *entry, GError **error)
{
    if (!service_specs_read(file, list, entry->services, error))
        return false;
    for (guint i = 0; i < entry->services->len; i++)
        if (!can_be_elsewhere(file, yaml_at(list, i), entry->services->pdata[i], error))
            return false;
    return true;
}

static bool complete(const YamlFile *file, const YamlNode *node, GuestEntry *entry, GError **error)
{
    g_autofree char *id = entry->id != NULL ? uuid_canonical(entry->id) : NULL;

    if (entry->host == NULL)
        return yaml_error(file, node, error, "a guest needs 'host': its address, or its name in ssh's configuration");
    if (entry->id == NULL)
        return yaml_error(file, node, error, "a guest needs 'id': the UUID of its VM (`virsh domuuid`, or /sys/class/dmi/id/product_uuid in it)");
    if (id == NULL)
        return yaml_error(file, yaml_get(node, "id"), error, "'%s' is no UUID", entry->id);
    g_free(entry->id);
    entry->id = g_steal_pointer(&id);
    if (entry->name == NULL)
        entry->name = g_strdup(entry->host);
    if (entry->systemd_bus == NULL)
        entry->systemd_bus = g_strdup(SYSTEMD_BUS);
    return true;
}

static GuestEntry *read_guest(const YamlFile *file, const YamlNode *node, GError **error)
{
    g_autoptr(GuestEntry) entry = g_new0(GuestEntry, 1);

    entry->services = g_ptr_array_new_with_free_func((GDestroyNotify) service_spec_free);
    entry->said = yaml_to_json(node);
    if (node->kind != YAML_MAP) {
        yaml_error(file, node, error, "a guest is a map with 'id', 'host' and 'services'");
        return NULL;
    }
    for (size_t i = 0; i < yaml_size(node); i++) {
        const YamlNode *value = yaml_at(node, i), *key_node = node->keys->pdata[i];
        const char *key = yaml_key(node, i);
        char **slot = text_of(entry, key);
        bool ok = slot != NULL                       ? read_text(file, value, key, slot, error)
                  : strcmp(key, "port") == 0     ? read_port(file, value, &entry->port, error)
                  : strcmp(key, "services") == 0 ? read_services(file, value, entry, error)
                                                     : unknown_key(file, key_node, error);
        if (!ok)
            return NULL;
    }
    return complete(file, node, entry, error) ? g_steal_pointer(&entry) : NULL;
}

static bool is_new(const YamlFile *file, const YamlNode *node, const GPtrArray *guests, const GuestEntry *entry, GError **error)
{
    for (guint i = 0; i < guests->len; i++)
        if (strcmp(((const GuestEntry *) guests->pdata[i])->id, entry->id) == 0)
            return yaml_error(file, node, error, "there is a guest %s above already", entry->id);
    return true;
}

GPtrArray *guests_file_read(const char *path, GError **error)
{
    g_autoptr(YamlFile) file = yaml_read_file(path, error);
    g_autoptr(GPtrArray) guests = g_ptr_array_new_with_free_func((GDestroyNotify) guest_entry_free);
    const YamlNode *list = file != NULL ? yaml_get(file->root, "guests") : NULL;

    if (file == NULL)
        return NULL;
    if (list == NULL || list->kind != YAML_LIST || yaml_size(file->root) != 1) {
        yaml_error(file, list != NULL ? list : file->root, error, "the file has one key, 'guests': a list");
        return NULL;
    }
    for (size_t i = 0; i < yaml_size(list); i++) {
        GuestEntry *entry = guests->len < GUESTS_MAX ? read_guest(file, yaml_at(list, i), error) : NULL;

        if (entry == NULL && error != NULL && *error == NULL)
            yaml_error(file, yaml_at(list, i), error, "more than %d guests: start a second bridge", GUESTS_MAX);
        if (entry == NULL)
            return NULL;
        g_ptr_array_add(guests, entry);
        guests->len--;
        bool good = is_new(file, yaml_at(list, i), guests, entry, error);
        guests->len++;
        if (!good)
            return NULL;
    }
    return g_steal_pointer(&guests);
}
