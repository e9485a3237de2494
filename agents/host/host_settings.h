/* The settings of mend-host. Parts add their rows here; what a row means is said there once. */
#ifndef MEND_HOST_SETTINGS_H
#define MEND_HOST_SETTINGS_H

#include "lib/base/settings.h"

typedef struct HostSettings {
    char *broker, *credentials, *site, *id, *data, *log;
    char *rack, *power, *switch_name;
    char **labels;
    int64_t heartbeat_us;
    bool print_id, anonymous;
} HostSettings;

extern const Setting host_settings[];
extern const size_t n_host_settings;

#endif
