/* See module.cpp for why this is a client in a thread. At the end it does not drain: by the time qpidd ends its modules no connection is
 * served any more, and what the plugin must not lose it has kept before it said so (as after a kill of `mend attach`). */
#include "broker-plugin/hosts/qpidd/inside.h"

#include "broker-plugin/hosts/attach/attach.h"
#include "lib/base/credentials.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

struct Inside {
    char *state, *url, *plugin, *config;
    Credentials *credentials;
    void (*log)(InsideLevel level, const char *text);
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
};

static void on_started(const char *broker, const char *dialect, const char *table, void *user)
{
    g_auto(GStrv) lines = g_strsplit(table, "\n", -1);

    log_notice("Mend's plugin runs in here, dialect %s. What is different here:", dialect);
    for (char **line = lines; *line != NULL; line++)
        if ((*line)[0] != '\0')
            log_notice("%s", *line);
}

static void on_failed(const char *why, void *user) { log_error("Mend's plugin does not run: %s", why); }

static gpointer run(gpointer user)
{
    Inside *inside = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(Attach) attach = NULL;

    g_main_context_push_thread_default(inside->context);
    attach = attach_new(&(AttachOptions) { .url = inside->url, .user = inside->credentials->user, .password = inside->credentials->password,
                                           .ca_file = inside->credentials->ca_file, .dialect = "qpidd", .plugin_path = inside->plugin,
                                           .plugin_config = inside->config, .state_folder = inside->state,
                                           .on_started = on_started, .on_failed = on_failed }, &error);
    if (attach != NULL)
        g_main_loop_run(inside->loop);
    else
        on_failed(error->message, NULL);
    g_clear_pointer(&attach, attach_free);
    g_main_context_pop_thread_default(inside->context);
    return NULL;
}

static const char *given(const char *text) { return text != NULL && text[0] != '\0' ? text : NULL; }

/* qpidd's own program tells nothing of where Mend is; this module does. */
static char *plugin_path(const char *path)
{
    Dl_info here;
    g_autofree char *folder = NULL;

    if (given(path) != NULL || dladdr((void *) inside_start, &here) == 0)
        return g_strdup(path);
    folder = g_path_get_dirname(here.dli_fname);
    return g_build_filename(folder, "..", "plugins", "mend-plugin.so", NULL);
}

static char *plugin_config(const InsideOptions *o, GError **error)
{
    const char *text = given(o->plugin_config) != NULL ? o->plugin_config : "{}";
    g_autoptr(json_t) config = json_parse(text, strlen(text), "mend-plugin-config", error);

    if (config == NULL)
        return NULL;
    if (o->lab && json_is_object(config) && json_object_get(config, "identity") == NULL)
        json_object_set_new(config, "identity", json_string("off"));
    return json_text(config);
}

static void inside_free(Inside *inside)
{
    credentials_free(inside->credentials);
    g_free(inside->state);
    g_free(inside->url);
    g_free(inside->plugin);
    g_free(inside->config);
    if (inside->loop != NULL)
        g_main_loop_unref(inside->loop);
    if (inside->context != NULL)
        g_main_context_unref(inside->context);
    g_free(inside);
}

static void (*told)(InsideLevel level, const char *text);

static void divert(LogLevel level, const char *text) { told((InsideLevel) level, text); }

Inside *inside_start(const InsideOptions *options, char **ret_why)
{
    Inside *inside = g_new0(Inside, 1);
    g_autoptr(GError) error = NULL;

    log_open("mend", LOG_LEVEL_DEBUG); /* qpidd's own settings say what is shown */
    told = options->log;
    log_divert(divert);
    inside->credentials = given(options->credentials) != NULL ? credentials_read(options->credentials, &error) : g_new0(Credentials, 1);
    inside->config = inside->credentials != NULL ? plugin_config(options, &error) : NULL;
    if (inside->config == NULL) {
        *ret_why = strdup(error->message);
        inside_free(inside);
        return NULL;
    }
    inside->state = g_build_filename(options->data, "attach", NULL);
    inside->url = g_strdup(options->url);
    inside->plugin = plugin_path(options->plugin);
    inside->context = g_main_context_new();
    inside->loop = g_main_loop_new(inside->context, FALSE);
    inside->thread = g_thread_new("mend", run, inside);
    return inside;
}

static gboolean quit(gpointer user)
{
    g_main_loop_quit(user);
    return G_SOURCE_REMOVE;
}

void inside_stop(Inside *inside)
{
    g_autoptr(GSource) source = NULL;

    if (inside == NULL)
        return;
    source = g_idle_source_new(); /* in its own loop: a quit before the run would be forgotten */
    g_source_set_callback(source, quit, inside->loop, NULL);
    g_source_attach(source, inside->context);
    g_thread_join(inside->thread);
    inside_free(inside);
}
