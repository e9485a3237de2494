/* What a step means here and now: which command, to whom, about what; or why it cannot be. Asked each time anew, so that a step of
 * several commands (relocate: stop what answers, then start elsewhere) goes on from what is true, not from what was planned. */
#ifndef MEND_POLICY_ACTION_H
#define MEND_POLICY_ACTION_H

#include "consumers/policy/engine/facts.h"
#include "consumers/policy/engine/incident.h"
#include "consumers/policy/engine/policy.h"

typedef enum {
    DEED_COMMANDS, /* send @commands: all at once */
    DEED_WAIT,     /* not yet: @wait, @why */
    DEED_CANNOT,   /* never, as things are: @why */
    DEED_DONE,     /* nothing is left to do */
} DeedKind;

typedef struct Deed {
    DeedKind kind;
    EntityState *target;   /* what the step is done to; NULL: CANNOT */
    GPtrArray *commands;   /* of Command, without id, incident, epoch, deadline */
    IncidentWait wait;
    int64_t until_us;      /* WAIT: it is over then; 0: when something happens */
    char *why;
    json_t *considered;    /* hosts looked at and what spoke for or against each; NULL: no choice was made */
} Deed;

void deed_clear(Deed *deed);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Deed, deed_clear)

/* The entity @action is done to when it heals @entity: a service's VM, a VM's host, an application. NULL: there is none. */
EntityState *action_target(Engine *engine, const EntityState *entity, const char *action);
void action_resolve(Stage *s, Incident *incident, const Step *step, Deed *ret);
/* A command left, or was answered (@command NULL: one nobody waits for): what that says of copies and power. */
void action_sent(Stage *s, const Command *command);
void action_answered(Stage *s, const Command *command, const Result *result);

#endif
