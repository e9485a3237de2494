/* What agents do when they are told to. */
#ifndef MEND_POLICY_SIM_DEEDS_H
#define MEND_POLICY_SIM_DEEDS_H

#include "consumers/policy/sim/world.h"

/* Begins @order; its answer comes now or later, or never. */
void deed_do(World *w, Agent *agent, Order *order);

#endif
