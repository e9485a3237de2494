/* What consumers read from the bus: events (CloudEvents 1.0, AMQP binding, binary or structured mode) and results (docs/wire.md).
 * Strict about what is needed, liberal about the rest; a peer's mistake is an error with its reason, never more. Thread: any. */
#ifndef MEND_CONSUMERS_EVENT_MESSAGE_H
#define MEND_CONSUMERS_EVENT_MESSAGE_H

#include "lib/amqp/message.h"
#include "lib/model/command.h"
#include "lib/model/event.h"

#define EVENTS_ADDRESS  "mend.events"
#define RESULTS_ADDRESS "mend.results"
#define CONTROL_PREFIX  "mend.control."
#define BROKER_AGENT_PREFIX "matahariproject.org:mend-broker:"
#define POLICY_AGENT_PREFIX "matahariproject.org:mend-policy:"

/* EVENT_ERROR, JSON_ERROR. (transfer full) */
Event *event_from_message(const AmqpMessage *message, GError **error);
/* JSON_ERROR, or what qmf_message_from_amqp says. (transfer full) */
Result *result_from_message(const AmqpMessage *message, GError **error);

#endif
