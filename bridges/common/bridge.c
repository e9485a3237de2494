/* mend-bridge: the settings of a system are the common rows and its own in one table, so that --help, the settings file and the errors
 * know them all; the two structs lie one behind the other. */
#include "bridges/common/bridge.h"

#include "agents/common/agent_bus.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define OWN_AT ((sizeof(BridgeSettings) + 15) / 16 * 16) /* where the system's own struct begins */

struct Bridge {
    const BridgeSystem *system;
    GArray *rows;         /* Setting: all */
    char *settings;       /* BridgeSettings, then the system's own */
    char *name, *data; /* name: for the log */
    GMainLoop *loop;
    void *state;
    unsigned holds;
    guint close_source;
    bool closing;
};

#define AT(field) offsetof(BridgeSettings, field)
static const Setting common_rows[] = {
    { "broker", SETTING_STRING, AT(broker), 0, 0, NULL, "URL of the broker; from the credentials, or amqp://127.0.0.1:5672" },
    { "credentials", SETTING_STRING, AT(credentials), 0, 0, NULL,
      "FOLDER with a file for each user (agent-ID, host-ID), as 'mend enrol' printed it; or that FILE, when there is one only" },
    { "site", SETTING_STRING, AT(site), 0, 0, NULL, "FOLDER of a broker on this machine, to find its credentials; $MEND_DATA or /var/lib/mend" },
    { "anonymous", SETTING_BOOL, AT(anonymous), 0, 0, NULL, "connect without a name (a broker must allow it)" },
    { "data", SETTING_STRING, AT(data), 0, 0, "/var/lib/mend-bridge", "FOLDER for what must survive a restart; each system has its own in it" },
    { "heartbeat", SETTING_DURATION, AT(heartbeat_us), US_PER_S, US_PER_HOUR, "5s", "time between two heartbeats" },
    { "log", SETTING_STRING, AT(log), 0, 0, "info", "LEVEL: error, warning, notice, info or debug" },
};

const char *bridge_data(const Bridge *bridge) { return bridge->data; }
const BridgeSettings *bridge_settings(const Bridge *bridge) { return (const BridgeSettings *) (const void *) bridge->settings; }
bool bridge_is_closing(const Bridge *bridge) { return bridge->closing; }

/* ---- start and end ---------------------------------------------------------------------------------------------------------------- */

void bridge_hold(Bridge *bridge) { bridge->holds++; }

void bridge_release(Bridge *bridge)
{
    g_assert(bridge->holds > 0);
    if (--bridge->holds == 0 && bridge->closing)
        g_main_loop_quit(bridge->loop);
}

static gboolean on_late(void *user)
{
    Bridge *bridge = user;

    bridge->close_source = 0;
    g_main_loop_quit(bridge->loop);
    return G_SOURCE_REMOVE;
}

static gboolean on_end(void *user)
{
    Bridge *bridge = user;

    if (bridge->closing) { /* a second time: at once */
        g_main_loop_quit(bridge->loop);
        return G_SOURCE_CONTINUE;
    }
    log_notice("told to end; what it speaks for is left as it is");
    bridge->closing = true;
    bridge->close_source = g_timeout_add(BRIDGE_CLOSE_MAX_US / US_PER_MS, on_late, bridge);
    bridge_hold(bridge);
    if (bridge->system->close != NULL)
        bridge->system->close(bridge->state);
    bridge_release(bridge);
    return G_SOURCE_CONTINUE;
}

static gboolean on_reload(void *user)
{
    Bridge *bridge = user;

    if (bridge->system->reload != NULL && !bridge->closing)
        bridge->system->reload(bridge->state);
    return G_SOURCE_CONTINUE;
}

/* ---- settings --------------------------------------------------------------------------------------------------------------------- */

static GArray *all_rows(const BridgeSystem *system)
{
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(Setting));

    g_array_append_vals(rows, common_rows, G_N_ELEMENTS(common_rows));
    for (size_t i = 0; i < system->n_rows; i++) {
        Setting row = system->rows[i];

        row.offset += OWN_AT;
        g_array_append_val(rows, row);
    }
    return rows;
}

