/* Inhibition by topology: a service stands on its VM, a VM on its host and, while that has paused it, on its storage. What stands on something that is being mended waits for it and
 * does not speak for itself: one incident of a host, not sixty of its VMs. */
#ifndef MEND_POLICY_PARENT_H
#define MEND_POLICY_PARENT_H

#include "consumers/policy/engine/incident.h"

typedef struct Engine Engine;
typedef struct Stage Stage;

/* What must be mended before @action can help @incident; NULL: nothing. *ret_ends: it is worked
 * on, which has an end. */
EntityState *parent_in_the_way(Engine *engine, const Incident *incident, const char *action, bool *ret_ends);
/* What @incident's entity stands on has an open incident, which speaks for both: which, and what it is; NULL: no. Caller frees. */
char *parent_speaks_for(Engine *engine, Incident *incident);
/* Its time has come to tell of all it speaks for: one notice that names them. */
void parent_speaks(Stage *s, Incident *incident);
/* @incident is closed, or has told a human: what waited for it looks again, what it spoke for speaks. */
void parent_done(Stage *s, const Incident *incident);

#endif
