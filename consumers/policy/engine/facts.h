/* What the engine knows of hosts and VMs beyond their state: where a VM's copies may run, what hosts have, what each channel says of
 * them. Written by facts.c from events (docs/wire.md), by evidence.c and by proof.c; read by gates, actions and the planner's input.
 * Hosts and VMs are kept in the order of their paths, so that walking them is the same on every machine. */
#ifndef MEND_POLICY_FACTS_H
#define MEND_POLICY_FACTS_H

#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/policy.h"
#include "lib/base/base.h"
#include "lib/model/event.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

/* Ways to know of a host that do not share their path: SESSION is its agent's connection to the bus; PEER and PING what other hosts see
 * of it on the network; STORAGE its heartbeat on shared storage; BMC its power as its management controller says. */
#define CHANNELS(X) X(SESSION, "session") X(PEER, "peer") X(PING, "ping") X(STORAGE, "storage") X(BMC, "bmc") X(KDUMP, "kdump")
#define X(id, text) CHANNEL_##id,
typedef enum { CHANNELS(X) CHANNEL_N } Channel;
#undef X

typedef enum { SAYS_NOTHING, SAYS_ALIVE, SAYS_LATE, SAYS_GONE, SAYS_OFF, SAYS_N } Says;

typedef struct ChannelState {
    Says says;
    int64_t at_us;
    uint64_t sequence;         /* of the event that said so: older ones are old news */
} ChannelState;

typedef enum {
    VERDICT_UNKNOWN, VERDICT_ALIVE, VERDICT_DEGRADED, VERDICT_ISOLATED, VERDICT_PARTITIONED, VERDICT_DEAD, VERDICT_OFF,
    VERDICT_OBSERVER_FAULT, VERDICT_N
} Verdict;

typedef struct HostState {
    char *agent;               /* its host agent's name; NULL: never heard */
    char *rack, *power, *switch_name; /* as its agent says; NULL: the policy may know */
    json_t *storage, *labels;  /* lists of strings, or NULL */
    json_t *fences;            /* ids or names of the hosts its agent has fence devices for; NULL: it never said */
    json_t *unfenceable;       /* agent → why: those whose fence devices do not work for this host; NULL: none */
    uint64_t memory_bytes;
    unsigned vcpus;
    ChannelState channel[CHANNEL_N];
    int64_t dump_since_us;     /* when the crash dump began that KDUMP tells of; 0: never */
    Verdict verdict;
    bool independent;          /* dead by channels other than its session */
    DueTime due;                   /* when a channel's word grows stale */
    EntityState *entity;       /* whose it is */
} HostState;

#define DEFINITION_HASH_LENGTH 64 /* SHA-256 in hex */

/* A copy that may run. */
typedef struct Copy {
    EntityState *host;
    char *boot_id;             /* the host's life it belongs to; NULL: not told */
    char *command;             /* the start that was sent and is not answered; NULL: none */
    bool by_start;             /* it stands here for nothing but that start: refused, it never was */
    uint64_t sequence;         /* of the event that told of it */
} Copy;

typedef struct VmState {
    EntityState *host;         /* the one it was last seen on; NULL: never */
    GPtrArray *copies;         /* of Copy: no copy runs anywhere else, if located */
    GPtrArray *proofs;         /* of char *: how each copy went since the last start, for people and for the next start's proof */
    EntityState *lingers;      /* its lease expired there, and its host has not said since that it ended: nothing starts it there; or NULL */
    bool located;              /* some host agent has told where it is */
    bool ha;                   /* its host agent says that it shall come back */
    bool was_full;             /* full storage paused it, and it has not run since: no reason to leave its host */
    bool lease;                /* it has one on shared storage */
    uint64_t memory_bytes;
    unsigned vcpus;
    json_t *storage;           /* list of ids, or NULL */
    char *address;
    char *definition;          /* hash of what it is made from; NULL: not told */
    char *reason;              /* of its state: "io-error" …; or NULL */
    GArray *boots_us;          /* of int64_t: how long its last boots took, newest last */
    int64_t booting_since_us;  /* 0: it does not boot */
    int64_t paused_us;         /* since when it is paused; 0: it is not */
    int64_t down_us;           /* when it was last seen not to run: what its services said before is over; 0: never */
    char *before_lost;         /* its state before its host was given up; or NULL */
    struct {
        uint64_t round;        /* the engine's when it was looked up; 0: not yet */
        const AppVm *vm;       /* NULL: the policy does not know it */
        const Application *app;
    } app;                     /* for app_vm_of() alone */
    ChannelState agent, qga, progress;
} VmState;

