/* Rules run on written-down statistics, cycle by cycle, as `mend mom run` and the tests do. Form of a cycle:
 *
 *   {"host": {FIELD: NUMBER, …}, "guests": [{"name": NAME, "uuid": UUID, "stats": {FIELD: NUMBER, …}, "io_tune": [
 *     {"name": "vda", "path": …, "guaranteed": {LIMIT: NUMBER}, "maximum": {…}, "current": {…}}]}]}
 *
 * with MOM's names and units (mom/fields.h). The last MOM_HISTORY cycles are averaged; variables stay. */
#ifndef MEND_POLICY_MOM_PLAY_H
#define MEND_POLICY_MOM_PLAY_H

#include "consumers/policy/mom/actions.h"
#include "consumers/policy/mom/rules.h"

#define MOM_HISTORY 10

typedef struct MomPlay MomPlay;
MomPlay *mom_play_new(MomRules *rules); /* takes its own reference */
void mom_play_free(MomPlay *play);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MomPlay, mom_play_free)

/* {"host": CONTROLS, "guests": {NAME: CONTROLS}, "actions": [{"entity": NAME, "action", "arguments"}], "errors": [TEXT]}. (transfer full)
 * NULL: @cycle is not of the form above; MOM_ERROR_RUN says where. */
json_t *mom_play(MomPlay *play, const json_t *cycle, GError **error);

#endif
