#include "agents/host/memory/processes.h"

#include <string.h>

static void vm_free(void *data)
{
    VmProcess *vm = data;

    g_free(vm->vm);
    g_free(vm);
}

Processes *processes_new(const char *proc)
{
    Processes *processes = g_new0(Processes, 1);

    processes->proc = g_strdup(proc);
    processes->vms = g_ptr_array_new_with_free_func(vm_free);
    return processes;
}

void processes_free(Processes *processes)
{
    g_free(processes->proc);
    g_ptr_array_unref(processes->vms);
    g_free(processes);
}

/* What follows "-uuid" in its arguments. Read once in its life: the arguments of a process that hangs in the kernel may make the reader wait. */
static char *uuid_of(const char *proc, const char *pid)
{
    g_autofree char *path = g_build_filename(proc, pid, "cmdline", NULL), *text = NULL;
    gsize length = 0;

    if (!g_file_get_contents(path, &text, &length, NULL))
        return NULL;
    for (const char *at = text; at < text + length; at += strlen(at) + 1)
        if (strcmp(at, "-uuid") == 0 && at + 6 < text + length)
            return g_strdup(at + 6);
    return NULL;
}

static VmProcess *known(const GPtrArray *all, int64_t pid, int64_t start_ticks)
{
    for (guint i = 0; i < all->len; i++) {
        VmProcess *vm = all->pdata[i];

        if (vm->pid == pid && vm->start_ticks == start_ticks)
            return vm;
    }
    return NULL;
}

static void see_qemu(Processes *p, const char *pid, const ProcessStat *stat, GPtrArray *now)
{
    int64_t number = g_ascii_strtoll(pid, NULL, 10);
    const VmProcess *before = known(p->vms, number, stat->start_ticks);
    VmProcess *vm = g_new0(VmProcess, 1);

    *vm = (VmProcess) { .pid = number, .start_ticks = stat->start_ticks, .minor_faults = stat->minor_faults, .major_faults = stat->major_faults,
                        .minor_since = -1, .major_since = -1, .vm = before == NULL ? uuid_of(p->proc, pid) : g_strdup(before->vm) };
    if (before != NULL) {
        vm->minor_since = stat->minor_faults - before->minor_faults;
        vm->major_since = stat->major_faults - before->major_faults;
    }
    g_ptr_array_add(now, vm);
    p->qemu_bytes += stat->virtual_bytes;
}

void processes_look(Processes *p)
{
    GDir *folder = g_dir_open(p->proc, 0, NULL);
    GPtrArray *now = g_ptr_array_new_with_free_func(vm_free);
    const char *name;

    p->qemu_bytes = 0;
    p->ksmd_pid = 0;
    while (folder != NULL && (name = g_dir_read_name(folder)) != NULL) {
        g_autofree char *path = g_build_filename(p->proc, name, "stat", NULL), *text = NULL;
        ProcessStat stat;

        if (!g_ascii_isdigit(name[0]) || !g_file_get_contents(path, &text, NULL, NULL) || !process_stat_parse(text, &stat))
            continue;
        if (strcmp(stat.name, "ksmd") == 0) {
            p->ksmd_pid = g_ascii_strtoll(name, NULL, 10);
            p->ksmd_ticks = stat.cpu_ticks;
        } else if (strstr(stat.name, "qemu") != NULL) {
            see_qemu(p, name, &stat, now);
        }
    }
    g_clear_pointer(&folder, g_dir_close);
    g_ptr_array_unref(p->vms);
    p->vms = now;
}
