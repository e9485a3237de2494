/* Between the files of the engine only. */
#ifndef MEND_POLICY_ENGINE_PRIVATE_H
#define MEND_POLICY_ENGINE_PRIVATE_H

#include "consumers/policy/engine/action.h"
#include "consumers/policy/engine/asked.h"
#include "consumers/policy/engine/controller.h"
#include "consumers/policy/engine/engine.h"
#include "consumers/policy/engine/facts.h"
#include "consumers/policy/engine/flapping.h"
#include "consumers/policy/engine/gate.h"
#include "consumers/policy/engine/job.h"
#include "consumers/policy/engine/mom_cycle.h"
#include "consumers/policy/engine/parent.h"
#include "consumers/policy/engine/plan.h"
#include "consumers/policy/engine/quarantine.h"
#include "consumers/policy/engine/quiet.h"
#include "consumers/policy/engine/spend.h"
#include "consumers/policy/engine/storage.h"
#include "consumers/policy/engine/watch.h"
#include "lib/model/shard.h"

#define SEEN_N 1024                /* newest event numbers remembered, to tell repeated ones; a power of two */
#define ENTITIES_MAX (1u << 20)

typedef struct Seen {
    uint64_t sequence, id_hash;    /* sequence 0: empty */
} Seen;

/* Attempts of one step of one rule on one entity, over all its incidents. */
typedef struct Window {
    char *rule;
    unsigned step;
    int64_t ended_us;              /* of the last attempt */
    GArray *at_us;                 /* of int64_t, oldest first */
} Window;

struct EntityState {
    char *path, *state, *intent, *agent, *hostname, *boot_id; /* all but path and state may be NULL */
    uint64_t sequence;
    int64_t since_us;
    Incident *incident;            /* the open one */
    GPtrArray *windows;            /* of Window; NULL: none yet */
    Flapper *flapper;              /* NULL: it has never failed */
    Incident *busy;                /* something is done to it for this one */
    bool awaited;                  /* an agent that was up before the start, and is not heard yet */
    HostState *host;               /* of a host; else NULL */
    VmState *vm;                   /* of a VM; else NULL */
    StorageState *storage;         /* of a storage domain; else NULL */
    Event *sample;                 /* what its host agent told last, until somebody reads it: entity_samples() */
    json_t *samples;               /* its numbers by name; NULL: not read yet, or none told */
    int64_t sampled_us;
    MomMemory *mom;                /* for the rule files of MOM; NULL: nothing yet */
};

struct Engine {
    Policy *policy;
    uint64_t policy_round;         /* grows with every change of the policy; 1 at first */
    GHashTable *entities;          /* path -> EntityState, owned */
    GPtrArray *hosts, *vms, *storages; /* of EntityState, borrowed, in the order of their paths */
    GHashTable *host_agents;       /* agent name -> EntityState of its host, borrowed */
    GHashTable *commands;          /* id of a command in flight -> Incident, borrowed */
    GQueue incidents;              /* of Incident, owned, in the order of number */
    DueHeap due;
    uint64_t epoch;                /* of the site; 0: not acting */
    unsigned shards;               /* shard.c; 0: services are the site's, too */
    uint64_t shard_epoch[SHARDS_MAX + 1]; /* by shard; 0: not acting for it */
    int64_t now_us, guard_until_us, timer_us;
    uint64_t own_epoch;            /* the last one this engine acted under; 0: none */
    int64_t takeover_until_us;     /* until then no VM is started: another engine may have begun to */
    bool observer_fault, paused;
    char *paused_by, *paused_why;  /* or NULL */
    int64_t paused_since_us;
    GPtrArray *closed;             /* of Incident, owned: until the end of the step, so that whoever holds one sees that it is closed */
    GPtrArray *quiets;             /* of QuietState, owned */
    GPtrArray *stopped;            /* of StoppedApp, owned */
    GPtrArray *jobs;               /* of Job, owned */
    Budgets *budgets;              /* asks are named by incident number */
    DueTime budget_due;            /* when a rate lets the next one through */
    bool budgets_touched;          /* within a step: somebody may be served */
    GHashTable *numbers;           /* number -> Incident, borrowed: the open ones */
    GPtrArray *troubles;           /* of Trouble, owned */
    uint64_t next_quiet;
    GPtrArray *controllers;        /* of Controller, owned, in the order of the rules */
    GPtrArray *control_flights;    /* of ControlFlight, owned, oldest first */
    ControlBook *controls;
    DueTime mom_due;               /* the next cycle of MOM's rules */
    GPtrArray *watches;            /* of Watch, owned, in the order of the rules */
    struct {
        int64_t since_us;
        unsigned known, seen;      /* agents that were up before, and of those the ones heard again */
    } start;
    uint32_t waits;                /* WAKES() of what somebody waits for, or waited for when it was last looked: spares walks */
    bool plans;                    /* some incident has a plan, or had when it was last looked */
    bool hosts_fault;              /* many hosts fell silent at once: evidence.c */
    uint64_t next_number, sequence_high;
    Seen seen[SEEN_N];
    struct {
        uint64_t events, duplicates, stale, commands, healed, needs_human;
    } count;
};

