/* Budgets: limits by looking back over every grant, order by what would have been possible. */
#include "consumers/policy/engine/budget.h"
#include "lib/base/json.h"

#include <string.h>

static bool ask(Budgets *b, uint64_t incident, int priority, const BudgetClaim *claims, guint n, int64_t now_us)
{
    BudgetAnswer answer;
    bool granted = budget_ask(b, &(BudgetAsk) { incident, priority, claims, n }, now_us, &answer);

    g_assert_cmpint(granted, ==, answer.verdict == BUDGET_GRANTED);
    g_assert_true(granted || (answer.reason != NULL && answer.bucket != NULL && answer.again_us > now_us));
    g_assert_cmpint(budget_is_waiting(b, incident), ==, !granted);
    budget_answer_clear(&answer);
    return granted;
}

static BudgetAnswer answer_of(Budgets *b, uint64_t incident, const BudgetClaim *claims, guint n, int64_t now_us)
{
    BudgetAnswer answer;

    budget_ask(b, &(BudgetAsk) { incident, 50, claims, n }, now_us, &answer);
    return answer;
}

static void round_trip(Budgets **b)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) json = budgets_to_json(*b);

    budgets_free(*b);
    *b = budgets_from_json(json, &error);
    g_assert_no_error(error);
    g_autoptr(json_t) again = budgets_to_json(*b);
    g_assert_true(json_equal(json, again));
}

