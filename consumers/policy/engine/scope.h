/* What an expression of the policy may see: the entity, the event about it, its VM and host, a window of samples. Answers the names of
 * language/expression.h from what the engine knows; makes nothing that is not asked for. */
#ifndef MEND_POLICY_SCOPE_H
#define MEND_POLICY_SCOPE_H

#include "consumers/policy/engine/facts.h"
#include "consumers/policy/engine/policy.h"

typedef struct Scope {          /* all borrowed; { .engine, .entity } is enough */
    Engine *engine;
    EntityState *entity;
    const Event *event;         /* NULL: event.… is as kept in @facts, or absent */
    const json_t *facts;        /* values by label, "event.rc"; may be NULL */
    const json_t *vm_samples, *host_samples; /* objects of numbers by name; NULL: those told last */
    const struct ScopeWindow {
        int64_t count;
        double average, last;
    } *window;                  /* NULL: window.… is absent */
    /* scope.c's own: what was answered, for the next expression about the same; zero at first. */
    uint32_t asked, there;      /* bits by tag */
    CelValue answers[NAME_EVENT_DATA];
} Scope;
_Static_assert(NAME_EVENT_DATA <= 32, "one bit each");

/* A CelLookup; @user: Scope *. */
bool scope_look_up(const CelName *name, CelArena *arena, void *user, CelValue *ret_value);

#endif
