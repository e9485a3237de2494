/* Why nothing is done about an entity: what the engine knows of it now, what an open incident waits for, and each rule with its reason. */
#ifndef MEND_POLICY_WHY_NOT_H
#define MEND_POLICY_WHY_NOT_H

#include "consumers/policy/engine/engine.h"
#include "consumers/policy/journal/journal.h"

/* @name as story_of() takes it; errors too. (transfer full)
 * {"entity", "state", "reasons": [{"what", "text"}]}; reasons in the order of their weight, never empty. */
json_t *why_not(const Engine *engine, Journal *journal, const char *name, GError **error);
/* For people. Caller frees. */
char *why_not_text(const json_t *answer);

#endif
