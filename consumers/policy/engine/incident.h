/* An incident: the life of one failure of one entity. Plain data with a state that only incident_move() writes. */
#ifndef MEND_POLICY_INCIDENT_H
#define MEND_POLICY_INCIDENT_H

#include "consumers/policy/engine/due.h"
#include "consumers/policy/planner/sequence.h"
#include "lib/model/command.h"

typedef enum {
    INCIDENT_OPEN,        /* waits for its next attempt: see IncidentWait */
    INCIDENT_ACTING,      /* a command is out */
    INCIDENT_VERIFYING,   /* the command is answered, or the entity looks well: has it helped, and does it last? */
    INCIDENT_NEEDS_HUMAN, /* the ladder is used up; waits for somebody to bring the entity back */
    INCIDENT_HEALED,      /* closed: what we did helped */
    INCIDENT_RESOLVED,    /* closed: well again without us, by itself or by a human */
    INCIDENT_STOOD_DOWN,  /* closed: somebody wants it stopped */
    INCIDENT_SUPERSEDED,  /* closed: its failure belongs to an earlier boot, or its rule is gone */
    INCIDENT_STATE_N
} IncidentState;

typedef enum {
    WAIT_NONE, WAIT_BACKOFF, WAIT_GUARD, WAIT_NOT_ACTING, WAIT_OBSERVER, WAIT_PAUSED, WAIT_AGENT, WAIT_UNKNOWN, WAIT_OBSERVE_ONLY,
    WAIT_PROOF, WAIT_PLACE, WAIT_STORAGE, WAIT_REFERENCE, WAIT_MAINTENANCE, WAIT_HOLD, WAIT_SILENCE, WAIT_JOB, WAIT_SCHEDULE, WAIT_PARENT, WAIT_FLAPPING,
    WAIT_QUARANTINE, WAIT_BUSY, WAIT_BUDGET, WAIT_APPROVAL, WAIT_AFTER, WAIT_PLAN,
    WAIT_N
} IncidentWait;

/* A set of them. */
#define WAKES(wait) (UINT32_C(1) << WAIT_##wait)

#define NEVER_US INT64_MAX
#define NO_ITEM  G_MAXUINT

typedef struct EntityState EntityState;

/* A command of the present attempt. */
typedef struct Flight {
    Command *command;
    bool answered;
    bool waited;               /* its answer is still wanted */
    guint item;                /* of the plan; NO_ITEM: of none */
    char *state;               /* that the answer told; or NULL */
} Flight;

typedef struct Incident {
    char *id, *event_id, *rule, *boot_id;
    EntityState *entity;       /* borrowed: entities outlive their incidents */
    uint64_t number;           /* order of opening */
    GList *link;               /* in the engine's list of incidents */
    IncidentState state;
    IncidentWait wait;
    char *wait_text;           /* who or what keeps it waiting; NULL: its wait says all */
    unsigned step;             /* of the ladder, from 0 */
    unsigned step_attempts;    /* made in this step by this incident */
    unsigned attempts;         /* made in all */
    int64_t opened_us;
    DueTime due;                   /* incident_set_due(); NEVER_US when only an input can go on */
    int64_t wait_since_us;     /* of WAIT_AGENT and WAIT_UNKNOWN, which are capped; 0: not waiting */
    int64_t healed_since_us;   /* 0: not seen well */
    GPtrArray *flights;        /* of Flight: the commands of the present attempt, in the order they left */
    bool goes_on;              /* the present attempt has more commands to send */
    Sequence *plan;            /* of an attempt of many commands (plan.h); or NULL */
    GArray *plan_since_us;     /* of int64_t, by item: when it was begun */
    DueTime speak_due;         /* when it speaks for what stands on its entity */
    unsigned speaks_for;       /* notices about what stands on its entity that were kept back */
    EntityState *target;       /* what the present attempt is done to: nothing else is done to it meanwhile; borrowed; NULL: no attempt */
    IncidentWait gave_up;      /* NEEDS_HUMAN: what was waited for too long; NONE: the ladder was used up */
    int64_t asked_us;          /* for approval; 0: not asked */
    json_t *muted;             /* the notice that was kept back in this state: {"kind", "to", "text", "entities"}; NULL: none */
    json_t *facts;             /* what the ladder's conditions want to know of its event; NULL: nothing */
    char *moved_from;          /* relocate: the host it shall leave; or NULL */
} Incident;

/* The newest command; NULL before the first. */
Command *incident_command(const Incident *incident);
Flight *incident_flight(const Incident *incident, const char *command_id); /* NULL: not of this attempt */
bool incident_is_answered(const Incident *incident); /* every command is */
void incident_add_flight(Incident *incident, Command *command); /* takes it */

const char *incident_state_name(IncidentState state);
const char *incident_wait_text(IncidentWait wait); /* for people: "its agent is gone" */
bool incident_is_closed(const Incident *incident);
bool incident_can_move(IncidentState from, IncidentState to);
/* An illegal move is a bug of ours, never an input's. */
void incident_move(Incident *incident, IncidentState to);
Incident *incident_new(void); /* of priority 0 and number 0, due never */
void incident_free(Incident *incident);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Incident, incident_free)

/* Without the entity, which is named. (transfer full) */
json_t *incident_to_json(const Incident *incident, const char *entity);
Incident *incident_from_json(const json_t *json, GError **error); /* ->entity is NULL */

#endif
