#include "consumers/policy/sim/scenario.h"

#include <string.h>

#define S(n) ((n) * US_PER_S)

/* Host i stands in rack i modulo the number of racks; h1's BMC dies with its power when b is a multiple of 3. */
static const SimScenario scenarios[] = {
    { "switch-and-dead-host", "a switch takes 40 % of the hosts, and one more is really dead in the same minute", 10, 60, 40, 3, S(900),
      { { FAULT_RACK_SWITCH, S(120), S(420), 0, 0 }, { FAULT_HOST_POWER, S(140), S(800), 1, 1 } }, 2 },
    { "bmc-dead-with-host", "a host loses its power, and its BMC with it", 5, 20, 20, 2, S(900),
      { { FAULT_HOST_POWER, S(120), S(800), 1, 3 } }, 1 },
    { "broker-restart", "the broker restarts while a host dies", 5, 20, 20, 2, S(900),
      { { FAULT_HOST_POWER, S(120), S(800), 1, 1 }, { FAULT_BROKER_RESTART, S(125), S(8), 0, 0 } }, 2 },
    { "engine-restart", "the engine is killed between the failures of a service, in the middle of its window", 3, 6, 12, 1, S(900),
      { { FAULT_SERVICE_CRASH, S(120), 0, 5, 0 }, { FAULT_SERVICE_CRASH, S(140), 0, 5, 0 }, { FAULT_ENGINE_KILL, S(150), S(5), 0, 0 },
        { FAULT_SERVICE_CRASH, S(170), 0, 5, 0 }, { FAULT_SERVICE_CRASH, S(200), 0, 5, 0 } }, 5 },
    { "storage-blip", "storage is gone for twenty seconds", 5, 20, 20, 2, S(900), { { FAULT_STORAGE_FAIL, S(120), S(20), 0, 0 } }, 1 },
};

const SimScenario *sim_scenarios(size_t *ret_n)
{
    *ret_n = G_N_ELEMENTS(scenarios);
    return scenarios;
}

const SimScenario *sim_scenario(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(scenarios); i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    return NULL;
}
