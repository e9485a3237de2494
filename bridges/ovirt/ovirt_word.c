/* Codes are those of oVirt's audit log (AuditLogType). What they say is held against two rules that all host agents of Mend share: what
 * somebody asked for is his wish, also when the VM then ends badly; what ends by itself and badly is nobody's wish ("none"). A guest that
 * was shut down from inside was its user's wish. A VM that is down without any word about it is "unknown", which is no failure. */
#include "bridges/ovirt/ovirt_word.h"

#include <string.h>

enum {
    USER_RUN_VM = 32, USER_STOP_VM = 33, USER_PAUSE_VM = 39, USER_RESUME_VM = 40, VM_DOWN = 61, USER_SHUTDOWN_VM = 73,
    USER_STOP_INSTEAD_OF_SHUTDOWN = 76, USER_STOP_SUSPENDED_VM = 111, VM_DOWN_ERROR = 119, VM_PAUSED_ENOSPC = 138, VM_PAUSED_ERROR = 139,
    VM_DOWN_BY_HOST = 143, VM_PAUSED_EIO = 145, VM_PAUSED_EPERM = 146, USER_INITIATED_RUN_VM = 150, USER_STARTED_VM = 153,
    VM_RECOVERED_FROM_PAUSE = 196, USER_SUSPEND_VM = 501, USER_SUSPEND_VM_OK = 503, VDS_INITIATED_RUN_VM = 506, USER_SUSPEND_VM_FINISHED = 512,
    AUTO_SUSPEND_VM = 524, AUTO_SUSPEND_VM_FINISHED = 525, WATCHDOG_EVENT = 9901,
};

static void wish(OvirtPast *past, const char *intent, int64_t now_us)
{
    if (past->wish_is_ours && now_us - past->wish_us <= OVIRT_WISH_HOLDS_US)
        return;
    past->wish = intent;
    past->wish_us = now_us;
    past->wish_is_ours = false;
}

static void end(OvirtPast *past, const char *intent, const char *reason, int64_t now_us)
{
    past->end_intent = intent;
    past->end_reason = reason;
    past->end_us = now_us;
}

static void forget_end(OvirtPast *past)
{
    past->end_intent = past->end_reason = NULL;
    past->wish = NULL;
    past->wish_is_ours = false;
    past->watchdog_us = 0;
    past->pause = NULL;
}

static const char *error_reason(const OvirtPast *past, const char *text, int64_t now_us)
{
    if (past->watchdog_us != 0 && now_us - past->watchdog_us <= OVIRT_END_HOLDS_US)
        return "watchdog";
    return text != NULL && strstr(text, "ost connection with qemu") != NULL ? "lost-qemu" : "crashed";
}

void ovirt_past_event(OvirtPast *past, const OvirtEvent *event, int64_t now_us)
{
    bool by_admin = event->text != NULL && strstr(event->text, "Admin shut down") != NULL;

    switch (event->code) {
    case USER_STOP_VM: case USER_SHUTDOWN_VM: case USER_STOP_INSTEAD_OF_SHUTDOWN: case USER_STOP_SUSPENDED_VM:
    case USER_SUSPEND_VM: case USER_SUSPEND_VM_OK: case USER_SUSPEND_VM_FINISHED: case AUTO_SUSPEND_VM: case AUTO_SUSPEND_VM_FINISHED:
        wish(past, "admin", now_us);
        return;
    case USER_PAUSE_VM: past->pause = "user"; return;
    case VM_PAUSED_ENOSPC: past->pause = "enospc"; return;
    case VM_PAUSED_EIO: past->pause = "io-error"; return;
    case VM_PAUSED_EPERM: past->pause = "eperm"; return;
    case VM_PAUSED_ERROR: past->pause = "unknown"; return;
    case VM_RECOVERED_FROM_PAUSE: case USER_RESUME_VM: past->pause = NULL; return;
    case WATCHDOG_EVENT: past->watchdog_us = now_us; return;
    case VM_DOWN: end(past, by_admin ? "admin" : "user", "shutdown", now_us); return;
    case VM_DOWN_ERROR: end(past, "none", error_reason(past, event->text, now_us), now_us); return;
    case VM_DOWN_BY_HOST: end(past, "none", "host-restart", now_us); return;
    case USER_RUN_VM: case USER_STARTED_VM: case USER_INITIATED_RUN_VM: case VDS_INITIATED_RUN_VM: /* another life begins */
        forget_end(past);
        past->began = true;
        return;
    default:
        return;
    }
}

void ovirt_past_wish(OvirtPast *past, const char *intent, int64_t now_us)
{
    static const char *const known[] = { "admin", "command", "user", "update" };

    past->wish = "command";
    for (size_t i = 0; intent != NULL && i < G_N_ELEMENTS(known); i++)
        if (strcmp(intent, known[i]) == 0)
            past->wish = known[i];
    past->wish_us = now_us;
    past->wish_is_ours = true;
}

void ovirt_past_unwish(OvirtPast *past)
{
    if (past->wish_is_ours)
        past->wish = NULL;
    past->wish_is_ours = false;
}

