/* OCF agents, LSB scripts and commands given in the settings: three ways to find a program and its environment, one way to run it
 * and to read its answer. */
#include "agents/common/child.h"
#include "agents/guest/services/later.h"

#include "lib/base/clock.h"

#include <string.h>
#include <sys/wait.h>

#define META_DATA_MAX_BYTES (256 * 1024)
#define SAFE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

typedef struct Script {
    Backend base;
    const ServiceSpec *spec;
    const ServiceHost *host;
    Child *child;
    ElsewhereRun *run;
    Later *later;
    char *action;
    ActionDone done;
    void *user;
    int64_t started_us;
} Script;

static Backend *script_create(const ServiceSpec *spec, const ServiceHost *host, GError **error)
{
    Script *script = g_new0(Script, 1);

    script->spec = spec;
    script->host = host;
    return &script->base;
}

static void script_free(Backend *backend)
{
    Script *script = (Script *) backend;

    child_free(script->child);
    if (script->run != NULL)
        script->host->elsewhere->cancel(script->run);
    later_cancel(&script->later);
    g_free(script->action);
    g_free(script);
}

static void set_strings(char ***environment, const json_t *strings, const char *prefix)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *) strings, key, value) {
        g_autofree char *name = g_strconcat(prefix, key, NULL);

        *environment = g_environ_setenv(*environment, name, json_string_value(value), TRUE);
    }
}

static void set_number(char ***environment, const char *name, int64_t value)
{
    g_autofree char *text = g_strdup_printf("%" PRId64, value);

    *environment = g_environ_setenv(*environment, name, text, TRUE);
}

/* The environment the OCF API asks for, and nothing of ours (credentials least of all). */
static char **script_environment(const Script *script, const char *action, int64_t timeout_us)
{
    const ServiceSpec *spec = script->spec;
    char **e = g_environ_setenv(NULL, "PATH", SAFE_PATH, TRUE);

    e = g_environ_setenv(e, "LC_ALL", "C.UTF-8", TRUE);
    set_strings(&e, spec->environment, "");
    if (script->base.class != &backend_ocf)
        return e;
    e = g_environ_setenv(e, "OCF_ROOT", script->host->ocf_root, TRUE);
    e = g_environ_setenv(e, "OCF_RA_VERSION_MAJOR", "1", TRUE);
    e = g_environ_setenv(e, "OCF_RA_VERSION_MINOR", "1", TRUE);
    e = g_environ_setenv(e, "OCF_RESOURCE_INSTANCE", spec->name, TRUE);
    e = g_environ_setenv(e, "OCF_RESOURCE_TYPE", spec->agent, TRUE);
    e = g_environ_setenv(e, "OCF_RESOURCE_PROVIDER", spec->provider, TRUE);
    set_strings(&e, spec->parameters, "OCF_RESKEY_");
    e = g_environ_setenv(e, "OCF_RESKEY_CRM_meta_name", action, TRUE);
    set_number(&e, "OCF_RESKEY_CRM_meta_timeout", timeout_us / US_PER_MS);
    set_number(&e, "OCF_RESKEY_CRM_meta_interval", strcmp(action, "monitor") == 0 ? spec->interval_us / US_PER_MS : 0);
    return e;
}

/* NULL: the standard does not know the action. */
static char **script_argv(const Script *script, const char *action)
{
    const ServiceSpec *spec = script->spec;
    g_autofree char *path = NULL;

    if (script->base.class == &backend_exec) {
        char **command = strcmp(action, "start") == 0     ? spec->start
                         : strcmp(action, "stop") == 0    ? spec->stop
                         : strcmp(action, "restart") == 0 ? spec->restart
                         : strcmp(action, "monitor") == 0 ? spec->monitor
                                                          : NULL;
        return command != NULL ? g_strdupv(command) : NULL;
    }
    if (script->base.class == &backend_lsb) {
        path = g_build_filename(script->host->init_dir, spec->agent, NULL);
        action = strcmp(action, "monitor") == 0 ? "status" : action;
    } else {
        path = g_build_filename(script->host->ocf_root, "resource.d", spec->provider, spec->agent, NULL);
        action = strcmp(action, "status") == 0 ? "monitor" : action;
    }
    const char *const words[] = {path, action, NULL};
    return g_strdupv((char **) words);
}

static int script_rc(const Script *script, const ChildResult *result)
{
    int status = WEXITSTATUS(result->wait_status);

    if (result->timed_out)
        return OCF_TIMEOUT;
    if (WIFSIGNALED(result->wait_status))
        return OCF_SIGNAL;
    if (script->host->elsewhere != NULL && (status == 126 || status == 127)) /* there a shell runs it, and says so */
        return status == 127 ? OCF_INSTALLED : OCF_PERM;
    if (script->base.class == &backend_lsb) {
        if (strcmp(script->action, "monitor") == 0 || strcmp(script->action, "status") == 0)
            return ocf_from_lsb_status(status);
        return status <= OCF_NOT_RUNNING ? status : OCF_GENERIC; /* LSB's codes of other actions are those OCF took over */
    }
    return status;
}

