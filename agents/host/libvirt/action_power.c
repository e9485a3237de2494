/* Reboot, reset, suspend, resume: each looks afterwards whether it is so. */
#include "agents/host/libvirt/action.h"

#include "lib/base/clock.h"

#define LOOK_US (50 * US_PER_MS)
#define FAILS_AGAIN_US (1 * US_PER_S) /* storage that still fails pauses a resumed VM within that */

/* ---- reboot: libvirt tells of it by an event only ---------------------------------------------------------------------------------- */

typedef struct Watch {
    gatomicrefcount refs; /* of the waiting thread, and of libvirt until it forgets the callback */
    int reboots;          /* atomic */
} Watch;

static void watch_unref(void *user)
{
    Watch *watch = user;

    if (g_atomic_ref_count_dec(&watch->refs))
        g_free(watch);
}

static void on_reboot(virConnectPtr connection, virDomainPtr domain, void *user)
{
    g_atomic_int_inc(&((Watch *) user)->reboots);
}

static bool wait_for_reboot(Action *action, const Watch *watch, int64_t until_us)
{
    while (g_atomic_int_get(&watch->reboots) == 0 && clock_now_us() < until_us && action_sleep(action, LOOK_US))
        continue;
    return g_atomic_int_get(&watch->reboots) > 0;
}

static void reboot_watched(Action *action, Watch *watch, const char *mode, const DomainXml *xml)
{
    bool by_agent = mode == NULL ? xml != NULL && xml->agent_is_connected : g_str_equal(mode, "agent");
    bool by_button = mode == NULL || g_str_equal(mode, "acpi");
    int64_t now_us = clock_now_us(), half_us = by_button ? now_us + (action->deadline_us - now_us) / 2 : action->deadline_us;

    if (by_agent && virDomainReboot(action->domain, VIR_DOMAIN_REBOOT_GUEST_AGENT) == 0 && wait_for_reboot(action, watch, half_us))
        action_done(action, "running", "it has rebooted, by its agent");
    else if (by_button && virDomainReboot(action->domain, VIR_DOMAIN_REBOOT_ACPI_POWER_BTN) == 0 && wait_for_reboot(action, watch, action->deadline_us))
        action_done(action, "running", "it has rebooted, by its power button");
    else if (action_left_us(action) == 0)
        action_failed(action, COMMAND_ERROR_TIMEOUT, "it was asked to reboot and has not; vm_reset");
    else
        action_failed_by_libvirt(action, "cannot ask it to reboot");
}

void action_reboot(Action *action)
{
    const char *mode = action_text(action, "mode");
    int state = action_domain_state(action, NULL), callback;
    g_autoptr(DomainXml) xml = NULL;
    Watch *watch;

    if (mode != NULL && !g_str_equal(mode, "agent") && !g_str_equal(mode, "acpi")) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: mode: agent, acpi or empty, not %s", mode);
        return;
    }
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_BLOCKED) {
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: nothing in it can hear that it shall reboot; %s", action_state_name(state),
                      action_is_active(state) ? "vm_reset" : "vm_start");
        return;
    }
    xml = action_domain_xml(action, false);
    watch = g_new0(Watch, 1);
    g_atomic_ref_count_init(&watch->refs);
    g_atomic_ref_count_inc(&watch->refs);
    callback = virConnectDomainEventRegisterAny(action->connection, action->domain, VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_reboot),
                                                watch, watch_unref);
    if (callback < 0) {
        watch_unref(watch);
        action_failed_by_libvirt(action, "cannot listen for its reboot");
    } else {
        reboot_watched(action, watch, mode, xml);
        virConnectDomainEventDeregisterAny(action->connection, callback);
    }
    watch_unref(watch);
}

/* ---- reset, suspend, resume ---------------------------------------------------------------------------------------------------------- */

