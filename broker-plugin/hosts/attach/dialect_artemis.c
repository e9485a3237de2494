/* Apache ActiveMQ Artemis, by its documentation: never seen on a real one here. Addresses are made by the attach (auto-create, on by
 * default) as multicast where the link asks for the capability "topic" and as anycast queues elsewhere. The registered subject filters
 * are not known there, so every subscriber gets all subjects of a topic, and looks at them itself. */
#include "broker-plugin/hosts/attach/dialect.h"

static const AttachLack lacks[] = {
    { "never seen on a real Artemis", "written by its documentation only; tell us what you find" },
    { "no limits, expiry and dead letters of queues", "set by address-settings for mend.# in broker.xml" },
    { "no gate at control queues", "commands go to mend.control, and from there to the agent's queue once the plugin let them in" },
    { "no look at results on their way", "results go to mend.results.in, and from there to mend.results" },
    { "not known who sent a message", "user-id is as the sender wrote it: set populate-validated-user to true, and it is the broker's word" },
    { "not seen: connections that end", "agents are lost by silence only" },
    { NULL, NULL },
};

static void source(void *self, int32_t mode, const char *address, const char *subject, AttachSource *ret)
{
    attach_plain_source(mode, address, subject, ret);
    g_clear_pointer(&ret->filter, g_free); /* the host looks at the subject itself */
}

const AttachDialect attach_artemis = { .name = "artemis", .lacks = lacks, .source = source, .queue = attach_plain_queue };
