/* Rule files of MOM at work: every cycle they run once for each host, on what the host and the VMs that run there said, and what they set leaves as
 * commands of the control rules' kind (controller.h): without an incident, one for each target and cycle, hands off for the same reasons.
 *
 * A host without a sample within two cycles is left alone; a VM without one is not among its guests. One sample moves a VM once. A balloon is kept
 * between what its VM shall have at least and can have at most, whatever the rules say. Rules that fail are recorded when that is news. */
#ifndef MEND_POLICY_MOM_CYCLE_H
#define MEND_POLICY_MOM_CYCLE_H

#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/mom_memory.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

/* After the engine's policy was written: what was kept goes when it has no `mom`. */
void mom_of_policy(Engine *engine);
void mom_sample(Engine *engine, EntityState *entity, const Event *event);
void mom_due(Stage *s);

json_t *mom_snapshot(const Engine *engine); /* (transfer full) NULL: nothing */
void mom_restore(Engine *engine, const json_t *json); /* all entities are there already */

/* mom_eject.c. With @more_bytes more in use, @host has less available than eject's floor. False without a floor, or when it did not say. */
bool mom_is_short(const Engine *engine, const EntityState *host, uint64_t more_bytes);
/* After the rules of @host; @guests: of MomEntity, those of @vms in the same order. */
void mom_eject(Stage *s, EntityState *host, const GPtrArray *vms, const GPtrArray *guests);

#endif
