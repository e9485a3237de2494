/* What an expression of the policy may see: the entity, the event about it, its VM and host, a window of samples. Answers the names of
 * language/expression.h from what the engine knows; makes nothing that is not asked for. */
#ifndef MEND_POLICY_SCOPE_H
#define MEND_POLICY_SCOPE_H

#include "consumers/policy/engine/facts.h"
#include "consumers/policy/engine/policy.h"

typedef struct Scope {          /* all borrowed; { .engine, .entity } is enough */
    Engine *engine;
    EntityState *entity;
    const Event *event;         /* NULL: event.… is absent */
    const json_t *vm_samples, *host_samples; /* objects of numbers by name; NULL: none are known */
    const struct ScopeWindow {
        int64_t count;
        double average, last;
    } *window;                  /* NULL: window.… is absent */
    bool located;               /* scope.c's own, between expressions about one entity: the application is looked for once */
    const char *app, *app_vm;
} Scope;

/* A CelLookup; @user: Scope *. */
bool scope_look_up(const CelName *name, CelArena *arena, void *user, CelValue *ret_value);

#endif
