/* The settings of mend-guest. */
#ifndef MEND_GUEST_SETTINGS_H
#define MEND_GUEST_SETTINGS_H

#include "agents/guest/services/spec.h"
#include "lib/base/settings.h"

typedef struct GuestSettings {
    char *broker, *credentials, *site, *id, *data, *services_file, *ocf_root, *init_dir, *systemd_bus, *log, *sysconfig_keys, *rpc_plugins, *rpc_user, *dbus_address;
    char **services, **power_profiles, **network_allow, **sysconfig_allow, **sysconfig_uris, **dbus_allow, **deny;
    int64_t heartbeat_us, update_interval_us, sysconfig_timeout_us, rpc_timeout_us, rpc_idle_us;
    bool print_id, anonymous, allow_power, allow_remote_commands, stop_at_exit, network, network_allow_bus,
        sysconfig, dbus_bridge;
} GuestSettings;

extern const Setting guest_settings[];
extern const size_t n_guest_settings;

/* What is to be watched: the services file, then the short forms. (transfer full): of ServiceSpec. NULL: error; nothing half read. */
GPtrArray *guest_settings_services(const GuestSettings *settings, GError **error);

#endif
