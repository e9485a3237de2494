/* How the addresses of docs/wire.md are said to a broker that is not Mend's own. Agents, engines, operators and the plugin's host use
 * Mend's names everywhere; the client finds out from the peer's open frame whom it talks to, and puts the names into that broker's form
 * when it attaches a link. One home for these facts, for both sides. Facts: docs/attach.md, "What was seen of them".
 *
 * On Mend's own broker the plugin stands at the entrance of control queues and looks at results as they pass. Elsewhere nobody can, so
 * what is sent to them takes a way round, past `mend attach`: each node has an entrance for who sends, and the queue for who receives.
 *
 * Thread: any; the tables are constant. */
#ifndef MEND_AMQP_DIALECT_H
#define MEND_AMQP_DIALECT_H

#include "lib/base/base.h"

typedef struct AmqpPlace {
    char *address;    /* what the broker wants to hear; owned */
    bool apart;       /* a link in a session of its own: a refusal must not take the others along */
    bool filtered;    /* the address says the subject already: no filter */
    bool topic;       /* it makes a topic of it when it is asked to, else a queue: capability "topic" */
    char *selector;   /* a JMS selector that stands for the subject filter; owned; NULL: none */
} AmqpPlace;

typedef struct AmqpWish { /* a receiver's; borrowed */
    const char *address, *subject; /* subject NULL: all */
    const char *name;              /* of the link */
    bool topic, durable;
} AmqpWish;

typedef struct AmqpDialect {
    const char *name;     /* "native" "rabbitmq" "qpidd" "artemis" "generic" */
    const char *product;  /* prefix of the open frame's property "product"; NULL: never found out by itself */
    bool signs;           /* messages carry the sender's user-id, because the broker vouches for it and for nothing else */
    bool sifts;           /* it may not know subject filters, or not exactly: receivers look at the subject themselves */
    bool modifies;        /* it knows the outcome "modified"; where not, "released" has to do */
    bool fragile;         /* one refused link ends its session: those that may be refused stand apart */
    bool breaks_on_values; /* an amqp-value that is a list ends its session: such a body, and a map, goes as data */
    void (*target)(const char *address, AmqpPlace *ret);
    void (*source)(const AmqpWish *wish, AmqpPlace *ret);
} AmqpDialect;

/* @product: as the peer's open frame has it, NULL: it has none. Never NULL: what says nothing is native, what is not known generic. */
const AmqpDialect *amqp_dialect_of(const char *product);
/* NULL: there is none of that name. */
const AmqpDialect *amqp_dialect_named(const char *name);
/* NULL-terminated, for texts. */
const char *const *amqp_dialect_names(void);

/* Words between dots: '*' is one, '#' any number of them, as in a topic exchange. */
bool amqp_subject_matches(const char *pattern, const char *subject);

/* Nodes of docs/wire.md that have an entrance elsewhere, and that entrance. */
#define AMQP_CONTROL_PREFIX   "mend.control."
#define AMQP_CONTROL_ENTRANCE "mend.control" /* topic; the subject is the agent */
#define AMQP_GATE_QUEUE       "mend.gate"    /* what came in there, for `mend attach` alone */
#define AMQP_RESULTS          "mend.results"
#define AMQP_RESULTS_ENTRANCE "mend.results.in"
#define AMQP_EVENTS           "mend.events"

#endif
