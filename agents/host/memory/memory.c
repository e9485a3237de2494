/* A look is one round in a thread (read everything), told in the main loop; the next begins only when that one is over, so a /proc that makes its
 * reader wait costs samples and nothing else. */
#include "agents/host/memory/memory.h"

#include "agents/host/memory/ksm.h"
#include "agents/host/memory/proc_text.h"
#include "agents/host/memory/processes.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>
#include <unistd.h>

#define LANE "memory"

typedef struct Look {
    Memory *memory;        /* NULL: gone meanwhile. Main loop only */
    char *proc, *ksm_folder;
    Processes *processes;
    MemInfo info;
    VmStat stat;
    Ksm ksm;
    bool has_info, has_ksm;
    int64_t at_us, cpus;
} Look;

struct Memory {
    Host *host;
    char *proc, *ksm;
    guint timer;
    Look *looking;         /* at work in the thread; NULL: none */
    Processes *processes;  /* lent to the look while there is one; NULL then */
    GHashTable *vms;       /* UUID -> { minor, major } of the last look, which nobody has taken; owned */
    VmStat before;
    int64_t ksmd_ticks, ksmd_pid, looked_us; /* of the look before; 0: none */
    bool told_no_memory;
};

typedef struct Faults {
    int64_t minor, major;
} Faults;

static void look_free(void *data)
{
    Look *look = data;

    g_clear_pointer(&look->processes, processes_free);
    g_free(look->proc);
    g_free(look->ksm_folder);
    g_free(look);
}

