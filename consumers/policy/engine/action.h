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
    Sequence *plan;        /* of a step of many commands, until its attempt begins; or NULL */
    GArray *items;         /* of guint: the plan's item of each command; NULL: no plan */
    guint hopeless;        /* the plan's item that cannot be done, for @why; NO_ITEM: none */
    bool of_plan;          /* it is an item: what it comes after is the plan's matter */
} Deed;

void deed_clear(Deed *deed);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Deed, deed_clear)

/* The entity @action is done to when it heals @entity: a service's VM, a VM's host, an application. NULL: there is none. */
EntityState *action_target(Engine *engine, const EntityState *entity, const char *action);
/* For those who make deeds. @arguments (transfer full), @why (transfer full). */
void deed_cannot(Deed *deed, const char *format, ...) G_GNUC_PRINTF(2, 3);
void deed_wait(Deed *deed, IncidentWait wait, char *why);
Command *deed_command(Deed *deed, const char *action, const EntityState *target, const char *agent, json_t *arguments);
json_t *deed_arguments(const EntityState *target, const Step *step); /* "name" and "timeout_ms" (transfer full) */
/* The command of @one becomes one of @deed, for @item of its plan. */
void deed_take(Deed *deed, Deed *one, guint item);

bool action_starts(const char *action); /* a VM, though it may have to be stopped first */
/* What one action means for @ret->target, which is set; not for those of many commands. */
void action_resolve_on(Stage *s, Incident *incident, const Step *step, Deed *ret);
void action_resolve(Stage *s, Incident *incident, const Step *step, Deed *ret);
/* A command left, or was answered (@command NULL: one nobody waits for): what that says of copies and power. */
void action_sent(Stage *s, const Command *command);
void action_answered(Stage *s, const Command *command, const Result *result);

#endif
