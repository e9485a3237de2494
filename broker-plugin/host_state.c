#include "broker-plugin/host_state.h"

#include "broker-plugin/abi.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define KEYS_MAX  1024
#define KEY_BYTES 64
#define BYTES_MAX (16 * 1024 * 1024)

struct HostState {
    char *folder;
    GHashTable *documents; /* key -> GBytes */
};

static bool is_key(const char *key)
{
    return key != NULL && strlen(key) <= KEY_BYTES && key[0] != '.' &&
           key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static bool load(HostState *s, GError **error)
{
    g_autoptr(GDir) folder = NULL;
    const char *name;

    if (s->folder == NULL)
        return true;
    if (!folder_make(s->folder, 0700, error))
        return false;
    folder = g_dir_open(s->folder, 0, error);
    if (folder == NULL)
        return false;
    while ((name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *path = g_build_filename(s->folder, name, NULL);
        gsize n_bytes;
        char *text;

        if (!is_key(name)) /* what a write left behind that did not finish */
            continue;
        if (!g_file_get_contents(path, &text, &n_bytes, error))
            return false;
        g_hash_table_insert(s->documents, g_strdup(name), g_bytes_new_take(text, n_bytes));
    }
    return true;
}

HostState *host_state_new(const char *folder, GError **error)
{
    g_autoptr(HostState) s = g_new0(HostState, 1);

    s->folder = g_strdup(folder);
    s->documents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
    return load(s, error) ? g_steal_pointer(&s) : NULL;
}

void host_state_free(HostState *s)
{
    if (s == NULL)
        return;
    g_hash_table_unref(s->documents);
    g_free(s->folder);
    g_free(s);
}

mend_rc host_state_put(HostState *s, const char *who, mend_str name, mend_str value)
{
    g_autofree char *key = str_dup(name), *path = NULL;
    g_autoptr(GError) error = NULL;

    if (!is_key(key) || value.len > BYTES_MAX || (g_hash_table_size(s->documents) >= KEYS_MAX && !g_hash_table_contains(s->documents, key)))
        return MEND_LIMIT;
    if (s->folder != NULL)
        path = g_build_filename(s->folder, key, NULL);
    if (path != NULL && value.len > 0 && !file_write(path, value.ptr, value.len, 0600, &error)) {
        log_warning("plugin %s: %s", who, error->message);
        return MEND_LIMIT;
    }
    if (path != NULL && value.len == 0 && g_unlink(path) != 0 && errno != ENOENT)
        return MEND_LIMIT;
    if (value.len == 0)
        g_hash_table_remove(s->documents, key);
    else
        g_hash_table_insert(s->documents, g_steal_pointer(&key), g_bytes_new(value.ptr, value.len));
    return MEND_OK;
}

mend_rc host_state_get(const HostState *s, mend_str name, mend_str *ret)
{
    g_autofree char *key = str_dup(name);
    GBytes *value = key != NULL ? g_hash_table_lookup(s->documents, key) : NULL;

    if (value == NULL)
        return MEND_NOT_FOUND;
    *ret = (mend_str) { g_bytes_get_data(value, NULL), g_bytes_get_size(value) };
    return MEND_OK;
}
