/* Two rules decide between a failure and a wish. What ends by an API call of this host was wanted: by us when it was noted, else by an
 * admin. What ends from inside was wanted by the guest's user, unless its watchdog or its panic came first. Everything else is nobody's
 * wish: "none".
 *
 * A VM that migrates here is started long before it runs, and stopped when the migration fails: what it does meanwhile, the host it
 * runs on tells.
 *
 * libvirt tells causes and effects in separate events (watchdog, then stopped; I/O error with its reason, then suspended), so a
 * little is remembered from one to the next (VmPast), for a few seconds only where the effect need not come. */
#include "agents/host/libvirt/vm_word.h"

#include <string.h>

#define RESETS_US (3 * US_PER_S) /* resets in so short a time are one reboot */

static VmWord state_word(const char *state, const char *intent, const char *reason)
{
    return (VmWord) { VM_WORD_STATE, state, intent, reason, NULL };
}

static const char *noted(const char *intent, const char *otherwise) { return intent != NULL ? intent : otherwise; }

static bool watchdog_was(const VmPast *past, int64_t now_us)
{
    return past->watchdog_us != 0 && now_us - past->watchdog_us <= VM_PAST_HOLDS_US;
}

static const char *io_reason(const VmPast *past)
{
    static const struct {
        const char *told, *reason;
    } reasons[] = { { "enospc", "enospc" }, { "eperm", "eperm" }, { "eacces", "eperm" } };

    for (size_t i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (strcmp(past->io_reason, reasons[i].told) == 0)
            return reasons[i].reason;
    return "io-error";
}

/* ---- life-cycle ------------------------------------------------------------------------------------------------------------------ */

static VmWord started(int detail, const char *intent)
{
    switch (detail) {
    case VIR_DOMAIN_EVENT_STARTED_BOOTED:
        return state_word("running", noted(intent, "admin"), "booted");
    case VIR_DOMAIN_EVENT_STARTED_RESTORED:
        return state_word("running", noted(intent, "admin"), "restored");
    case VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT:
        return state_word("running", noted(intent, "admin"), "from-snapshot");
    case VIR_DOMAIN_EVENT_STARTED_WAKEUP:
        return state_word("running", "user", "wakeup");
    default:
        return state_word("running", noted(intent, "unknown"), "unknown");
    }
}

static VmWord suspended(int detail, const VmPast *past, const char *intent, int64_t now_us)
{
    bool io_error = past->io_us != 0 && now_us - past->io_us <= VM_PAST_HOLDS_US;

    switch (detail) {
    case VIR_DOMAIN_EVENT_SUSPENDED_PAUSED:
        return state_word("paused", noted(intent, "admin"), "user");
    case VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED:
    case VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY:
        return state_word("paused", noted(intent, "admin"), "migration");
    case VIR_DOMAIN_EVENT_SUSPENDED_IOERROR:
        return state_word("paused", "none", io_error ? io_reason(past) : "io-error");
    case VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG:
        return state_word("hung", "none", "watchdog");
    case VIR_DOMAIN_EVENT_SUSPENDED_RESTORED:
        return state_word("paused", noted(intent, "admin"), "restored");
    case VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT:
        return state_word("paused", noted(intent, "admin"), "snapshot");
    case VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR:
        return state_word("paused", "none", "api-error");
    case VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED:
        return state_word("paused", "none", "postcopy-failed");
    default:
        return state_word("paused", noted(intent, "unknown"), "unknown");
    }
}

static VmWord resumed(int detail, const VmPast *past, const char *intent)
{
    const char *own = past->io_us != 0 || past->panicked || past->watchdog_us != 0 ? "none" : "admin"; /* by itself, as after on_crash=restart */

    switch (detail) {
    case VIR_DOMAIN_EVENT_RESUMED_UNPAUSED:
        return state_word("running", noted(intent, own), "unpaused");
    case VIR_DOMAIN_EVENT_RESUMED_MIGRATED:
        return state_word("running", noted(intent, "admin"), "migrated");
    case VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT:
        return state_word("running", noted(intent, "admin"), "from-snapshot");
    case VIR_DOMAIN_EVENT_RESUMED_POSTCOPY:
        return state_word("running", noted(intent, "admin"), "postcopy");
    case VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED:
        return state_word("running", "none", "postcopy-failed");
    default:
        return state_word("running", noted(intent, "unknown"), "unknown");
    }
}

static const char *shutdown_intent(int detail, const char *intent)
{
    switch (detail) {
    case VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED:
    case VIR_DOMAIN_EVENT_SHUTDOWN_GUEST:
        return noted(intent, "user");
    case VIR_DOMAIN_EVENT_SHUTDOWN_HOST:
        return noted(intent, "admin");
    default:
        return noted(intent, "unknown");
    }
}

static VmWord stopped(int detail, const VmPast *past, const char *intent, int64_t now_us)
{
    bool by_watchdog = watchdog_was(past, now_us) && (past->watchdog_action == VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF ||
                                                      past->watchdog_action == VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN);

    switch (detail) {
    case VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN:
        if (by_watchdog)
            return state_word("stopped", "none", "watchdog");
        return state_word("stopped", past->shutdown > 0 ? shutdown_intent(past->shutdown - 1, intent) : noted(intent, "user"), "shutdown");
    case VIR_DOMAIN_EVENT_STOPPED_DESTROYED:
        return state_word("stopped", noted(intent, "admin"), "destroyed");
    case VIR_DOMAIN_EVENT_STOPPED_CRASHED:
        return state_word("crashed", "none", past->panicked ? "panicked" : "crashed");
    case VIR_DOMAIN_EVENT_STOPPED_MIGRATED:
        return state_word("stopped", noted(intent, "admin"), "migrated");
    case VIR_DOMAIN_EVENT_STOPPED_SAVED:
        return state_word("stopped", noted(intent, "admin"), "saved");
    case VIR_DOMAIN_EVENT_STOPPED_FAILED:
        return by_watchdog ? state_word("stopped", "none", "watchdog")
               : intent != NULL && strcmp(intent, "none") != 0 && past->shutdown > 0 ? state_word("stopped", intent, "shutdown")
                                                                                     : state_word("stopped", "none", "lost-qemu");
    case VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT:
        return state_word("stopped", noted(intent, "admin"), "from-snapshot");
    default:
        return state_word("stopped", noted(intent, "unknown"), "unknown");
    }
}

static unsigned lifecycle(const DomainEvent *event, VmPast *past, const char *intent, int64_t now_us, VmWord *ret)
{
    unsigned n = 0;

    switch (event->kind) {
    case VIR_DOMAIN_EVENT_STARTED:
        *past = (VmPast) { .incoming = event->detail == VIR_DOMAIN_EVENT_STARTED_MIGRATED };
        ret[0] = started(event->detail, intent);
        return past->incoming ? 0 : 1;
    case VIR_DOMAIN_EVENT_SUSPENDED:
        past->io_paused = event->detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR;
        ret[0] = suspended(event->detail, past, intent, now_us);
        return 1;
    case VIR_DOMAIN_EVENT_RESUMED:
        ret[0] = resumed(event->detail, past, intent);
        *past = (VmPast) { .reboot_us = past->reboot_us };
        return 1;
    case VIR_DOMAIN_EVENT_STOPPED:
        if (past->crashloaded)
            ret[n++] = (VmWord) { VM_WORD_JOB, "dump", NULL, NULL, "ended" };
        else if (past->migrating)
            ret[n++] = (VmWord) { VM_WORD_JOB, "migration", NULL, NULL, "ended" };
        if (!past->incoming)
            ret[n++] = stopped(event->detail, past, intent, now_us);
        *past = (VmPast) { 0 };
        return n;
    case VIR_DOMAIN_EVENT_SHUTDOWN:
        past->shutdown = event->detail + 1;
        ret[0] = watchdog_was(past, now_us) ? state_word("stopping", "none", "watchdog")
                                            : state_word("stopping", shutdown_intent(event->detail, intent), "shutdown");
        return 1;
    case VIR_DOMAIN_EVENT_PMSUSPENDED:
        ret[0] = state_word("suspended", noted(intent, "user"), event->detail == VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY ? "memory"
                                                                : event->detail == VIR_DOMAIN_EVENT_PMSUSPENDED_DISK ? "disk" : "unknown");
        return 1;
    case VIR_DOMAIN_EVENT_CRASHED:
        past->panicked = true;
        past->crashloaded = event->detail == VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED;
        if (past->crashloaded) /* its crash kernel runs, and must be let finish */
            ret[n++] = (VmWord) { VM_WORD_JOB, "dump", NULL, NULL, "begun" };
        ret[n++] = state_word("panicked", "none", past->crashloaded ? "crashloaded" : "panicked");
        return n;
    default: /* defined, undefined, what is new: nothing of its life */
        return 0;
    }
}

/* ---- the others ------------------------------------------------------------------------------------------------------------------ */

static unsigned watchdog(const DomainEvent *event, VmPast *past, int64_t now_us, VmWord *ret)
{
    past->watchdog_us = now_us;
    past->watchdog_action = event->kind;
    switch (event->kind) {
    case VIR_DOMAIN_EVENT_WATCHDOG_RESET:
        ret[0] = (VmWord) { VM_WORD_REBOOTED, "rebooted", "none", "watchdog", NULL };
        return 1;
    case VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF: /* what follows says how it ends */
    case VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN:
        return 0;
    default:
        ret[0] = state_word("hung", "none", "watchdog");
        return 1;
    }
}

/* qemu resets the VM for a watchdog and tells it of both. A kernel that panicked, or hung, is another one after it. */
static unsigned reboot(VmPast *past, const char *intent, int64_t now_us, VmWord *ret)
{
    bool told = (watchdog_was(past, now_us) && past->watchdog_action == VIR_DOMAIN_EVENT_WATCHDOG_RESET) ||
                (past->reboot_us != 0 && now_us - past->reboot_us < RESETS_US);
    bool was_ill = past->panicked || past->watchdog_us != 0;
    unsigned n = 0;

    if (past->crashloaded)
        ret[n++] = (VmWord) { VM_WORD_JOB, "dump", NULL, NULL, "ended" };
    else if (!told)
        ret[n++] = (VmWord) { VM_WORD_REBOOTED, "rebooted", noted(intent, was_ill ? "none" : "user"), past->panicked ? "panicked" : "reset", NULL };
    if (was_ill)
        ret[n++] = state_word("running", noted(intent, "none"), "rebooted");
    *past = (VmPast) { .reboot_us = now_us };
    return n;
}

static unsigned migration_iteration(const DomainEvent *event, VmPast *past, const char *intent, VmWord *ret)
{
    if (past->migrating || intent != NULL)
        return 0;
    past->migrating = true;
    ret[0] = (VmWord) { VM_WORD_JOB, "migration", NULL, NULL, "begun" };
    ret[1] = state_word("migrating", "admin", "migration");
    return 2;
}

static unsigned job_completed(const DomainEvent *event, VmPast *past, VmWord *ret)
{
    if (!past->migrating)
        return 0;
    past->migrating = false;
    ret[0] = (VmWord) { VM_WORD_JOB, "migration", NULL, NULL, "ended" };
    return 1;
}

/* libvirt 9.0 tells the reason after the pause. */
static unsigned io_error(const DomainEvent *event, VmPast *past, int64_t now_us, VmWord *ret)
{
    if (event->kind != VIR_DOMAIN_EVENT_IO_ERROR_PAUSE)
        return 0;
    past->io_us = now_us;
    if (event->reason != NULL && event->reason[0] != '\0')
        g_strlcpy(past->io_reason, event->reason, sizeof past->io_reason);
    if (!past->io_paused || strcmp(io_reason(past), "io-error") == 0)
        return 0;
    ret[0] = state_word("paused", "none", io_reason(past));
    return 1;
}

unsigned vm_words_of_event(const DomainEvent *event, VmPast *past, const char *intent, int64_t now_us, VmWord ret[VM_WORDS_MAX])
{
    switch (event->id) {
    case VIR_DOMAIN_EVENT_ID_LIFECYCLE:
        return lifecycle(event, past, intent, now_us, ret);
    case VIR_DOMAIN_EVENT_ID_REBOOT:
        return reboot(past, intent, now_us, ret);
    case VIR_DOMAIN_EVENT_ID_WATCHDOG:
        return watchdog(event, past, now_us, ret);
    case VIR_DOMAIN_EVENT_ID_IO_ERROR:
    case VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON:
        return io_error(event, past, now_us, ret);
    case VIR_DOMAIN_EVENT_ID_CONTROL_ERROR: /* its qemu does not obey libvirt any more: nobody knows how it is */
        ret[0] = state_word("unknown", "unknown", "control-error");
        return 1;
    case VIR_DOMAIN_EVENT_ID_PMWAKEUP:
        ret[0] = state_word("running", "user", "wakeup");
        return 1;
    case VIR_DOMAIN_EVENT_ID_PMSUSPEND:
    case VIR_DOMAIN_EVENT_ID_PMSUSPEND_DISK:
        ret[0] = state_word("suspended", noted(intent, "user"), event->id == VIR_DOMAIN_EVENT_ID_PMSUSPEND ? "memory" : "disk");
        return 1;
    case VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE:
        if (event->kind != VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED &&
            event->kind != VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED)
            return 0;
        ret[0] = (VmWord) { VM_WORD_EVIDENCE, "qga", NULL, NULL,
                            event->kind == VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED ? "alive" : "gone" };
        return 1;
    case VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION:
        return migration_iteration(event, past, intent, ret);
    case VIR_DOMAIN_EVENT_ID_JOB_COMPLETED:
        return job_completed(event, past, ret);
    default:
        return 0;
    }
}

/* ---- states ---------------------------------------------------------------------------------------------------------------------- */

static VmWord paused_state(int reason, bool no_space, const char *intent)
{
    static const struct {
        const char *state, *intent, *reason;
    } words[] = {
        [VIR_DOMAIN_PAUSED_UNKNOWN] = { "paused", "unknown", "unknown" },
        [VIR_DOMAIN_PAUSED_USER] = { "paused", "admin", "user" },
        [VIR_DOMAIN_PAUSED_MIGRATION] = { "paused", "admin", "migration" },
        [VIR_DOMAIN_PAUSED_SAVE] = { "paused", "admin", "save" },
        [VIR_DOMAIN_PAUSED_DUMP] = { "paused", "admin", "dump" },
        [VIR_DOMAIN_PAUSED_IOERROR] = { "paused", "none", "io-error" },
        [VIR_DOMAIN_PAUSED_WATCHDOG] = { "hung", "none", "watchdog" },
        [VIR_DOMAIN_PAUSED_FROM_SNAPSHOT] = { "paused", "admin", "snapshot" },
        [VIR_DOMAIN_PAUSED_SHUTTING_DOWN] = { "stopping", "user", "shutdown" },
        [VIR_DOMAIN_PAUSED_SNAPSHOT] = { "paused", "admin", "snapshot" },
        [VIR_DOMAIN_PAUSED_CRASHED] = { "panicked", "none", "panicked" },
        [VIR_DOMAIN_PAUSED_STARTING_UP] = { "starting", "admin", "starting" },
        [VIR_DOMAIN_PAUSED_POSTCOPY] = { "paused", "admin", "migration" },
        [VIR_DOMAIN_PAUSED_POSTCOPY_FAILED] = { "paused", "none", "postcopy-failed" },
    };

    if (reason < 0 || reason >= (int) G_N_ELEMENTS(words))
        return state_word("paused", noted(intent, "unknown"), "unknown");
    if (strcmp(words[reason].intent, "none") == 0)
        return state_word(words[reason].state, "none", reason == VIR_DOMAIN_PAUSED_IOERROR && no_space ? "enospc" : words[reason].reason);
    return state_word(words[reason].state, noted(intent, words[reason].intent), words[reason].reason);
}

static VmWord shutoff_state(int reason, const char *intent)
{
    static const struct {
        const char *state, *intent, *reason;
    } words[] = {
        [VIR_DOMAIN_SHUTOFF_UNKNOWN] = { "stopped", "unknown", "unknown" },
        [VIR_DOMAIN_SHUTOFF_SHUTDOWN] = { "stopped", "user", "shutdown" },
        [VIR_DOMAIN_SHUTOFF_DESTROYED] = { "stopped", "admin", "destroyed" },
        [VIR_DOMAIN_SHUTOFF_CRASHED] = { "crashed", "none", "crashed" }, /* also of a qemu that was killed */
        [VIR_DOMAIN_SHUTOFF_MIGRATED] = { "stopped", "admin", "migrated" },
        [VIR_DOMAIN_SHUTOFF_SAVED] = { "stopped", "admin", "saved" },
        [VIR_DOMAIN_SHUTOFF_FAILED] = { "stopped", "none", "lost-qemu" },
        [VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT] = { "stopped", "admin", "from-snapshot" },
        [VIR_DOMAIN_SHUTOFF_DAEMON] = { "stopped", "none", "daemon" },
    };

    if (reason < 0 || reason >= (int) G_N_ELEMENTS(words))
        return state_word("stopped", noted(intent, "unknown"), "unknown");
    if (strcmp(words[reason].intent, "none") == 0)
        return state_word(words[reason].state, "none", words[reason].reason);
    return state_word(words[reason].state, noted(intent, words[reason].intent), words[reason].reason);
}

VmWord vm_word_of_state(int state, int reason, bool no_space, const char *intent)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return state_word("running", noted(intent, "unknown"), reason == VIR_DOMAIN_RUNNING_POSTCOPY_FAILED ? "postcopy-failed" : "seen");
    case VIR_DOMAIN_PAUSED:
        return paused_state(reason, no_space, intent);
    case VIR_DOMAIN_SHUTDOWN:
        return state_word("stopping", noted(intent, "user"), "shutdown");
    case VIR_DOMAIN_SHUTOFF:
        return shutoff_state(reason, intent);
    case VIR_DOMAIN_CRASHED:
        return state_word("panicked", "none", "panicked");
    case VIR_DOMAIN_PMSUSPENDED:
        return state_word("suspended", noted(intent, "user"), "memory");
    default:
        return state_word("unknown", "unknown", "unknown");
    }
}

bool vm_state_is_active(const char *state)
{
    return strcmp(state, "stopped") != 0 && strcmp(state, "crashed") != 0;
}

bool vm_word_holds(const char *told, const char *told_reason, const VmWord *now)
{
    static const char *const runs[] = { "running", "migrating", "stopping", "hung", "panicked", NULL };

    if (strcmp(now->state, "running") == 0)
        return g_strv_contains(runs, told);
    if (!vm_state_is_active(now->state)) /* why it ended was told by the event, and libvirt's memory of it is coarser */
        return !vm_state_is_active(told);
    if (strcmp(now->state, "paused") == 0)
        return strcmp(told, "paused") == 0 && g_strcmp0(told_reason, now->reason) == 0;
    return strcmp(told, now->state) == 0;
}
