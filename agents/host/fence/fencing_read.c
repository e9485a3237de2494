/* One device, one host of a fencing file. */
#include "agents/host/fence/fencing_private.h"

#include "agents/host/fence/metadata.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <string.h>

#define DEVICES_MAX 2000
#define HOSTS_MAX   4000
#define TIMEOUT_US  (30 * US_PER_S)

static const YamlNode *node_of(const YamlNode *map, const char *key, YamlKind kind, const FencingReading *r, bool *ok, GError **error)
{
    const YamlNode *node = yaml_get(map, key);

    if (node != NULL && node->kind != kind)
        *ok = yaml_error(r->yaml, node, error, "%s: a %s is wanted", key, kind == YAML_MAP ? "map" : "list");
    return *ok ? node : NULL;
}

static bool read_number(const FencingReading *r, const YamlNode *map, const char *key, int64_t min, int64_t max, int64_t *ret, GError **error)
{
    const YamlNode *node = yaml_get(map, key);
    guint64 size;
    bool negative = node != NULL && node->kind == YAML_SCALAR && node->text[0] == '-';

    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || !g_ascii_string_to_unsigned(node->text + negative, 10, 0, 1 << 30, &size, NULL) ||
        (negative ? -(int64_t) size : (int64_t) size) < min || (negative ? -(int64_t) size : (int64_t) size) > max)
        return yaml_error(r->yaml, node, error, "%s: a number from %" PRId64 " to %" PRId64 " is wanted", key, min, max);
    *ret = negative ? -(int64_t) size : (int64_t) size;
    return true;
}

static bool read_duration(const FencingReading *r, const YamlNode *node, const char *key, int64_t min_us, int64_t max_us, int64_t *ret_us, GError **error)
{
    int64_t us;

    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || !duration_parse(node->text, &us) || us < min_us || us > max_us) {
        g_autofree char *least = duration_format(min_us), *most = duration_format(max_us);

        return yaml_error(r->yaml, node, error, "%s: a duration from %s to %s is wanted, such as 20s", key, least, most);
    }
    *ret_us = us;
    return true;
}

/* ---- devices ------------------------------------------------------------------------------------------------------------------------ */

static const FenceOption *option_of(const FenceDevice *device, const char *name)
{
    for (guint i = 0; i < device->options->len; i++)
        if (strcmp(((const FenceOption *) device->options->pdata[i])->name, name) == 0)
            return device->options->pdata[i];
    return NULL;
}

static char *beside(const FencingReading *r, const char *path)
{
    g_autofree char *folder = g_path_get_dirname(r->file->path);

    return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(folder, path, NULL);
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = { "action", "option", "nodename", NULL };

    return g_strv_contains(ours, name);
}

static bool add_option(const FencingReading *r, FenceDevice *device, const YamlNode *key, const YamlNode *node, bool is_file, GError **error)
{
    const char *name = is_file && strcmp(key->text, "password_file") == 0 ? "password" : key->text;
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    FenceOption *option;

    if (n == 0 || n > 100 || name[n] != '\0')
        return yaml_error(r->yaml, key, error, "'%s' is no name of a parameter", name);
    if (is_ours(name))
        return yaml_error(r->yaml, key, error, "'%s' is set by mend-host itself", name);
    if (option_of(device, name) != NULL)
        return yaml_error(r->yaml, key, error, "%s is given twice", name);
    if (node->kind != YAML_SCALAR || node->text[strcspn(node->text, "\r\n")] != '\0' || strlen(node->text) > 4096)
        return yaml_error(r->yaml, node, error, "%s: one line of text is wanted", name);
    option = g_new0(FenceOption, 1);
    option->name = g_strdup(name);
    option->secret = is_file || fence_name_is_secret(name);
    if (is_file)
        option->file = beside(r, node->text);
    else
        option->value = g_strdup(node->text);
    g_ptr_array_add(device->options, option);
    return true;
}

