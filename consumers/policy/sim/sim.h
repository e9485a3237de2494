/* Worlds with faults, played against the real engine: a site with racks, hosts, VMs, services, agents, a broker, engines and
 * operators, in virtual time, all from one seed. After every step the safety rules are held against what is true in that world, which the
 * engine cannot see. No I/O, no globals: worlds may be played side by side in threads. */
#ifndef MEND_POLICY_SIM_SIM_H
#define MEND_POLICY_SIM_SIM_H

#include "consumers/policy/engine/engine.h"
#include "consumers/policy/sim/profile.h"
#include "consumers/policy/sim/scenario.h"

/* What must hold, whatever happens and whatever the policy says; ENDS and HEALS for policies that are to be lived with (SimOptions.only_safety). */
#define INVARIANTS(X)                                                                                                       \
    X(ONE_COPY, "one-copy", "no VM ever runs in two copies")                                                                \
    X(PAUSED_STAYS, "paused-stays", "a VM paused by its storage is never migrated or moved")                                \
    X(EVIDENCE, "evidence", "no host is fenced on the word of fewer than two independent channels, nor for its switch")     \
    X(BUDGETS, "budgets", "no budget is exceeded")                                                                          \
    X(OFFICE, "office", "nothing is begun in the start-up guard, nothing leaves while paused or by an engine that does not act") \
    X(INTENT, "intent", "what was stopped on purpose is not started; what is unknown is not acted on")                      \
    X(JOBS, "jobs", "nothing is done to a VM while a job is under way on it")                                               \
    X(FENCING, "fencing", "fenced means verified off; what is off is not fenced again")                                     \
    X(LEASES, "leases", "a VM with a lease runs only where its lease is held, and nobody takes one that is held")               \
    X(DUMPS, "dumps", "a host that writes a crash dump is not switched off")                                                    \
    X(ONCE, "once", "no command runs twice, none of an old epoch or an old life of its host")                                                     \
    X(ENDS, "ends", "every incident ends, or a human was told")                                                             \
    X(HEALS, "heals", "what should run and can run, runs in the end, or a human was told")                                  \
    X(ALONE, "alone", "an agent without the bus leaves things as they are")                                                 \
    X(PURE, "pure", "a restored engine says the same again")
#define X(id, name, meaning) INVARIANT_##id,
typedef enum { INVARIANTS(X) INVARIANT_N } Invariant;
#undef X

/* Ways to be wrong on purpose: a simulator that cannot fail proves nothing. */
#define SIM_FLAWS(X)                                                                             \
    X(OLD_EPOCHS, "old-epochs", "gate and agents let commands of an older epoch pass")                         \
    X(FORGETFUL, "forgetful", "agents forget which commands they ran")                           \
    X(FENCE_UNVERIFIED, "fence-unverified", "a fence says off without having switched anything") \
    X(FALSE_STOP, "false-stop", "a host that falls silent is told as having stopped its VMs")    \
    X(TWICE, "twice", "the engine's commands leave twice, under two ids")                        \
    X(MEDDLING, "meddling", "a host agent without the bus stops its VMs")                        \
    X(NO_INTENT, "no-intent", "the engine is not told why something stopped")                    \
    X(NO_PAUSE, "no-pause", "the engine is not told that it is paused")                          \
    X(NO_GUARD, "no-guard", "the engine is not told that it was started")                        \
    X(LOSSY_RESTORE, "lossy-restore", "a restored engine misses the last input")                 \
    X(MUTE, "mute", "notices are lost")                                                          \
    X(DEAF, "deaf", "the engine's timer never rings")                                            \
    X(ANY_BOOT, "any-boot", "host agents start VMs for another life of the host") \
    X(NO_SELF_KILL, "no-self-kill", "a host that cannot renew a lease lets the VM run on") \
    X(SHORT_LEASE, "short-lease", "a lease runs out before the host that lost it has ended the VM") \
    X(NO_LEASE_TAKEN, "no-lease-taken", "a VM starts without taking its lease first") \
    X(KDUMP_DEAF, "kdump-deaf", "fence proxies do not hear that a host writes a dump") \
    X(NO_REASON, "no-reason", "the engine is not told why a VM is paused")
#define X(id, name, meaning) SIM_FLAW_##id,
typedef enum { SIM_FLAWS(X) SIM_FLAW_N } SimFlaw;
#undef X

typedef void (*SimStepFn)(const EngineInput *input, int64_t now_us, EngineOutputs *outputs, void *user);

typedef struct SimOptions { /* borrowed */
    uint64_t seed;
    unsigned hosts, vms, services; /* 0: as the seed has it */
    int64_t length_us;             /* of the time with faults; 0: as the seed has it */
    const SimProfile *profile;
    const SimScenario *scenario;   /* what goes wrong, instead of what the seed draws; or NULL */
    Policy *policy;                /* see sim_policy_text() */
    const GPtrArray *drop;         /* of char *: "f3" fault, "h1" host, "v2" VM, "s4" service, "noise"; may be NULL */
    uint32_t flaws;                /* bits of SimFlaw */
    bool only_safety;              /* ENDS and HEALS are not asked of this policy */
    bool story, story_events;      /* with every event */
    SimStepFn on_step;             /* every step of the first engine; may be NULL */
    void *user;
} SimOptions;

typedef struct SimReport {
    Invariant broken;              /* INVARIANT_N: none */
    char *what;                    /* how, for people; NULL */
    char *story;                   /* NULL: not asked for */
    int64_t at_us, length_us;      /* virtual */
    unsigned hosts, vms, services, faults;
    /* Of a scenario: highly available VMs that were on the host its first fault hits, and where they run when the faults end. */
    unsigned victims, victims_elsewhere, victims_here, victims_down;
    unsigned fenced;               /* hosts that a command switched off */
    bool victims_told;             /* a human was told of that host or of one of them */
    uint64_t inputs, events, commands, notices, executed;
    uint64_t ended[INCIDENT_STATE_N];
} SimReport;

void sim_report_clear(SimReport *report);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SimReport, sim_report_clear)

/* Plays one world. */
void sim_run(const SimOptions *options, SimReport *ret);
/* Plays the world of @options (which breaks an invariant) again and again with less in it, while the same invariant breaks. What can be left
 * out, as SimOptions.drop. (transfer full) */
GPtrArray *sim_shrink(const SimOptions *options, Invariant broken);

const char *invariant_name(Invariant invariant);
const char *invariant_meaning(Invariant invariant);
const char *sim_flaw_name(SimFlaw flaw);
#define SIM_VMS_PER_APPLICATION 8
#define SIM_VMS_MAX 1000
/* Applications for the VMs that worlds have, to be used by a policy that names none itself: adds them to @policy, which nobody else has yet. */
void sim_policy_furnish(Policy *policy);

#endif
