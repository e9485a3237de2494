/* How a world is: its size, and how often what goes wrong. */
#ifndef MEND_POLICY_SIM_PROFILE_H
#define MEND_POLICY_SIM_PROFILE_H

#include "lib/base/base.h"

/* Faults a world can have; the number is how often one is drawn beside the others in the profile "default". */
#define FAULTS(X)                                                                     \
    X(SERVICE_CRASH, "service-crash", 30)   X(SERVICE_BREAK, "service-break", 6)      \
    X(AGENT_RESTART, "agent-restart", 8)    X(GUEST_CRASH, "guest-crash", 8)          \
    X(GUEST_HANG, "guest-hang", 4)          X(GUEST_PANIC, "guest-panic", 4)          \
    X(GUEST_REBOOT, "guest-reboot", 4)      X(HOST_POWER, "host-power", 6)            \
    X(HOST_CRASH, "host-crash", 4)          X(HOST_HANG, "host-hang", 3)              \
    X(HOST_NIC, "host-nic", 4)              X(HOST_BMC, "host-bmc", 5)                \
    X(HOST_STORAGE, "host-storage", 4)      X(HOST_AGENT, "host-agent", 5)            \
    X(RACK_SWITCH, "rack-switch", 3)        X(FEED_POWER, "feed-power", 1)            \
    X(STORAGE_FAIL, "storage-fail", 3)      X(STORAGE_FULL, "storage-full", 3)        \
    X(STORAGE_SLOW, "storage-slow", 3)      X(CLOCK_STEP, "clock-step", 3)            \
    X(BROKER_RESTART, "broker-restart", 5)  X(ENGINE_KILL, "engine-kill", 6)          \
    X(OPERATOR_STOP, "operator-stop", 8)    X(OPERATOR_START, "operator-start", 4)    \
    X(OPERATOR_PAUSE, "operator-pause", 2)  X(OPERATOR_MAINTAIN, "operator-maintain", 2) \
    X(MIGRATION, "migration", 6)            X(SNAPSHOT, "snapshot", 5)                \
    X(VM_STOP, "vm-stop", 5)                X(CONTROL_LOSS, "control-loss", 3)        \
    X(HOST_KDUMP, "host-kdump", 3)          X(BMC_PASSWORD, "bmc-password", 2)        \
    X(HOST_LIBVIRT, "host-libvirt", 4)      X(GUEST_WATCHDOG, "guest-watchdog", 3)    \
    X(BLOCK_COPY, "block-copy", 3)          X(PERSON_WORD, "person-word", 2)
#define X(id, name, weight) FAULT_##id,
typedef enum { FAULTS(X) FAULT_N } FaultKind;
#undef X

typedef struct SimProfile {
    const char *name, *meaning;
    unsigned hosts[2], vms[2], services[2]; /* from, to */
    int64_t length_us[2];                   /* with faults */
    unsigned faults[2];
    double late, twice, lost;               /* of an event on its way to an engine */
    double fact_lost, result_lost;          /* of what agents say, results */
    double slow_start;                      /* of a restart or boot that fails or never ends */
    int64_t sample_every_us;                /* numbers of VMs are told besides at this distance over the site; 0: they are not */
    unsigned engines;                       /* 0: one, and in a third of the worlds two */
    bool only[FAULT_N];                     /* if any: no other fault */
    int64_t crash_every_us;                 /* services crash besides at this mean distance over the site; 0: they do not */
} SimProfile;

const SimProfile *sim_profile(const char *name); /* NULL: there is none of this name */
const SimProfile *sim_profiles(size_t *ret_n);
const char *fault_name(FaultKind kind);
unsigned fault_weight(FaultKind kind);

#endif
