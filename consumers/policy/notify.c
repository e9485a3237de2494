#include "consumers/policy/notify.h"

#include "lib/base/json.h"
#include "lib/base/log.h"

#include <gio/gio.h>

#define RUN_MAX_S 30

struct Notifier {
    unsigned running;
    int refs; /* each running command holds one */
};

typedef struct Run {
    Notifier *notifier;
    GSubprocess *process;
    char *target;
    guint timer;
} Run;

Notifier *notifier_new(void)
{
    Notifier *notifier = g_new0(Notifier, 1);

    notifier->refs = 1;
    return notifier;
}

void notifier_free(Notifier *notifier)
{
    if (notifier != NULL && --notifier->refs == 0)
        g_free(notifier);
}

static gboolean on_too_long(gpointer user)
{
    Run *run = user;

    log_warning("notify %s: its command ran longer than %d s and was ended", run->target, RUN_MAX_S);
    g_subprocess_force_exit(run->process);
    run->timer = 0;
    return G_SOURCE_REMOVE;
}

static void on_ended(GObject *source, GAsyncResult *result, gpointer user)
{
    Run *run = user;
    g_autoptr(GError) error = NULL;

    if (!g_subprocess_communicate_utf8_finish(run->process, result, NULL, NULL, &error))
        log_warning("notify %s: %s", run->target, error->message);
    else if (!g_subprocess_get_successful(run->process))
        log_warning("notify %s: its command failed", run->target);
    if (run->timer != 0)
        g_source_destroy(g_main_context_find_source_by_id(g_main_context_get_thread_default(), run->timer));
    run->notifier->running--;
    notifier_free(run->notifier);
    g_object_unref(run->process);
    g_free(run->target);
    g_free(run);
}

static void run_command(Notifier *notifier, const Target *target, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) words = NULL;

    if (notifier->running >= NOTIFY_RUNNING_MAX) {
        log_warning("notify %s: %d commands are running already: not told: %s", target->name, NOTIFY_RUNNING_MAX, text);
        return;
    }
    GSubprocess *process = !g_shell_parse_argv(target->command, NULL, &words, &error)
                               ? NULL
                               : g_subprocess_newv((const char *const *) words, G_SUBPROCESS_FLAGS_STDIN_PIPE, &error);
    if (process == NULL) {
        log_error("notify %s: %s; not told: %s", target->name, error->message, text);
        return;
    }
    Run *run = g_new0(Run, 1);
    g_autoptr(GSource) timer = g_timeout_source_new_seconds(RUN_MAX_S);
    *run = (Run){ .notifier = notifier, .process = process, .target = g_strdup(target->name) };
    g_source_set_callback(timer, on_too_long, run, NULL);
    run->timer = g_source_attach(timer, g_main_context_get_thread_default());
    notifier->running++;
    notifier->refs++;
    g_subprocess_communicate_utf8_async(process, text, NULL, on_ended, run);
}

void notifier_tell(Notifier *notifier, const Policy *policy, const json_t *notice)
{
    const char *to = json_string_or(notice, "to", "log"), *kind = json_string_or(notice, "notice", "");
    const Target *target = policy_target(policy, to);

    log_warning("notice to %s: %s", to, json_string_or(notice, "text", kind));
    if (target == NULL || target->kind != TARGET_EXEC)
        return;
    g_autofree char *text = json_text(notice), *line = g_strconcat(text, "\n", NULL);
    run_command(notifier, target, line);
}
