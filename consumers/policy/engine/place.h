/* Where a VM may start: the engine's facts as the planner's site, and its answer as a host. */
#ifndef MEND_POLICY_PLACE_H
#define MEND_POLICY_PLACE_H

#include "consumers/policy/engine/facts.h"

/* A host with room for @vm, not @not_on (may be NULL); its last one first. NULL: none, *ret_why (transfer full) says why.
 * *ret_considered (transfer full): every host with what spoke for or against it. */
EntityState *place_choose(Engine *engine, EntityState *vm, const EntityState *not_on, json_t **ret_considered, char **ret_why);

#endif
