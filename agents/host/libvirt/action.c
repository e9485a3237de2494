#include "agents/host/libvirt/action.h"

#include "agents/host/libvirt/qemu_process.h"
#include "lib/base/clock.h"

#include <string.h>

/* ---- answers ----------------------------------------------------------------------------------------------------------------------- */

static void conclude(Action *action, Outcome outcome, const char *error, const char *state, char *text)
{
    if (action->outcome != OUTCOME_NONE) {
        g_free(text);
        return;
    }
    action->outcome = outcome;
    action->error = error;
    action->state = state;
    action->text = text;
}

void action_done(Action *action, const char *state, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    conclude(action, OUTCOME_DONE, NULL, state, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

void action_failed(Action *action, const char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    conclude(action, OUTCOME_FAILED, error, NULL, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

void action_refused(Action *action, const char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    conclude(action, OUTCOME_REFUSED, error, NULL, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

void action_failed_by_libvirt(Action *action, const char *doing)
{
    char *text = NULL;
    const char *error = virt_error_take(doing, &text);

    conclude(action, OUTCOME_FAILED, error, NULL, text);
}

void action_value(Action *action, const char *key, Value *value)
{
    if (action->values == NULL)
        action->values = value_map();
    value_set(action->values, key, value);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------------------------- */

int64_t action_left_us(const Action *action) { return MAX(action->deadline_us - clock_now_us(), 0); }

void action_tell_to_end(Action *action)
{
    g_mutex_lock(&action->lock);
    action->told_to_end = true;
    g_cond_broadcast(&action->wake);
    g_mutex_unlock(&action->lock);
}

bool action_told_to_end(Action *action)
{
    g_mutex_lock(&action->lock);
    bool told = action->told_to_end;
    g_mutex_unlock(&action->lock);
    return told;
}

bool action_must_end(Action *action) { return action_told_to_end(action) || action_left_us(action) == 0; }

bool action_sleep(Action *action, int64_t us)
{
    int64_t until_us = g_get_monotonic_time() + MIN(us, action_left_us(action));

    g_mutex_lock(&action->lock);
    while (!action->told_to_end && g_cond_wait_until(&action->wake, &action->lock, until_us))
        continue;
    g_mutex_unlock(&action->lock);
    return !action_must_end(action);
}

typedef struct Errand { /* under the action's lock; whoever is second frees it */
    Action *action;
    void (*fn)(Action *action);
    bool running, ran, dropped, forgotten;
} Errand;

/* The action is alive here: what ends it is queued behind this, in the same loop with the same priority. */
static gboolean on_main(void *user)
{
    Errand *errand = user;
    Action *action = errand->action;
    bool closed = actions_closed(action);

    g_mutex_lock(&action->lock);
    bool forgotten = errand->forgotten;
    errand->running = !forgotten;
    g_mutex_unlock(&action->lock);
    if (forgotten) {
        g_free(errand);
        return G_SOURCE_REMOVE;
    }
    if (!closed)
        errand->fn(action);
    g_mutex_lock(&action->lock);
    errand->ran = !closed;
    errand->dropped = closed;
    g_cond_broadcast(&action->wake);
    g_mutex_unlock(&action->lock);
    return G_SOURCE_REMOVE;
}

bool action_on_main(Action *action, void (*fn)(Action *action))
{
    Errand *errand = g_new0(Errand, 1);

    *errand = (Errand){.action = action, .fn = fn};
    g_idle_add_full(G_PRIORITY_DEFAULT, on_main, errand, NULL);
    g_mutex_lock(&action->lock);
    while (!errand->ran && !errand->dropped && (errand->running || !action->told_to_end))
        g_cond_wait(&action->wake, &action->lock);
    bool ran = errand->ran, over = ran || errand->dropped;
    errand->forgotten = !over;
    g_mutex_unlock(&action->lock);
    if (over)
        g_free(errand);
    return ran;
}

/* ---- arguments --------------------------------------------------------------------------------------------------------------------- */

const char *action_text(const Action *action, const char *name)
{
    const char *text = value_get_string(action->arguments, name);

    return text != NULL && *text != '\0' ? text : NULL;
}

bool action_flag(const Action *action, const char *name, bool fallback)
{
    bool flag;

    return value_as_bool(value_get(action->arguments, name), &flag) ? flag : fallback;
}

uint64_t action_uint(const Action *action, const char *name)
{
    uint64_t number;

    return value_as_uint(value_get(action->arguments, name), &number) ? number : 0;
}

/* ---- the domain -------------------------------------------------------------------------------------------------------------------- */

int action_domain_state(const Action *action, int *ret_reason)
{
    int state = -1, reason = 0;

    if (action->domain == NULL || virDomainGetState(action->domain, &state, &reason, 0) < 0)
        state = action->domain == NULL || virt_error_is(VIR_ERR_NO_DOMAIN) ? VIR_DOMAIN_SHUTOFF : -1;
    if (ret_reason != NULL)
        *ret_reason = reason;
    return state;
}

bool action_is_active(int state)
{
    return state != -1 && state != VIR_DOMAIN_SHUTOFF && state != VIR_DOMAIN_NOSTATE;
}

const char *action_state_name(int state)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED: return "running";
    case VIR_DOMAIN_PAUSED: return "paused";
    case VIR_DOMAIN_SHUTDOWN: return "stopping";
    case VIR_DOMAIN_SHUTOFF: return "stopped";
    case VIR_DOMAIN_CRASHED: return "crashed";
    case VIR_DOMAIN_PMSUSPENDED: return "suspended";
    default: return "unknown";
    }
}

bool action_is_paused_by_storage(int state, int reason)
{
    return state == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
}

DomainXml *action_domain_xml(const Action *action, bool inactive)
{
    char *text = virDomainGetXMLDesc(action->domain, inactive ? VIR_DOMAIN_XML_INACTIVE : 0);
    DomainXml *xml = text != NULL ? domain_xml_parse(text, NULL) : NULL;

    free(text);
    return xml;
}

char *action_disk_errors(const Action *action)
{
    virDomainDiskError found[DOMAIN_XML_DISKS_MAX];
    int n = virDomainGetDiskErrors(action->domain, found, G_N_ELEMENTS(found), 0);
    g_autoptr(GString) text = g_string_new(NULL);

    for (int i = 0; i < n; i++) {
        g_string_append_printf(text, "%s%s: %s", i > 0 ? ", " : "", found[i].disk, found[i].error == VIR_DOMAIN_DISK_ERROR_NO_SPACE ? "no space" : "I/O error");
        free(found[i].disk);
    }
    return text->len > 0 ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

bool action_is_gone(Action *action, char **ret_why)
{
    const char *proc = action_options(action)->proc;
    int state = action_domain_state(action, NULL);
    pid_t pid = proc != NULL ? qemu_process_find(proc, action->vm) : 0;

    if (state == VIR_DOMAIN_SHUTOFF && pid == 0)
        return true;
    if (pid > 0) {
        g_autofree char *doing = qemu_process_state(proc, pid);

        *ret_why = g_strdup_printf("its process %d is still there, state %s", (int) pid, doing);
    } else if (pid < 0) {
        *ret_why = g_strdup_printf("%s cannot be read: whether its process has ended is not known", proc);
    } else {
        *ret_why = g_strdup_printf("libvirt says: %s", action_state_name(state));
    }
    return false;
}

void action_note_done(Action *action, const char *name)
{
    if (virConnectIsAlive(action->connection) == 1)
        job_note_remove(action_folder(action), action->vm, name);
}

static void begin_job(Action *action) { job_begin(action->job); }

bool action_begin_job(Action *action)
{
    if (action_on_main(action, begin_job))
        return true;
    action_failed(action, COMMAND_ERROR_INTERRUPTED, "nothing was done: it was told to end");
    return false;
}
