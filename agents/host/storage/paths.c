/* Under a folder is a device MAJOR:MINOR; if that is a device-mapper one whose uuid begins with "mpath-", its slaves are the paths, and
 * /sys/block/SLAVE/device/state says "running" for those that work. A volume on top of it is followed down. */
#include "agents/host/storage/paths.h"

#include "lib/base/base.h"

#include <string.h>

#define DEPTH_MAX 6

static char *read_word(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

static void count_paths(const char *slaves, unsigned *paths, unsigned *up)
{
    g_autoptr(GDir) dir = g_dir_open(slaves, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *device = g_build_filename(slaves, name, "device", NULL), *state = read_word(device, "state");

        ++*paths;
        *up += g_strcmp0(state, "running") == 0 || g_strcmp0(state, "live") == 0;
    }
}

static void follow(const char *device, unsigned depth, unsigned *paths, unsigned *up)
{
    g_autofree char *slaves = g_build_filename(device, "slaves", NULL), *dm = g_build_filename(device, "dm", NULL), *uuid = read_word(dm, "uuid");
    g_autoptr(GDir) dir = NULL;
    const char *name;

    if (uuid != NULL && g_str_has_prefix(uuid, "mpath-")) {
        count_paths(slaves, paths, up);
        return;
    }
    dir = depth < DEPTH_MAX ? g_dir_open(slaves, 0, NULL) : NULL;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *below = g_build_filename(slaves, name, NULL);

        follow(below, depth + 1, paths, up);
    }
}

void paths_below(const char *device, unsigned *paths, unsigned *up) { follow(device, 0, paths, up); }

/* The device of the mount @folder is in, by the kernel's list of mounts: stat() could hang. Caller frees; NULL: none. */
static char *device_of(const char *folder)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    char *found = NULL;
    size_t best = 0;

    if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
        return NULL;
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", 6);
        size_t n = g_strv_length(words) >= 5 ? strlen(words[4]) : 0;

        if (n >= best && n > 0 && strncmp(folder, words[4], n) == 0 && (folder[n] == '/' || folder[n] == '\0' || n == 1)) {
            g_free(found);
            found = g_strconcat("/sys/dev/block/", words[2], NULL);
            best = n;
        }
    }
    return found;
}

void paths_of(const char *folder, unsigned *ret_paths, unsigned *ret_up)
{
    g_autofree char *device = device_of(folder);

    *ret_paths = *ret_up = 0;
    if (device != NULL)
        paths_below(device, ret_paths, ret_up);
}
