/* `mend broker`: the embedded broker with its plugin, in the foreground. */
#include "broker-plugin/hosts/embedded/broker.h"
#include "broker-plugin/hosts/embedded/plugin_host.h"
#include "broker-plugin/hosts/embedded/site.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "mend/verbs.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

typedef struct BrokerVerb {
    BrokerSettings broker; /* first: its rows are ours too */
    char *plugin, *plugin_config;
    bool no_plugin;
} BrokerVerb;

typedef struct Running { Broker *broker; PluginHost *plugin; GMainLoop *loop; } Running;

static const Setting own_rows[] = {
    {"plugin", SETTING_STRING, offsetof(BrokerVerb, plugin), 0, 0, NULL, "PATH of the plugin to load (default: mend-plugin.so of this installation)"},
    {"plugin-config", SETTING_STRING, offsetof(BrokerVerb, plugin_config), 0, 0, NULL, "JSON what the plugin is told; see docs/plugins.md"},
    {"no-plugin", SETTING_BOOL, offsetof(BrokerVerb, no_plugin), 0, 0, NULL, "a plain message broker: no events, no control queues"},
};

static GArray *all_rows(void)
{
    GArray *rows = g_array_new(false, false, sizeof(Setting));

    g_array_append_vals(rows, broker_settings_rows, (guint) n_broker_settings_rows);
    g_array_append_vals(rows, own_rows, G_N_ELEMENTS(own_rows));
    return rows;
}

static gboolean on_stop(gpointer user)
{
    g_main_loop_quit(((Running *) user)->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean on_statistics(gpointer user)
{
    Running *running = user;
    g_autoptr(json_t) statistics = broker_statistics(running->broker);
    g_autofree char *text = NULL;

    if (running->plugin != NULL)
        json_object_set_new(statistics, "plugin", plugin_host_statistics(running->plugin));
    text = json_pretty(statistics);
    fprintf(stderr, "%s\n", text);
    return G_SOURCE_CONTINUE;
}

/* Every peer is a descriptor: take all the system allows. */
static void raise_limits(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What was given, and what only this program knows: which site it is, and that a laboratory asks nobody who he is. */
static char *plugin_config(const BrokerVerb *verb, const Site *site, GError **error)
{
    const char *given = verb->plugin_config != NULL ? verb->plugin_config : "{}";
    g_autoptr(json_t) config = json_parse(given, strlen(given), "--plugin-config", error);

    if (config == NULL)
        return NULL;
    if (json_is_object(config) && verb->plugin == NULL) { /* another plugin has settings of its own */
        if (site != NULL && site_id(site) != NULL && json_object_get(config, "site") == NULL)
            json_object_set_new(config, "site", json_string(site_id(site)));
        if (verb->broker.lab && json_object_get(config, "identity") == NULL)
            json_object_set_new(config, "identity", json_string("off"));
    }
    return json_text(config);
}

static PluginHost *open_plugin(Broker *broker, const BrokerVerb *verb, GError **error)
{
    bool kept = verb->broker.data != NULL || !verb->broker.lab;
    g_autoptr(Site) site = kept ? site_open(verb->broker.data, error) : NULL;
    g_autofree char *looked = NULL, *found = NULL, *config = NULL, *state = NULL;

    if (kept && site == NULL)
        return NULL;
    if (verb->plugin == NULL && (found = plugin_host_find(&looked)) == NULL) {
        g_set_error(error, PLUGIN_HOST_ERROR, PLUGIN_HOST_ERROR_PLUGIN, "the plugin is not installed: looked for %s "
                    "(--plugin PATH names another, --no-plugin does without)", looked);
        return NULL;
    }
    config = plugin_config(verb, site, error);
    if (config == NULL)
        return NULL;
    if (site != NULL)
        state = g_build_filename(site_folder(site), "plugin", NULL);
    const PluginHostOptions options = {.path = verb->plugin != NULL ? verb->plugin : found, .config_json = config, .state_folder = state};
    return plugin_host_new(broker, &options, error);
}

static int run(const BrokerVerb *verb)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, false);
    g_autoptr(Broker) broker = broker_new(&verb->broker, NULL, &error);
    g_autoptr(PluginHost) plugin = NULL;

    if (broker != NULL && !verb->no_plugin)
        plugin = open_plugin(broker, verb, &error);
    if (broker == NULL || (plugin == NULL && !verb->no_plugin) || !broker_start(broker, &error)) {
        fprintf(stderr, "mend broker: %s\n", error->message);
        return 1;
    }
    Running running = {broker, plugin, loop};
    g_unix_signal_add(SIGTERM, on_stop, &running);
    g_unix_signal_add(SIGINT, on_stop, &running);
    g_unix_signal_add(SIGUSR1, on_statistics, &running);
    printf("mend broker: listening on %s\n", broker_listening(broker));
    fflush(stdout);
    g_main_loop_run(loop);
    g_clear_pointer(&plugin, plugin_host_free);
    broker_stop(broker);
    return 0;
}

int verb_broker(char **argv)
{
    g_autoptr(GArray) table = all_rows();
    const Setting *rows = (const Setting *) (void *) table->data;
    BrokerVerb verb = {0};
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) rest = NULL;
    int rc;

    for (char **arg = argv + 1; *arg != NULL; arg++)
        if (strcmp(*arg, "--help") == 0) {
            printf("usage: mend broker [options]\n\nRuns the message broker. SIGTERM stops it; SIGUSR1 prints its statistics to stderr.\n\n");
            settings_help(rows, table->len);
            return 0;
        }
    log_open("mend broker", LOG_LEVEL_NOTICE);
    signal(SIGPIPE, SIG_IGN);
    raise_limits();
    settings_defaults(rows, table->len, &verb);
    if (!settings_read(rows, table->len, &verb, argv, &rest, &error)) {
        fprintf(stderr, "mend broker: %s\n", error->message);
        return 2;
    }
    if (rest != NULL && rest[0] != NULL) {
        fprintf(stderr, "mend broker: not expected: \"%s\"\n", rest[0]);
        return 2;
    }
    rc = run(&verb);
    settings_done(rows, table->len, &verb);
    return rc;
}
