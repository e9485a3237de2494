#include "agents/host/libvirt/evidence.h"

#include "agents/host/libvirt/job_disk.h"
#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t) 1024 * 1024)
#define DISK_KEEPS_PERCENT 5 /* of the file system stay free: the VMs' images may be on it */

typedef struct File {
    char *path;
    uint64_t bytes;
    int64_t made_us;
} File;

static void file_free(File *file)
{
    g_free(file->path);
    g_free(file);
}

char *evidence_path(const char *folder, const char *vm, const char *kind, GError **error)
{
    g_autofree char *own = g_strdup_printf("%s/evidence/%s", folder, vm), *stamp = job_disk_stamp();

    if (!folder_make(own, 0700, error))
        return NULL;
    for (unsigned n = 0; n < 100; n++) {
        g_autofree char *path = n == 0 ? g_strdup_printf("%s/%s-%s", own, stamp, kind) : g_strdup_printf("%s/%s.%u-%s", own, stamp, n, kind);

        if (!g_file_test(path, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&path);
    }
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_EXIST, "%s: too many in one second", own);
    return NULL;
}

static void list_vm(const char *own, const char *suffix, GPtrArray *ret_files)
{
    g_autoptr(GDir) dir = g_dir_open(own, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        char *path = g_build_filename(own, name, NULL);
        GStatBuf info;

        if (g_str_has_suffix(name, suffix) && g_lstat(path, &info) == 0 && S_ISREG(info.st_mode)) {
            File *file = g_new(File, 1);

            *file = (File){path, (uint64_t) info.st_size, (int64_t) info.st_mtim.tv_sec * US_PER_S + info.st_mtim.tv_nsec / 1000};
            g_ptr_array_add(ret_files, file);
        } else {
            g_free(path);
        }
    }
}

static gint older_first(gconstpointer a, gconstpointer b)
{
    const File *left = *(File *const *) a, *right = *(File *const *) b;

    return left->made_us != right->made_us ? (left->made_us < right->made_us ? -1 : 1) : strcmp(left->path, right->path);
}

/* Those whose names end with @suffix, oldest first; @vm NULL: of all. */
static GPtrArray *list(const char *folder, const char *vm, const char *suffix)
{
    GPtrArray *files = g_ptr_array_new_with_free_func((GDestroyNotify) file_free);
    g_autofree char *all = g_build_filename(folder, "evidence", NULL);
    g_autoptr(GDir) dir = g_dir_open(all, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *own = g_build_filename(all, name, NULL);

        if (vm == NULL || strcmp(name, vm) == 0)
            list_vm(own, suffix, files);
    }
    g_ptr_array_sort(files, older_first);
    return files;
}

static bool disk_has_room(const char *folder, uint64_t bytes, GError **error)
{
    struct statvfs room;

    if (statvfs(folder, &room) != 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", folder, g_strerror(errno));
        return false;
    }
    uint64_t all = (uint64_t) room.f_blocks * room.f_frsize, left = (uint64_t) room.f_bavail * room.f_frsize;

    if (left >= bytes + all / 100 * DISK_KEEPS_PERCENT)
        return true;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "%s has %" PRIu64 " bytes left, %" PRIu64 " are wanted and %d %% of the disk stay free", folder,
                left, bytes, DISK_KEEPS_PERCENT);
    return false;
}

bool evidence_make_room(const char *folder, const char *vm, const char *kind, uint64_t bytes, uint64_t bytes_max, unsigned per_vm, GError **error)
{
    const char *dot = strrchr(kind, '.');
    g_autoptr(GPtrArray) own = list(folder, vm, dot != NULL ? dot : kind);
    uint64_t together = bytes;

    if (bytes > bytes_max) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "it may have %" PRIu64 " bytes; all evidence together has at most %" PRIu64, bytes, bytes_max);
        return false;
    }
    for (guint i = 0; i + per_vm <= own->len; i++)
        g_unlink(((const File *) own->pdata[i])->path);

    g_autoptr(GPtrArray) all = list(folder, NULL, "");

    for (guint i = 0; i < all->len; i++)
        together += ((const File *) all->pdata[i])->bytes;
    for (guint i = 0; i < all->len && together > bytes_max; i++) {
        const File *file = all->pdata[i];

        if (!g_str_has_suffix(file->path, ".part") && g_unlink(file->path) == 0)
            together -= file->bytes;
    }
    return disk_has_room(folder, bytes, error);
}

static bool hash(int fd, uint64_t *ret_bytes, char **ret_sha256)
{
    g_autofree uint8_t *piece = g_malloc(PIECE_BYTES);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    ssize_t n;

    *ret_bytes = 0;
    while ((n = read(fd, piece, PIECE_BYTES)) > 0) {
        g_checksum_update(sum, piece, n);
        *ret_bytes += (uint64_t) n;
    }
    if (n < 0)
        return false;
    *ret_sha256 = g_strdup(g_checksum_get_string(sum));
    return true;
}

bool evidence_keep(const char *path, uint64_t *ret_bytes, char **ret_sha256, GError **error)
{
    g_autofree char *part = g_strconcat(path, ".part", NULL), *sha256 = NULL;
    int fd = g_open(part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    uint64_t bytes = 0;
    bool kept = fd >= 0 && fchmod(fd, 0600) == 0 && hash(fd, &bytes, &sha256) && fsync(fd) == 0 && g_rename(part, path) == 0;

    if (!kept)
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", part, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!kept)
        return false;
    *ret_bytes = bytes;
    *ret_sha256 = g_steal_pointer(&sha256);
    return true;
}

void evidence_tidy(const char *folder)
{
    g_autoptr(GPtrArray) left = list(folder, NULL, ".part");

    for (guint i = 0; i < left->len; i++)
        g_unlink(((const File *) left->pdata[i])->path);
}
