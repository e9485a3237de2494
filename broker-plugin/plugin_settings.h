/* What people may set about the Mend plugin: one JSON object, described by plugin_config_schema (a JSON Schema, which is also what
 * the host checks it against and where the defaults stand). */
#ifndef MEND_PLUGIN_SETTINGS_H
#define MEND_PLUGIN_SETTINGS_H

#include "lib/base/base.h"

typedef struct PluginSettings {
    char *site;                  /* UUID, canonical; NULL: not given */
    bool check_identity, legacy;
    int64_t max_agents, max_entities, max_quarantine, max_message_bytes, max_commands;
    double rate_per_s, rate_burst;
    double late, threshold;      /* in heartbeat intervals */
    bool phi;                    /* judge by what each agent's own heartbeats are like */
    double phi_lost;
    int64_t restart_grace_us, control_keep_us, heartbeat_us, watch_interval_us;
    double fault_share;
    int64_t shards;              /* at most SHARDS_MAX */
    int64_t fault_agents, fault_window_us;
    json_t *classes;             /* PRODUCT -> {late, threshold, mode, phi}; owned */
} PluginSettings;

extern const char plugin_config_schema[];

/* @json has passed the schema or is checked here again: a host may not have looked. */
bool plugin_settings_parse(const char *json, size_t n_bytes, PluginSettings *ret, GError **error);
void plugin_settings_done(PluginSettings *settings);

#endif