/* The world an output is appended to. */
struct Stage {
    Engine *engine;
    EngineOutputs *outputs;
    uint32_t wake;                 /* WAKES(): what waiting incidents may have waited for is there */
    bool speak;                    /* notices that were kept back may be said */
};

/* output.c */
/* @data (transfer full) may be NULL; @incident may be NULL. */
void put_record(Stage *s, const char *kind, const Incident *incident, const char *entity, json_t *data, const char *format, ...)
    G_GNUC_PRINTF(6, 7);
/* Kept back while a quiet or a parent's incident covers @incident. */
void put_notice(Stage *s, const char *kind, const char *to, Incident *incident, const char *format, ...) G_GNUC_PRINTF(5, 6);
/* One that is about other things, too: @entities (transfer full), a list of paths. */
void put_notice_about(Stage *s, const char *kind, const char *to, Incident *incident, json_t *entities, const char *format, ...)
    G_GNUC_PRINTF(6, 7);
/* The decision is told with the command: hosts looked at (@considered, may be NULL), and every gate. */
void put_command(Stage *s, const Incident *incident, const Command *command, json_t *considered, json_t *gates, json_t *rungs);
void put_command_again(Stage *s, const Incident *incident, const Command *command);
/* A control's: it has no incident. */
void put_control(Stage *s, const char *control, const Command *command, json_t *data);
void put_timer(Stage *s);

/* shard.c: whose matter an incident is, and the epoch this engine acts under about it; 0: another engine does. *@ret_group (transfer full;
 * may be NULL, and NULL of the site's): what it belongs to its shard by. */
unsigned incident_shard(Engine *engine, const Incident *incident, char **ret_group);
uint64_t incident_epoch(Engine *engine, const Incident *incident);
void step_acting_shard(Stage *s, const EngineInput *input);
void shards_forget(Engine *engine); /* it acts for none */
json_t *shards_to_json(const Engine *engine); /* epochs in the order of the shards (transfer full) */
void shards_from_json(Engine *engine, const json_t *json);
json_t *shards_status(const Engine *engine); /* (transfer full) */

/* entity.c */
EntityState *entity_find(Engine *engine, const char *path);
const char *entity_id(const EntityState *entity); /* what follows the kind: "web/nginx" of service/web/nginx */
EntityState *entity_ensure(Engine *engine, const char *path); /* NULL: ENTITIES_MAX */
void entity_free_state(EntityState *entity);
Window *entity_window(EntityState *entity, const char *rule, unsigned step);
void window_free(Window *window);
const json_t *entity_samples(EntityState *entity); /* numbers by name its host agent told last; NULL: none */
bool text_set(char **slot, const char *text); /* either may be NULL; false: it was that already */
bool intent_is_wanted(const char *intent); /* somebody stopped it on purpose */

