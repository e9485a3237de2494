/* Worlds with a name: what goes wrong in them, and when, is written down instead of drawn. */
#ifndef MEND_POLICY_SIM_SCENARIO_H
#define MEND_POLICY_SIM_SCENARIO_H

#include "consumers/policy/sim/profile.h"

typedef struct SimEvent {
    FaultKind kind;
    int64_t at_us, for_us;
    unsigned a, b; /* whom it hits, as faults.c reads them: numbers of hosts, VMs, services, racks */
} SimEvent;

typedef struct SimScenario {
    const char *name, *meaning;
    unsigned hosts, vms, services, racks;
    int64_t length_us;
    SimEvent events[8];
    unsigned n_events;
    enum { SIM_LEASES_SOME, SIM_LEASES_ALL, SIM_LEASES_NONE } leases;
    bool no_power_management;
} SimScenario;

const SimScenario *sim_scenario(const char *name); /* NULL: there is none of this name */
const SimScenario *sim_scenarios(size_t *ret_n);

#endif