static void test_a_thousand_at_twenty_a_minute_keep_their_order(void)
{
    g_autoptr(Budgets) b = budgets_new();
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    const BudgetClaim claim = { .bucket = "restarts of the site", .limits = { .max = 20, .per_us = US_PER_MINUTE } };
    int priority[1001];
    guint order[1000], granted = 0;
    int64_t now_us = 90000 * US_PER_S, began_us = now_us;
    g_autoptr(GArray) grants = g_array_new(FALSE, FALSE, sizeof(int64_t));

    /* as in a real storm: all are open before the first is served */
    for (guint i = 0; i < 1000; i++)
        order[i] = i + 1;
    for (guint i = 1000; i-- > 1;) {
        guint k = g_rand_int_range(rand, 0, i + 1), swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    budget_charge(b, &(BudgetAsk) { 5000, 50, &(BudgetClaim) { .bucket = claim.bucket, .limits = claim.limits }, 1 }, now_us - US_PER_S);
    for (guint i = 1; i < 20; i++)
        budget_charge(b, &(BudgetAsk) { 5000 + i, 50, &claim, 1 }, now_us - US_PER_S);
    for (guint i = 0; i < 1000; i++) {
        priority[order[i]] = g_rand_int_range(rand, 0, 101);
        g_assert_false(ask(b, order[i], priority[order[i]], &claim, 1, now_us));
    }
    uint64_t last = 0;
    while (granted < 1000) {
        int64_t due_us = budget_due_us(b, now_us);
        g_autoptr(GArray) ready = NULL;

        g_assert_cmpint(due_us, >, now_us);
        now_us = due_us;
        ready = budget_ready(b, now_us);
        g_assert_cmpuint(ready->len, >, 0);
        for (guint i = ready->len; i-- > 0;) { /* asked the wrong way round: it does not matter */
            uint64_t incident = g_array_index(ready, uint64_t, i);
            g_assert_true(ask(b, incident, priority[incident], &claim, 1, now_us));
            g_array_append_val(grants, now_us);
            granted++;
        }
        for (guint i = 0; i < ready->len; i++) {
            uint64_t incident = g_array_index(ready, uint64_t, i);
            g_assert_true(last == 0 || priority[incident] < priority[last] || (priority[incident] == priority[last] && incident > last));
            last = incident;
        }
        if (granted % 100 == 0)
            round_trip(&b);
    }
    for (guint i = 20; i < grants->len; i++)
        g_assert_cmpint(g_array_index(grants, int64_t, i) - g_array_index(grants, int64_t, i - 20), >=, US_PER_MINUTE);
    g_assert_cmpint(now_us - began_us, <=, 50 * US_PER_MINUTE);
    g_assert_cmpuint(budget_n_waiting(b), ==, 0);
}

static void test_the_time_told_is_the_time_it_is_granted(void)
{
    g_autoptr(Budgets) b = budgets_new();
    const BudgetClaim claim = { .bucket = "reboots", .limits = { .max = 3, .per_us = 100 } };
    int64_t again_us[11];

    for (uint64_t i = 1; i <= 10; i++) {
        BudgetAnswer answer = answer_of(b, i, &claim, 1, (int64_t) i);

        g_assert_cmpint(answer.verdict, ==, i <= 3 ? BUDGET_GRANTED : BUDGET_RATE);
        again_us[i] = answer.again_us;
        budget_answer_clear(&answer);
    }
    for (uint64_t i = 4; i <= 10; i++) {
        g_assert_cmpint(again_us[i], ==, 1 + (int64_t) (i - 1) % 3 + 100 * (int64_t) ((i - 1) / 3));
        g_assert_false(ask(b, i, 50, &claim, 1, again_us[i] - 1));
        g_assert_true(ask(b, i, 50, &claim, 1, again_us[i]));
    }
}

static void test_at_once(void)
{
    g_autoptr(Budgets) b = budgets_new();
    const BudgetClaim claim = { .bucket = "reboots of rack r1", .limits = { .at_once = 2 } };

    g_assert_true(ask(b, 1, 50, &claim, 1, 0));
    g_assert_true(ask(b, 2, 50, &claim, 1, 0));
    BudgetAnswer answer = answer_of(b, 3, &claim, 1, 0);
    g_assert_cmpint(answer.verdict, ==, BUDGET_AT_ONCE);
    g_assert_cmpstr(answer.reason, ==, "reboots of rack r1: 2 of 2 are running");
    budget_answer_clear(&answer);
    g_assert_false(ask(b, 4, 90, &claim, 1, 0));
    g_assert_true(budget_is_running(b, 1));
    budget_return(b, 1, 5);
    budget_return(b, 1, 5); /* twice does no harm */
    answer = answer_of(b, 3, &claim, 1, 5); /* the token is free, and belongs to 4 */
    g_assert_cmpint(answer.verdict, ==, BUDGET_QUEUE);
    g_assert_cmpstr(answer.reason, ==, "reboots of rack r1: there is room, 1 waits before it");
    budget_answer_clear(&answer);
    g_assert_true(budget_is_waiting(b, 4));
    budget_withdraw(b, 4); /* no longer wants it */
    g_assert_true(ask(b, 3, 50, &claim, 1, 5));
    g_autoptr(json_t) status = budgets_status(b, 5);
    g_autofree char *text = json_text(status);
    g_assert_cmpstr(text, ==, "[{\"bucket\":\"reboots of rack r1\",\"running\":2,\"used\":0,\"waiting\":0}]");
}

static void test_unused_grants_are_given_back(void)
{
    g_autoptr(Budgets) b = budgets_new();
    const BudgetClaim claim = { .bucket = "b", .limits = { .at_once = 5, .max = 1, .per_us = US_PER_HOUR } };

    g_assert_true(ask(b, 1, 50, &claim, 1, 10));
    g_assert_false(ask(b, 2, 50, &claim, 1, 20));
    budget_give_back(b, 1, 30);
    budget_give_back(b, 1, 30);
    g_assert_true(ask(b, 2, 50, &claim, 1, 30));
    budget_return(b, 2, 40); /* ended: its place is free, its part of the rate is not */
    g_assert_false(ask(b, 3, 50, &claim, 1, 50));
}

static void test_too_much_unhealthy_stops_all(void)
{
    g_autoptr(Budgets) b = budgets_new();
    BudgetClaim claim = { .bucket = "hosts of the site", .limits = { .at_once = 9, .unhealthy_max_percent = 30 }, .unhealthy = 40, .total = 100 };
    BudgetAnswer answer = answer_of(b, 1, &claim, 1, 0);

    g_assert_cmpint(answer.verdict, ==, BUDGET_UNHEALTHY);
    g_assert_cmpstr(answer.reason, ==, "hosts of the site: 40 of 100 are unhealthy, more than 30 %");
    budget_answer_clear(&answer);
    claim.unhealthy = 30;
    g_assert_true(ask(b, 2, 0, &claim, 1, 0)); /* exactly 30 % is allowed, and who waits for health holds nobody up */
    claim.unhealthy = 2, claim.total = 2;
    g_assert_true(ask(b, 3, 0, &claim, 1, 0)); /* two are never a storm */
    claim.unhealthy = 3, claim.total = 3;
    g_assert_false(ask(b, 4, 0, &claim, 1, 0));
}

static void test_the_least_is_served_at_last(void)
{
    g_autoptr(Budgets) b = budgets_new();
    const BudgetClaim claim = { .bucket = "b", .limits = { .max = 1, .per_us = US_PER_S } };
    int64_t now_us = 0;
    uint64_t number = 2;

    g_assert_true(ask(b, 1000000, 100, &claim, 1, 0));
    g_assert_false(ask(b, 1, 0, &claim, 1, 0));
    for (bool served = false; !served; now_us += US_PER_S) { /* every second one comes who is more important: all there is */
        ask(b, number++, 100, &claim, 1, now_us);
        g_autoptr(GArray) ready = budget_ready(b, now_us);
        for (guint i = 0; i < ready->len; i++) {
            uint64_t who = g_array_index(ready, uint64_t, i);
            g_assert_true(ask(b, who, who == 1 ? 0 : 100, &claim, 1, now_us));
            served |= who == 1;
        }
        g_assert_cmpint(now_us, <, 102 * BUDGET_AGEING_US);
    }
    g_assert_cmpint(now_us, >, 90 * BUDGET_AGEING_US); /* but not before it is as old as they are important */
}

static void test_who_waits_elsewhere_keeps_one_and_no_more(void)
{
    g_autoptr(Budgets) b = budgets_new();
    const BudgetClaim r1[] = { { .bucket = "site", .limits = { .at_once = 4 } }, { .bucket = "rack r1", .limits = { .at_once = 1 } } };
    const BudgetClaim r2[] = { { .bucket = "site", .limits = { .at_once = 4 } }, { .bucket = "rack r2", .limits = { .at_once = 4 } } };

    g_assert_true(ask(b, 1, 90, r1, 2, 0));
    for (uint64_t i = 2; i < 10; i++)
        g_assert_false(ask(b, i, 90, r1, 2, 0)); /* eight wait for rack r1 */
    g_assert_true(ask(b, 20, 10, r2, 2, 0));
    g_assert_true(ask(b, 21, 10, r2, 2, 0));
    g_assert_false(ask(b, 22, 10, r2, 2, 0)); /* the last of the site is kept for number 2 */
    budget_return(b, 1, 1);
    g_assert_false(ask(b, 22, 10, r2, 2, 1)); /* there is room for two, but 2 goes first and 3 keeps one */
    g_assert_true(ask(b, 2, 90, r1, 2, 1));
    budget_return(b, 20, 2);
    g_assert_true(ask(b, 22, 10, r2, 2, 2));
}

#define KINDS 3

/* Random worlds: limits are never broken, and a grant never takes from somebody before it what they could have had. */
static void test_random_worlds(void)
{
    for (guint32 seed = 1; seed <= 60; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_autoptr(Budgets) b = budgets_new();
        static const char *const names[KINDS] = { "site", "r1", "r2" };
        BudgetLimits limits[KINDS];
        GArray *grants[KINDS];
        guint running[KINDS] = { 0 };
        bool runs[64] = { 0 }, uses[64][KINDS] = { { 0 } };
        int64_t now_us = 0;

        for (guint i = 0; i < KINDS; i++) {
            limits[i] = (BudgetLimits) { g_rand_int_range(rand, 0, 5), g_rand_int_range(rand, 0, 6), g_rand_int_range(rand, 1, 40), 0 };
            grants[i] = g_array_new(FALSE, FALSE, sizeof(int64_t));
        }
        for (guint step = 0; step < 600; step++) {
            uint64_t who = g_rand_int_range(rand, 0, 64);
            BudgetClaim claims[KINDS];
            guint n = 0;

            now_us += g_rand_int_range(rand, 0, 4);
            if (runs[who]) {
                budget_return(b, who, now_us);
                runs[who] = false;
                for (guint i = 0; i < KINDS; i++)
                    running[i] -= uses[who][i];
                continue;
            }
            for (guint i = 0; i < KINDS; i++) { /* what it wants follows from its number */
                uses[who][i] = i == 0 ? who % 4 != 3 : who % 2 == i - 1;
                if (uses[who][i])
                    claims[n++] = (BudgetClaim) { .bucket = names[i], .limits = limits[i] };
            }
            g_autoptr(GArray) before = budget_ready(b, now_us);
            if (ask(b, who, (int) who % 5, claims, n, now_us)) {
                runs[who] = true;
                for (guint i = 0; i < KINDS; i++) {
                    running[i] += uses[who][i];
                    if (uses[who][i])
                        g_array_append_val(grants[i], now_us);
                    guint within = 0;
                    for (guint k = 0; k < grants[i]->len; k++)
                        within += g_array_index(grants[i], int64_t, k) > now_us - limits[i].per_us;
                    g_assert_true(limits[i].at_once == 0 || running[i] <= limits[i].at_once);
                    g_assert_true(limits[i].max == 0 || within <= limits[i].max);
                }
                g_autoptr(GArray) after = budget_ready(b, now_us);
                for (guint i = 0; i < before->len; i++) { /* those who could go and are not behind it still can */
                    uint64_t other = g_array_index(before, uint64_t, i);
                    bool still = other == who || other % 5 < who % 5 || (other % 5 == who % 5 && other > who);

                    for (guint k = 0; k < after->len; k++)
                        still |= g_array_index(after, uint64_t, k) == other;
                    g_assert_true(still);
                }
            } else if (g_rand_int_range(rand, 0, 6) == 0) {
                budget_withdraw(b, who);
            }
            if (g_rand_int_range(rand, 0, 20) == 0)
                round_trip(&b);
        }
        for (guint i = 0; i < KINDS; i++)
            g_array_unref(grants[i]);
    }
}

static void test_full_is_refused_and_idle_buckets_go(void)
{
    g_autoptr(Budgets) b = budgets_new();
    char name[32];

    for (guint i = 0; i < 100000; i++) { /* each is over before the next is made */
        g_snprintf(name, sizeof name, "bucket %u", i);
        const BudgetClaim claim = { .bucket = name, .limits = { .max = 1, .per_us = 10 } };
        g_assert_true(ask(b, i, 50, &claim, 1, 20 * (int64_t) i));
        budget_return(b, i, 20 * (int64_t) i);
    }
    g_autoptr(json_t) json = budgets_to_json(b);
    g_assert_cmpuint(json_array_size(json_object_get(json, "buckets")), <=, 64);
    g_autoptr(Budgets) full = budgets_new();
    const BudgetClaim none = { .bucket = "none", .limits = { .unhealthy_max_percent = 1 }, .unhealthy = 9, .total = 9 };
    BudgetAnswer answer = { 0 };
    for (guint i = 0; i < 2000; i++) /* a long queue answers in good time */
        g_assert_false(ask(full, i, 50, &none, 1, 0));
    budget_ask(full, &(BudgetAsk) { 1, 50, NULL, 0 }, 0, &answer); /* nobody limits it */
    g_assert_cmpint(answer.verdict, ==, BUDGET_GRANTED);
    budget_answer_clear(&answer);
}

static void test_wrong_json(void)
{
    static const char *const texts[] = {
        "{}", "{\"buckets\":[],\"running\":[]}", "{\"buckets\":[{}],\"running\":[],\"waiting\":[]}",
        "{\"buckets\":[{\"name\":\"a\",\"granted_us\":[2,1]}],\"running\":[],\"waiting\":[]}",
        "{\"buckets\":[],\"running\":[{\"incident\":1,\"buckets\":[\"a\"]}],\"waiting\":[]}",
        "{\"buckets\":[],\"running\":[],\"waiting\":[{\"incident\":1,\"since_us\":1,\"claims\":[{}]}]}",
        "{\"buckets\":[],\"running\":[],\"waiting\":[{\"incident\":1,\"since_us\":1},{\"incident\":1,\"since_us\":1}]}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) json = json_loads(texts[i], 0, NULL);

        g_assert_null(budgets_from_json(json, &error));
        g_assert_error(error, BUDGET_ERROR, BUDGET_ERROR_MALFORMED);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/budget/thousand", test_a_thousand_at_twenty_a_minute_keep_their_order);
    g_test_add_func("/budget/again", test_the_time_told_is_the_time_it_is_granted);
    g_test_add_func("/budget/at-once", test_at_once);
    g_test_add_func("/budget/give-back", test_unused_grants_are_given_back);
    g_test_add_func("/budget/unhealthy", test_too_much_unhealthy_stops_all);
    g_test_add_func("/budget/ageing", test_the_least_is_served_at_last);
    g_test_add_func("/budget/elsewhere", test_who_waits_elsewhere_keeps_one_and_no_more);
    g_test_add_func("/budget/random", test_random_worlds);
    g_test_add_func("/budget/full", test_full_is_refused_and_idle_buckets_go);
    g_test_add_func("/budget/wrong-json", test_wrong_json);
    return g_test_run();
}