static bool read_options(const FencingReading *r, const YamlNode *map, FenceDevice *device, GError **error)
{
    bool ok = true;
    const YamlNode *parameters = node_of(map, "parameters", YAML_MAP, r, &ok, error);
    const YamlNode *secrets = ok ? node_of(map, "secrets", YAML_MAP, r, &ok, error) : NULL;

    for (size_t i = 0; i < yaml_size(parameters) && ok; i++)
        ok = add_option(r, device, parameters->keys->pdata[i], yaml_at(parameters, i), false, error);
    for (size_t i = 0; i < yaml_size(secrets) && ok; i++)
        ok = add_option(r, device, secrets->keys->pdata[i], yaml_at(secrets, i), true, error);
    for (size_t i = 0; i < yaml_size(map) && ok; i++)
        if (strcmp(yaml_key(map, i), "password_file") == 0)
            ok = add_option(r, device, map->keys->pdata[i], yaml_at(map, i), true, error);
    return ok;
}

static bool read_timeouts(const FencingReading *r, const YamlNode *map, FenceDevice *device, GError **error)
{
    static const char *const known[] = { "off", "on", "status", "monitor", "metadata", NULL };
    bool ok = true;
    const YamlNode *each = node_of(map, "timeouts", YAML_MAP, r, &ok, error);
    int64_t all_us = TIMEOUT_US;

    if (!ok || !read_duration(r, yaml_get(map, "timeout"), "timeout", US_PER_S, 10 * US_PER_MINUTE, &all_us, error) ||
        (each != NULL && !fencing_check_keys(r, each, "timeouts", known, error)))
        return false;
    for (FenceAction a = 0; a < FENCE_ACTION_N; a++) {
        device->timeout_us[a] = all_us;
        if (!read_duration(r, yaml_get(each, known[a]), known[a], US_PER_S, 10 * US_PER_MINUTE, &device->timeout_us[a], error))
            return false;
    }
    return true;
}

static bool add_plug(const FencingReading *r, FenceDevice *device, const YamlNode *host, const YamlNode *node, GError **error)
{
    FencePlug *plug;

    if (host->kind != YAML_SCALAR || (node != NULL && (node->kind != YAML_SCALAR || node->text[strcspn(node->text, "\r\n")] != '\0')))
        return yaml_error(r->yaml, node != NULL ? node : host, error, "plugs: a map of host: plug is wanted, or a list of hosts");
    plug = g_new0(FencePlug, 1);
    plug->host = g_strdup(host->text);
    plug->plug = g_strdup(node == NULL || (!node->quoted && (strcmp(node->text, "null") == 0 || strcmp(node->text, "~") == 0)) ? "" : node->text);
    g_ptr_array_add(device->plugs, plug);
    return true;
}

static bool read_plugs(const FencingReading *r, const YamlNode *map, FenceDevice *device, GError **error)
{
    const YamlNode *plugs = yaml_get(map, "plugs");
    bool ok = true;

    if (plugs != NULL && plugs->kind == YAML_SCALAR)
        return yaml_error(r->yaml, plugs, error, "plugs: a map of host: plug is wanted, or a list of hosts");
    for (size_t i = 0; i < yaml_size(plugs) && ok; i++)
        ok = plugs->kind == YAML_MAP ? add_plug(r, device, plugs->keys->pdata[i], yaml_at(plugs, i), error)
                                     : add_plug(r, device, yaml_at(plugs, i), NULL, error);
    return ok;
}

static FenceDevice *device_of(const FencingFile *file, const char *name)
{
    for (guint i = 0; i < file->devices->len; i++)
        if (strcmp(((FenceDevice *) file->devices->pdata[i])->name, name) == 0)
            return file->devices->pdata[i];
    return NULL;
}

