/* A process id may be another's by the time it is used, so a kill goes through a pidfd opened before the arguments are read once more. */
#include "agents/host/libvirt/qemu_process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARGUMENTS_BYTES_MAX ((size_t) 1024 * 1024)

/* @text: arguments, each 0-terminated. */
static bool runs(const char *text, size_t length, const char *uuid)
{
    const char *end = text + length, *slash = strrchr(text, '/');
    bool is_next = false;

    if (strncmp(slash != NULL ? slash + 1 : text, "qemu", 4) != 0 && strstr(text, "kvm") == NULL)
        return false;
    for (const char *word = text; word < end; word += strlen(word) + 1) {
        if (is_next && g_ascii_strcasecmp(word, uuid) == 0)
            return true;
        is_next = strcmp(word, "-uuid") == 0;
    }
    return false;
}

static bool process_runs(const char *proc, pid_t pid, const char *uuid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/cmdline", proc, (int) pid);
    g_autofree char *text = NULL;
    gsize length = 0;

    return g_file_get_contents(path, &text, &length, NULL) && length > 0 && length <= ARGUMENTS_BYTES_MAX && runs(text, length, uuid);
}

pid_t qemu_process_find(const char *proc, const char *uuid)
{
    DIR *dir = opendir(proc);
    const struct dirent *entry;
    pid_t found = 0;

    if (dir == NULL)
        return -1;
    while (found == 0 && (entry = readdir(dir)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 0 && process_runs(proc, (pid_t) pid, uuid))
            found = (pid_t) pid;
    }
    closedir(dir);
    return found;
}

char *qemu_process_state(const char *proc, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/stat", proc, (int) pid);
    g_autofree char *text = NULL;
    const char *after = g_file_get_contents(path, &text, NULL, NULL) ? strrchr(text, ')') : NULL;
    char state = after != NULL && strlen(after) > 2 ? after[2] : '?';

    switch (state) {
    case 'D': return g_strdup("D (waits for a device: storage that does not answer)");
    case 'T': return g_strdup("T (stopped)");
    default: return g_strdup_printf("%c", state);
    }
}

bool qemu_process_kill(const char *proc, pid_t pid, const char *uuid)
{
    int fd = (int) syscall(SYS_pidfd_open, pid, 0);
    bool killed = false;

    if (fd < 0)
        return false;
    if (process_runs(proc, pid, uuid))
        killed = syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    close(fd);
    return killed;
}
