/* What was done in a history, and what would have been done: two ways of it side by side, incident by incident.
 *
 * An incident's id follows from the event that opened it, so the same failure has the same id whatever the policy says. Pure: no I/O.
 * Thread: one. */
#ifndef MEND_POLICY_WHATIF_H
#define MEND_POLICY_WHATIF_H

#include "consumers/policy/engine/engine.h"

/* The commands and notices of one way, gathered by incident. */
typedef struct Deeds Deeds;

Deeds *deeds_new(void);
void deeds_free(Deeds *deeds);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Deeds, deeds_free)
/* What an engine said (docs/policy.md has the forms). */
void deeds_hear(Deeds *deeds, const json_t *said, int64_t at_us);
/* The id of the command that stands here where the command @id stands in @other: the same incident, its n-th command. NULL: none. Answers of a
 * history reach the right command by it, also when another version of the program gave ids otherwise. */
const char *deeds_counterpart(const Deeds *deeds, const Deeds *other, const char *id);
/* From now on, commands of an incident that follow one without a counterpart in @recorded are marked: the history has no answer to it
 * and cannot tell whether they would have been needed. @recorded outlives @deeds; it may grow meanwhile. */
void deeds_set_recorded(Deeds *deeds, const Deeds *recorded);

/* {"incidents": {"then", "now", "differ"},
 *  "commands": {"then", "now", "gone", "new", "moved"}, "notices": {"then", "now", "gone", "new"},
 *  "differences": [{"incident", "entity", "at_us", "then": {"rule", "state", "commands"} | null, "now": … | null,
 *                   "gone": [{"do", "after_us"}], "new": [{"do", "after_us", "supposed"}], "moved": [{"do", "after_us", "was_us"}],
 *                   "notices_gone": [{"notice", "to", "text"}], "notices_new": …}]}, in the order the incidents opened. (transfer full) */
json_t *deeds_compare(const Deeds *then, const Deeds *now);
/* For people; at most @limit incidents are told (0: all). @then_name, @now_name: "then", "now". Caller frees. */
char *deeds_compare_text(const json_t *comparison, const char *then_name, const char *now_name, size_t limit);

#endif