static bool fill_device(const FencingReading *r, const YamlNode *node, FenceDevice *device, GError **error)
{
    static const char *const known[] = { "name", "agent", "parameters", "secrets", "password_file", "plugs", "plug_parameter", "timeout",
                                         "timeouts", "retries", "delay", "priority", NULL };
    int64_t retries = 1, priority = 0;

    if (!fencing_check_keys(r, node, "a device", known, error) || !fencing_read_name(r, node, "name", &device->name, error))
        return false;
    if (device->name == NULL)
        return yaml_error(r->yaml, node, error, "a device without 'name'");
    if (device_of(r->file, device->name) != NULL)
        return yaml_error(r->yaml, yaml_get(node, "name"), error, "there is a device '%s' above already", device->name);
    if (!fencing_read_text(r, node, "agent", &device->agent, error))
        return false;
    if (device->agent == NULL)
        return yaml_error(r->yaml, node, error, "device %s without 'agent', such as fence_ipmilan", device->name);
    if (strchr(device->agent, '/') != NULL ? !g_path_is_absolute(device->agent) : !g_str_has_prefix(device->agent, "fence_"))
        return yaml_error(r->yaml, yaml_get(node, "agent"), error, "agent: a name such as fence_ipmilan is wanted, or a whole path");
    if (!fencing_read_name(r, node, "plug_parameter", &device->plug_parameter, error) || !read_options(r, node, device, error) ||
        !read_plugs(r, node, device, error) || !read_timeouts(r, node, device, error) ||
        !read_number(r, node, "retries", 0, 10, &retries, error) || !read_number(r, node, "priority", -1000000, 1000000, &priority, error) ||
        !read_duration(r, yaml_get(node, "delay"), "delay", 0, 5 * US_PER_MINUTE, &device->delay_us, error))
        return false;
    device->retries = (unsigned) retries;
    device->priority = (int) priority;
    return true;
}

bool fencing_read_device(const FencingReading *r, const YamlNode *node, GError **error)
{
    FenceDevice *device;

    if (r->file->devices->len >= DEVICES_MAX)
        return yaml_error(r->yaml, node, error, "more than %d devices", DEVICES_MAX);
    device = g_new0(FenceDevice, 1);
    device->options = g_ptr_array_new_with_free_func((GDestroyNotify) fence_option_free);
    device->plugs = g_ptr_array_new_with_free_func((GDestroyNotify) fence_plug_free);
    device->line = node->line;
    device->column = node->column;
    if (!fill_device(r, node, device, error)) {
        fence_device_free(device);
        return false;
    }
    g_ptr_array_add(r->file->devices, device);
    return true;
}

/* ---- hosts -------------------------------------------------------------------------------------------------------------------------- */

static bool add_to_level(const FencingReading *r, FenceHost *host, size_t level, const YamlNode *node, GError **error)
{
    FenceDevice *device;

    if (node->kind != YAML_SCALAR)
        return yaml_error(r->yaml, node, error, "the name of a device is wanted");
    if ((device = device_of(r->file, node->text)) == NULL)
        return yaml_error(r->yaml, node, error, "no device is called '%s' under devices", node->text);
    if (host->levels[level] == NULL)
        host->levels[level] = g_ptr_array_new();
    if (g_ptr_array_find(host->levels[level], device, NULL))
        return yaml_error(r->yaml, node, error, "%s stands twice in one level", node->text);
    g_ptr_array_add(host->levels[level], device);
    return true;
}

static bool read_level(const FencingReading *r, FenceHost *host, size_t level, const YamlNode *node, GError **error)
{
    bool ok = true;

    if (node->kind == YAML_SCALAR)
        return add_to_level(r, host, level, node, error);
    if (node->kind == YAML_MAP || yaml_size(node) == 0)
        return yaml_error(r->yaml, node, error, "a level is a list of devices");
    for (size_t i = 0; i < yaml_size(node) && ok; i++)
        ok = add_to_level(r, host, level, yaml_at(node, i), error);
    return ok;
}

static bool read_levels(const FencingReading *r, FenceHost *host, const YamlNode *node, GError **error)
{
    bool ok = true;

    if (node->kind == YAML_SCALAR || yaml_size(node) == 0 || yaml_size(node) > FENCE_LEVELS)
        return yaml_error(r->yaml, node, error, "levels: a list of 1 to %d levels is wanted, or a map from 1 … %d", FENCE_LEVELS, FENCE_LEVELS);
    for (size_t i = 0; i < yaml_size(node) && ok; i++) {
        guint64 level = i + 1;

        if (node->kind == YAML_MAP && !g_ascii_string_to_unsigned(yaml_key(node, i), 10, 1, FENCE_LEVELS, &level, NULL))
            return yaml_error(r->yaml, node->keys->pdata[i], error, "a level is a number from 1 to %d", FENCE_LEVELS);
        ok = read_level(r, host, level - 1, yaml_at(node, i), error);
    }
    return ok;
}