/* Makes and frees the part of @entity that its kind has. */
void facts_attach(Engine *engine, EntityState *entity);
void facts_free(EntityState *entity);
void facts_to_json(const EntityState *entity, json_t *json);
/* All entities are there already. */
void facts_from_json(Engine *engine, EntityState *entity, const json_t *json);

/* What @event says beyond its state; called after the entity's state is written, and for those that only happened. */
void facts_event(Stage *s, EntityState *entity, const Event *event);

/* Numbers of events say nothing any more: whatever comes is newer than what is known. */
void facts_numbers_anew(EntityState *entity);

/* True: @event tells of a copy of @vm that is not the one that runs now, and what that says of copies is taken down; the VM's state is
 * what it was. Called before the entity's state is written. */
bool facts_of_old_copy(Stage *s, EntityState *vm, const Event *event);

/* Topology; NULL: not known. */
EntityState *vm_of(Engine *engine, const EntityState *entity);   /* a service's VM; a VM itself */
EntityState *host_of(Engine *engine, const EntityState *entity); /* a service's or VM's host; a host itself */
const char *host_domain(const Engine *engine, const EntityState *host, const char *domain); /* "rack" "power" "switch" */
/* What the policy says of @vm; *ret_app (may be NULL) its application. NULL: nothing. */
const AppVm *app_vm_of(const Engine *engine, const EntityState *vm, const Application **ret_app);
/* The same of a VM or a service, also of one whose VM no host agent has told of. NULL: the policy has it not. */
const AppVm *app_vm_of_any(Engine *engine, const EntityState *entity, const Application **ret_app);
bool vm_paused_by_storage(const EntityState *vm);
bool vm_is_ha(const Engine *engine, const EntityState *vm);      /* the policy or its host agent says so */
int vm_priority(const Engine *engine, const EntityState *vm);    /* 0 to 100; 50 when nobody says */
const char *vm_on_io_error(const Engine *engine, const EntityState *vm); /* "auto_resume" when nobody says */
EntityState *host_by_agent(Engine *engine, const char *agent);
bool host_is_up(const EntityState *host);                        /* alive or degraded */

/* evidence.c */
const char *verdict_name(Verdict verdict);
const char *channel_name(Channel channel);
bool channel_parse(const char *text, Channel *ret);
/* @host's verdict anew; a changed one becomes its state, with what follows from that. @event (may be NULL): what made it change. */
void evidence_judge(Stage *s, EntityState *host, const Event *event);
/* @vms went with @host: they are lost until something else is said of them. @why: for people. */
void evidence_lost(Stage *s, GPtrArray *vms, const EntityState *host, const char *why, const Event *event);
void evidence_due(Stage *s, EntityState *host);   /* time alone has passed */
bool evidence_is_independent(Engine *engine, const EntityState *entity);
/* Each channel and what it says, for records. (transfer full) */
json_t *evidence_to_json(const Engine *engine, const EntityState *host);
/* {alive, agent-lost, hung, unknown} of a VM from its own channels: told as vm.hung when neither its agent nor its vCPUs give a sign. */
void evidence_judge_vm(Stage *s, EntityState *vm, const Event *event);

/* proof.c */
void copy_free(Copy *copy);
Copy *proof_copy(const VmState *vm, const EntityState *host); /* NULL: none there */
/* @vm may run on @host. */
Copy *proof_copy_add(VmState *vm, EntityState *host, const char *boot_id, uint64_t sequence);
/* No copy of @vm runs on @host any more; @how is told and kept as a proof. */
void proof_copy_gone(Stage *s, EntityState *vm, EntityState *host, const char *how, const char *event_id);
/* @host's life before @boot_id (NULL: every life until now) is over: so are the copies of it. @ret_vms (may be NULL) gets their VMs. */
void proof_host_gone(Stage *s, EntityState *host, const char *boot_id, const char *how, const char *event_id, GPtrArray *ret_vms);
/* May @vm be started on @host? False: *ret_why (transfer full) says what is not proven. */
bool proof_allows(const EntityState *vm, const EntityState *host, char **ret_why);

#endif
