/* Screen and memory of a VM as files. libvirtd writes the dump itself, so it must be of this machine; what it may become is known before
 * (the guest's memory), and without room for that it is not begun: a dump that fills the host's disk would stop every VM on it. */
#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/evidence.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SCREEN_BYTES_MAX ((size_t) 64 * 1024 * 1024)
#define DUMP_EXTRA_BYTES (UINT64_C(64) << 20) /* headers, video memory */

static void keep(Action *action, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *sha256 = NULL;
    uint64_t bytes = 0;

    if (!evidence_keep(path, &bytes, &sha256, &error)) {
        action_failed(action, COMMAND_ERROR_FAILED, "it could not be kept: %s", error->message);
        return;
    }
    action_value(action, "path", value_string(path));
    action_value(action, "size", value_uint(VALUE_UINT64, bytes));
    action_value(action, "sha256", value_string(sha256));
    action_done(action, NULL, "%s, %" PRIu64 " bytes", path, bytes);
}

/* A path to write to (with ".part"); NULL: answered. */
static char *prepare(Action *action, const char *kind, uint64_t bytes)
{
    const ActionsOptions *options = action_options(action);
    g_autoptr(GError) error = NULL;
    char *path = NULL;

    if (evidence_make_room(action_folder(action), action->vm, kind, bytes, options->evidence_bytes_max, options->evidence_per_vm, &error))
        path = evidence_path(action_folder(action), action->vm, kind, &error);
    if (path == NULL)
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was written: %s", error->message);
    return path;
}

/* ---- screen -------------------------------------------------------------------------------------------------------------------------- */

static bool receive(Action *action, virStreamPtr stream, const char *path)
{
    int fd = g_open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), n = 0;
    g_autofree char *piece = g_malloc(64 * 1024);
    size_t bytes = 0;
    bool good = fd >= 0;

    while (good && (n = virStreamRecv(stream, piece, 64 * 1024)) > 0) {
        bytes += (size_t) n;
        good = bytes <= SCREEN_BYTES_MAX && write(fd, piece, (size_t) n) == n && !action_must_end(action);
    }
    if (fd >= 0)
        close(fd);
    if (good && n == 0 && bytes > 0)
        return virStreamFinish(stream) == 0;
    virStreamAbort(stream);
    return false;
}

void action_screenshot(Action *action)
{
    virStreamPtr stream = virStreamNew(action->connection, 0);
    char *mime = stream != NULL ? virDomainScreenshot(action->domain, stream, 0, 0) : NULL;
    g_autofree char *path = NULL;

    if (mime == NULL) {
        action_failed_by_libvirt(action, "its screen cannot be read");
    } else if ((path = prepare(action, g_str_equal(mime, "image/png") ? "screen.png" : "screen.ppm", SCREEN_BYTES_MAX)) != NULL) {
        g_autofree char *part = g_strconcat(path, ".part", NULL);

        if (receive(action, stream, part)) {
            keep(action, path);
        } else {
            g_unlink(part);
            action_failed_by_libvirt(action, "its screen cannot be read");
        }
    } else {
        virStreamAbort(stream);
    }
    if (stream != NULL)
        virStreamFree(stream);
    free(mime);
}

/* ---- memory --------------------------------------------------------------------------------------------------------------------------- */

static void watch(Action *action)
{
    virDomainRef(action->domain);
    job_begin(action->job);
    job_watch(action->job, job_poll_domain, action->domain, job_domain_free);
}

void action_dump(Action *action)
{
    virDomainInfo info = {0};
    g_autofree char *path = NULL, *part = NULL;

    if (!action_is_active(action_domain_state(action, NULL))) {
        action_failed(action, COMMAND_ERROR_FAILED, "it does not run: it has no memory");
        return;
    }
    if (virDomainGetInfo(action->domain, &info) < 0) {
        action_failed_by_libvirt(action, "its memory is not known");
        return;
    }
    path = prepare(action, "memory.elf", (uint64_t) info.maxMem * 1024 + DUMP_EXTRA_BYTES);
    if (path == NULL || !action_on_main(action, watch)) {
        action_failed(action, COMMAND_ERROR_INTERRUPTED, "nothing was written: it was told to end");
        return;
    }
    part = g_strconcat(path, ".part", NULL);
    if (virDomainCoreDumpWithFormat(action->domain, part, VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, VIR_DUMP_MEMORY_ONLY) == 0) {
        keep(action, path);
    } else {
        action_failed_by_libvirt(action, "its memory was not written");
        g_unlink(part);
    }
}
