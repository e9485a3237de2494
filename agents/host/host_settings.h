/* The settings of mend-host. Parts add their rows here; what a row means is said there once. */
#ifndef MEND_HOST_SETTINGS_H
#define MEND_HOST_SETTINGS_H

#include "lib/base/settings.h"

typedef struct HostSettings {
    char *broker, *credentials, *site, *id, *data, *log;
    char *rack, *power, *switch_name;
    char *libvirt_uri, *extend_hook;
    char *fencing, *fencing_import, *fencing_secrets;
    int64_t fencing_check_us, kdump_port, kdump_max_us;
    bool kdump;
    char *peer_listen, *peer_key;
    char **storage;
    char *lease_storage, *lease_backend;
    int64_t lease_valid_us, lease_io_us;
    int64_t storage_interval_us, storage_gone_us, storage_silent_us, storage_slow_us, storage_full_percent, storage_error_percent, storage_paths;
    int64_t peer_interval_us, peer_misses;
    int64_t relay_bytes_per_s, relay_vsock;
    bool no_relay;
    char **labels, **migrate_to, **shared_folders, **peers;
    int64_t heartbeat_us, freeze_max_us, evidence_bytes, evidence_per_vm, extend_low_bytes, extend_timeout_us, sample_us, balloon_stats_us;
    int64_t copy_bytes_per_s;
    bool print_id, anonymous, post_copy;
} HostSettings;

extern const Setting host_settings[];
extern const size_t n_host_settings;

#endif
