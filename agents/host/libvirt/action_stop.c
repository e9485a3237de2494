/* That a VM is stopped here is what the engine starts it elsewhere by. libvirt's word alone is not enough: a libvirtd that was killed and
 * came back may have lost a QEMU that lives on. So its processes are looked for as well, and one that is left is ended. */
#include "agents/host/libvirt/action.h"

#include "agents/host/libvirt/qemu_process.h"
#include "lib/base/clock.h"

#define LOOK_US (50 * US_PER_MS)
#define ASK_AGAIN_US (15 * US_PER_S) /* guests miss a power button pressed while they boot */

/* Waits for it to be gone, until @until_us at the latest. */
static bool wait_until_gone(Action *action, int64_t until_us, char **ret_why)
{
    for (;;) {
        g_clear_pointer(ret_why, g_free);
        if (action_is_gone(action, ret_why))
            return true;
        if (clock_now_us() >= until_us || !action_sleep(action, LOOK_US))
            return false;
    }
}

/* libvirt knows of none that runs, and yet there is a process. */
static void end_lost_process(Action *action)
{
    const char *proc = action_options(action)->proc;
    pid_t pid = proc != NULL ? qemu_process_find(proc, action->vm) : 0;

    if (pid > 0 && qemu_process_kill(proc, pid, action->vm))
        action_value(action, "lost_process", value_int(VALUE_INT32, pid));
}

void action_stop(Action *action)
{
    g_autofree char *why = NULL;
    bool was_off = action_is_gone(action, &why);
    g_autofree char *refusal = NULL;

    if (!was_off && action_is_active(action_domain_state(action, NULL)) && virDomainDestroy(action->domain) < 0 &&
        !virt_error_is(VIR_ERR_OPERATION_INVALID) && !virt_error_is(VIR_ERR_NO_DOMAIN))
        virt_error_take("libvirt could not end it", &refusal); /* what counts is whether it is gone */
    if (!was_off && action_domain_state(action, NULL) == VIR_DOMAIN_SHUTOFF)
        end_lost_process(action);
    if (was_off)
        action_done(action, "stopped", "it was off%s", action->domain == NULL ? ", and is not known here" : "");
    else if (wait_until_gone(action, action->deadline_us, &why))
        action_done(action, "stopped", "it is gone");
    else
        action_failed(action, COMMAND_ERROR_TIMEOUT, "it is not gone: %s%s%s; if that stays so, fence the host", why, refusal != NULL ? "; " : "",
                      refusal != NULL ? refusal : "");
}

void action_stop_then(Action *action)
{
    const ActionsOptions *options = action_options(action);

    if (action->outcome == OUTCOME_DONE && options->lease_release != NULL)
        options->lease_release(options->user, action->vm);
}

/* ---- shutdown ---------------------------------------------------------------------------------------------------------------------- */

/* Asks again and again until it is off or @until_us. */
static bool ask(Action *action, unsigned how, int64_t until_us, char **ret_why)
{
    bool asked = false;

    while (clock_now_us() < until_us && !action_must_end(action)) {
        if (virDomainShutdownFlags(action->domain, how) == 0)
            asked = true;
        g_autofree char *state = NULL;

        if (!asked) {
            virt_error_take(how == VIR_DOMAIN_SHUTDOWN_GUEST_AGENT ? "by its agent" : "by its power button", ret_why);
            return action_is_gone(action, &state);
        }
        if (wait_until_gone(action, MIN(until_us, clock_now_us() + ASK_AGAIN_US), &state))
            return true;
    }
    g_free(*ret_why);
    *ret_why = g_strdup_printf("its %s was asked, and it does not go down", how == VIR_DOMAIN_SHUTDOWN_GUEST_AGENT ? "agent" : "power button");
    return false;
}

static bool shut_down(Action *action, const char *mode, const DomainXml *xml, char **ret_why)
{
    bool by_agent = mode == NULL ? xml != NULL && xml->agent_is_connected : g_str_equal(mode, "agent");
    bool by_button = mode == NULL || g_str_equal(mode, "acpi");
    int64_t now_us = clock_now_us(), half_us = now_us + (action->deadline_us - now_us) / 2;

    if (by_agent && ask(action, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT, by_button ? half_us : action->deadline_us, ret_why))
        return true;
    g_clear_pointer(ret_why, g_free);
    return by_button && ask(action, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, action->deadline_us, ret_why);
}

void action_shutdown(Action *action)
{
    const char *mode = action_text(action, "mode");
    g_autofree char *why = NULL;
    g_autoptr(DomainXml) xml = NULL;
    int state = action_domain_state(action, NULL);

    if (mode != NULL && !g_str_equal(mode, "agent") && !g_str_equal(mode, "acpi")) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: mode: agent, acpi or empty, not %s", mode);
        return;
    }
    if (action_is_gone(action, &why)) {
        action_done(action, "stopped", "it was off");
        return;
    }
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_BLOCKED && state != VIR_DOMAIN_SHUTDOWN) {
        action_failed(action, COMMAND_ERROR_FAILED, "it is %s: nothing in it can hear that it shall shut down; vm_resume or vm_stop", action_state_name(state));
        return;
    }
    xml = action_domain_xml(action, false);
    if (xml != NULL && g_strcmp0(xml->on_poweroff, "restart") == 0)
        action_failed(action, COMMAND_ERROR_FAILED, "its definition says on_poweroff=restart: it would come back at once; vm_stop");
    else if (shut_down(action, mode, xml, &why))
        action_done(action, "stopped", "it has shut down");
    else
        action_failed(action, action_left_us(action) == 0 ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, "it still runs: %s; vm_stop ends it", why != NULL ? why : "nobody to ask");
}
