/* The ledger: buckets, who runs, who waits. Who may go is in budget_queue.c.
 *
 * A bucket holds the times of its grants, so a sliding window is exact, and as many as `max` of them at most. It goes when nothing refers
 * to it any more; they are looked through when their number reaches the next power of two, which depends on nothing but their number. */
#include "consumers/policy/engine/budget_private.h"

#include <string.h>

G_DEFINE_QUARK(mend-budget-error-quark, budget_error)

#define BUCKETS_FEW 64

static void bucket_free(gpointer data)
{
    Bucket *b = data;

    stamps_done(&b->granted);
    g_free(b->name);
    g_free(b);
}

static bool bucket_is_idle(const Bucket *b, int64_t now_us)
{
    return b->running == 0 && b->waiting == 0 && (b->granted.n == 0 || stamps_last(&b->granted) <= time_before(now_us, b->per_us));
}

static gboolean drop_idle(gpointer name, gpointer bucket, gpointer now_us)
{
    (void) name;
    return bucket_is_idle(bucket, *(const int64_t *) now_us);
}

Budgets *budgets_new(void)
{
    Budgets *b = g_new0(Budgets, 1);

    b->buckets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, bucket_free);
    b->waiting = g_ptr_array_new_with_free_func(g_free);
    b->waiters = g_hash_table_new(g_int64_hash, g_int64_equal);
    b->running = g_ptr_array_new_with_free_func(g_free);
    return b;
}

void budgets_free(Budgets *b)
{
    if (b == NULL)
        return;
    g_hash_table_unref(b->waiters);
    g_ptr_array_unref(b->waiting);
    g_ptr_array_unref(b->running);
    g_hash_table_unref(b->buckets);
    g_free(b);
}

void budget_answer_clear(BudgetAnswer *answer)
{
    g_free(answer->reason);
    g_free(answer->bucket);
    *answer = (BudgetAnswer) { 0 };
}

Bucket *bucket_ensure(Budgets *b, const char *name)
{
    Bucket *bucket = g_hash_table_lookup(b->buckets, name);

    if (bucket != NULL || g_hash_table_size(b->buckets) >= BUDGET_BUCKETS_MAX)
        return bucket;
    bucket = g_new0(Bucket, 1);
    bucket->name = g_strdup(name);
    g_hash_table_insert(b->buckets, bucket->name, bucket);
    return bucket;
}