static int by_priority(const void *a, const void *b)
{
    const FenceDevice *one = *(FenceDevice *const *) a, *other = *(FenceDevice *const *) b;

    return one->priority != other->priority ? (one->priority > other->priority ? -1 : 1) : one->line - other->line;
}

/* Without levels: every device that names it, one after the other. */
static bool levels_by_priority(const FencingReading *r, FenceHost *host, const YamlNode *node, GError **error)
{
    g_autoptr(GPtrArray) devices = g_ptr_array_new();

    for (guint i = 0; i < r->file->devices->len; i++)
        if (fence_device_plug(r->file->devices->pdata[i], host) != NULL)
            g_ptr_array_add(devices, r->file->devices->pdata[i]);
    if (devices->len == 0)
        return yaml_error(r->yaml, node, error, "host %s has neither levels nor a device with plugs for it", fence_host_label(host));
    g_ptr_array_sort(devices, by_priority);
    for (guint i = 0; i < devices->len && i < FENCE_LEVELS; i++) {
        host->levels[i] = g_ptr_array_new();
        g_ptr_array_add(host->levels[i], devices->pdata[i]);
    }
    return true;
}

static bool read_addresses(const FencingReading *r, const YamlNode *map, FenceHost *host, GError **error)
{
    bool ok = true;
    const YamlNode *list = node_of(map, "addresses", YAML_LIST, r, &ok, error);
    g_autoptr(GStrvBuilder) addresses = g_strv_builder_new();

    for (size_t i = 0; i < yaml_size(list) && ok; i++) {
        if (yaml_at(list, i)->kind != YAML_SCALAR || !g_hostname_is_ip_address(yaml_at(list, i)->text))
            ok = yaml_error(r->yaml, yaml_at(list, i), error, "addresses: IP addresses are wanted");
        else
            g_strv_builder_add(addresses, yaml_at(list, i)->text);
    }
    host->addresses = g_strv_builder_end(addresses);
    return ok;
}

static bool read_id(const FencingReading *r, const YamlNode *node, FenceHost *host, GError **error)
{
    g_autofree char *id = NULL;

    if (!fencing_read_text(r, node, "id", &id, error) || !fencing_read_name(r, node, "name", &host->name, error))
        return false;
    if (id != NULL && (host->id = uuid_canonical(id)) == NULL)
        return yaml_error(r->yaml, yaml_get(node, "id"), error, "id: a UUID is wanted, as 'mend-host --print-id' on that host says it; not '%s'", id);
    if (host->id == NULL && host->name == NULL)
        return yaml_error(r->yaml, node, error, "a host without 'id' (and without 'name')");
    if (fencing_file_host(r->file, host->id, NULL) != NULL || fencing_file_host(r->file, host->name, host->name) != NULL)
        return yaml_error(r->yaml, node, error, "there is a host '%s' above already", fence_host_label(host));
    return true;
}

static bool fill_host(const FencingReading *r, const YamlNode *node, FenceHost *host, GError **error)
{
    static const char *const known[] = { "id", "name", "levels", "addresses", NULL };
    const YamlNode *levels = yaml_get(node, "levels");

    if (!fencing_check_keys(r, node, "a host", known, error) || !read_id(r, node, host, error) || !read_addresses(r, node, host, error))
        return false;
    return levels != NULL ? read_levels(r, host, levels, error) : levels_by_priority(r, host, node, error);
}

bool fencing_read_host(const FencingReading *r, const YamlNode *node, GError **error)
{
    FenceHost *host;

    if (r->file->hosts->len >= HOSTS_MAX)
        return yaml_error(r->yaml, node, error, "more than %d hosts", HOSTS_MAX);
    host = g_new0(FenceHost, 1);
    host->line = node->line;
    host->column = node->column;
    if (!fill_host(r, node, host, error)) {
        fence_host_free(host);
        return false;
    }
    g_ptr_array_add(r->file->hosts, host);
    return true;
}
