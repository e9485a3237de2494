#include "consumers/policy/sim/profile.h"

#include <string.h>

static const SimProfile profiles[] = {
    { .name = "default", .meaning = "everything goes wrong now and then", .hosts = { 3, 12 }, .vms = { 5, 40 }, .services = { 10, 120 },
      .length_us = { 8 * US_PER_MINUTE, 30 * US_PER_MINUTE }, .faults = { 3, 24 }, .late = 0.02, .twice = 0.02, .lost = 0.01,
      .fact_lost = 0.01, .result_lost = 0.03, .slow_start = 0.05 },
    { .name = "calm", .meaning = "services crash, nothing else, messages arrive", .hosts = { 3, 6 }, .vms = { 5, 20 }, .services = { 10, 60 },
      .length_us = { 10 * US_PER_MINUTE, 20 * US_PER_MINUTE }, .faults = { 3, 12 }, .only = { [FAULT_SERVICE_CRASH] = true } },
    { .name = "network", .meaning = "switches, NICs, broker and engines", .hosts = { 4, 12 }, .vms = { 8, 40 }, .services = { 10, 80 },
      .length_us = { 8 * US_PER_MINUTE, 30 * US_PER_MINUTE }, .faults = { 4, 20 }, .late = 0.1, .twice = 0.1, .lost = 0.05,
      .fact_lost = 0.05, .result_lost = 0.1, .slow_start = 0.02,
      .only = { [FAULT_HOST_NIC] = true, [FAULT_RACK_SWITCH] = true, [FAULT_BROKER_RESTART] = true, [FAULT_ENGINE_KILL] = true,
                [FAULT_HOST_AGENT] = true, [FAULT_AGENT_RESTART] = true, [FAULT_HOST_POWER] = true, [FAULT_SERVICE_CRASH] = true,
                [FAULT_CONTROL_LOSS] = true } },
    { .name = "storage", .meaning = "storage fails, fills and is slow", .hosts = { 3, 10 }, .vms = { 8, 40 }, .services = { 10, 60 },
      .length_us = { 8 * US_PER_MINUTE, 30 * US_PER_MINUTE }, .faults = { 4, 16 }, .late = 0.02, .twice = 0.02, .lost = 0.01,
      .fact_lost = 0.01, .result_lost = 0.03, .slow_start = 0.05,
      .only = { [FAULT_HOST_STORAGE] = true, [FAULT_STORAGE_FAIL] = true, [FAULT_STORAGE_FULL] = true, [FAULT_STORAGE_SLOW] = true,
                [FAULT_HOST_POWER] = true, [FAULT_HOST_BMC] = true } },
    { .name = "failover", .meaning = "engines and brokers come and go while services crash all the time", .hosts = { 2, 4 }, .vms = { 2, 8 },
      .services = { 5, 20 }, .length_us = { 8 * US_PER_MINUTE, 12 * US_PER_MINUTE }, .faults = { 8, 20 }, .late = 0.3, .twice = 0.2,
      .lost = 0.02, .fact_lost = 0.01, .result_lost = 0.1, .slow_start = 0.02, .crash_every_us = 2 * US_PER_S, .engines = 2,
      .only = { [FAULT_BROKER_RESTART] = true, [FAULT_ENGINE_KILL] = true, [FAULT_HOST_AGENT] = true, [FAULT_AGENT_RESTART] = true } },
    { .name = "large", .meaning = "as default, with 40 hosts and 200 VMs", .hosts = { 40, 40 }, .vms = { 200, 200 },
      .services = { 400, 600 }, .length_us = { 30 * US_PER_MINUTE, 60 * US_PER_MINUTE }, .faults = { 30, 80 }, .late = 0.02,
      .twice = 0.02, .lost = 0.01, .fact_lost = 0.01, .result_lost = 0.03, .slow_start = 0.05 },
    { .name = "day", .meaning = "a day of a site with 1,000 services: a million events", .hosts = { 20, 20 }, .vms = { 200, 200 },
      .services = { 1000, 1000 }, .length_us = { 23 * US_PER_HOUR, 23 * US_PER_HOUR }, .faults = { 200, 200 }, .late = 0.001,
      .twice = 0.001, .lost = 0.0001, .result_lost = 0.01, .slow_start = 0.02, .crash_every_us = 2 * US_PER_S,
      .sample_every_us = 78 * US_PER_MS, .engines = 1 },
};

const SimProfile *sim_profiles(size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS(profiles);
    return profiles;
}

const SimProfile *sim_profile(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(profiles); i++)
        if (strcmp(profiles[i].name, name) == 0)
            return &profiles[i];
    return NULL;
}

static const struct {
    const char *name;
    unsigned weight;
} faults[] = {
#define X(id, name, weight) [FAULT_##id] = { name, weight },
    FAULTS(X)
#undef X
};

const char *fault_name(FaultKind kind)
{
    return faults[kind].name;
}

unsigned fault_weight(FaultKind kind)
{
    return faults[kind].weight;
}
