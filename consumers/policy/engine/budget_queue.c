/* Who would be granted now: the queue is walked in its order, and everyone is given, on paper, what they could take. What is left when it
 * is your turn decides. So a token that is free goes to the first who can use it, whoever happens to ask.
 *
 * Who cannot go because of one bucket would lose the tokens of the others to those behind, again and again; so the first who waits for a bucket is
 * given its others all the same. More than the first is not needed, since one token at a time comes free, and would hold up the rest for nothing.
 *
 * The order does not change with time: priority + waited / AGEING compares like priority - asked / AGEING, which is fixed; asked is taken in
 * whole AGEING_US, so that of those who came at about the same time the incident's number decides. */
#include "consumers/policy/engine/budget_private.h"

#include <string.h>

static int64_t rank(const Waiter *w)
{
    int64_t cell = w->since_us / BUDGET_AGEING_US - (w->since_us % BUDGET_AGEING_US < 0);

    return w->priority - cell;
}

gint waiter_compare(const Waiter *a, const Waiter *b)
{
    int64_t x = rank(a), y = rank(b);

    if (x != y)
        return x > y ? -1 : 1;
    return a->incident < b->incident ? -1 : a->incident > b->incident;
}

guint bucket_used(const Bucket *b, int64_t per_us, int64_t now_us)
{
    return b->granted.n - stamps_rank(&b->granted, time_before(now_us, per_us));
}

/* Without those before: GRANTED, UNHEALTHY, AT_ONCE, RATE; with them (@kept of the bucket) the last two mean a place in the queue. */
static BudgetVerdict claim_verdict(const Claim *c, guint kept, int64_t now_us)
{
    const BudgetLimits *l = &c->limits;

    if (l->unhealthy_max_percent > 0 && c->unhealthy >= BUDGET_UNHEALTHY_LEAST &&
        (uint64_t) c->unhealthy * 100 > (uint64_t) c->total * l->unhealthy_max_percent)
        return BUDGET_UNHEALTHY;
    if (l->at_once > 0 && c->bucket->running + kept >= l->at_once)
        return BUDGET_AT_ONCE;
    if (l->max > 0 && bucket_used(c->bucket, l->per_us, now_us) + kept >= l->max)
        return BUDGET_RATE;
    return BUDGET_GRANTED;
}

/* The worst of what its claims say: what is wrong for good before what time or the queue will mend. */
static BudgetVerdict waiter_verdict(const Waiter *w, int64_t now_us, const Claim **ret_claim)
{
    BudgetVerdict verdict = BUDGET_GRANTED;

    for (guint i = 0; i < w->n_claims; i++) {
        BudgetVerdict one = claim_verdict(&w->claims[i], w->claims[i].bucket->kept, now_us);

        if (one == BUDGET_GRANTED || (verdict != BUDGET_GRANTED && one != BUDGET_UNHEALTHY))
            continue;
        verdict = one;
        *ret_claim = &w->claims[i];
        if (one == BUDGET_UNHEALTHY)
            break;
    }
    return verdict;
}

void queue_walk(const Budgets *b, const Waiter *until, int64_t now_us, GArray *ready)
{
    for (guint i = 0; i < b->waiting->len; i++) { /* scratch: only buckets somebody waits for are looked at */
        const Waiter *w = b->waiting->pdata[i];

        for (guint k = 0; k < w->n_claims; k++) {
            w->claims[k].bucket->kept = 0;
            w->claims[k].bucket->reserved = false;
        }
    }
    for (guint i = 0; i < b->waiting->len && b->waiting->pdata[i] != until; i++) {
        const Waiter *w = b->waiting->pdata[i];
        const Claim *blocked = NULL;
        BudgetVerdict verdict = waiter_verdict(w, now_us, &blocked);

        if (verdict == BUDGET_UNHEALTHY || (verdict != BUDGET_GRANTED && blocked->bucket->reserved))
            continue;
        for (guint k = 0; k < w->n_claims; k++)
            if (&w->claims[k] != blocked)
                w->claims[k].bucket->kept++;
        if (blocked != NULL)
            blocked->bucket->reserved = true;
        else if (ready != NULL)
            g_array_append_val(ready, w->incident);
    }
}

static guint count_ahead(const Budgets *b, const Waiter *waiter, const Bucket *bucket)
{
    guint ahead = 0;

    for (guint i = 0; i < b->waiting->len && b->waiting->pdata[i] != waiter; i++) {
        const Waiter *w = b->waiting->pdata[i];

        for (guint k = 0; k < w->n_claims; k++)
            ahead += w->claims[k].bucket == bucket;
    }
    return ahead;
}

