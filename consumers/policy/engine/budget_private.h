/* Between the files of the budgets only. */
#ifndef MEND_POLICY_BUDGET_PRIVATE_H
#define MEND_POLICY_BUDGET_PRIVATE_H

#include "consumers/policy/engine/budget.h"
#include "consumers/policy/engine/stamps.h"

#define RUNNING_MAX 65536

typedef struct Bucket {
    char *name;
    Stamps granted;               /* within the longest per_us lately asked for */
    int64_t per_us;
    guint running, waiting;       /* grants that run; asks in the queue that claim it */
    guint kept;                   /* scratch of queue_walk(): tokens that belong to those before */
    bool reserved;                /* scratch: the first who waits for it has been given its others */
} Bucket;

typedef struct Claim {
    Bucket *bucket;
    BudgetLimits limits;
    guint unhealthy, total;
} Claim;

typedef struct Waiter {
    uint64_t incident;
    int priority;
    int64_t since_us;
    guint n_claims;
    Claim claims[];
} Waiter;

typedef struct Running {
    uint64_t incident;
    int64_t at_us;
    guint n_buckets;
    Bucket *buckets[];
} Running;

struct Budgets {
    GHashTable *buckets;          /* name -> Bucket, owned */
    GPtrArray *waiting;           /* of Waiter, the first to be served first */
    GHashTable *waiters;          /* &incident -> Waiter, borrowed */
    GPtrArray *running;           /* of Running, in the order of their grants */
};

/* budget.c */
Bucket *bucket_ensure(Budgets *budgets, const char *name); /* NULL: too many */
void waiter_insert(Budgets *budgets, Waiter *waiter);      /* (transfer full) */
void running_add(Budgets *budgets, Running *running);      /* (transfer full) */

/* budget_queue.c */
gint waiter_compare(const Waiter *a, const Waiter *b);     /* < 0: a is served before b */
guint bucket_used(const Bucket *bucket, int64_t per_us, int64_t now_us);
/* Through the queue in its order, up to @until (NULL: all of it), giving everyone what would be theirs at @now_us. Those who would be granted
 * all they claim are added to @ready (may be NULL). */
void queue_walk(const Budgets *budgets, const Waiter *until, int64_t now_us, GArray *ready);
/* After that walk: how @waiter itself fares. */
void queue_verdict(const Budgets *budgets, const Waiter *waiter, int64_t now_us, BudgetAnswer *ret);

#endif
