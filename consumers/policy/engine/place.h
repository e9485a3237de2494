/* Where a VM may start or go: the engine's facts as the planner's cluster (place_site.h), and its answer as a host. */
#ifndef MEND_POLICY_PLACE_H
#define MEND_POLICY_PLACE_H

#include "consumers/policy/engine/facts.h"

/* A host for @vm, which may run nowhere now; not @not_on (may be NULL), its last one first. VMs that wait for a place too and are served
 * before it keep theirs. NULL: none, *ret_why (transfer full) says why. *ret_considered (transfer full): every host with what spoke for
 * or against it. */
EntityState *place_choose(Engine *engine, EntityState *vm, const EntityState *not_on, json_t **ret_considered, char **ret_why);
/* The same for @vm that runs and is to leave its host; asked before anything is done to it: the reserve that is kept now is kept then. */
EntityState *place_move(Engine *engine, EntityState *vm, json_t **ret_considered, char **ret_why);

#endif
