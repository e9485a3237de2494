/* Gates: the reasons not to act. Each time a step is about to act every gate is asked, in one order; the first that does not open is
 * what the incident waits for, and the record of the decision lists all of them with what they looked at. Before a further command of an
 * attempt that was begun only those are asked that hold everything: a VM that was stopped to be moved is also started. */
#ifndef MEND_POLICY_GATE_H
#define MEND_POLICY_GATE_H

#include "consumers/policy/engine/action.h"
#include "consumers/policy/engine/quiet.h"

/* What is about to be done. */
typedef struct GateAsk {
    Stage *stage;
    Incident *incident;
    const Rule *rule;
    const Step *step;
    const Deed *deed;         /* what the step means here and now; never CANNOT */
    unsigned made;            /* attempts of the step that count */
    int64_t backoff_until_us;
} GateAsk;

typedef struct GateAnswer {
    IncidentWait wait;        /* WAIT_NONE: every gate is open */
    int64_t until_us;         /* when to ask again; NEVER_US: an input ends the wait */
    bool capped;              /* nobody ends this wait on purpose: after hold_max a human is told */
    char *text;               /* who or what keeps it shut, with numbers; or NULL */
    bool named;               /* people want @text beside the wait's own words */
    QuietState *quiet;        /* the one that keeps it back; or NULL */
} GateAnswer;

void gate_answer_clear(GateAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GateAnswer, gate_answer_clear)

/* The first gate that does not open, or WAIT_NONE. */
void gates_ask(const GateAsk *ask, GateAnswer *ret_answer);
/* The host its first command starts something on, or moves it to; NULL: none. */
const EntityState *gate_goes_to(const GateAsk *ask);
/* Every gate: [{"gate", "open", "text"}], in the order asked. (transfer full) */
json_t *gates_to_json(const GateAsk *ask);

#endif
