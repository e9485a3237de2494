/* A recorded history, read again: a journal (in use or not, of any form) or an export of one. Replayed as it was, to see that the same
 * decisions come out; or under another policy, to see what would have been otherwise.
 *
 * Under another policy the inputs are those of the history, without its policies and timers: timers fire when the engine wants them. What
 * the history cannot know stays unknown: a command that was never sent has no answer, so what would follow it is marked as supposed.
 * Thread: one. Errors: JOURNAL_ERROR, TRANSFER_ERROR, and those of reading inputs, with the file and the record. */
#ifndef MEND_POLICY_HISTORY_H
#define MEND_POLICY_HISTORY_H

#include "consumers/policy/replay.h"
#include "consumers/policy/whatif.h"

typedef struct History History;

History *history_open(const char *path, GError **error);
void history_free(History *history);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(History, history_free)

/* @progress may be NULL; its total is 0 when nobody knows it. */
bool history_replay(History *history, JournalProgress progress, void *user, ReplayReport *ret_report, GError **error);
/* deeds_compare() of what was done and what @policy would have done; or, with @old, of what @old and @policy would have done.
 * *ret_inputs, which may be NULL: how many inputs there were. (transfer full) */
json_t *history_compare(History *history, Policy *old, Policy *policy, JournalProgress progress, void *user, int64_t *ret_inputs,
                        GError **error);

#endif
