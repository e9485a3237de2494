#include "agents/guest/services/report.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define X(id, text) [SERVICE_##id] = text,
static const char *const state_names[] = {SERVICE_STATES(X)};
#undef X
#define X(id, text) [INTENT_##id] = text,
static const char *const intent_names[] = {SERVICE_INTENTS(X)};
#undef X

static bool find_name(const char *const *names, size_t n_names, const char *text, int *ret)
{
    for (size_t i = 0; text != NULL && i < n_names; i++)
        if (strcmp(names[i], text) == 0) {
            *ret = (int) i;
            return true;
        }
    return false;
}

const char *service_state_name(ServiceState state)
{
    return state_names[state];
}

bool service_state_parse(const char *text, ServiceState *ret_state)
{
    int found;

    if (!find_name(state_names, G_N_ELEMENTS(state_names), text, &found))
        return false;
    *ret_state = (ServiceState) found;
    return true;
}

const char *service_intent_name(ServiceIntent intent)
{
    return intent_names[intent];
}

bool service_intent_parse(const char *text, ServiceIntent *ret_intent)
{
    int found;

    if (!find_name(intent_names, G_N_ELEMENTS(intent_names), text, &found))
        return false;
    *ret_intent = (ServiceIntent) found;
    return true;
}

void service_report_set(ServiceReport *report, ServiceState state, ServiceIntent intent, int rc, char *reason)
{
    g_free(report->reason);
    *report = (ServiceReport){.state = state, .intent = intent, .rc = rc, .reason = reason, .exit_status = -1};
}

void service_report_copy(ServiceReport *to, const ServiceReport *from)
{
    char *reason = g_strdup(from->reason);

    g_free(to->reason);
    *to = *from;
    to->reason = reason;
}

void service_report_done(ServiceReport *report)
{
    g_clear_pointer(&report->reason, g_free);
}

bool service_report_same(const ServiceReport *a, const ServiceReport *b)
{
    return a->state == b->state && a->intent == b->intent && a->pid == b->pid && a->rc == b->rc &&
           a->exit_status == b->exit_status && a->signal == b->signal;
}

char *wait_status_text(int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        const char *name = sigabbrev_np(WTERMSIG(wait_status));

        return g_strdup_printf("killed by signal %d (%s)%s", WTERMSIG(wait_status), name != NULL ? name : "?",
                               WCOREDUMP(wait_status) ? ", core dumped" : "");
    }
    return g_strdup_printf("exited with status %d", WEXITSTATUS(wait_status));
}
