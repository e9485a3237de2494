/*   puppet, document:  VERSION --> FETCH (a URI) --> TOOL      puppet://HOST:  VERSION --> TOOL      augeas:  FETCH (a URI) --> TOOL
 *
 * The document is fetched by curl and not by a library of ours: it is used once in a machine's life, and a child costs nothing until then.
 * Redirections are not followed, because where they lead was not allowed. The document lies in a file only while the tool reads it.
 *
 * Status texts are the original's: "OK" or "FAILED\n" and puppet's code; "OK\n" and augeas's output, or "FAILED\n", its code, its output.
 * Different, knowingly: puppet is asked for detailed exit codes, because without them it says 0 for a manifest it could not apply; its last
 * words stand on a third line. */
#include "agents/guest/matahari/sysconfig_run.h"

#include "agents/common/child.h"
#include "agents/guest/classes.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_BYTES   65536
#define CODE_TIMED_OUT 198 /* as the original's service library says it */
#define CODE_SIGNAL    194

typedef enum { STEP_VERSION, STEP_FETCH, STEP_TOOL } Step;

struct SysconfigRun {
    SysconfigRunDone done;
    void *user;
    bool puppet, old_puppet; /* old: before 2, without verbs */
    char *uri, *text, *augeas, *document;
    int64_t deadline_us;
    Step step;
    Child *child;
    guint later; /* the end of a run that could not even start */
    const char *problem;
};

void sysconfig_run_free(SysconfigRun *run)
{
    if (run == NULL)
        return;
    g_clear_handle_id(&run->later, g_source_remove);
    child_free(run->child);
    unlink(run->document);
    g_free(run->uri);
    g_free(run->text);
    g_free(run->augeas);
    g_free(run->document);
    g_free(run);
}

static void on_child(const ChildResult *result, void *user);

static gboolean on_later(void *user)
{
    SysconfigRun *run = user;

    run->later = 0;
    run->done(NULL, run->problem, run->user);
    return G_SOURCE_REMOVE;
}

static void fail(SysconfigRun *run, const char *problem)
{
    run->problem = problem;
    run->later = g_idle_add(on_later, run);
}

static bool is_server(const SysconfigRun *run)
{
    return run->uri != NULL && g_ascii_strncasecmp(run->uri, "puppet://", 9) == 0;
}

static void start_child(SysconfigRun *run, Step step, const char *const *argv, const char *problem)
{
    const ChildOptions options = {.argv = (char *const *) argv, .deadline_us = run->deadline_us,
                                  .max_output_bytes = step == STEP_FETCH ? SYSCONFIG_DOCUMENT_BYTES + 1 : OUTPUT_BYTES};
    g_autoptr(GError) error = NULL;
    Child *before = g_steal_pointer(&run->child);

    run->step = step;
    run->child = child_start(&options, on_child, run, &error);
    child_free(before);
    if (run->child == NULL) {
        log_warning("sysconfig: %s", error->message);
        fail(run, problem);
    }
}

static void start_tool(SysconfigRun *run)
{
    const char *const apply[] = {"puppet", "apply", "--detailed-exitcodes", run->document, "--color=false", NULL};
    const char *const plain[] = {"puppet", run->document, NULL};
    const char *const agent[] = {"puppet", "agent", "--server", run->uri != NULL ? run->uri + 9 : "", "--test", "--color=false", NULL};
    const char *const augeas[] = {run->augeas, "run", run->document, NULL};
    g_autoptr(GError) error = NULL;

    if (!is_server(run) && !file_write(run->document, run->text, strlen(run->text), 0600, &error)) {
        log_warning("sysconfig: %s", error->message);
        fail(run, MH_BACKEND);
        return;
    }
    start_child(run, STEP_TOOL, !run->puppet ? augeas : is_server(run) ? agent : run->old_puppet ? plain : apply,
                run->puppet ? MH_BACKEND : MH_NOT_IMPLEMENTED);
}

