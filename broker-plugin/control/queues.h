/* The control queue of each agent. */
#ifndef MEND_CONTROL_QUEUES_H
#define MEND_CONTROL_QUEUES_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

#define DEADLETTER_ADDRESS "mend.deadletter"
#define RESULTS_ADDRESS    "mend.results"
#define EVENTS_ADDRESS     "mend.events"

/* Made when it is not there. @owner: user who alone may receive; "" leaves it to the host's rules; "peer:ID" for one without a user.
 * One of that name and another shape is replaced. What the host answered. */
mend_rc control_queue_declare(mend_host *host, const char *agent, const char *owner);
mend_rc control_queue_remove(mend_host *host, const char *agent);
/* mend.results, mend.deadletter, mend.events: there from the start. The first answer that is neither OK nor HELD. */
mend_rc control_nodes_declare(mend_host *host);

#endif
