/* The verbs that need more than a client: they hold parts of Mend in this process. The operator's are in consumers/cli/verbs.h.
 * @argv: as main has it, argv[0] is the verb. Returns the exit status. */
#ifndef MEND_VERBS_H
#define MEND_VERBS_H

#define MEND_VERBS(X)                                                                   \
    X(up, "all of Mend for this machine: broker, policy engine, guest agent (--demo)") \
    X(broker, "the message broker with its plugin, alone")                             \
    X(attach, "Mend's plugin beside a broker that is there already: RabbitMQ, qpidd …")     \
    X(enrol, "credentials for the agent of another machine")                           \
    X(schema, "QMF schema files: check FILE…, list")

#define X(name, meaning) int verb_##name(char **argv);
MEND_VERBS(X)
#undef X

#endif
