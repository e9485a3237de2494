/* Devices and hosts are read by tables of keys, so that an unknown key is one sentence everywhere. Modes are checked on the opened file, not
 * on its name. What a device's agent wants is not checked here: that takes running it (fence_check.c, device.c). */
#include "agents/host/fence/fencing_file.h"

#include "agents/host/fence/fencing_private.h"
#include "agents/host/fence/metadata.h"
#include "agents/host/fence/scrub.h"
#include "lib/base/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES   (1024 * 1024)
#define SECRET_MAX_BYTES 4096

G_DEFINE_QUARK(mend-fencing-error-quark, fencing_error)

const char *const fence_action_names[FENCE_ACTION_N] = { "off", "on", "status", "monitor", "metadata" };

/* ---- what is in it ----------------------------------------------------------------------------------------------------------------- */

void fence_option_free(FenceOption *option)
{
    g_free(option->name);
    if (option->secret)
        fence_secret_free(option->value);
    else
        g_free(option->value);
    g_free(option->file);
    g_free(option);
}

void fence_plug_free(FencePlug *plug)
{
    g_free(plug->host);
    g_free(plug->plug);
    g_free(plug);
}

void fence_device_free(FenceDevice *device)
{
    g_free(device->name);
    g_free(device->agent);
    g_free(device->plug_parameter);
    g_ptr_array_unref(device->options);
    g_ptr_array_unref(device->plugs);
    g_free(device);
}

void fence_host_free(FenceHost *host)
{
    g_free(host->id);
    g_free(host->name);
    g_strfreev(host->addresses);
    for (size_t i = 0; i < FENCE_LEVELS; i++)
        g_clear_pointer(&host->levels[i], g_ptr_array_unref);
    g_free(host);
}

void fencing_file_free(FencingFile *file)
{
    if (file == NULL)
        return;
    g_free(file->path);
    g_ptr_array_unref(file->hosts);
    g_ptr_array_unref(file->devices);
    g_free(file);
}

const char *fence_host_label(const FenceHost *host)
{
    return host->name != NULL ? host->name : host->id;
}

static bool is_called(const FenceHost *host, const char *word)
{
    return word != NULL && ((host->id != NULL && g_ascii_strcasecmp(host->id, word) == 0) || g_strcmp0(host->name, word) == 0);
}

const FenceHost *fencing_file_host(const FencingFile *file, const char *id, const char *name)
{
    for (guint i = 0; i < file->hosts->len; i++)
        if (is_called(file->hosts->pdata[i], id))
            return file->hosts->pdata[i];
    for (guint i = 0; i < file->hosts->len; i++) {
        const FenceHost *host = file->hosts->pdata[i];

        if (host->id == NULL && is_called(host, name)) /* one with an id is another machine, whatever both are called */
            return host;
    }
    return NULL;
}

const char *fence_device_plug(const FenceDevice *device, const FenceHost *host)
{
    for (guint i = 0; i < device->plugs->len; i++) {
        const FencePlug *plug = device->plugs->pdata[i];

        if (is_called(host, plug->host))
            return plug->plug;
    }
    return NULL;
}

/* ---- files that may hold secrets ---------------------------------------------------------------------------------------------------- */

static char *read_all(int fd, size_t max_bytes, size_t *ret_n_bytes)
{
    GString *text = g_string_new(NULL);
    char buffer[4096];
    ssize_t n;

    while ((n = read(fd, buffer, sizeof buffer)) > 0 && text->len <= max_bytes)
        g_string_append_len(text, buffer, n);
    explicit_bzero(buffer, sizeof buffer);
    *ret_n_bytes = text->len;
    return g_string_free(text, FALSE);
}

