/* When several incidents want something done to the same thing at once, one action is done; the others wait, and look again after it.
 *
 * The lattice: actions are ordered, and the merge of two is the greater, unchanged. Never a third one: that no ladder has named, no
 * budget has granted and no person has approved (migrate and reboot at once are not a relocation). A maximum in a total order is
 * associative, commutative and idempotent, so neither the order nor the number of arrivals matters.
 *
 *   1. stop and hold beat start and restart, of whatever scope: what somebody wants down is not run again by a greater action
 *   2. the larger scope beats the smaller: service < vm < app < host
 *   3. within a scope, from the gentle to the hard:
 *          service.start < service.restart                                                        │ service.stop
 *          vm.extend < vm.resume < vm.start < vm.set-memory < vm.block-copy < vm.migrate < vm.reboot < vm.reset < vm.restart < vm.relocate │ vm.suspend < vm.shutdown < vm.stop
 *          app.start < app.restart                                                                │ app.stop
 *          host.evacuate                                                                          │ host.fence
 *   4. the same action: the higher priority, then the lower incident number, then the target's name
 * notify stands below everything and never stands in the way: it overlaps with nothing. */
#ifndef MEND_POLICY_PLANNER_MERGE_H
#define MEND_POLICY_PLANNER_MERGE_H

#include "lib/base/base.h"

typedef struct Contender { /* plain values; strings are borrowed */
    const char *action;    /* "vm.reboot" */
    const char *target;    /* entity path */
    uint64_t incident;     /* number */
    int priority;
} Contender;

/* The place of @action in 1 to 3 of the order above, > 0; unknown actions are 0, below all. */
unsigned action_rank(const char *action);
/* Something that stops or holds: 1 of the order above. */
bool action_holds(const char *action);
/* < 0: a is less; 0: all four fields are the same. */
int action_compare(const Contender *a, const Contender *b);
/* The greater of the two: a or b. */
const Contender *action_merge(const Contender *a, const Contender *b);

/* Does @outer hold @inner: "host/h1" "vm/v1", "app/shop" "vm/v1"? Services of a VM need not be asked for, their path tells. */
typedef bool (*ActionContains)(void *user, const char *outer, const char *inner);
/* The same thing, or one is in the other. notify overlaps with nothing. @contains NULL: only what paths tell. */
bool action_overlaps(const Contender *a, const Contender *b, ActionContains contains, void *user);

/* Settles many at once: ret_loses_to[i] is the number of the one that @i gives way to, or @i itself: it may be done. The greatest is
 * done, what overlaps with it gives way, and so on among the rest; the answer does not depend on the order of @contenders (of two that are
 * alike in all fields the first is done). */
void action_settle(const Contender *contenders, guint n_contenders, ActionContains contains, void *user, guint *ret_loses_to);

#endif
