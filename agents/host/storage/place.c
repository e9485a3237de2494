/* The device number tells nothing: it changes from one mount to the next. An ID that comes with link(2) is there whole or not at all, and
 * of two hosts that come first only one gives it. */
#include "agents/host/storage/place.h"

#include "agents/host/storage/block.h"
#include "lib/base/uuid.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_QUARK(mend-place-error-quark, place_error)

char *place_memory(const char *data, const char *folder)
{
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, folder, -1);

    sum[16] = '\0';
    return g_strdup_printf("%s/storage-%s", data, sum);
}

static bool io_failed(const char *path, GError **error)
{
    int saved = errno;

    g_set_error(error, PLACE_ERROR, PLACE_ERROR_IO, "%s: %s", path, g_strerror(saved));
    errno = saved;
    return false;
}

/* NULL without @error: there is none. */
static char *read_id(const char *path, GError **error)
{
    g_autoptr(GError) why = NULL;
    char *text = NULL;

    if (g_file_get_contents(path, &text, NULL, &why))
        return g_strstrip(text);
    if (!g_error_matches(why, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_set_error(error, PLACE_ERROR, PLACE_ERROR_IO, "%s", why->message);
    return NULL;
}

static bool give_id(const char *folder, const char *path, GError **error)
{
    g_autofree char *id = g_uuid_string_random(), *text = g_strconcat(id, "\n", NULL);
    g_autofree char *place = g_build_filename(folder, BLOCK_FOLDER, NULL), *own = g_strdup_printf("%s.%s", path, id);
    bool ok;

    if (mkdir(place, 0755) != 0 && errno != EEXIST)
        return io_failed(place, error);
    if (!g_file_set_contents(own, text, -1, NULL))
        return io_failed(own, error);
    ok = link(own, path) == 0 || errno == EEXIST || ((errno == EPERM || errno == EOPNOTSUPP) && rename(own, path) == 0) || io_failed(path, error);
    g_unlink(own);
    return ok;
}

static bool remember(const char *memory, const char *id, GError **error)
{
    g_autofree char *text = g_strconcat(id, "\n", NULL);

    return g_file_set_contents(memory, text, -1, NULL) || io_failed(memory, error);
}

bool place_check(const char *folder, const char *memory, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *path = g_build_filename(folder, BLOCK_FOLDER, "id", NULL);
    g_autofree char *known = read_id(memory, &why), *id = why == NULL ? read_id(path, &why) : NULL;

    if (id == NULL && known == NULL && why == NULL && give_id(folder, path, &why))
        id = read_id(path, &why);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (known == NULL && id != NULL)
        return remember(memory, id, error);
    if (g_strcmp0(id, known) == 0 && id != NULL)
        return true;
    if (id == NULL)
        g_set_error(error, PLACE_ERROR, PLACE_ERROR_OTHER, "%s is not the storage it was, it has no " BLOCK_FOLDER "/id: is it mounted?", folder);
    else
        g_set_error(error, PLACE_ERROR, PLACE_ERROR_OTHER, "%s is another storage than before (its ID is %s, it was %s): if that is meant, remove %s", folder,
                    id, known, memory);
    return false;
}
