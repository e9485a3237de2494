/* From controls to what is to be done, as MOM's controllers do: balloon_target, vcpu_quota and vcpu_period, a disk's limits, ksm_… . Whole numbers,
 * towards zero; what is set already is left out, but for balloon_target. */
#ifndef MEND_POLICY_MOM_ACTIONS_H
#define MEND_POLICY_MOM_ACTIONS_H

#include "consumers/policy/mom/entity.h"

typedef struct MomAction {
    MomEntity *entity;   /* borrowed */
    const char *action;  /* "vm.set-memory" "vm.set-cpu-limit" "vm.set-io-limit" "host.set-ksm" */
    char *part;          /* of the entity: the disk; NULL: none */
    json_t *arguments;   /* of the method (docs/wire.md), without the name */
} MomAction;

/* Appends; the host's come last, as MOM's KSM controller does. A control that is no number is left out and told in @troubles (of char *). */
void mom_actions(MomEntity *host, GPtrArray *guests, GArray *ret /* of MomAction */, GPtrArray *troubles);
GArray *mom_actions_new(void);

#endif
