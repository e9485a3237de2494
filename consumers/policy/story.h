/* The story of an entity out of the journal: what was seen, decided, sent, answered and found, each with its milliseconds. */
#ifndef MEND_POLICY_STORY_H
#define MEND_POLICY_STORY_H

#include "consumers/policy/journal/journal.h"

#define STORY_ERROR story_error_quark()
GQuark story_error_quark(void);
typedef enum { STORY_ERROR_UNKNOWN, STORY_ERROR_AMBIGUOUS } StoryError;

/* A story out of records as they are heard, for those who have no journal. */
typedef struct Teller Teller;
Teller *teller_new(const char *entity);
/* @record: an input, or what the engine said, in the journal's form; those about other entities are passed over. */
void teller_hear(Teller *teller, bool input, const json_t *record, int64_t wall_us);
json_t *teller_end(Teller *teller); /* frees it; (transfer full), as story_of() */

/* @name: an entity's path, or a part of one that only it has. UNKNOWN: none; AMBIGUOUS: the message lists them. Also JOURNAL_ERROR.
 * (transfer full) {"entity", "incidents": [{"id", "rule", "state", "attempts", "opened_us", "lines": [{"at_us", "ms", "what", "text"}]}],
 *                  "events": [newest lines that belong to no incident]} */
json_t *story_of(Journal *journal, const char *name, GError **error);
/* For people. Caller frees. */
char *story_text(const json_t *story);

#endif
