/* Apache ActiveMQ Artemis, as 2.19.1 was seen. Addresses are made by the attach (auto-create, on by default), as lib/amqp/dialect.c asks
 * for them: topics with a selector for subjects, queues elsewhere. It has no word for who sent a message: its validated user is put into
 * messages of its own protocol only. */
#include "broker-plugin/hosts/attach/dialect.h"

static const AttachLack lacks[] = {
    { "no limits, expiry and dead letters of queues", "set by address-settings for mend.# in broker.xml" },
    { "no gate at control queues", "commands go to mend.control, and from there to the agent's queue once the plugin let them in" },
    { "no look at results on their way", "results go to mend.results.in, and from there to mend.results" },
    { "not known who sent a message", "nobody vouches for names, also with populate-validated-user: only the broker's own access rules do" },
    { "not seen: connections that end", "agents are lost by silence only" },
    { NULL, NULL },
};

static void source(void *self, int32_t mode, const char *address, const char *subject, AttachSource *ret)
{
    attach_plain_source(mode, address, subject, ret);
    ret->literal = false; /* the client knows what is a topic there */
}

const AttachDialect attach_artemis = { .name = "artemis", .lacks = lacks, .source = source, .queue = attach_plain_queue };