/* NULL: error. */
static char *read_guarded(const char *path, size_t max_bytes, size_t *ret_n_bytes, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat info;
    char *text = NULL;

    if (fd < 0 || fstat(fd, &info) != 0) {
        g_set_error(error, FENCING_ERROR, errno == ENOENT ? FENCING_ERROR_MISSING : FENCING_ERROR_SYSTEM, "%s: %s", path, g_strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        g_set_error(error, FENCING_ERROR, FENCING_ERROR_SYSTEM, "%s: no regular file", path);
    } else if ((info.st_mode & S_IRWXO) != 0) {
        g_set_error(error, FENCING_ERROR, FENCING_ERROR_OPEN, "%s: mode %03o lets everybody on this machine at the passwords of fence devices; do: chmod o= %s",
                    path, info.st_mode & 0777, path);
    } else {
        text = read_all(fd, max_bytes, ret_n_bytes);
    }
    if (fd >= 0)
        close(fd);
    if (text != NULL && *ret_n_bytes > max_bytes) {
        g_set_error(error, FENCING_ERROR, FENCING_ERROR_SYSTEM, "%s: more than %zu bytes", path, max_bytes);
        g_clear_pointer(&text, fence_secret_free);
    }
    return text;
}

FencingFile *fencing_file_read(const char *path, GError **error)
{
    size_t n_bytes = 0;
    char *text = read_guarded(path, FILE_MAX_BYTES, &n_bytes, error);
    FencingFile *file = text == NULL ? NULL : fencing_file_parse(path, text, n_bytes, error);

    if (text != NULL)
        explicit_bzero(text, n_bytes);
    g_free(text);
    return file;
}

static bool is_plain_line(const char *text, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if ((unsigned char) text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}

char *fence_option_value(const FenceOption *option, GError **error)
{
    g_autoptr(GError) local = NULL;
    size_t n_bytes = 0;
    char *text;

    if (option->file == NULL)
        return g_strdup(option->value);
    text = read_guarded(option->file, SECRET_MAX_BYTES, &n_bytes, &local);
    if (text == NULL) {
        g_set_error(error, FENCING_ERROR, FENCING_ERROR_SECRET, "%s", local->message);
        return NULL;
    }
    while (n_bytes > 0 && (text[n_bytes - 1] == '\n' || text[n_bytes - 1] == '\r'))
        text[--n_bytes] = '\0';
    if (n_bytes > 0 && is_plain_line(text, n_bytes))
        return text;
    g_set_error(error, FENCING_ERROR, FENCING_ERROR_SECRET, n_bytes == 0 ? "%s: it is empty" : "%s: one line of text is wanted", option->file);
    fence_secret_free(text);
    return NULL;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------ */

bool fencing_check_keys(const FencingReading *r, const YamlNode *map, const char *what, const char *const *known, GError **error)
{
    for (size_t i = 0; i < yaml_size(map); i++) {
        const char *key = yaml_key(map, i), *near;

        if (g_strv_contains(known, key))
            continue;
        near = nearest_word(key, known);
        return yaml_error(r->yaml, map->keys->pdata[i], error, near != NULL ? "%s has no key '%s'; did you mean '%s'?" : "%s has no key '%s'", what, key, near);
    }
    return true;
}

static bool is_name(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:");

    return n > 0 && n <= 200 && text[n] == '\0';
}

bool fencing_read_text(const FencingReading *r, const YamlNode *map, const char *key, char **ret, GError **error)
{
    const YamlNode *node = yaml_get(map, key);

    if (node == NULL)
        return true;
    if (node->kind != YAML_SCALAR || node->text[0] == '\0' || !is_plain_line(node->text, strlen(node->text)))
        return yaml_error(r->yaml, node, error, "%s: one line of text is wanted", key);
    *ret = g_strdup(node->text);
    return true;
}

bool fencing_read_name(const FencingReading *r, const YamlNode *map, const char *key, char **ret, GError **error)
{
    if (!fencing_read_text(r, map, key, ret, error))
        return false;
    if (*ret != NULL && !is_name(*ret))
        return yaml_error(r->yaml, yaml_get(map, key), error, "%s: letters, digits and - _ . : are wanted, not '%s'", key, *ret);
    return true;
}

static bool read_items(const FencingReading *r, const char *key, bool (*read)(const FencingReading *, const YamlNode *, GError **), GError **error)
{
    const YamlNode *list = yaml_get(r->yaml->root, key);

    if (list == NULL)
        return yaml_error(r->yaml, r->yaml->root, error, "it has no '%s'", key);
    if (list->kind != YAML_LIST)
        return yaml_error(r->yaml, list, error, "%s is a list", key);
    for (size_t i = 0; i < yaml_size(list); i++) {
        if (yaml_at(list, i)->kind != YAML_MAP)
            return yaml_error(r->yaml, yaml_at(list, i), error, "each of %s is a map", key);
        if (!read(r, yaml_at(list, i), error))
            return false;
    }
    return true;
}

/* Plugs name hosts, which come later in the file. */
static bool check_plugs(const FencingReading *r, GError **error)
{
    const YamlNode *list = yaml_get(r->yaml->root, "devices");

    for (guint i = 0; i < r->file->devices->len; i++) {
        const FenceDevice *device = r->file->devices->pdata[i];
        const YamlNode *plugs = yaml_get(yaml_at(list, i), "plugs");

        for (guint k = 0; k < device->plugs->len; k++) {
            const FencePlug *plug = device->plugs->pdata[k];

            if (fencing_file_host(r->file, plug->host, plug->host) == NULL)
                return yaml_error(r->yaml, plugs->kind == YAML_MAP ? plugs->keys->pdata[k] : yaml_at(plugs, k), error,
                                  "plugs of %s: no host is called '%s' under hosts", device->name, plug->host);
        }
    }
    return true;
}

static bool read_root(const FencingReading *r, GError **error)
{
    static const char *const known[] = { "fencing", "devices", "hosts", NULL };
    const YamlNode *root = r->yaml->root, *version = yaml_get(root, "fencing");

    if (root->kind != YAML_MAP)
        return yaml_error(r->yaml, root, error, "a map with fencing, devices and hosts is wanted");
    if (!fencing_check_keys(r, root, "a fencing file", known, error))
        return false;
    if (version == NULL || version->kind != YAML_SCALAR || strcmp(version->text, "1") != 0)
        return yaml_error(r->yaml, version != NULL ? version : root, error, "it begins with 'fencing: 1', the form it is written in");
    return read_items(r, "devices", fencing_read_device, error) && read_items(r, "hosts", fencing_read_host, error) && check_plugs(r, error);
}

FencingFile *fencing_file_parse(const char *path, const char *text, size_t n_bytes, GError **error)
{
    g_autoptr(YamlFile) yaml = yaml_read(path, text, n_bytes, error);
    g_autoptr(FencingFile) file = NULL;

    if (yaml == NULL)
        return NULL;
    if (yaml->root == NULL) {
        g_set_error(error, YAML_ERROR, YAML_ERROR_CONTENT, "%s:1:1: it is empty; it begins with 'fencing: 1'", path);
        return NULL;
    }
    file = g_new0(FencingFile, 1);
    file->path = g_strdup(path);
    file->devices = g_ptr_array_new_with_free_func((GDestroyNotify) fence_device_free);
    file->hosts = g_ptr_array_new_with_free_func((GDestroyNotify) fence_host_free);
    const FencingReading reading = { yaml, file };
    return read_root(&reading, error) ? g_steal_pointer(&file) : NULL;
}
