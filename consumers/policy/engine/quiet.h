/* Quiets in force: maintenance, silences and holds, of the policy and of operators. What they keep back is counted and recorded; what
 * was not said while one lasted is said when it ends, if it still matters. */
#ifndef MEND_POLICY_QUIET_H
#define MEND_POLICY_QUIET_H

#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/incident.h"
#include "consumers/policy/engine/policy.h"

typedef struct Engine Engine;
typedef struct Stage Stage;

#define QUIETS_MAX 1000         /* that operators may have at once */

typedef struct QuietState {
    Quiet *quiet;
    bool by_operator;          /* owned, and kept in the snapshot; else the policy's */
    unsigned actions_kept, notices_kept; /* back, while it lasted */
    DueTime due;               /* when it next begins or ends */
} QuietState;

void quiet_state_free(QuietState *state);

/* Takes up the policy's quiets, with the counts of those it had before under the same name. */
void quiets_of_policy(Engine *engine);
/* The time is known now: what would have been due before is not told. */
void quiets_arm(Engine *engine);
/* Is @entity, as something rule @rule (may be NULL) is about, what @match means? */
bool matcher_covers(Engine *engine, const Matcher *match, const EntityState *entity, const char *rule);
/* One in force that keeps back actions on @entity (notices about it); NULL: none. */
QuietState *quiet_on_actions(Engine *engine, QuietKind kind, const EntityState *entity, const char *rule);
QuietState *quiet_on_notices(Engine *engine, const EntityState *entity, const char *rule);
/* "rack-1-work by anna: new PDU". Caller frees. */
char *quiet_text(const QuietState *state);

/* An operator's: from arguments {"until_us", "comment", "actions", "match": {…}, "name"}. False: *ret_why (transfer full) says what is wrong. */
bool quiet_make(Stage *s, QuietKind kind, const char *target, const char *who, const json_t *arguments, char **ret_why);
/* Ends those of operators with this name or target. False: there are none, or only the policy's. */
bool quiet_release(Stage *s, const char *target, const char *who, char **ret_why);
void quiet_due(Stage *s, QuietState *state);

/* Something was not done. */
void quiet_keeps_action(Stage *s, QuietState *state, const Incident *incident, const char *action);
/* True: the notice is not for now; it is recorded, and said later if it still matters. */
bool quiet_keeps_notice(Stage *s, Incident *incident, const char *kind, const char *to, json_t *entities, const char *text);
/* What was kept back and no longer has to be. */
void quiets_speak(Stage *s);

json_t *quiets_to_json(const Engine *engine); /* (transfer full) */
void quiets_from_json(Engine *engine, const json_t *json); /* the time and the policy are there already */

#endif
