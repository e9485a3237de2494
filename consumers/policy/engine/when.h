/* `when` of a step: whether it is for this incident at all. */
#ifndef MEND_POLICY_WHEN_H
#define MEND_POLICY_WHEN_H

#include "consumers/policy/engine/engine.h"

typedef struct Stage Stage;

/* What the conditions of @rule's steps will want to know of @event, which is gone by then: an object, or NULL: nothing. (transfer full) */
json_t *when_facts(Engine *engine, EntityState *entity, const Rule *rule, const Event *event);
/* False: the step is passed over, which is recorded with the values. Without `when`: true. */
bool when_holds(Stage *s, const Incident *incident, const Step *step);

#endif
