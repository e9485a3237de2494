/* What a kind of broker needs done by us, beside what its addresses look like (lib/amqp/dialect.h has those). One table of functions and
 * facts for each kind; `mend attach` prints its lacks at the start, docs/attach.md explains them.
 *
 * Thread: the host's. Nothing here blocks: what has to be asked of the broker is asked in order, and said again after each loss, so
 * that a broker that lost everything gets it anew. */
#ifndef MEND_ATTACH_DIALECT_H
#define MEND_ATTACH_DIALECT_H

#include "broker-plugin/plugin.h"
#include "lib/amqp/client.h"

typedef struct AttachLack { const char *what, *instead; } AttachLack;

typedef struct AttachNode { /* a mend_node with texts of its own */
    const char *address, *dead_letter, *last_value_key;
    bool topic, ring, durable;
    int64_t max_messages, max_bytes, ttl_us;
} AttachNode;

/* Where the messages of a subscription come from. */
typedef struct AttachSource {
    char *address;      /* owned; NULL: nowhere, the subscription stays silent */
    char *filter;       /* subject filter for the link; owned; NULL: none */
    const char *forward;/* node that gets each message once the plugin has seen it; literal; NULL: none. Static */
    bool literal;       /* @address is in the broker's form */
} AttachSource;

typedef struct AttachWay { /* what a dialect has to work with; borrowed, outlives it */
    AmqpClient *client; /* its url is the broker in use */
    const char *user, *password, *ca_file, *management;
    /* A connection of @user began; @key names it, @where is its far end, for people. */
    void (*peer_opened)(const char *key, const char *user, const char *where, void *host);
    void (*peer_closed)(const char *key, void *host); /* an unknown @key is nobody's */
    void (*peer_named)(const char *key, const char *agent, void *host); /* that connection receives what is said to @agent */
    void (*peers_unknown)(void *host); /* whoever came or went meanwhile was not seen */
    void *host;
} AttachWay;

typedef struct AttachDialect {
    const char *name;
    uint64_t caps;            /* MEND_CAP_PEERS, MEND_CAP_DECLARE: what it can do of these */
    const AttachLack *lacks;  /* NULL-terminated */
    /* NULL functions: nothing to do. */
    void *(*open)(const AttachWay *way, GError **error);
    void (*close)(void *self);
    void (*connected)(void *self, bool first); /* the AMQP 1.0 connection is open */
    void (*declare)(void *self, const AttachNode *node);
    void (*undeclare)(void *self, const char *address);
    void (*subscriber)(void *self, const char *name); /* a durable subscription of mend.events */
    /* The queue mend.results.NAME for it alone: with several engines that act. NULL: cannot be had. */
    void (*results)(void *self, const char *name);
    /* @mode: MEND_TAP, MEND_GATE, MEND_CONSUME, MEND_BROWSE. */
    void (*source)(void *self, int32_t mode, const char *address, const char *subject, AttachSource *ret);
    /* Runs @done once all that was asked for so far is there; NULL: it always is. Never inside the call. */
    void (*when_made)(void *self, void (*done)(uint64_t number, void *user), uint64_t number, void *user);
    char *(*queue)(const char *address); /* a queue's literal address for sending past the entrance; caller frees */
} AttachDialect;

extern const AttachDialect attach_generic, attach_rabbitmq, attach_qpidd, attach_artemis;

/* NULL: none of that name. */
const AttachDialect *attach_dialect_named(const char *name);

/* For brokers whose nodes were made beforehand: the way round through plain queues. */
void attach_plain_source(int32_t mode, const char *address, const char *subject, AttachSource *ret);
char *attach_plain_queue(const char *address);

/* A short, stable name for the queue of a tap: "mend.tap." and a hash. Caller frees. */
char *attach_tap_name(const char *address, const char *subject);

#endif