void waiter_insert(Budgets *b, Waiter *waiter)
{
    guint low = 0, high = b->waiting->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (waiter_compare(b->waiting->pdata[middle], waiter) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    g_ptr_array_insert(b->waiting, (gint) low, waiter);
    g_hash_table_insert(b->waiters, &waiter->incident, waiter);
    for (guint i = 0; i < waiter->n_claims; i++)
        waiter->claims[i].bucket->waiting++;
}

/* What @ask asks, with its buckets; since when it has waited is taken over. NULL: there is no room for its buckets. */
static Waiter *waiter_new(Budgets *b, const BudgetAsk *ask, int64_t now_us)
{
    guint n = MIN(ask->n_claims, BUDGET_CLAIMS_MAX), buckets = g_hash_table_size(b->buckets);
    g_autofree Waiter *w = g_malloc0(sizeof(Waiter) + n * sizeof(Claim));
    const Waiter *before = g_hash_table_lookup(b->waiters, &ask->incident);

    if (buckets >= BUCKETS_FEW && (buckets & (buckets - 1)) == 0)
        g_hash_table_foreach_remove(b->buckets, drop_idle, &now_us);
    *w = (Waiter) { .incident = ask->incident, .priority = CLAMP(ask->priority, 0, 100), .since_us = before == NULL ? now_us : before->since_us };
    for (guint i = 0; i < n; i++) {
        const BudgetClaim *claim = &ask->claims[i];
        Bucket *bucket = bucket_ensure(b, claim->bucket);
        bool twice = false;

        if (bucket == NULL)
            return NULL;
        for (guint k = 0; k < w->n_claims; k++)
            twice |= w->claims[k].bucket == bucket;
        if (twice)
            continue;
        BudgetLimits limits = claim->limits;
        limits.max = MIN(limits.max, BUDGET_MAX_MAX);
        limits.per_us = MAX(limits.per_us, 1);
        bucket->per_us = limits.max > 0 ? limits.per_us : bucket->per_us;
        w->claims[w->n_claims++] = (Claim) { bucket, limits, claim->unhealthy, claim->total };
    }
    return g_steal_pointer(&w);
}

void running_add(Budgets *b, Running *running)
{
    for (guint i = 0; i < running->n_buckets; i++)
        running->buckets[i]->running++;
    g_ptr_array_add(b->running, running);
}

static void charge(Budgets *b, const Waiter *w, int64_t now_us)
{
    Running *running = g_malloc0(sizeof(Running) + w->n_claims * sizeof(Bucket *));

    *running = (Running) { .incident = w->incident, .at_us = now_us, .n_buckets = w->n_claims };
    for (guint i = 0; i < w->n_claims; i++) {
        const Claim *c = &w->claims[i];
        Stamps *granted = &c->bucket->granted;

        running->buckets[i] = c->bucket;
        if (c->limits.max == 0)
            continue;
        stamps_drop(granted, stamps_rank(granted, time_before(now_us, c->limits.per_us)));
        stamps_insert(granted, now_us);
        if (granted->n > BUDGET_MAX_MAX)
            stamps_drop(granted, 1);
    }
    running_add(b, running);
}

static void refuse_full(const Budgets *b, BudgetAnswer *ret, int64_t now_us)
{
    *ret = (BudgetAnswer) { .verdict = BUDGET_FULL, .bucket = g_strdup(""), .again_us = time_after(now_us, BUDGET_LOOK_AGAIN_US),
                            .ahead = b->waiting->len };
    ret->reason = g_strdup_printf("the budgets have no more room: %u buckets, %u actions running, %u waiting", g_hash_table_size(b->buckets),
                                  b->running->len, b->waiting->len);
}

bool budget_ask(Budgets *b, const BudgetAsk *ask, int64_t now_us, BudgetAnswer *ret)
{
    Waiter *w = waiter_new(b, ask, now_us);

    *ret = (BudgetAnswer) { 0 };
    budget_withdraw(b, ask->incident);
    if (w == NULL || b->running->len >= RUNNING_MAX || b->waiting->len >= BUDGET_WAITING_MAX) {
        g_free(w);
        refuse_full(b, ret, now_us);
        return false;
    }
    waiter_insert(b, w);
    queue_walk(b, w, now_us, NULL);
    queue_verdict(b, w, now_us, ret);
    if (ret->verdict != BUDGET_GRANTED)
        return false;
    charge(b, w, now_us);
    budget_withdraw(b, ask->incident);
    return true;
}

void budget_charge(Budgets *b, const BudgetAsk *ask, int64_t now_us)
{
    g_autofree Waiter *w = waiter_new(b, ask, now_us);

    budget_withdraw(b, ask->incident);
    if (w != NULL && b->running->len < RUNNING_MAX)
        charge(b, w, now_us);
}

static void running_remove(Budgets *b, guint i)
{
    const Running *running = b->running->pdata[i];

    for (guint k = 0; k < running->n_buckets; k++)
        running->buckets[k]->running--;
    g_ptr_array_remove_index(b->running, i);
}

void budget_return(Budgets *b, uint64_t incident, int64_t now_us)
{
    (void) now_us;
    for (guint i = b->running->len; i-- > 0;)
        if (((const Running *) b->running->pdata[i])->incident == incident)
            running_remove(b, i);
}

void budget_give_back(Budgets *b, uint64_t incident, int64_t now_us)
{
    (void) now_us;
    for (guint i = b->running->len; i-- > 0;) {
        const Running *running = b->running->pdata[i];

        if (running->incident != incident)
            continue;
        for (guint k = 0; k < running->n_buckets; k++) {
            Stamps *granted = &running->buckets[k]->granted;
            guint rank = stamps_rank(granted, running->at_us);

            if (rank > 0 && stamps_get(granted, rank - 1) == running->at_us)
                stamps_remove(granted, rank - 1);
        }
        running_remove(b, i);
        return;
    }
}

void budget_withdraw(Budgets *b, uint64_t incident)
{
    Waiter *w = g_hash_table_lookup(b->waiters, &incident);

    if (w == NULL)
        return;
    g_hash_table_remove(b->waiters, &incident);
    for (guint i = 0; i < w->n_claims; i++)
        w->claims[i].bucket->waiting--;
    guint at = 0;
    for (guint high = b->waiting->len; at < high;) {
        guint middle = at + (high - at) / 2;

        if (waiter_compare(b->waiting->pdata[middle], w) < 0)
            at = middle + 1;
        else
            high = middle;
    }
    g_ptr_array_remove_index(b->waiting, at);
}

bool budget_is_waiting(const Budgets *b, uint64_t incident)
{
    return g_hash_table_contains(b->waiters, &incident);
}

bool budget_is_running(const Budgets *b, uint64_t incident)
{
    for (guint i = 0; i < b->running->len; i++)
        if (((const Running *) b->running->pdata[i])->incident == incident)
            return true;
    return false;
}

guint budget_n_waiting(const Budgets *b)
{
    return b->waiting->len;
}
