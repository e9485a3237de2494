/* A process id may be another's by the time it is used, so a kill goes through a pidfd opened before the arguments are read once more.
 * A killed QEMU loses its arguments (they are in its memory) before it closes its disks, and a thread of it that waits for storage can keep
 * both for long. Who it was has to be known by then: each look keeps what it saw, by process id and start. */
#include "agents/host/libvirt/qemu_process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARGUMENTS_BYTES_MAX ((size_t) 1024 * 1024)

typedef struct Seen {
    char *uuid;
    char *start;  /* field 22 of /proc/PID/stat: in ticks since the host booted */
    unsigned look;
} Seen;

static GMutex lock;
static GHashTable *seen; /* process id → Seen: the QEMUs of the last look, under @lock */
static unsigned look;

static void seen_free(void *data)
{
    Seen *each = data;

    g_free(each->uuid);
    g_free(each->start);
    g_free(each);
}

/* The UUID in @text, arguments each 0-terminated; NULL: no QEMU's. */
static const char *vm_in(const char *text, size_t length)
{
    const char *end = text + length, *slash = strrchr(text, '/');

    if (strncmp(slash != NULL ? slash + 1 : text, "qemu", 4) != 0 && strstr(text, "kvm") == NULL)
        return NULL;
    for (const char *word = text; word < end; word += strlen(word) + 1)
        if (strcmp(word, "-uuid") == 0 && word + sizeof "-uuid" < end)
            return word + sizeof "-uuid";
    return NULL;
}

/* (transfer full) NULL: it runs no VM. @ret_ends: it has no arguments any more, and never had when it is the kernel's own. */
static char *vm_of(const char *proc, pid_t pid, bool *ret_ends)
{
    g_autofree char *path = g_strdup_printf("%s/%d/cmdline", proc, (int) pid);
    g_autofree char *text = NULL;
    gsize length = 0;
    bool is_read = g_file_get_contents(path, &text, &length, NULL);

    if (ret_ends != NULL)
        *ret_ends = is_read && length == 0;
    return is_read && length > 0 && length <= ARGUMENTS_BYTES_MAX ? g_strdup(vm_in(text, length)) : NULL;
}

static bool process_runs(const char *proc, pid_t pid, const char *uuid)
{
    g_autofree char *vm = vm_of(proc, pid, NULL);

    return vm != NULL && g_ascii_strcasecmp(vm, uuid) == 0;
}

/* ---- one that ends -------------------------------------------------------------------------------------------------------------------- */

/* Of /proc/PID/stat, from the state (field 3) on; its name before that may hold anything. (transfer full) NULL: it is not there. */
static char *stat_of(const char *proc, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/stat", proc, (int) pid);
    g_autofree char *text = NULL;
    const char *after = g_file_get_contents(path, &text, NULL, NULL) ? strrchr(text, ')') : NULL;

    return after != NULL && strlen(after) > 2 ? g_strdup(after + 2) : NULL;
}

static char *start_of(const char *stat)
{
    g_auto(GStrv) words = g_strsplit(stat, " ", 22);

    return g_strdup(g_strv_length(words) > 19 ? words[19] : "");
}

/* Its first thread is a zombie before the others have ended. */
static bool has_other_threads(const char *proc, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/task", proc, (int) pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    while (dir != NULL && g_dir_read_name(dir) != NULL)
        n++;
    return n > 1;
}

static bool is_qemu_by_name(const char *proc, pid_t pid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/comm", proc, (int) pid);
    g_autofree char *name = NULL;

    return g_file_get_contents(path, &name, NULL, NULL) &&
           (g_str_has_prefix(name, "qemu-system") || g_str_has_prefix(name, "qemu-kvm") || strcmp(name, "kvm\n") == 0);
}

/* It has no arguments: a QEMU that still holds something, of the VM @uuid as far as anybody knows? */
static bool ends_yet(const char *proc, pid_t pid, const char *uuid)
{
    g_autofree char *stat = is_qemu_by_name(proc, pid) ? stat_of(proc, pid) : NULL;
    g_autofree char *start = stat != NULL ? start_of(stat) : NULL;
    Seen *known = g_hash_table_lookup(seen, GINT_TO_POINTER(pid));

    if (stat == NULL || (strchr("ZX", stat[0]) != NULL && !has_other_threads(proc, pid)))
        return false;
    if (known == NULL || strcmp(known->start, start) != 0)
        return true;
    known->look = look;
    return g_ascii_strcasecmp(known->uuid, uuid) == 0;
}

static void keep(const char *proc, pid_t pid, const char *vm)
{
    Seen *known = g_hash_table_lookup(seen, GINT_TO_POINTER(pid));
    g_autofree char *stat = stat_of(proc, pid);

    if (stat == NULL)
        return;
    if (known == NULL)
        g_hash_table_insert(seen, GINT_TO_POINTER(pid), known = g_new0(Seen, 1));
    g_free(known->uuid);
    g_free(known->start);
    *known = (Seen) { g_strdup(vm), start_of(stat), look };
}

static gboolean is_of_an_earlier_look(void *pid, void *data, void *user)
{
    (void) pid;
    (void) user;
    return ((Seen *) data)->look != look;
}

/* ---- looks ---------------------------------------------------------------------------------------------------------------------------- */

static bool is_it(const char *proc, pid_t pid, const char *uuid)
{
    bool ends = false;
    g_autofree char *vm = vm_of(proc, pid, &ends);

    if (vm == NULL)
        return ends && ends_yet(proc, pid, uuid);
    keep(proc, pid, vm);
    return g_ascii_strcasecmp(vm, uuid) == 0;
}

pid_t qemu_process_find(const char *proc, const char *uuid)
{
    DIR *dir = opendir(proc);
    const struct dirent *entry;
    pid_t found = 0;

    if (dir == NULL)
        return -1;
    g_mutex_lock(&lock);
    if (seen == NULL)
        seen = g_hash_table_new_full(NULL, NULL, NULL, seen_free);
    look++;
    while ((entry = readdir(dir)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid > 0 && is_it(proc, (pid_t) pid, uuid) && found == 0)
            found = (pid_t) pid;
    }
    g_hash_table_foreach_remove(seen, is_of_an_earlier_look, NULL);
    g_mutex_unlock(&lock);
    closedir(dir);
    return found;
}

char *qemu_process_state(const char *proc, pid_t pid)
{
    g_autofree char *stat = stat_of(proc, pid);
    char state = stat != NULL ? stat[0] : '?';

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
