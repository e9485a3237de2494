/* A start that is refused tells the engine that no copy of the VM runs here. So whether it does is asked first, and only then whatever
 * could be refused; where that cannot be asked the answer is "failed", which tells nothing.
 *
 * A saved memory image of an earlier run is thrown away by the start: the VM may have run elsewhere since, and an image that is older
 * than its disks destroys them. */
#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/definitions.h"
#include "agents/host/libvirt/qemu_process.h"

#include <string.h>

/* ---- the lease, which is taken in the main loop -------------------------------------------------------------------------------------- */

typedef struct Asking { /* under the action's lock, which its counted owner keeps alive */
    Action *action;
    LeaseAnswer answer;
    char *text;
    bool answered;
} Asking;

static void on_lease(void *user, LeaseAnswer answer, const char *text)
{
    Asking *asking = user;
    Action *action = asking->action;

    g_mutex_lock(&action->lock);
    asking->answer = answer;
    asking->text = g_strdup(text);
    asking->answered = true;
    action->lease_taken = answer == LEASE_TAKEN;
    g_cond_broadcast(&action->wake);
    g_mutex_unlock(&action->lock);
}

static void ask_for_lease(Action *action)
{
    const ActionsOptions *options = action_options(action);

    options->lease_acquire(options->user, action->vm, action->deadline_us, on_lease, action->asking);
}

/* The one who gives leases answers by the deadline, and once; so this waits for it whatever comes. */
static bool take_lease(Action *action)
{
    Asking asking = {.action = action};

    if (action_options(action)->lease_acquire == NULL)
        return true;
    action->asking = &asking;
    if (!action_on_main(action, ask_for_lease)) {
        action_failed(action, COMMAND_ERROR_INTERRUPTED, "nothing was done: the agent ends");
        return false;
    }
    g_mutex_lock(&action->lock);
    while (!asking.answered)
        g_cond_wait(&action->wake, &action->lock);
    g_mutex_unlock(&action->lock);
    g_autofree char *text = asking.text;

    if (asking.answer == LEASE_HELD)
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was started: its lease is held%s%s; it may run there", text != NULL ? ": " : "", text != NULL ? text : "");
    else if (asking.answer == LEASE_FAILED)
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was started: its lease could not be taken%s%s", text != NULL ? ": " : "", text != NULL ? text : "");
    return asking.answer == LEASE_TAKEN || asking.answer == LEASE_NOT_NEEDED;
}

/* ---- what must be so ------------------------------------------------------------------------------------------------------------------ */

/* Answers for a VM that is here; false: it is not. */
static bool is_here(Action *action)
{
    const char *proc = action_options(action)->proc;
    int reason = 0, state = action_domain_state(action, &reason);
    pid_t lost = !action_is_active(state) && proc != NULL ? qemu_process_find(proc, action->vm) : 0;

    if (state == -1)
        action_failed_by_libvirt(action, "nothing was started: whether it runs is not known");
    else if (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED)
        action_done(action, "running", "it runs already");
    else if (action_is_active(state))
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was started: it is here and %s%s; %s", action_state_name(state),
                      action_is_paused_by_storage(state, reason) ? " by an I/O error" : "", state == VIR_DOMAIN_PAUSED || state == VIR_DOMAIN_PMSUSPENDED ?
                      "vm_resume, or vm_stop before" : "vm_stop before");
    else if (lost > 0)
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was started: process %d, which libvirt does not know, runs it; vm_stop before", (int) lost);
    else if (lost < 0)
        action_failed(action, COMMAND_ERROR_FAILED, "nothing was started: %s cannot be read: whether a process runs it is not known", proc);
    else
        return false;
    return true;
}

static bool is_meant(Action *action)
{
    const char *host = action_text(action, "host"), *boot_id = action_text(action, "boot_id");

    if (host == NULL)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: host: a start says on which host");
    else if (g_ascii_strcasecmp(host, action_host_id(action)) != 0)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "it shall start on host %s; this is %s", host, action_host_id(action));
    else if (boot_id != NULL && g_ascii_strcasecmp(boot_id, action_boot_id(action)) != 0)
        action_refused(action, COMMAND_ERROR_ARGUMENT, "the start is meant for an earlier life of this host, %s; it has booted since: decide again", boot_id);
    else if (action_must_end(action))
        action_refused(action, COMMAND_ERROR_DEADLINE, "its time was over before its turn came");
    else
        return true;
    return false;
}

static bool define(Action *action)
{
    const char *given = action_text(action, "definition");
    g_autofree char *kept = given == NULL ? definition_kept(action_folder(action), action->vm) : NULL;
    const char *xml = given != NULL ? given : kept;
    g_autoptr(GError) error = NULL;

    if (action->domain != NULL)
        return true;
    if (xml == NULL) {
        action_refused(action, COMMAND_ERROR_NOT_FOUND, "it is not known here, and no definition of it came with the command: vm_define before");
        return false;
    }
    if (!definition_check(xml, action->vm, &error)) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: definition: %s", error->message);
        return false;
    }
    action->domain = virDomainDefineXML(action->connection, xml);
    if (action->domain == NULL) {
        action_failed_by_libvirt(action, "nothing was started: cannot define it");
        return false;
    }
    if (given != NULL)
        definition_keep(action_folder(action), action->vm, given, NULL); /* libvirt has it now; the copy is for a worse day */
    return true;
}

/* What failed leaves the lease to others; where the VM is there all the same, it keeps it. */
static void start(Action *action)
{
    int had_image = virDomainHasManagedSaveImage(action->domain, 0), state;
    int rc = virDomainCreateWithFlags(action->domain, had_image == 1 ? VIR_DOMAIN_START_FORCE_BOOT : 0);

    if (rc < 0)
        action_failed_by_libvirt(action, "cannot start it");
    state = action_domain_state(action, NULL);
    action->lease_goes_back = action->lease_taken && state == VIR_DOMAIN_SHUTOFF;
    if (rc == 0 && (state == VIR_DOMAIN_RUNNING || state == VIR_DOMAIN_BLOCKED))
        action_done(action, "running", "it runs%s", had_image == 1 ? "; its saved memory image was thrown away, it may be older than its disks" : "");
    else
        action_failed(action, COMMAND_ERROR_FAILED, "it was started and is %s now", action_state_name(state));
}

void action_start(Action *action)
{
    if (is_here(action) || !is_meant(action) || !define(action) || !take_lease(action))
        return;
    if (!action_must_end(action)) {
        start(action);
        return;
    }
    action->lease_goes_back = action->lease_taken; /* whoever sent the command counts on nothing any more */
    action_failed(action, COMMAND_ERROR_TIMEOUT, "nothing was started: its lease came too late");
}

void action_start_then(Action *action)
{
    const ActionsOptions *options = action_options(action);

    if (action->lease_goes_back && options->lease_release != NULL)
        options->lease_release(options->user, action->vm);
}
