/* Addresses and what they name: finds, makes, removes and sweeps nodes; the queues' way to the store and to the dead letters.
 * Thread: any. */
#ifndef MEND_EMBEDDED_ROUTER_H
#define MEND_EMBEDDED_ROUTER_H

#include "broker-plugin/hosts/embedded/broker.h"
#include "broker-plugin/hosts/embedded/node.h"
#include "broker-plugin/hosts/embedded/store.h"
#include "lib/base/charge.h"

typedef struct Router Router;
typedef struct RouterWatch RouterWatch;

typedef struct NodeWish { /* all borrowed */
    const char *address;
    NodeKind kind;
    QueueShape shape;        /* 0 limits: the settings' */
    Lifetime lifetime;
    const char *owner;
    bool durable, made_by_attach, fixed, quiet;
    uint64_t maker;
    Budget *budget;          /* whose queue it is; NULL: the broker's alone */
} NodeWish;

/* @store NULL: nothing survives. All must outlive it. */
Router *router_new(const BrokerSettings *settings, Budget *budget, Store *store);
void router_free(Router *router);
/* The nodes every bus has, then what the store holds. @restore: for documents that are no nodes; returns their queue (borrowed) or NULL. */
typedef Queue *(*RouterRestoreFn)(void *user, const char *name, uint64_t record, const json_t *doc);
bool router_open(Router *router, RouterRestoreFn restore, void *user, GError **error);

Node *router_find(Router *router, const char *address); /* (transfer full) or NULL */
/* Existing with the same shape: that one. (transfer full) NULL: BROKER_ERROR_SHAPE, BROKER_ERROR_LIMIT. */
Node *router_make(Router *router, const NodeWish *wish, GError **error);
/* What it holds goes to its dead letters. */
void router_remove(Router *router, Node *node, const char *reason);
/* A link came or went. The last one takes nodes with it that live no longer than their links. */
void router_use(Node *node);
void router_unuse(Router *router, Node *node);
/* A name nobody can guess. Caller frees. */
char *router_temporary_name(void);

/* A queue outside the addresses, for a subscription. @durable_name NULL: dies with its owner. NULL: limit. (transfer full) */
Queue *router_subscription_queue(Router *router, const char *name, const QueueShape *shape);

/* Into @address; the caller has done all checks. QUEUE_GONE: no such node. */
QueueOutcome router_publish(Router *router, const char *address, Message *message, QueueSafeFn safe, void *safe_user);

/* @fn for every node whose address is @address, or starts with it when @prefix: those here at once, others when they are made. Called
 * with the router locked: it may bind, and nothing more. */
RouterWatch *router_watch(Router *router, const char *address, bool prefix, void (*fn)(void *user, Node *node), void *user);
/* Every node now, with the router locked: as for a watch. */
void router_each(Router *router, void (*fn)(void *user, Node *node), void *user);
void router_unwatch(Router *router, RouterWatch *watch); /* NULL is fine */

/* Expiry, unused nodes. Returns when to come again. */
int64_t router_sweep(Router *router, int64_t now_us);
void router_statistics(Router *router, json_t *into);
Store *router_store(Router *router);

#endif
