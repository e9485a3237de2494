#include "lib/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(GError **error, const char *path, const char *what)
{
    int code = errno;

    g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(code), "%s: %s: %s", path, what, g_strerror(code));
    return false;
}

static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        text += n;
        length -= (size_t) n;
    }
    return true;
}

static bool folder_sync(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fsync(fd) < 0) {
        fail(error, folder, "cannot sync the folder");
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(fd);
    return true;
}

bool file_write(const char *path, const char *text, size_t length, unsigned mode, GError **error)
{
    static int number; /* threads may write the same file at once: the last one wins, whole */
    g_autofree char *beside = g_strdup_printf("%s.new-%d-%d", path, (int) getpid(), g_atomic_int_add(&number, 1));
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

    if (fd < 0)
        return fail(error, path, "cannot create");
    bool ok = fchmod(fd, mode) == 0 && write_all(fd, text, length) && fsync(fd) == 0;
    if (!ok)
        fail(error, path, "cannot write");
    close(fd);
    if (ok && rename(beside, path) != 0)
        ok = fail(error, path, "cannot replace");
    if (!ok) {
        unlink(beside);
        return false;
    }
    return folder_sync(path, error);
}

char *file_read_line(const char *path, size_t max_bytes, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        fail(error, path, "cannot open");
        return NULL;
    }
    g_autofree char *text = g_malloc0(max_bytes + 2);
    ssize_t n = read(fd, text, max_bytes + 1);
    if (n < 0)
        fail(error, path, "cannot read");
    close(fd);
    if (n < 0)
        return NULL;
    if ((size_t) n > max_bytes || strlen(text) != (size_t) n) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s: not a text of at most %zu bytes", path, max_bytes);
        return NULL;
    }
    return g_strdup(g_strchomp(text));
}

bool folder_make(const char *path, unsigned mode, GError **error)
{
    if (g_mkdir_with_parents(path, (int) mode) != 0)
        return fail(error, path, "cannot make the folder");
    return true;
}
