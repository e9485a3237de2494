/* What AMQP 1.0 cannot ask of RabbitMQ 3.10: making exchanges, queues and bindings, and hearing of connections. It is asked in RabbitMQ's
 * own protocol, AMQP 0-9-1, at the same port with the same credentials, by a thread of its own (librabbitmq's calls wait).
 *
 * What was declared is a wish that lasts: after each loss of the connection it is said again.
 *
 * Thread: the creator's; callbacks run in its thread-default main context. */
#ifndef MEND_RABBIT_ADMIN_H
#define MEND_RABBIT_ADMIN_H

#include "lib/base/base.h"

typedef struct RabbitAdmin RabbitAdmin;

typedef struct RabbitAdminOptions { /* copied */
    const char *url;       /* as AmqpClient's, one */
    const char *user, *password, *ca_file;
    const char *management; /* URL of its HTTP API; NULL: policies are somebody else's */
    void (*opened)(const char *key, const char *user, const char *where, void *data); /* a connection of AMQP 1.0 */
    void (*closed)(const char *key, void *data);
    void (*unknown)(void *data); /* events were or may have been missed */
    void *data;
} RabbitAdminOptions;

typedef struct RabbitQueue {
    const char *name;
    bool quorum, single;   /* single active consumer */
    bool ring;             /* at its limit: drop the oldest; else refuse */
    int64_t max_messages, max_bytes, ttl_ms, expires_ms; /* 0: none */
    const char *dead_letter; /* exchange; NULL: none */
} RabbitQueue;

RabbitAdmin *rabbit_admin_new(const RabbitAdminOptions *options);
void rabbit_admin_free(RabbitAdmin *admin); /* waits for the thread: at most some seconds; NULL is fine */

/* In the order of the calls; trouble is logged, and tried again where that helps. */
void rabbit_admin_exchange(RabbitAdmin *admin, const char *name, const char *type);
void rabbit_admin_queue(RabbitAdmin *admin, const RabbitQueue *queue);
void rabbit_admin_bind(RabbitAdmin *admin, const char *queue, const char *exchange, const char *key);
/* Takes the wish back, with its bindings, and deletes the queue. */
void rabbit_admin_delete_queue(RabbitAdmin *admin, const char *name);
/* Runs @done, in the creator's context, once all before it was said to the broker and answered. Not after rabbit_admin_free(). */
void rabbit_admin_when_done(RabbitAdmin *admin, void (*done)(uint64_t number, void *user), uint64_t number, void *user);
/* The AMQP 1.0 side reaches another node of the list now. */
void rabbit_admin_url(RabbitAdmin *admin, const char *url);

#endif