/* What the agent said for people: OCF agents mark it with "ocf-exit-reason:". */
static const char *own_words(const ChildResult *result)
{
    const char *mark = strstr(result->last_words, "ocf-exit-reason:");

    return mark != NULL ? mark + strlen("ocf-exit-reason:") : result->last_words;
}

static char *script_text(const Script *script, int rc, const ChildResult *result)
{
    const char *words = own_words(result);
    g_autofree char *how = NULL;

    if (result->timed_out) {
        g_autofree char *after = duration_format((clock_now_us() - script->started_us) / (10 * US_PER_MS) * (10 * US_PER_MS));

        how = g_strdup_printf("%s timed out after %s and was killed", script->action, after);
    } else if (WIFSIGNALED(result->wait_status)) {
        g_autofree char *status = wait_status_text(result->wait_status);

        how = g_strdup_printf("%s was %s", script->action, status);
    } else {
        how = g_strdup_printf("%s: %s (%d)", script->action, ocf_code_text(rc), rc);
    }
    return rc == OCF_OK || *words == '\0' ? g_steal_pointer(&how) : g_strdup_printf("%s: %s", how, words);
}

static void answer_of(Script *script, const ChildResult *result)
{
    g_autofree char *text = NULL;
    ActionResult answer = {.rc = script_rc(script, result),
                           .wait_status = result->timed_out ? -1 : result->wait_status,
                           .output = result->output,
                           .output_bytes = result->output_bytes};

    answer.text = text = script_text(script, answer.rc, result);
    script->done(&answer, script->user); /* script may be freed by this; result lives on */
}

static void on_child_done(const ChildResult *result, void *user)
{
    Script *script = user;
    Child *child = g_steal_pointer(&script->child);

    answer_of(script, result);
    child_free(child);
}

/* Broken off is not failed: a start whose end nobody saw may have worked. A look that broke off has seen nothing. */
static void on_run_done(ElsewhereEnd end, const ChildResult *result, const char *why, void *user)
{
    Script *script = user;
    bool unknown = end == ELSEWHERE_LOST && strcmp(script->action, "monitor") != 0;
    g_autofree char *text = unknown ? g_strdup_printf("%s: %s; whether it was done is not known", script->action, why) : NULL;
    const ActionResult nothing = {.rc = unknown ? OCF_CANCELLED : OCF_CONNECTION_DIED, .text = text != NULL ? text : why,
                                  .wait_status = -1, .output = ""};

    script->run = NULL;
    if (end == ELSEWHERE_RAN)
        answer_of(script, result);
    else
        script->done(&nothing, script->user);
}

static void script_act(Backend *backend, const char *action, int64_t deadline_us, ActionDone done, void *user)
{
    Script *script = (Script *) backend;
    g_auto(GStrv) argv = script_argv(script, action);
    g_auto(GStrv) environment = script_environment(script, action, deadline_us - clock_now_us());
    g_autoptr(GError) error = NULL;
    ChildOptions options = {.argv = argv, .environment = environment, .deadline_us = deadline_us,
                            .max_output_bytes = strcmp(action, "meta-data") == 0 ? META_DATA_MAX_BYTES : 0};

    g_assert(script->child == NULL && script->run == NULL && script->later == NULL);
    g_free(script->action);
    script->action = g_strdup(action);
    script->done = done;
    script->user = user;
    script->started_us = clock_now_us();
    if (argv == NULL) {
        g_autofree char *text = g_strdup_printf("%s has no action '%s'", backend->class->standard, action);

        later_answer(&script->later, OCF_UNIMPLEMENTED, text, done, user);
        return;
    }
    if (script->host->elsewhere != NULL) {
        script->run = script->host->elsewhere->start(script->host->elsewhere->self, &options, on_run_done, script);
        return;
    }
    script->child = child_start(&options, on_child_done, script, &error);
    if (script->child == NULL) {
        int rc = g_error_matches(error, CHILD_ERROR, CHILD_ERROR_MISSING)      ? OCF_INSTALLED
                 : g_error_matches(error, CHILD_ERROR, CHILD_ERROR_PERMISSION) ? OCF_PERM
                                                                               : OCF_OTHER;
        later_answer(&script->later, rc, error->message, done, user);
    }
}

#define SCRIPT(name) {.standard = #name, .controls = true, .create = script_create, .act = script_act, .free = script_free}
const BackendClass backend_ocf = SCRIPT(ocf);
const BackendClass backend_lsb = SCRIPT(lsb);
const BackendClass backend_exec = SCRIPT(exec);
