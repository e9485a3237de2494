/* Runs one plugin inside the embedded broker, on a thread and main context of its own: its slowness delays itself, not the broker.
 *
 * Thread: new, reload, statistics and free are called by one owner, on any thread but the plugin's. */
#ifndef MEND_EMBEDDED_PLUGIN_HOST_H
#define MEND_EMBEDDED_PLUGIN_HOST_H

#include "broker-plugin/hosts/embedded/broker.h"

typedef struct PluginHost PluginHost;

typedef struct PluginHostOptions {
    const char *path;         /* of the shared object */
    const char *config_json;  /* NULL: "{}" */
    const char *state_folder; /* what the plugin keeps lies here, one file each; NULL: in memory only */
} PluginHostOptions;

#define PLUGIN_HOST_ERROR plugin_host_error_quark()
GQuark plugin_host_error_quark(void);
typedef enum { PLUGIN_HOST_ERROR_PLUGIN /* refused, or it would not start: the text says all */, PLUGIN_HOST_ERROR_STATE } PluginHostError;

/* To be called between broker_new() and broker_start(), so that nothing passes unseen. @broker must outlive the host. NULL: error,
 * nothing is left running. */
PluginHost *plugin_host_new(Broker *broker, const PluginHostOptions *options, GError **error);
/* Lets it drain for at most 5 s, then ends it. NULL is fine. Before broker_stop(). */
void plugin_host_free(PluginHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PluginHost, plugin_host_free)

bool plugin_host_reload(PluginHost *host, const char *config_json, GError **error);
/* Its metrics, and how long its calls take. (transfer full) */
json_t *plugin_host_statistics(PluginHost *host);
/* What it said when it gave up; NULL: it runs. Borrowed. */
const char *plugin_host_failure(PluginHost *host);

#endif