void ovirt_past_runs(OvirtPast *past, int64_t now_us)
{
    if (past->end_intent != NULL && now_us - past->end_us > OVIRT_END_HOLDS_US)
        past->end_intent = past->end_reason = NULL;
    if (past->wish != NULL && now_us - past->wish_us > OVIRT_WISH_HOLDS_US)
        ovirt_past_unwish(past), past->wish = NULL;
}

/* ---- status ----------------------------------------------------------------------------------------------------------------------------- */

typedef enum { RUNS, STARTS, STOPS, ENDED, PAUSED, SAVED, MOVES, LOCKED, DARK } Life;

static Life life_of(const char *status)
{
    static const struct { const char *status; Life life; } lives[] = {
        { "up", RUNS }, { "powering_up", RUNS }, { "reboot_in_progress", RUNS }, { "wait_for_launch", STARTS }, { "restoring_state", STARTS },
        { "powering_down", STOPS }, { "saving_state", STOPS }, { "down", ENDED }, { "paused", PAUSED }, { "suspended", SAVED },
        { "migrating", MOVES }, { "image_locked", LOCKED }, { "unknown", DARK }, { "not_responding", DARK }, { "unassigned", DARK },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lives); i++)
        if (strcmp(lives[i].status, status) == 0)
            return lives[i].life;
    return DARK;
}

bool ovirt_status_runs(const char *status)
{
    Life life = life_of(status);

    return life != ENDED && life != SAVED && life != LOCKED;
}

static const char *wished(const OvirtPast *past, int64_t now_us)
{
    return past->wish != NULL && now_us - past->wish_us <= OVIRT_WISH_HOLDS_US ? past->wish : NULL;
}

static OvirtWord ended_word(const OvirtPast *past, const char *was, int64_t now_us)
{
    const char *intent = wished(past, now_us);

    if (past->end_intent != NULL)
        return (OvirtWord) { .state = "stopped", .intent = intent != NULL ? intent : past->end_intent,
                             .reason = intent != NULL ? "shutdown" : past->end_reason };
    if (intent != NULL)
        return (OvirtWord) { .state = "stopped", .intent = intent, .reason = "shutdown" };
    if (was == NULL)
        return (OvirtWord) { .state = "stopped", .intent = "unknown", .reason = "defined" };
    return (OvirtWord) { .state = "stopped", .intent = "unknown", .reason = "unknown", .unsure = true };
}

static OvirtWord paused_word(const OvirtPast *past)
{
    bool by_user = g_strcmp0(past->pause, "user") == 0, is_known = past->pause != NULL && strcmp(past->pause, "unknown") != 0;

    return (OvirtWord) { .state = "paused", .intent = by_user ? "admin" : past->pause != NULL ? "none" : "unknown",
                         .reason = is_known ? past->pause : "unknown", .runs = true };
}

OvirtWord ovirt_word(const char *status, const OvirtPast *past, const char *was, int64_t now_us)
{
    const char *intent = wished(past, now_us);

    switch (life_of(status)) {
    case RUNS: return (OvirtWord) { .state = "running", .intent = "unknown", .reason = status, .runs = true };
    case STARTS: return (OvirtWord) { .state = "starting", .intent = "unknown", .reason = status, .runs = true };
    case STOPS: return (OvirtWord) { .state = "stopping", .intent = intent != NULL ? intent : "user", .reason = "shutdown", .runs = true };
    case MOVES: return (OvirtWord) { .state = "migrating", .intent = "unknown", .reason = status, .runs = true };
    case PAUSED: return paused_word(past);
    case ENDED: return ended_word(past, was, now_us);
    case SAVED: return (OvirtWord) { .state = "stopped", .intent = intent != NULL ? intent : "admin", .reason = "saved" };
    case LOCKED: /* down, and its disks are at work: nothing new where it was known before */
        return was != NULL ? (OvirtWord) { 0 } : (OvirtWord) { .state = "stopped", .intent = "unknown", .reason = "defined" };
    default: return (OvirtWord) { .state = "unknown", .intent = "unknown", .reason = status, .runs = true };
    }
}

OvirtReach ovirt_host_reach(const char *status)
{
    static const struct { const char *status; OvirtReach reach; } reaches[] = {
        { "up", OVIRT_HEARD }, { "maintenance", OVIRT_HEARD }, { "preparing_for_maintenance", OVIRT_HEARD }, { "non_operational", OVIRT_HEARD },
        { "error", OVIRT_HEARD }, { "connecting", OVIRT_WAITED }, { "initializing", OVIRT_WAITED }, { "unassigned", OVIRT_WAITED },
        { "non_responsive", OVIRT_SILENT }, { "reboot", OVIRT_SILENT }, { "kdumping", OVIRT_DUMPING }, { "down", OVIRT_OFF },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(reaches); i++)
        if (strcmp(reaches[i].status, status) == 0)
            return reaches[i].reach;
    return OVIRT_ABSENT;
}
