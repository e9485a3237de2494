/* One policy, by RabbitMQ's management HTTP API: neither AMQP can set one.
 *
 * AMQP 1.0 receivers on an exchange get queues amq.gen-… there that RabbitMQ 3.10 neither limits nor ever removes. The policy makes rings of
 * them that go a minute after their receiver. */
#ifndef MEND_RABBIT_POLICY_H
#define MEND_RABBIT_POLICY_H

#include "lib/base/base.h"

#define RABBIT_POLICY_NAME    "mend-subscriptions"
#define RABBIT_POLICY_PATTERN "^amq\\.gen-"
#define RABBIT_POLICY_RULE    "{\"expires\":60000,\"max-length\":20000,\"overflow\":\"drop-head\"}"

/* @url: http://HOST:15672. Blocks for at most some seconds: not for a main loop. */
bool rabbit_policy_set(const char *url, const char *user, const char *password, GError **error);

#endif
