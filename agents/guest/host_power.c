/* Each call is a job: a child, and for set_power_profile a second one, because a profile is only chosen from the list tuned-adm gives, as
 * the original did it. What it printed is read as the original read it: "- NAME …" lines, and what stands after the first colon.
 *
 * Profiles may run scripts of their own, so which of them may be chosen is the machine's owner's to say (--power-profile). */
#include "agents/guest/host_power.h"

#include "agents/common/child.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define TOOL_TIMEOUT_US (30 * US_PER_S)
#define JOBS_MAX        4

struct HostPower {
    const ClassContext *context;
    GList *jobs; /* of Job */
};

typedef struct Job {
    HostPower *power;
    QmfCall *call;
    Child *tool;
    char *profile; /* to be set once the list was read; NULL: there is no more to do */
    int64_t deadline_us;
} Job;

static void job_free(Job *job)
{
    job->power->jobs = g_list_remove(job->power->jobs, job);
    child_free(job->tool);
    g_free(job->profile);
    g_free(job);
}

static void on_tool(const ChildResult *result, void *user);

/* False: the tool is not there. */
static bool job_run(Job *job, const char *const *argv)
{
    const ChildOptions options = {.argv = (char *const *) argv, .deadline_us = job->deadline_us, .max_output_bytes = 16384};
    g_autoptr(GError) error = NULL;

    job->tool = child_start(&options, on_tool, job, &error);
    if (job->tool == NULL)
        log_debug("%s", error->message);
    return job->tool != NULL;
}

/* NULL-terminated. "- balanced   - General non-specialized profile" names balanced. */
static char **profiles_of(const char *output)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_auto(GStrv) lines = g_strsplit(output, "\n", -1);

    for (char **line = lines; *line != NULL; line++)
        if (g_str_has_prefix(*line, "- ") && strcspn(*line + 2, " ") > 0)
            g_ptr_array_add(names, g_strndup(*line + 2, strcspn(*line + 2, " ")));
    if (names->len == 0)
        g_ptr_array_add(names, g_strdup("off"));
    g_ptr_array_add(names, NULL);
    return (char **) g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

static char *active_profile(const char *output)
{
    const char *colon = strchr(output, ':');

    return colon != NULL ? g_strstrip(g_strndup(colon + 1, strcspn(colon + 1, "\n"))) : g_strdup("unknown");
}

/* The list came. False: answered. */
static bool go_on_to_set(Job *job, const ChildResult *result)
{
    const char *const set[] = {"tuned-adm", "profile", job->profile, NULL};
    g_auto(GStrv) known = profiles_of(result->output);
    g_autofree char *profile = g_steal_pointer(&job->profile);
    Child *list = g_steal_pointer(&job->tool);
    bool listed = g_strv_contains((const char *const *) known, profile), runs = listed && job_run(job, set);

    child_free(list);
    if (!runs)
        command_gate_raise(job->power->context->gate, job->call, listed ? COMMAND_ERROR_FAILED : COMMAND_ERROR_ARGUMENT,
                           listed ? MH_BACKEND : MH_INVALID_ARGUMENTS);
    return runs;
}

static void on_tool(const ChildResult *result, void *user)
{
    Job *job = user;
    const char *method = qmf_call_method(job->call);
    CommandGate *gate = job->power->context->gate;

    if (result->timed_out || result->wait_status != 0) {
        if (strcmp(method, "list_power_profiles") == 0)
            command_gate_return(gate, job->call, output("profiles", value_list()), NULL, NULL);
        else
            command_gate_raise(gate, job->call, COMMAND_ERROR_FAILED, job->profile != NULL ? MH_INVALID_ARGUMENTS : MH_BACKEND);
    } else if (job->profile != NULL) {
        if (go_on_to_set(job, result))
            return;
    } else if (strcmp(method, "get_power_profile") == 0) {
        g_autofree char *profile = active_profile(result->output);

        command_gate_return(gate, job->call, output("profile", value_string(profile)), NULL, NULL);
    } else if (strcmp(method, "list_power_profiles") == 0) {
        g_auto(GStrv) profiles = profiles_of(result->output);

        command_gate_return(gate, job->call, output("profiles", value_strings(profiles)), NULL, NULL);
    } else if (strcmp(method, "set_power_profile") == 0) {
        command_gate_return(gate, job->call, output("status", value_int(VALUE_INT32, 0)), NULL, NULL);
    } else {
        command_gate_return(gate, job->call, NULL, NULL, NULL);
    }
    job_free(job);
}