static bool read_settings(Bridge *bridge, char **argv, GError **error)
{
    const BridgeSettings *settings = bridge_settings(bridge);
    g_auto(GStrv) rest = NULL;
    LogLevel level;

    if (!settings_read((const Setting *) (const void *) bridge->rows->data, bridge->rows->len, bridge->settings, argv, &rest, error))
        return false;
    if (rest != NULL && *rest != NULL) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "'%s' is not understood; --help shows what is", *rest);
        return false;
    }
    if (!log_level_parse(settings->log, &level)) {
        g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--log: '%s' is none of error, warning, notice, info, debug", settings->log);
        return false;
    }
    bridge->name = g_strconcat("mend-bridge ", bridge->system->name, NULL);
    log_open(bridge->name, level);
    bridge->data = g_build_filename(settings->data, bridge->system->name, NULL);
    return true;
}

static void help(const BridgeSystem *system, const GArray *rows)
{
    printf("mend-bridge %s [--settings FILE] [options]: %s\n\n", system->name, system->about);
    settings_help((const Setting *) (const void *) rows->data, rows->len);
}

/* ---- the program ------------------------------------------------------------------------------------------------------------------ */

static bool help_wanted(char **argv)
{
    for (char **arg = argv + 1; *arg != NULL; arg++)
        if (strcmp(*arg, "--help") == 0 || strcmp(*arg, "-h") == 0)
            return true;
    return false;
}

static int run(Bridge *bridge, char **argv)
{
    g_autoptr(GError) error = NULL;

    if (help_wanted(argv)) {
        help(bridge->system, bridge->rows);
        return 0;
    }
    if (!read_settings(bridge, argv, &error) ||
        (bridge->state = bridge->system->start(bridge, bridge->settings + OWN_AT, &error)) == NULL) {
        log_error("%s", error->message);
        return 1;
    }
    g_unix_signal_add(SIGHUP, on_reload, bridge);
    g_unix_signal_add(SIGTERM, on_end, bridge);
    g_unix_signal_add(SIGINT, on_end, bridge);
    g_main_loop_run(bridge->loop);
    return 0;
}

static int run_system(const BridgeSystem *system, char **argv)
{
    Bridge bridge = { .system = system, .rows = all_rows(system), .loop = g_main_loop_new(NULL, FALSE) };
    int status;

    bridge.settings = g_malloc0(OWN_AT + system->settings_bytes);
    status = run(&bridge, argv);
    if (bridge.state != NULL)
        system->stop(bridge.state);
    g_clear_handle_id(&bridge.close_source, g_source_remove);
    g_main_loop_unref(bridge.loop);
    settings_done((const Setting *) (const void *) bridge.rows->data, bridge.rows->len, bridge.settings);
    g_array_unref(bridge.rows);
    g_free(bridge.settings);
    g_free(bridge.data);
    log_open("mend-bridge", LOG_LEVEL_INFO);
    g_free(bridge.name);
    return status;
}

static void usage(FILE *to, const BridgeSystem *const *systems, size_t n_systems)
{
    fprintf(to, "usage: mend-bridge SYSTEM [--settings FILE] [options]\n\nSpeaks on the bus for what cannot run an agent of Mend. Systems:\n\n");
    for (size_t i = 0; i < n_systems; i++)
        fprintf(to, "  %-16s %s\n", systems[i]->name, systems[i]->about);
    fprintf(to, "\nmend-bridge SYSTEM --help: its settings\n");
}

int bridge_main(const BridgeSystem *const *systems, size_t n_systems, char **argv)
{
    const char **names = g_newa(const char *, n_systems + 1);

    log_open("mend-bridge", LOG_LEVEL_INFO);
    signal(SIGPIPE, SIG_IGN);
    if (argv[0] == NULL || argv[1] == NULL || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(argv[0] != NULL && argv[1] != NULL ? stdout : stderr, systems, n_systems);
        return argv[0] != NULL && argv[1] != NULL ? 0 : 2;
    }
    for (size_t i = 0; i < n_systems; i++)
        if (strcmp(argv[1], systems[i]->name) == 0)
            return run_system(systems[i], argv + 1);
    for (size_t i = 0; i < n_systems; i++)
        names[i] = systems[i]->name;
    names[n_systems] = NULL;
    const char *near = nearest_word(argv[1], names);

    fprintf(stderr, "mend-bridge: there is no system '%s'%s%s%s (mend-bridge --help)\n", argv[1], near != NULL ? "; did you mean '" : "",
            near != NULL ? near : "", near != NULL ? "'?" : "");
    return 2;
}
