#include "agents/host/libvirt/event_names.h"

#include <libvirt/libvirt.h>

typedef struct Words {
    int n;
    const char *const *words; /* by number; NULL: a gap */
} Words;

#define WORDS(name, ...)                              \
    static const char *const name##_list[] = { __VA_ARGS__ }; \
    static const Words name = { G_N_ELEMENTS(name##_list), name##_list }

WORDS(no_words, NULL);
WORDS(lifecycle, [VIR_DOMAIN_EVENT_DEFINED] = "defined", [VIR_DOMAIN_EVENT_UNDEFINED] = "undefined", [VIR_DOMAIN_EVENT_STARTED] = "started",
      [VIR_DOMAIN_EVENT_SUSPENDED] = "suspended", [VIR_DOMAIN_EVENT_RESUMED] = "resumed", [VIR_DOMAIN_EVENT_STOPPED] = "stopped",
      [VIR_DOMAIN_EVENT_SHUTDOWN] = "shutdown", [VIR_DOMAIN_EVENT_PMSUSPENDED] = "pmsuspended", [VIR_DOMAIN_EVENT_CRASHED] = "crashed");
WORDS(defined, "added", "updated", "renamed", "from-snapshot");
WORDS(undefined, "removed", "renamed");
WORDS(started, "booted", "migrated", "restored", "from-snapshot", "wakeup");
WORDS(suspended, "paused", "migrated", "ioerror", "watchdog", "restored", "from-snapshot", "api-error", "postcopy", "postcopy-failed");
WORDS(resumed, "unpaused", "migrated", "from-snapshot", "postcopy", "postcopy-failed");
WORDS(stopped, "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot");
WORDS(shutdown, "finished", "guest", "host");
WORDS(pmsuspended, "memory", "disk");
WORDS(crashed, "panicked", "crashloaded");
WORDS(watchdog, "none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi");
WORDS(io_error, "none", "pause", "report");
WORDS(graphics, "connect", "initialize", "disconnect");
WORDS(block_job, "unknown", "pull", "copy", "commit", "active-commit", "backup");
WORDS(block_status, "completed", "failed", "canceled", "ready");
WORDS(disk_change, "missing-on-start", "drop-missing-on-start");
WORDS(tray_change, "open", "close");
WORDS(agent_state, [VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED] = "connected",
      [VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED] = "disconnected");
WORDS(agent_reason, "unknown", "domain-started", "channel");
WORDS(job_operation, "unknown", "start", "save", "restore", "migration-in", "migration-out", "snapshot", "snapshot-revert", "dump", "backup",
      "snapshot-delete");
WORDS(job_success, "failed", "done");
WORDS(metadata, "description", "title", "element");
WORDS(memory_recipient, "hypervisor", "guest");
WORDS(memory_action, "ignore", "inject", "fatal", "reset");

static const Words *const lifecycle_details[] = {
    [VIR_DOMAIN_EVENT_DEFINED] = &defined,     [VIR_DOMAIN_EVENT_UNDEFINED] = &undefined, [VIR_DOMAIN_EVENT_STARTED] = &started,
    [VIR_DOMAIN_EVENT_SUSPENDED] = &suspended, [VIR_DOMAIN_EVENT_RESUMED] = &resumed,     [VIR_DOMAIN_EVENT_STOPPED] = &stopped,
    [VIR_DOMAIN_EVENT_SHUTDOWN] = &shutdown,   [VIR_DOMAIN_EVENT_PMSUSPENDED] = &pmsuspended, [VIR_DOMAIN_EVENT_CRASHED] = &crashed,
};

static const struct {
    const char *name;
    const Words *kinds, *details;
} events[] = {
    [VIR_DOMAIN_EVENT_ID_LIFECYCLE] = { "lifecycle", &lifecycle, NULL },
    [VIR_DOMAIN_EVENT_ID_REBOOT] = { "reboot", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_RTC_CHANGE] = { "rtc-change", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_WATCHDOG] = { "watchdog", &watchdog, &no_words },
    [VIR_DOMAIN_EVENT_ID_IO_ERROR] = { "io-error", &io_error, &no_words },
    [VIR_DOMAIN_EVENT_ID_GRAPHICS] = { "graphics", &graphics, &no_words },
    [VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON] = { "io-error-reason", &io_error, &no_words },
    [VIR_DOMAIN_EVENT_ID_CONTROL_ERROR] = { "control-error", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_BLOCK_JOB] = { "block-job", &block_job, &block_status },
    [VIR_DOMAIN_EVENT_ID_DISK_CHANGE] = { "disk-change", &disk_change, &no_words },
    [VIR_DOMAIN_EVENT_ID_TRAY_CHANGE] = { "tray-change", &tray_change, &no_words },
    [VIR_DOMAIN_EVENT_ID_PMWAKEUP] = { "pmwakeup", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_PMSUSPEND] = { "pmsuspend", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE] = { "balloon-change", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK] = { "pmsuspend-disk", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED] = { "device-removed", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2] = { "block-job-2", &block_job, &block_status },
    [VIR_DOMAIN_EVENT_ID_TUNABLE] = { "tunable", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE] = { "agent-lifecycle", &agent_state, &agent_reason },
    [VIR_DOMAIN_EVENT_ID_DEVICE_ADDED] = { "device-added", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION] = { "migration-iteration", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_JOB_COMPLETED] = { "job-completed", &job_operation, &job_success },
    [VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED] = { "device-removal-failed", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_METADATA_CHANGE] = { "metadata-change", &metadata, &no_words },
    [VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD] = { "block-threshold", &no_words, &no_words },
    [VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE] = { "memory-failure", &memory_recipient, &memory_action },
    [VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE] = { "memory-device-size-change", &no_words, &no_words },
};
G_STATIC_ASSERT(G_N_ELEMENTS(events) == EVENT_NAMES_N);

static char *word_of(const Words *words, int number)
{
    if (number == EVENT_WORD_NONE)
        return g_strdup("");
    if (words == NULL || number < 0 || number >= words->n || words->words[number] == NULL)
        return g_strdup_printf("unknown-%d", number);
    return g_strdup(words->words[number]);
}

static bool is_known(int id) { return id >= 0 && id < EVENT_NAMES_N; }

char *event_id_name(int id)
{
    return is_known(id) ? g_strdup(events[id].name) : g_strdup_printf("unknown-%d", id);
}

char *event_kind_name(int id, int kind)
{
    return word_of(is_known(id) ? events[id].kinds : NULL, kind);
}

char *event_detail_name(int id, int kind, int detail)
{
    if (id != VIR_DOMAIN_EVENT_ID_LIFECYCLE)
        return word_of(is_known(id) ? events[id].details : NULL, detail);
    return word_of(kind >= 0 && kind < (int) G_N_ELEMENTS(lifecycle_details) ? lifecycle_details[kind] : NULL, detail);
}

char *event_job_operation_name(int operation) { return word_of(&job_operation, operation); }