static char *read_proc(const Look *look, const char *name)
{
    g_autofree char *path = g_build_filename(look->proc, name, NULL);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

static void look_work(void *data)
{
    Look *look = data;
    g_autofree char *meminfo = read_proc(look, "meminfo"), *vmstat = read_proc(look, "vmstat");

    look->has_info = meminfo != NULL && meminfo_parse(meminfo, &look->info);
    look->stat = (VmStat) { -1, -1 };
    if (vmstat != NULL)
        vmstat_parse(vmstat, &look->stat);
    look->has_ksm = ksm_read(look->ksm_folder, &look->ksm);
    processes_look(look->processes);
    look->cpus = sysconf(_SC_NPROCESSORS_ONLN);
    look->at_us = clock_now_us();
}

static void put(Value *sample, const char *key, int64_t number)
{
    if (number >= 0)
        value_set(sample, key, value_uint(VALUE_UINT64, (uint64_t) number));
}

static int64_t grown(int64_t before, int64_t now)
{
    return before < 0 || now < before ? -1 : now - before;
}

static void put_memory(const Memory *memory, const Look *look, Value *sample)
{
    const MemInfo *info = &look->info;

    put(sample, "memory_bytes", info->total);
    put(sample, "memory_unused_bytes", info->unused);
    put(sample, "memory_free_bytes", info->unused + MAX(info->buffers, 0) + MAX(info->cached, 0));
    put(sample, "memory_available_bytes", info->available);
    put(sample, "anon_bytes", info->anon);
    put(sample, "swap_bytes", info->swap_total);
    put(sample, "swap_used_bytes", info->swap_total < 0 || info->swap_unused < 0 ? -1 : info->swap_total - info->swap_unused);
    put(sample, "swap_in", memory->looked_us == 0 ? 0 : grown(memory->before.swap_in, look->stat.swap_in));
    put(sample, "swap_out", memory->looked_us == 0 ? 0 : grown(memory->before.swap_out, look->stat.swap_out));
    put(sample, "cpus", look->cpus);
}

static void put_ksm(const Memory *memory, const Look *look, Value *sample)
{
    static const char *const keys[KSM_N] = { [KSM_RUN] = "ksm_run", [KSM_PAGES_TO_SCAN] = "ksm_pages_to_scan", [KSM_SLEEP] = "ksm_sleep_ms",
                                             [KSM_MERGE] = "ksm_merge_across_nodes", [KSM_SHARED] = "ksm_pages_shared",
                                             [KSM_SHARING] = "ksm_pages_sharing", [KSM_UNSHARED] = "ksm_pages_unshared",
                                             [KSM_VOLATILE] = "ksm_pages_volatile", [KSM_FULL_SCANS] = "ksm_full_scans" };
    int64_t ticks = look->processes->ksmd_ticks - memory->ksmd_ticks, passed_us = look->at_us - memory->looked_us;

    for (guint i = 0; look->has_ksm && i < KSM_N; i++)
        put(sample, keys[i], look->ksm.values[i]);
    if (!look->has_ksm)
        return;
    put(sample, "ksm_shareable_bytes", look->processes->qemu_bytes);
    if (memory->looked_us == 0 || look->processes->ksmd_pid == 0 || look->processes->ksmd_pid != memory->ksmd_pid || ticks < 0 || passed_us <= 0)
        put(sample, "ksmd_cpu_percent", 0);
    else
        put(sample, "ksmd_cpu_percent", (int64_t) (100.0 * (double) ticks / (double) sysconf(_SC_CLK_TCK) / ((double) passed_us / US_PER_S)));
}

static int64_t utc_offset_s(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();

    return now == NULL ? 0 : g_date_time_get_utc_offset(now) / US_PER_S;
}

static void tell(Memory *memory, const Look *look)
{
    Value *values = value_map(), *sample = value_map();

    put_memory(memory, look, sample);
    put_ksm(memory, look, sample);
    value_set(sample, "utc_offset_s", value_int(VALUE_INT64, utc_offset_s()));
    value_set(values, "sample", sample);
    host_tell_happened(memory->host, "host", host_id(memory->host), "sample", "memory", values);
}

static void keep_faults(Memory *memory, const Processes *processes)
{
    g_hash_table_remove_all(memory->vms);
    for (guint i = 0; i < processes->vms->len; i++) {
        const VmProcess *vm = processes->vms->pdata[i];

        if (vm->vm == NULL || vm->minor_since < 0)
            continue;
        Faults *faults = g_new0(Faults, 1);
        *faults = (Faults) { vm->minor_since, vm->major_since };
        g_hash_table_insert(memory->vms, g_ascii_strdown(vm->vm, -1), faults);
    }
}

static void look_done(void *data)
{
    Look *look = data;
    Memory *memory = look->memory;

    if (memory == NULL) {
        look_free(look);
        return;
    }
    memory->looking = NULL;
    if (look->has_info)
        tell(memory, look);
    else if (!memory->told_no_memory)
        log_warning("memory: %s/meminfo cannot be read: this host has no numbers", look->proc);
    memory->told_no_memory = !look->has_info;
    keep_faults(memory, look->processes);
    memory->before = look->stat;
    memory->ksmd_pid = look->processes->ksmd_pid;
    memory->ksmd_ticks = look->processes->ksmd_ticks;
    memory->looked_us = look->at_us;
    memory->processes = g_steal_pointer(&look->processes);
    look_free(look);
}

static gboolean on_timer(void *user)
{
    Memory *memory = user;

    if (memory->looking != NULL)
        return G_SOURCE_CONTINUE; /* the last one still waits for the kernel */
    memory->looking = g_new0(Look, 1);
    *memory->looking = (Look) { .memory = memory, .proc = g_strdup(memory->proc), .ksm_folder = g_strdup(memory->ksm),
                                .processes = g_steal_pointer(&memory->processes) };
    host_work(memory->host, LANE, look_work, look_done, look_free, memory->looking);
    return G_SOURCE_CONTINUE;
}

/* ---- host_set_ksm ----------------------------------------------------------------------------------------------------------------- */

typedef struct KsmSetting {
    HostCall *call;
    char *folder;
    int64_t wanted[KSM_SETTABLE];
    Ksm now;
    GError *error;
} KsmSetting;

static void set_work(void *data)
{
    KsmSetting *setting = data;

    ksm_write(setting->folder, setting->wanted, &setting->now, &setting->error);
}

static void setting_free(void *data)
{
    KsmSetting *setting = data;

    g_clear_error(&setting->error);
    g_free(setting->folder);
    g_free(setting);
}

static void set_done(void *data)
{
    KsmSetting *setting = data;
    Value *values = value_map();

    put(values, "run", setting->now.values[KSM_RUN]);
    put(values, "pages_to_scan", setting->now.values[KSM_PAGES_TO_SCAN]);
    put(values, "sleep_ms", setting->now.values[KSM_SLEEP]);
    put(values, "merge_across_nodes", setting->now.values[KSM_MERGE]);
    if (setting->error == NULL) {
        host_call_done(setting->call, NULL, values, "KSM is set");
    } else if (g_error_matches(setting->error, KSM_ERROR, KSM_ERROR_RANGE)) {
        value_unref(values);
        host_call_refused(setting->call, COMMAND_ERROR_ARGUMENT, setting->error->message);
    } else {
        host_call_failed(setting->call, COMMAND_ERROR_FAILED, values, setting->error->message);
    }
    setting_free(setting);
}

static void on_set_ksm(HostCall *call, void *user)
{
    static const char *const names[KSM_SETTABLE] = { [KSM_RUN] = "run", [KSM_PAGES_TO_SCAN] = "pages_to_scan", [KSM_SLEEP] = "sleep_ms",
                                                     [KSM_MERGE] = "merge_across_nodes" };
    Memory *memory = user;
    KsmSetting *setting;
    bool any = false;

    if (strcmp(host_call_name(call), host_id(memory->host)) != 0) {
        host_call_refused(call, COMMAND_ERROR_NOT_FOUND, "this is another host: KSM is set by the host's own agent");
        return;
    }
    setting = g_new0(KsmSetting, 1);
    for (guint i = 0; i < KSM_SETTABLE; i++) {
        const Value *given = value_get(host_call_arguments(call), names[i]);
        int64_t number;

        setting->wanted[i] = -1;
        if (given == NULL)
            continue;
        if (!value_as_int(given, &number) || number < 0) {
            g_autofree char *text = g_strdup_printf("%s: a number, 0 or more, is wanted", names[i]);
            host_call_refused(call, COMMAND_ERROR_ARGUMENT, text);
            g_free(setting);
            return;
        }
        setting->wanted[i] = number;
        any = true;
    }
    if (!any) {
        host_call_refused(call, COMMAND_ERROR_ARGUMENT, "nothing to set: run, pages_to_scan, sleep_ms or merge_across_nodes is wanted");
        g_free(setting);
        return;
    }
    setting->call = call;
    setting->folder = g_strdup(memory->ksm);
    host_work(memory->host, LANE, set_work, set_done, setting_free, setting);
}

/* ---- the part ---------------------------------------------------------------------------------------------------------------------- */

void memory_add_vm_numbers(Memory *memory, const char *vm, Value *sample)
{
    g_autofree char *key = g_ascii_strdown(vm, -1);
    const Faults *faults = memory == NULL ? NULL : g_hash_table_lookup(memory->vms, key);

    if (faults == NULL)
        return;
    put(sample, "host_minor_faults", faults->minor);
    put(sample, "host_major_faults", faults->major);
}

Memory *memory_new(Host *host, const MemoryOptions *options)
{
    Memory *memory = g_new0(Memory, 1);

    memory->host = host;
    memory->proc = g_strdup(options->proc != NULL ? options->proc : "/proc");
    memory->ksm = g_strdup(options->ksm != NULL ? options->ksm : KSM_FOLDER);
    memory->processes = processes_new(memory->proc);
    memory->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    host_on_method(host, "host_set_ksm", on_set_ksm, memory);
    if (options->interval_us > 0) {
        memory->timer = g_timeout_add((guint) (options->interval_us / US_PER_MS), on_timer, memory);
        on_timer(memory);
    }
    return memory;
}

void memory_free(Memory *memory)
{
    if (memory == NULL)
        return;
    g_clear_handle_id(&memory->timer, g_source_remove);
    if (memory->looking != NULL)
        memory->looking->memory = NULL;
    g_clear_pointer(&memory->processes, processes_free);
    g_hash_table_unref(memory->vms);
    g_free(memory->proc);
    g_free(memory->ksm);
    g_free(memory);
}
