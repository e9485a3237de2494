#include "broker-plugin/control/queues.h"

#include "broker-plugin/abi.h"
#include "broker-plugin/control/gate.h"

#define CONTROL_MESSAGES 256
#define CONTROL_BYTES    (4 * 1024 * 1024)
#define CONTROL_TTL_US   US_PER_HOUR /* a command has its own ttl; this is the end of one that has none */

mend_rc control_queue_declare(mend_host *host, const char *agent, const char *owner)
{
    g_autofree char *address = g_strconcat(CONTROL_PREFIX, agent, NULL);
    const mend_node node = { .size = sizeof node, .address = str_of(address), .kind = MEND_NODE_QUEUE, .max_messages = CONTROL_MESSAGES,
                             .max_bytes = CONTROL_BYTES, .ttl_us = CONTROL_TTL_US, .dead_letter = str_of(DEADLETTER_ADDRESS),
                             .owner = str_of(owner), .durable = 1 };

    mend_rc rc;

    if ((host->caps & MEND_CAP_DECLARE) == 0)
        return MEND_UNSUPPORTED;
    rc = host->declare(host, &node);
    if (rc != MEND_HELD) /* the agent was quicker and got a plain queue, or it is one of an older version: ours has an owner */
        return rc;
    host->undeclare(host, node.address);
    return host->declare(host, &node);
}

mend_rc control_queue_remove(mend_host *host, const char *agent)
{
    g_autofree char *address = g_strconcat(CONTROL_PREFIX, agent, NULL);

    return (host->caps & MEND_CAP_DECLARE) != 0 ? host->undeclare(host, str_of(address)) : MEND_UNSUPPORTED;
}

mend_rc control_nodes_declare(mend_host *host)
{
    const mend_node nodes[] = {
        { .size = sizeof nodes[0], .address = str_of(DEADLETTER_ADDRESS), .kind = MEND_NODE_QUEUE, .ring = 1, .max_messages = 10000, .durable = 1 },
        { .size = sizeof nodes[0], .address = str_of(RESULTS_ADDRESS), .kind = MEND_NODE_QUEUE, .max_messages = 100000,
          .dead_letter = str_of(DEADLETTER_ADDRESS), .durable = 1 },
        { .size = sizeof nodes[0], .address = str_of(EVENTS_ADDRESS), .kind = MEND_NODE_TOPIC },
    };
    mend_rc first = MEND_OK;

    for (size_t i = 0; i < G_N_ELEMENTS(nodes) && (host->caps & MEND_CAP_DECLARE) != 0; i++) {
        mend_rc rc = host->declare(host, &nodes[i]);

        if (rc != MEND_OK && rc != MEND_HELD && first == MEND_OK)
            first = rc;
    }
    return first;
}
