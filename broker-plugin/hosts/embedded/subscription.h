/* Lasting subscriptions: the queue a subscriber finds again by container id and link name. Thread: any. */
#ifndef MEND_EMBEDDED_SUBSCRIPTION_H
#define MEND_EMBEDDED_SUBSCRIPTION_H

#include "broker-plugin/hosts/embedded/router.h"
#include "broker-plugin/hosts/embedded/selector.h"

typedef struct Subscriptions Subscriptions;
typedef struct Subscription Subscription;

typedef struct SubscriptionWish { /* borrowed */
    const char *container_id, *link_name, *user;
    Node *node;
    const char *key, *selector; /* selector NULL: none */
    bool durable;            /* also over a restart of the broker */
    int64_t timeout_us;      /* after the subscriber has gone; INT64_MAX: for ever */
    Budget *budget;
} SubscriptionWish;

Subscriptions *subscriptions_new(Router *router, const BrokerSettings *settings, Budget *budget);
void subscriptions_free(Subscriptions *subscriptions);

/* Finds or makes it and takes it for the caller. One with another node, key or selector is made anew (AMQP 1.0: the terminus has
 * changed). NULL: BROKER_ERROR_SHAPE when it is taken or another user's, BROKER_ERROR_LIMIT, SELECTOR_ERROR. */
Subscription *subscription_take(Subscriptions *subscriptions, const SubscriptionWish *wish, GError **error);
Queue *subscription_queue(Subscription *subscription); /* borrowed */
/* @end: the subscriber does not want it any more. */
void subscription_leave(Subscriptions *subscriptions, Subscription *subscription, bool end);
/* Expired messages and subscriptions whose owner stayed away. Returns when to come again. */
int64_t subscriptions_sweep(Subscriptions *subscriptions, int64_t now_us);
/* A RouterRestoreFn; @user: the Subscriptions. */
Queue *subscription_restore(void *user, const char *name, uint64_t record, const json_t *doc);
void subscriptions_statistics(Subscriptions *subscriptions, json_t *into);

#endif
