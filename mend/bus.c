#include "mend/bus.h"

#include "broker-plugin/hosts/embedded/plugin_host.h"
#include "broker-plugin/hosts/embedded/site.h"
#include "broker-plugin/loader.h"
#include "lib/base/json.h"

#include <string.h>
#include <sys/resource.h>

struct Bus {
    Broker *broker;
    PluginHost *plugin; /* NULL: none wanted */
};

static const Setting own_rows[] = {
    { "plugin", SETTING_STRING, offsetof(BusSettings, plugin), 0, 0, NULL,
      "PATH of the plugin to load (default: mend-plugin.so of this installation)" },
    { "plugin-config", SETTING_STRING, offsetof(BusSettings, plugin_config), 0, 0, NULL,
      "JSON what the plugin is told; see docs/plugins.md" },
    { "no-plugin", SETTING_BOOL, offsetof(BusSettings, no_plugin), 0, 0, NULL,
      "a plain message broker: no events, no control queues" },
};

GArray *bus_settings_rows(const Setting *more, size_t n_more)
{
    GArray *rows = g_array_new(false, false, sizeof(Setting));

    if (n_more > 0)
        g_array_append_vals(rows, more, (guint) n_more);
    g_array_append_vals(rows, broker_settings_rows, (guint) n_broker_settings_rows);
    g_array_append_vals(rows, own_rows, G_N_ELEMENTS(own_rows));
    return rows;
}

/* What was given, and what only this program knows: which site it is, and that a laboratory asks nobody who he is. */
static char *plugin_config(const BusSettings *settings, const Site *site, GError **error)
{
    const char *given = settings->plugin_config != NULL ? settings->plugin_config : "{}";
    g_autoptr(json_t) config = json_parse(given, strlen(given), "--plugin-config", error);

    if (config == NULL)
        return NULL;
    if (json_is_object(config) && settings->plugin == NULL) { /* another plugin has settings of its own */
        if (site != NULL && site_id(site) != NULL && json_object_get(config, "site") == NULL)
            json_object_set_new(config, "site", json_string(site_id(site)));
        if (settings->broker.lab && json_object_get(config, "identity") == NULL)
            json_object_set_new(config, "identity", json_string("off"));
    }
    return json_text(config);
}

static PluginHost *open_plugin(Broker *broker, const BusSettings *settings, GError **error)
{
    bool kept = settings->broker.data != NULL || !settings->broker.lab;
    g_autoptr(Site) site = kept ? site_open(settings->broker.data, error) : NULL;
    g_autofree char *found = NULL, *config = NULL, *state = NULL;

    if (kept && site == NULL)
        return NULL;
    if (settings->plugin == NULL && (found = loader_find(error)) == NULL) {
        g_prefix_error(error, "(--no-plugin does without) ");
        return NULL;
    }
    config = plugin_config(settings, site, error);
    if (config == NULL)
        return NULL;
    if (site != NULL)
        state = g_build_filename(site_folder(site), "plugin", NULL);
    const PluginHostOptions options = { .path = settings->plugin != NULL ? settings->plugin : found, .config_json = config,
                                        .state_folder = state };
    return plugin_host_new(broker, &options, error);
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

Bus *bus_start(const BusSettings *settings, GError **error)
{
    Bus *bus = g_new0(Bus, 1);

    raise_limits();
    bus->broker = broker_new(&settings->broker, NULL, error);
    if (bus->broker != NULL && !settings->no_plugin)
        bus->plugin = open_plugin(bus->broker, settings, error);
    if (bus->broker != NULL && (bus->plugin != NULL || settings->no_plugin) && broker_start(bus->broker, error))
        return bus;
    bus_stop(bus);
    return NULL;
}

void bus_stop(Bus *bus)
{
    if (bus == NULL)
        return;
    plugin_host_free(bus->plugin);
    broker_free(bus->broker);
    g_free(bus);
}

const char *bus_listening(const Bus *bus)
{
    return broker_listening(bus->broker);
}

json_t *bus_statistics(Bus *bus)
{
    json_t *statistics = broker_statistics(bus->broker);

    if (bus->plugin != NULL)
        json_object_set_new(statistics, "plugin", plugin_host_statistics(bus->plugin));
    return statistics;
}

const char *bus_plugin_failure(Bus *bus)
{
    return bus->plugin == NULL ? NULL : plugin_host_failure(bus->plugin);
}
