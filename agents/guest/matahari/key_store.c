#include "agents/guest/matahari/key_store.h"

#include "lib/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY_BYTES_MAX 200
#define POSTBOOT      ".postboot" /* no key, because of the dot */

struct KeyStore {
    char *folder;
};

KeyStore *key_store_new(const char *folder, GError **error)
{
    KeyStore *store;

    if (!folder_make(folder, 0700, error))
        return NULL;
    store = g_new0(KeyStore, 1);
    store->folder = g_strdup(folder);
    return store;
}

void key_store_free(KeyStore *store)
{
    if (store == NULL)
        return;
    g_free(store->folder);
    g_free(store);
}

bool key_is_sane(const char *key)
{
    size_t n = key != NULL ? strlen(key) : 0;

    return n > 0 && n <= KEY_BYTES_MAX && *key != '.' &&
           strspn(key, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-.") == n;
}

/* Whatever was put there from outside: a link is not followed, and no more is read than could have been written. */
static char *read_file(const KeyStore *store, const char *name)
{
    g_autofree char *path = g_build_filename(store->folder, name, NULL), *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n;

    if (fd < 0)
        return NULL;
    text = g_malloc(KEY_STORE_STATUS_BYTES + 1);
    n = read(fd, text, KEY_STORE_STATUS_BYTES);
    close(fd);
    if (n < 0)
        return NULL;
    return g_utf8_make_valid(text, n);
}

char *key_store_get(const KeyStore *store, const char *key)
{
    return key_is_sane(key) ? read_file(store, key) : NULL;
}

static unsigned count_keys(const KeyStore *store)
{
    g_autoptr(GDir) folder = g_dir_open(store->folder, 0, NULL);
    const char *name;
    unsigned n = 0;

    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL)
        n += *name != '.';
    return n;
}

static size_t cut_length(const char *status)
{
    const char *end;

    g_utf8_validate(status, (gssize) strnlen(status, KEY_STORE_STATUS_BYTES), &end);
    return (size_t) (end - status);
}

bool key_store_set(KeyStore *store, const char *key, const char *status, GError **error)
{
    g_autofree char *path = g_build_filename(store->folder, key, NULL);

    g_assert(key_is_sane(key));
    if (!g_file_test(path, G_FILE_TEST_EXISTS) && count_keys(store) >= KEY_STORE_KEYS_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "%s holds %d keys, no more are taken", store->folder, KEY_STORE_KEYS_MAX);
        return false;
    }
    return file_write(path, status, cut_length(status), 0600, error);
}

uint32_t key_store_postboot(const KeyStore *store)
{
    g_autofree char *text = read_file(store, POSTBOOT);
    guint64 value = 0;

    if (text != NULL && !g_ascii_string_to_unsigned(text, 10, 0, INT32_MAX, &value, NULL))
        value = 0;
    return (uint32_t) value;
}

bool key_store_set_postboot(KeyStore *store, uint32_t value, GError **error)
{
    g_autofree char *path = g_build_filename(store->folder, POSTBOOT, NULL);
    char text[16];
    int n = g_snprintf(text, sizeof text, "%u", value);

    return file_write(path, text, (size_t) n, 0600, error);
}