static void start_fetch(SysconfigRun *run)
{
    g_autofree char *proto = run->uri != NULL ? g_strdup_printf("=%.*s", (int) strcspn(run->uri, ":"), run->uri) : NULL;
    const char *const argv[] = {"curl",       "-q",  "--silent",     "--show-error", "--fail", "--location", "--max-redirs", "0",
                                "--globoff", "--proto", proto, "--", run->uri,       NULL}; /* a redirection is an error */

    if (run->uri == NULL || is_server(run))
        start_tool(run);
    else
        start_child(run, STEP_FETCH, argv, MH_DOWNLOAD);
}

static void on_version(SysconfigRun *run, const ChildResult *result)
{
    unsigned major = 0;

    if (result->timed_out || result->wait_status != 0 || strchr(result->output, '.') == NULL || sscanf(result->output, "%u", &major) != 1) {
        run->done(NULL, MH_BACKEND, run->user);
        return;
    }
    run->old_puppet = major < 2;
    start_fetch(run);
}

static void on_fetched(SysconfigRun *run, const ChildResult *result)
{
    bool too_long = result->output_bytes > SYSCONFIG_DOCUMENT_BYTES, binary = strlen(result->output) != result->output_bytes;

    if (result->timed_out || result->wait_status != 0 || too_long || binary) {
        log_warning("sysconfig: %s: %s", run->uri,
                    too_long ? "longer than is taken" : binary ? "holds a zero byte" : result->timed_out ? "timed out" : result->last_words);
        run->done(NULL, MH_DOWNLOAD, run->user);
        return;
    }
    g_free(run->text);
    run->text = g_strdup(result->output);
    start_tool(run);
}

static int code_of(const ChildResult *result)
{
    if (result->timed_out)
        return CODE_TIMED_OUT;
    return WIFEXITED(result->wait_status) ? WEXITSTATUS(result->wait_status) : CODE_SIGNAL;
}

static char *puppet_status(const SysconfigRun *run, const ChildResult *result)
{
    int code = code_of(result);
    bool changed = code == 2 && !run->old_puppet;

    if (code == 0 || changed)
        return g_strdup("OK");
    return g_strdup_printf("FAILED\n%d%s%s", code, *result->last_words != '\0' ? "\n" : "", result->last_words);
}

/* The helper's first line is augeas's code. NULL: the helper could not begin. */
static char *augeas_status(const ChildResult *result)
{
    const char *rest = strchr(result->output, '\n');
    int code = code_of(result);
    g_autofree char *said = g_utf8_make_valid(rest != NULL ? rest + 1 : "", -1);

    if (code == 0 && rest != NULL && sscanf(result->output, "%d", &code) == 1)
        return code < 0 ? g_strdup_printf("FAILED\n%d\n%s", code, said) : g_strdup_printf("OK\n%s", said);
    return code == CODE_TIMED_OUT || code == CODE_SIGNAL ? g_strdup_printf("FAILED\n%d\n", code) : NULL;
}

static void on_child(const ChildResult *result, void *user)
{
    SysconfigRun *run = user;

    if (run->step == STEP_VERSION) {
        on_version(run, result);
    } else if (run->step == STEP_FETCH) {
        on_fetched(run, result);
    } else {
        g_autofree char *status = run->puppet ? puppet_status(run, result) : augeas_status(result);

        if (status == NULL)
            log_warning("sysconfig: augeas: %s", result->last_words);
        run->done(status, status != NULL ? NULL : MH_BACKEND, run->user);
    }
}

SysconfigRun *sysconfig_run_start(const SysconfigRunOptions *options, SysconfigRunDone done, void *user)
{
    static const char *const version[] = {"puppet", "--version", NULL};
    SysconfigRun *run = g_new0(SysconfigRun, 1);

    *run = (SysconfigRun){.done = done, .user = user, .puppet = options->puppet, .uri = g_strdup(options->uri), .text = g_strdup(options->text),
                          .augeas = g_strdup(options->augeas), .deadline_us = options->deadline_us,
                          .document = g_build_filename(options->folder, options->puppet ? ".document.pp" : ".document.aug", NULL)};
    if (run->puppet)
        start_child(run, STEP_VERSION, version, MH_BACKEND);
    else
        start_fetch(run);
    return run;
}
