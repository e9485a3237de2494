/* Icinga 2's flapping value and hysteresis, and what we add: time that passes without a change. */
#include "consumers/policy/engine/flap.h"
#include "lib/base/json.h"

static const FlapLimits told_only = { .high_permille = 300, .low_permille = 250 };

static void add_check(Flap *flap, const FlapLimits *limits, bool change, guint *state)
{
    static const char *const states[] = { "running", "failed" };

    *state ^= change;
    flap_add(flap, limits, states[*state], 0);
}

static void test_the_39_percent_of_icingas_page(void)
{
    /* Twenty checks, oldest first; those that changed the state weigh 0.84 0.86 0.88 0.90 0.98 1.06 1.12 1.18: 7.82 of 20. */
    static const bool changed[] = { 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1 };
    Flap flap = { 0 };
    guint state = 0;

    for (guint i = 0; i < FLAP_CHECKS; i++)
        add_check(&flap, &told_only, changed[i], &state);
    g_assert_cmpuint(flap_permille(&flap), ==, 391);
    g_assert_true(flap.flapping);
}

/* Icinga's arithmetic, with doubles and a buffer of its own. */
static double oracle_percent(const bool *changed, guint n)
{
    double sum = 0;

    for (guint i = 0; i < FLAP_CHECKS; i++)
        if (n + i >= FLAP_CHECKS && changed[n + i - FLAP_CHECKS])
            sum += 0.8 + 0.02 * i;
    return 100 * sum / FLAP_CHECKS;
}

static void test_hysteresis_against_the_formula(void)
{
    for (guint32 seed = 1; seed <= 200; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        bool changed[400], flapping = false;
        Flap flap = { 0 };
        guint state = 0;

        for (guint i = 0; i < 400; i++) {
            changed[i] = i > 0 && g_rand_double(rand) < (i / 50 % 2 ? 0.15 : 0.5);
            add_check(&flap, &told_only, changed[i], &state);
            double percent = oracle_percent(changed, i + 1);
            g_assert_cmpuint(flap_permille(&flap), ==, (guint) (percent * 10 + 0.5));
            if (flapping ? percent < 25 - 1e-9 : percent > 30 + 1e-9)
                flapping = !flapping;
            g_assert_cmpint(flap.flapping, ==, flapping);
            if (i % 37 == 0) {
                g_autoptr(json_t) json = flap_to_json(&flap);
                Flap again;
                g_assert_true(flap_from_json(&again, json, NULL));
                g_assert_cmpmem(&flap, sizeof flap, &again, sizeof again);
            }
        }
    }
}

static void test_it_enters_above_30_and_leaves_below_25(void)
{
    /* 0.86 + 0.90 + 0.96 + 1.00 + 1.10 + 1.18 = 6.00 of 20: 30.0 % is not above */
    static const guint at[] = { 3, 5, 8, 10, 15, 19 };
    bool changed[FLAP_CHECKS] = { 0 };
    Flap flap = { 0 };
    guint state = 0;

    flap_add(&flap, &told_only, "running", 0);
    for (guint i = 0; i < G_N_ELEMENTS(at); i++)
        changed[at[i]] = true;
    for (guint i = 0; i < FLAP_CHECKS; i++)
        add_check(&flap, &told_only, changed[i], &state);
    g_assert_cmpuint(flap_permille(&flap), ==, 300);
    g_assert_false(flap.flapping);
    add_check(&flap, &told_only, true, &state);
    g_assert_cmpuint(flap_permille(&flap), >, 300);
    g_assert_true(flap.flapping);
    while (flap_permille(&flap) >= 250) {
        g_assert_true(flap.flapping);
        add_check(&flap, &told_only, false, &state);
    }
    g_assert_false(flap.flapping);
}

static void test_quiet_time_ends_it(void)
{
    Flap flap = { 0 };
    int64_t now_us = 1000 * US_PER_HOUR;
    guint changes = 0;

    while (!flap.flapping && changes < 40)
        flap_add(&flap, &flap_limits_default, changes++ % 2 ? "failed" : "running", now_us += US_PER_S);
    g_assert_cmpuint(changes, ==, 7); /* the first is no change; five make 5.7, six 6.78 of 20 */
    int64_t ends_us = flap_ends_us(&flap, &flap_limits_default);
    Flap copy = flap;
    g_assert_cmpint(ends_us, >, now_us);
    g_assert_false(flap_advance(&flap, &flap_limits_default, ends_us - 1));
    g_assert_true(flap.flapping);
    g_assert_true(flap_advance(&flap, &flap_limits_default, ends_us));
    g_assert_false(flap.flapping);
    g_assert_cmpint(flap_ends_us(&flap, &flap_limits_default), ==, INT64_MAX);
    g_assert_true(flap_advance(&copy, &flap_limits_default, ends_us + 1000 * US_PER_HOUR)); /* in one step as well */
    g_assert_cmpuint(flap_permille(&copy), ==, 0);

    Flap slow = { 0 }; /* once in three minutes: one check in three, 33 %, flaps; once in ten does not */
    for (guint i = 0; i < 100; i++)
        flap_add(&slow, &flap_limits_default, i % 2 ? "failed" : "running", now_us += 3 * US_PER_MINUTE - 1);
    g_assert_true(slow.flapping);
    for (guint i = 0; i < 100; i++)
        flap_add(&slow, &flap_limits_default, i % 2 ? "failed" : "running", now_us += 10 * US_PER_MINUTE);
    g_assert_false(slow.flapping);
}

static void test_wrong_json(void)
{
    static const char *const texts[] = { "{}", "{\"changes\":1048576,\"state\":1,\"at_us\":0,\"flapping\":true}",
                                         "{\"changes\":1,\"state\":-1,\"at_us\":0,\"flapping\":true}", "{\"changes\":1,\"state\":1,\"at_us\":0}" };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) json = json_loads(texts[i], 0, NULL);
        Flap flap;

        g_assert_false(flap_from_json(&flap, json, &error));
        g_assert_error(error, FLAP_ERROR, FLAP_ERROR_MALFORMED);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/flap/39.1", test_the_39_percent_of_icingas_page);
    g_test_add_func("/flap/formula", test_hysteresis_against_the_formula);
    g_test_add_func("/flap/thresholds", test_it_enters_above_30_and_leaves_below_25);
    g_test_add_func("/flap/quiet-time", test_quiet_time_ends_it);
    g_test_add_func("/flap/wrong-json", test_wrong_json);
    return g_test_run();
}
