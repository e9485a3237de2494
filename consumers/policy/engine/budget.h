/* Who may act now: token budgets, and the queue before them.
 *
 * A claim names a bucket ("site", "reboots rack/r1") and its limits; an ask is a few claims that must all agree, for one incident. Limits
 * come with the claim, so a new policy holds from the next ask on; what was used is the bucket's.
 *
 *   at_once     so many of the granted may be running at the same time (budget_return() ends one)
 *   max, per    so many are granted in any span of per_us, to the microsecond
 *   unhealthy   nothing while more than this part of the scope is unhealthy, once that are at least BUDGET_UNHEALTHY_LEAST
 *
 * Fair: who is refused waits in the order of priority, then incident number; every BUDGET_AGEING_US of waiting counts as one more of
 * priority, so the least of all is served at last. A token that is free belongs to the first in the queue who can use it: asking earlier
 * or more often gains nothing. Who waits for another bucket keeps one token of the shared ones for the first of that bucket's waiters,
 * the rest go by. Waiting for unhealthy keeps nobody.
 *
 * The owner must call budget_withdraw() when an incident no longer wants what it asked for. Plain data; no clock. Thread: the owner's. */
#ifndef MEND_POLICY_BUDGET_H
#define MEND_POLICY_BUDGET_H

#include "lib/base/base.h"

#define BUDGET_ERROR budget_error_quark()
GQuark budget_error_quark(void);
typedef enum { BUDGET_ERROR_MALFORMED } BudgetError;

#define BUDGET_AGEING_US (30 * US_PER_S)
#define BUDGET_UNHEALTHY_LEAST 3
#define BUDGET_LOOK_AGAIN_US (10 * US_PER_S) /* for what no time can be told */
#define BUDGET_CLAIMS_MAX 16                 /* in one ask */
#define BUDGET_BUCKETS_MAX 65536
#define BUDGET_WAITING_MAX 65536
#define BUDGET_MAX_MAX 65536                 /* the greatest max */

typedef struct BudgetLimits {
    guint at_once;               /* 0: any */
    guint max;                   /* in any per_us; 0: any */
    int64_t per_us;
    guint unhealthy_max_percent; /* 0: not looked at */
} BudgetLimits;

typedef struct BudgetClaim {
    const char *bucket;          /* for people, too: "restarts of rack r1" */
    BudgetLimits limits;
    guint unhealthy, total;      /* in the bucket's scope, now */
} BudgetClaim;

typedef struct BudgetAsk {
    uint64_t incident;           /* number; one ask of each waits, the newest */
    int priority;                /* 0 to 100, the higher first */
    const BudgetClaim *claims;   /* borrowed; of more than BUDGET_CLAIMS_MAX the rest is not looked at */
    guint n_claims;
} BudgetAsk;

typedef enum {
    BUDGET_GRANTED,
    BUDGET_AT_ONCE, BUDGET_RATE, BUDGET_UNHEALTHY, BUDGET_QUEUE /* there is room, and somebody before us */, BUDGET_FULL /* of BUDGET_WAITING_MAX or _BUCKETS_MAX */,
    BUDGET_VERDICT_N
} BudgetVerdict;

typedef struct BudgetAnswer {
    BudgetVerdict verdict;
    char *reason;                /* for people: "4 of 4 reboots of rack r1 are running, 2 wait before it". NULL when granted */
    char *bucket;                /* that refused */
    int64_t again_us;            /* ask again then, or when budget_ready() names it. > now */
    guint ahead;                 /* who wait before it for that bucket */
} BudgetAnswer;
void budget_answer_clear(BudgetAnswer *answer);

typedef struct Budgets Budgets;
Budgets *budgets_new(void);
void budgets_free(Budgets *budgets);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Budgets, budgets_free)

/* GRANTED: charged, running until budget_return(). Else it waits in the queue. Asking again while running charges again. */
bool budget_ask(Budgets *budgets, const BudgetAsk *ask, int64_t now_us, BudgetAnswer *ret);
/* Charged without asking: what already runs, or what a person has ordered. */
void budget_charge(Budgets *budgets, const BudgetAsk *ask, int64_t now_us);
/* All of its running ones have ended; what was charged to the rate stays. */
void budget_return(Budgets *budgets, uint64_t incident, int64_t now_us);
/* The last grant was not used (its command never left): undone, rate too. */
void budget_give_back(Budgets *budgets, uint64_t incident, int64_t now_us);
/* It waits no more. Nothing happens when it does not. */
void budget_withdraw(Budgets *budgets, uint64_t incident);
bool budget_is_waiting(const Budgets *budgets, uint64_t incident);
bool budget_is_running(const Budgets *budgets, uint64_t incident);

/* The waiting ones that would be granted at @now_us if all asked, in the order they would get it. What each last said of unhealthy holds.
 * Of uint64_t, (transfer full). Ask after budget_return(), budget_withdraw() and at budget_due_us(). */
GArray *budget_ready(const Budgets *budgets, int64_t now_us);
/* When a rate lets the next one through; INT64_MAX: nobody waits for one. */
int64_t budget_due_us(const Budgets *budgets, int64_t now_us);
guint budget_n_waiting(const Budgets *budgets);

/* For `mend status`: [{"bucket","running","used","waiting"}] by name. (transfer full) */
json_t *budgets_status(const Budgets *budgets, int64_t now_us);
json_t *budgets_to_json(const Budgets *budgets); /* (transfer full) */
Budgets *budgets_from_json(const json_t *json, GError **error);

#endif