void action_reset(Action *action)
{
    int reason = 0, state = action_domain_state(action, &reason);

    if (!action_is_active(state)) {
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: vm_start", action_state_name(state));
        return;
    }
    if (virDomainReset(action->domain, 0) < 0) {
        action_failed_by_libvirt(action, "cannot reset it");
        return;
    }
    /* One that was paused because it had crashed or its watchdog fired shall run again; one that somebody paused stays so. */
    if ((state == VIR_DOMAIN_CRASHED || (state == VIR_DOMAIN_PAUSED && (reason == VIR_DOMAIN_PAUSED_CRASHED || reason == VIR_DOMAIN_PAUSED_WATCHDOG))) &&
        virDomainResume(action->domain) < 0) {
        action_failed_by_libvirt(action, "it was reset, and cannot be resumed");
        return;
    }
    state = action_domain_state(action, NULL);
    if (action_is_active(state))
        action_done(action, action_state_name(state), "it was reset%s", state == VIR_DOMAIN_PAUSED ? "; it is paused, as it was" : "");
    else
        action_failed(action, COMMAND_ERROR_FAILED, "it was reset and is %s now", action_state_name(state));
}

void action_suspend(Action *action)
{
    int reason = 0, state = action_domain_state(action, &reason);

    if (state == VIR_DOMAIN_PAUSED) {
        action_done(action, "paused", "it was paused%s", action_is_paused_by_storage(state, reason) ? " by an I/O error" : "");
        return;
    }
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_BLOCKED) {
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: there is nothing to pause", action_state_name(state));
        return;
    }
    if (virDomainSuspend(action->domain) < 0)
        action_failed_by_libvirt(action, "cannot pause it");
    else if ((state = action_domain_state(action, NULL)) == VIR_DOMAIN_PAUSED)
        action_done(action, "paused", "its vCPUs stand");
    else
        action_failed(action, COMMAND_ERROR_FAILED, "it was paused and is %s now", action_state_name(state));
}

/* Nothing tells at once that the storage still fails: QEMU tries, and pauses again. */
static void look_after_resume(Action *action, bool storage_failed)
{
    int64_t until_us = clock_now_us() + FAILS_AGAIN_US;
    int reason = 0, state = action_domain_state(action, &reason);

    while (storage_failed && (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED) && clock_now_us() < until_us && action_sleep(action, LOOK_US))
        state = action_domain_state(action, &reason);
    if (action_is_paused_by_storage(state, reason)) {
        g_autofree char *disks = action_disk_errors(action);

        action_failed(action, COMMAND_ERROR_FAILED, "its storage still fails (%s): it is paused again", disks != NULL ? disks : "no disk is named");
    } else if (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED) {
        action_done(action, "running", "it runs");
    } else {
        action_failed(action, COMMAND_ERROR_FAILED, "it was resumed and is %s now", action_state_name(state));
    }
}

void action_resume(Action *action)
{
    int reason = 0, state = action_domain_state(action, &reason);

    if (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED) {
        action_done(action, "running", "it runs already");
    } else if (state == VIR_DOMAIN_PMSUSPENDED) {
        if (virDomainPMWakeup(action->domain, 0) < 0)
            action_failed_by_libvirt(action, "cannot wake it");
        else
            look_after_resume(action, false);
    } else if (state != VIR_DOMAIN_PAUSED) {
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: there is nothing to resume", action_state_name(state));
    } else if (reason == VIR_DOMAIN_PAUSED_MIGRATION || reason == VIR_DOMAIN_PAUSED_POSTCOPY || reason == VIR_DOMAIN_PAUSED_STARTING_UP) {
        action_refused(action, COMMAND_ERROR_UNSAFE, "it is paused because it moves to or from another host: resumed now it might run twice");
    } else if (virDomainResume(action->domain) < 0) {
        action_failed_by_libvirt(action, "cannot resume it");
    } else {
        look_after_resume(action, action_is_paused_by_storage(state, reason));
    }
}
