/* Tells people: a notice goes to its target, as a line in the log or as JSON to a command's standard input. At most NOTIFY_RUNNING_MAX
 * commands run at once, each for at most 30 s; what is over that is said in the log and dropped. Thread: that of the main context. */
#ifndef MEND_POLICY_NOTIFY_H
#define MEND_POLICY_NOTIFY_H

#include "consumers/policy/engine/policy.h"

#define NOTIFY_RUNNING_MAX 8

typedef struct Notifier Notifier;
Notifier *notifier_new(void);
void notifier_free(Notifier *notifier); /* running commands are left to end */
void notifier_tell(Notifier *notifier, const Policy *policy, const json_t *notice);

#endif
