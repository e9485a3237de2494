#include "mend/foreground.h"

#include "lib/base/log.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

bool foreground_settings(const char *verb, const char *usage, const GArray *rows, void *target, char **argv, char **ret_word,
                         int *ret_status)
{
    const Setting *table = (const Setting *) (const void *) rows->data;
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;

    *ret_status = 2;
    for (char **arg = argv + 1; *arg != NULL; arg++)
        if (strcmp(*arg, "--help") == 0 || strcmp(*arg, "-h") == 0) {
            printf("%s\n", usage);
            settings_help(table, rows->len);
            *ret_status = 0;
            return false;
        }
    signal(SIGPIPE, SIG_IGN);
    if (!settings_read(table, rows->len, target, argv, &rest, &error)) {
        fprintf(stderr, "mend %s: %s\n", verb, error->message);
        return false;
    }
    const char *odd = ret_word == NULL || rest[0] == NULL ? rest[0] : rest[1];
    if (odd != NULL) {
        fprintf(stderr, "mend %s: not expected: \"%s\" (mend %s --help lists the options)\n", verb, odd, verb);
        settings_done(table, rows->len, target);
        return false;
    }
    if (ret_word != NULL)
        *ret_word = g_strdup(rest[0]);
    return true;
}

typedef struct Foreground {
    GMainLoop *loop;
    void (*reload)(void *user), (*report)(void *user);
    void *user;
} Foreground;

static gboolean on_stop(void *user)
{
    g_main_loop_quit(((Foreground *) user)->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_reload(void *user)
{
    Foreground *foreground = user;

    if (foreground->reload != NULL)
        foreground->reload(foreground->user);
    return G_SOURCE_CONTINUE;
}

static gboolean on_report(void *user)
{
    Foreground *foreground = user;

    if (foreground->report != NULL)
        foreground->report(foreground->user);
    return G_SOURCE_CONTINUE;
}

static GMainLoop *running; /* a process has one foreground */
static bool ended;

void foreground_end(void)
{
    ended = true;
    if (running != NULL)
        g_main_loop_quit(running);
}

void foreground_run(void (*reload)(void *user), void (*report)(void *user), void *user)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Foreground foreground = { loop, reload, report, user };
    guint sources[] = { g_unix_signal_add(SIGTERM, on_stop, &foreground), g_unix_signal_add(SIGINT, on_stop, &foreground),
                        g_unix_signal_add(SIGHUP, on_reload, &foreground), g_unix_signal_add(SIGUSR1, on_report, &foreground) };

    running = loop;
    if (!ended)
        g_main_loop_run(loop);
    running = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(sources); i++)
        g_source_remove(sources[i]);
}
