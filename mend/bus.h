/* The bus of a site in this process: the embedded broker with its plugin. What `mend broker` and `mend up` start. */
#ifndef MEND_BUS_H
#define MEND_BUS_H

#include "broker-plugin/hosts/embedded/broker.h"

typedef struct BusSettings {
    BrokerSettings broker; /* first: its rows are ours too */
    char *plugin, *plugin_config;
    bool no_plugin;
} BusSettings;

/* The broker's rows and the plugin's, offsets from BusSettings; with @more before them. (transfer full) of Setting. */
GArray *bus_settings_rows(const Setting *more, size_t n_more);

typedef struct Bus Bus;

/* Opens the site, loads the plugin, then accepts peers. @settings: borrowed, outlives the bus. NULL: error, nothing was started. */
Bus *bus_start(const BusSettings *settings, GError **error);
/* The plugin drains, peers are dropped, the store is safe. NULL is fine. */
void bus_stop(Bus *bus);
const char *bus_listening(const Bus *bus); /* as broker_listening */
json_t *bus_statistics(Bus *bus);          /* (transfer full) */
/* What the plugin said when it gave up; NULL: it runs, or there is none. Borrowed. */
const char *bus_plugin_failure(Bus *bus);

#endif