/* engine.c */
/* Something follows from what was heard: the entity's state, and what rules say to it. @cause may be NULL; @data (transfer full). */
/* What rules and the open incident say to it. */
void event_follow(Stage *s, EntityState *entity, const Event *event);
void event_derive(Stage *s, EntityState *entity, const char *kind, const Event *cause, json_t *data);

/* parameters.c: what its application gives @service, references filled in; *ret_parameters (transfer full) may be NULL. False: *ret_missing
 * (transfer full) is not known now. */
bool service_parameters(Engine *engine, const EntityState *service, json_t **ret_parameters, char **ret_missing);

/* plan.c */
EntityState *app_of(Engine *engine, const EntityState *entity);

/* ladder.c: what to do next about an incident */
void ladder_decide(Stage *s, Incident *incident);           /* OPEN: act, wait, or give up */
void ladder_attempt_failed(Stage *s, Incident *incident, const char *why);
void ladder_go_on(Stage *s, Incident *incident);            /* ACTING: every command is answered; the next of the attempt */
void ladder_skip_step(Stage *s, Incident *incident, const char *why);
void ladder_verify(Stage *s, Incident *incident);           /* ACTING or OPEN -> VERIFYING */
void ladder_verify_again(Stage *s, Incident *incident);     /* VERIFYING: no longer well, though not failed */
void ladder_seen_well(Stage *s, Incident *incident);        /* VERIFYING, NEEDS_HUMAN: the healed state is there */
void ladder_due(Stage *s, Incident *incident);              /* its time has come */
void ladder_approved(Stage *s, Incident *incident, bool yes, const char *who); /* waits for approval */
void ladder_try_again(Stage *s, Incident *incident);        /* NEEDS_HUMAN: it waited too long, and may act now */
void ladder_restart(Stage *s, Incident *incident); /* OPEN: from its first step; what it had begun is nobody's any more */
void incident_set_due(Engine *engine, Incident *incident, int64_t at_us);
void incident_open(Stage *s, EntityState *entity, const Rule *rule, const Event *event, json_t *values);
void incident_close(Stage *s, Incident *incident, IncidentState how, const char *why);
const char *entity_target(const Engine *engine, const EntityState *entity); /* whom its incident's ladder tells; "log" without one */
const Step *incident_step(const Engine *engine, const Incident *incident); /* NULL: rule gone or ladder at its end */

/* waiting.c */
void waiting_note(Engine *engine, const Incident *incident);    /* after what it waits for, or gave up waiting for, was written */
void waiting_wake(Stage *s);                                /* what s->wake and s->speak say */
void waiting_of_agent(Stage *s, const char *agent);         /* it came or went */
/* @host: the one @target is to be on; NULL: none. NULL: nothing is done to it, or to what it is in. */
/* Its rule is of what happened: no state of the entity's, and not over because that is well. */
bool incident_is_of_what_happened(const Engine *engine, const Incident *incident);
/* It is about something at a host that is no matter of its life, as that it could not be powered off: for everything else it is not there. */
bool incident_stands_aside(const Engine *engine, const Incident *incident);
Incident *busy_with(Engine *engine, const EntityState *target, const EntityState *host, const Incident *but);
void busy_begin(Incident *incident, EntityState *target);
void busy_end(Stage *s, Incident *incident);
void start_known_agents(Engine *engine);                    /* those that are up now are awaited */
void start_heard(Stage *s, EntityState *agent);             /* it is up, or NULL: nobody we knew */
bool start_seen_enough(const Engine *engine);

/* operator.c */
void step_operator(Stage *s, const EngineInput *input);

/* engine.c */
void commands_again(Stage *s); /* those in flight under an epoch that is over */

/* match.c: which rule an event concerns. @fired: what watches_event() said of it; consumed. */
const Rule *rules_first(Stage *s, EntityState *entity, const Event *event); /* the plain one that applies to it; nothing is recorded */
void rules_match(Stage *s, EntityState *entity, const Event *event, Fired *fired);

#endif