/* False: it did not start, the call is still open. */
static bool job_start(HostPower *power, QmfCall *call, const char *const *argv, const char *profile)
{
    Job *job;

    if (g_list_length(power->jobs) >= JOBS_MAX)
        return false;
    job = g_new0(Job, 1);
    *job = (Job){.power = power, .call = call, .profile = g_strdup(profile), .deadline_us = command_gate_deadline_us(call, TOOL_TIMEOUT_US)};
    power->jobs = g_list_prepend(power->jobs, job);
    if (job_run(job, argv))
        return true;
    job_free(job);
    return false;
}

static void shut_down(HostPower *power, QmfCall *call, const char *how)
{
    const char *const argv[] = {"/sbin/shutdown", how, "now", NULL};

    if (!power->context->allow_power)
        command_gate_raise(power->context->gate, call, COMMAND_ERROR_ARGUMENT,
                           "power is not in the agent's hands here (mend-guest --allow-power)");
    else if (!job_start(power, call, argv, NULL))
        command_gate_raise(power->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
}

static bool is_allowed(const HostPower *power, const char *profile)
{
    for (char *const *pattern = power->context->power_profiles; pattern != NULL && *pattern != NULL; pattern++)
        if (g_pattern_match_simple(*pattern, profile))
            return true;
    return false;
}

static void set_profile(HostPower *power, QmfCall *call)
{
    const char *profile = value_get_string(qmf_call_arguments(call), "profile");
    const char *const off[] = {"tuned-adm", "off", NULL}, *const list[] = {"tuned-adm", "list", NULL};
    bool is_off = g_strcmp0(profile, "off") == 0, named = profile != NULL && *profile != '\0' && *profile != '-';

    if (named && !is_allowed(power, profile))
        command_gate_raise(power->context->gate, call, COMMAND_ERROR_ARGUMENT, MH_DENIED " (mend-guest --power-profile)");
    else if (!named || !job_start(power, call, is_off ? off : list, is_off ? NULL : profile))
        command_gate_raise(power->context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
}

bool host_power_method(HostPower *power, QmfCall *call)
{
    const char *const get[] = {"tuned-adm", "active", NULL}, *const list[] = {"tuned-adm", "list", NULL};
    const char *method = qmf_call_method(call);
    CommandGate *gate = power->context->gate;

    if (strcmp(method, "shutdown") == 0) {
        shut_down(power, call, "-h");
    } else if (strcmp(method, "reboot") == 0) {
        shut_down(power, call, "-r");
    } else if (strcmp(method, "set_power_profile") == 0) {
        set_profile(power, call);
    } else if (strcmp(method, "get_power_profile") == 0) {
        if (!job_start(power, call, get, NULL))
            command_gate_raise(gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
    } else if (strcmp(method, "list_power_profiles") == 0) {
        if (!job_start(power, call, list, NULL))
            command_gate_return(gate, call, output("profiles", value_list()), NULL, NULL);
    } else {
        return false;
    }
    return true;
}

HostPower *host_power_new(const ClassContext *context)
{
    HostPower *power = g_new0(HostPower, 1);

    power->context = context;
    return power;
}

void host_power_free(HostPower *power)
{
    while (power->jobs != NULL) {
        Job *job = power->jobs->data;

        command_gate_raise(power->context->gate, job->call, COMMAND_ERROR_INTERRUPTED, "the agent stops");
        job_free(job);
    }
    g_free(power);
}
