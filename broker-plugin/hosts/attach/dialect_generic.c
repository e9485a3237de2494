/* A broker of which nothing is known but AMQP 1.0. Its operator has made the nodes: topics qmf.default.topic, qmf.default.direct and
 * mend.events; queues mend.control, mend.results.in, mend.results and mend.control.AGENT for each agent. */
#include "broker-plugin/hosts/attach/dialect.h"

static const AttachLack lacks[] = {
    { "no queues and topics made when they are needed", "their operator makes them beforehand (docs/attach.md lists them)" },
    { "no limits, expiry and dead letters of queues", "as their operator set them; what expires is told by its deadline" },
    { "no gate at control queues", "commands go to mend.control, and from there to the agent's queue once the plugin let them in" },
    { "no look at results on their way", "results go to mend.results.in, and from there to mend.results" },
    { "not known who sent a message", "nobody vouches for names: only the broker's own access rules do" },
    { "not seen: connections that end", "agents are lost by silence only" },
    { NULL, NULL },
};

static void source(void *self, int32_t mode, const char *address, const char *subject, AttachSource *ret)
{
    attach_plain_source(mode, address, subject, ret);
}

const AttachDialect attach_generic = { .name = "generic", .lacks = lacks, .source = source, .queue = attach_plain_queue };
