/* Budgets: which of the policy's an action draws on, and who is next when one has room again. The counting is budget.h's. */
#ifndef MEND_POLICY_SPEND_H
#define MEND_POLICY_SPEND_H

#include "consumers/policy/engine/budget.h"
#include "consumers/policy/engine/gate.h"

/* What is said to it now. Granted when no budget is about it; else it stands in the queue until spend_settle(). */
void spend_would(const GateAsk *ask, BudgetAnswer *ret);
/* It stands in the queue from now on. */
void spend_wait(const GateAsk *ask);
/* The command leaves: charged until spend_return(). */
void spend_charge(const GateAsk *ask);
/* A further command of the attempt leaves: counted at its own time, too. */
void spend_again(const GateAsk *ask);
void spend_return(Stage *s, const Incident *incident);
/* It no longer wants what it waited for, if it did. */
void spend_settle(Stage *s, const Incident *incident);
/* Asks those whose turn it is. */
void spend_serve(Stage *s);

#endif