/* When the rate has a token for the one behind @ahead others. */
static int64_t rate_again_us(const Claim *c, guint ahead, int64_t now_us)
{
    guint used = bucket_used(c->bucket, c->limits.per_us, now_us), first = c->bucket->granted.n - used;

    if (used + ahead < c->limits.max)
        return time_after(now_us, BUDGET_LOOK_AGAIN_US); /* those before have it, and have not taken it yet */
    if (used == 0)
        return time_after(now_us, c->limits.per_us);
    guint needed = used + ahead - c->limits.max; /* this many must leave the window before the one that makes room */
    int64_t turns = 1 + needed / used;
    return time_after(stamps_get(&c->bucket->granted, first + needed % used), turns > INT32_MAX ? INT64_MAX / 2 : turns * c->limits.per_us);
}

static void explain(const Claim *c, bool queue, int64_t now_us, BudgetAnswer *ret)
{
    g_autofree char *before = ret->ahead == 0 ? g_strdup("") : g_strdup_printf(", %u wait%s before it", ret->ahead, ret->ahead == 1 ? "s" : "");
    int64_t wait_s = (ret->again_us - now_us + US_PER_S - 1) / US_PER_S;

    if (ret->verdict == BUDGET_UNHEALTHY)
        ret->reason = g_strdup_printf("%s: %u of %u are unhealthy, more than %u %%", c->bucket->name, c->unhealthy, c->total,
                                      c->limits.unhealthy_max_percent);
    else if (queue)
        ret->reason = g_strdup_printf("%s: there is room%s", c->bucket->name, before);
    else if (ret->verdict == BUDGET_AT_ONCE)
        ret->reason = g_strdup_printf("%s: %u of %u are running%s", c->bucket->name, c->bucket->running, c->limits.at_once, before);
    else
        ret->reason = g_strdup_printf("%s: %u of %u in %" G_GINT64_FORMAT " s are used%s; next in %" G_GINT64_FORMAT " s", c->bucket->name,
                                      bucket_used(c->bucket, c->limits.per_us, now_us), c->limits.max, c->limits.per_us / US_PER_S, before, wait_s);
}

void queue_verdict(const Budgets *b, const Waiter *w, int64_t now_us, BudgetAnswer *ret)
{
    const Claim *c = NULL;
    BudgetVerdict verdict = waiter_verdict(w, now_us, &c);

    *ret = (BudgetAnswer) { .verdict = verdict };
    if (verdict == BUDGET_GRANTED)
        return;
    bool queue = verdict != BUDGET_UNHEALTHY && claim_verdict(c, 0, now_us) == BUDGET_GRANTED;
    ret->bucket = g_strdup(c->bucket->name);
    ret->ahead = count_ahead(b, w, c->bucket);
    ret->again_us = time_after(now_us, BUDGET_LOOK_AGAIN_US * (verdict == BUDGET_UNHEALTHY ? 1 : 1 + ret->ahead / 16));
    if (verdict == BUDGET_RATE)
        ret->again_us = MAX(rate_again_us(c, ret->ahead, now_us), now_us + 1);
    explain(c, queue, now_us, ret);
    if (queue)
        ret->verdict = BUDGET_QUEUE;
}

GArray *budget_ready(const Budgets *b, int64_t now_us)
{
    GArray *ready = g_array_new(FALSE, FALSE, sizeof(uint64_t));

    queue_walk(b, NULL, now_us, ready);
    return ready;
}

int64_t budget_due_us(const Budgets *b, int64_t now_us)
{
    int64_t due_us = INT64_MAX;

    for (guint i = 0; i < b->waiting->len; i++) {
        const Waiter *w = b->waiting->pdata[i];

        for (guint k = 0; k < w->n_claims; k++) {
            const Claim *c = &w->claims[k];
            guint used = c->limits.max == 0 ? 0 : bucket_used(c->bucket, c->limits.per_us, now_us);

            if (used == 0 || used < c->limits.max)
                continue;
            /* more than max are used when the limit was higher: then so many must go first */
            int64_t stamp_us = stamps_get(&c->bucket->granted, c->bucket->granted.n - c->limits.max);
            due_us = MIN(due_us, time_after(stamp_us, c->limits.per_us));
        }
    }
    return due_us;
}
