#include "consumers/policy/definitions.h"

#include "lib/base/file.h"
#include "lib/base/log.h"

#include <glib/gstdio.h>
#include <string.h>

G_DEFINE_QUARK(mend-definitions-error-quark, definitions_error)

#define HASH_LENGTH 64
#define ENDING ".xml"

struct Definitions {
    char *folder;
    GHashTable *hashes; /* set of char *: those that have a file */
};

bool definition_hash_is_fine(const char *hash)
{
    return hash != NULL && strlen(hash) == HASH_LENGTH && strspn(hash, "0123456789abcdef") == HASH_LENGTH;
}

static char *path_of(const Definitions *d, const char *hash)
{
    return g_strdup_printf("%s/%s" ENDING, d->folder, hash);
}

Definitions *definitions_open(const char *folder, GError **error)
{
    g_autoptr(GDir) dir = NULL;

    if (!folder_make(folder, 0700, error) || (dir = g_dir_open(folder, 0, error)) == NULL)
        return NULL;
    Definitions *d = g_new0(Definitions, 1);
    d->folder = g_strdup(folder);
    d->hashes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *hash = g_str_has_suffix(name, ENDING) ? g_strndup(name, strlen(name) - strlen(ENDING)) : NULL;

        if (definition_hash_is_fine(hash))
            g_hash_table_add(d->hashes, g_steal_pointer(&hash));
    }
    return d;
}

void definitions_free(Definitions *d)
{
    if (d == NULL)
        return;
    g_hash_table_unref(d->hashes);
    g_free(d->folder);
    g_free(d);
}

bool definitions_has(const Definitions *d, const char *hash)
{
    return g_hash_table_contains(d->hashes, hash);
}

static bool is_of(const char *hash, const char *text, size_t length)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, (gssize) length);

    return strcmp(sum, hash) == 0;
}

bool definitions_put(Definitions *d, const char *hash, const char *text, GError **error)
{
    size_t length = strlen(text);

    if (!definition_hash_is_fine(hash) || length == 0 || length > DEFINITION_BYTES_MAX || !is_of(hash, text, length)) {
        g_set_error(error, DEFINITIONS_ERROR, DEFINITIONS_ERROR_HASH, "its %zu bytes are not what the hash %.70s names, or more than %d", length, hash,
                    DEFINITION_BYTES_MAX);
        return false;
    }
    if (definitions_has(d, hash))
        return true;
    if (definitions_size(d) >= DEFINITIONS_MAX) {
        g_set_error(error, DEFINITIONS_ERROR, DEFINITIONS_ERROR_FULL, "%d are kept already", DEFINITIONS_MAX);
        return false;
    }
    g_autofree char *path = path_of(d, hash);
    if (!file_write(path, text, length, 0600, error))
        return false;
    g_hash_table_add(d->hashes, g_strdup(hash));
    return true;
}

char *definitions_get(Definitions *d, const char *hash)
{
    g_autofree char *text = NULL, *path = NULL;
    g_autoptr(GError) error = NULL;
    size_t length;

    if (hash == NULL || !definitions_has(d, hash))
        return NULL;
    path = path_of(d, hash);
    if (g_file_get_contents(path, &text, &length, &error) && is_of(hash, text, length))
        return g_steal_pointer(&text);
    log_warning("policy: %s: %s", path, error == NULL ? "damaged: asked for again" : error->message);
    g_hash_table_remove(d->hashes, hash);
    return NULL;
}

void definitions_keep(Definitions *d, GHashTable *wanted)
{
    GHashTableIter iter;
    gpointer hash;

    g_hash_table_iter_init(&iter, d->hashes);
    while (g_hash_table_iter_next(&iter, &hash, NULL)) {
        g_autofree char *path = path_of(d, hash);

        if (g_hash_table_contains(wanted, hash))
            continue;
        g_unlink(path);
        g_hash_table_iter_remove(&iter);
    }
}

guint definitions_size(const Definitions *d)
{
    return g_hash_table_size(d->hashes);
}
