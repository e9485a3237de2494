/* Windows against an oracle that keeps everything and counts by hand. Failures that age: the same windows, and what Pacemaker does instead. */
#include "consumers/policy/engine/ageing.h"
#include "consumers/policy/engine/count_window.h"
#include "lib/base/json.h"

#include <math.h>

static guint oracle(const GArray *all, int64_t now_us, int64_t window_us)
{
    guint n = 0;

    for (guint i = 0; i < all->len; i++) {
        int64_t at_us = g_array_index(all, int64_t, i);
        n += at_us > now_us - window_us && at_us <= now_us;
    }
    return n;
}

static void round_trip(CountWindow *w)
{
    g_autoptr(json_t) json = count_window_to_json(w);
    g_autoptr(GError) error = NULL;

    count_window_done(w);
    g_assert_true(count_window_from_json(w, json, &error));
    g_assert_no_error(error);
    g_autoptr(json_t) again = count_window_to_json(w);
    g_assert_true(json_equal(json, again));
}

static void test_counts_are_exact_in_any_order(void)
{
    for (guint32 seed = 1; seed <= 300; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(int64_t));
        int64_t window_us = g_rand_int_range(rand, 1, 60), lateness_us = g_rand_int_range(rand, 0, 80), now_us = -50, newest_us = INT64_MIN;
        uint64_t refused = 0;
        CountWindow w;

        count_window_init(&w, window_us, lateness_us, COUNT_WINDOW_CAP);
        for (guint i = 0; i < 300; i++) {
            now_us += g_rand_int_range(rand, 0, 6);
            int64_t at_us = now_us - g_rand_int_range(rand, 0, 90);
            bool late = newest_us != INT64_MIN && at_us < newest_us - lateness_us;

            g_assert_cmpint(count_window_add(&w, at_us), ==, late ? COUNT_LATE : COUNT_ADDED);
            refused += late;
            if (!late) {
                g_array_append_val(all, at_us);
                newest_us = MAX(newest_us, at_us);
            }
            if (g_rand_int_range(rand, 0, 4) == 0) {
                guint n = oracle(all, now_us, window_us);
                int64_t first_us = 0, last_us = 0;

                newest_us = MAX(newest_us, now_us);
                g_assert_cmpuint(count_window_count(&w, now_us), ==, n);
                g_assert_cmpint(count_window_first_us(&w, now_us, &first_us), ==, n > 0);
                g_assert_cmpint(count_window_last_us(&w, now_us, &last_us), ==, n > 0);
                g_assert_true(n == 0 || (first_us > now_us - window_us && first_us <= last_us && last_us <= now_us));
                int64_t change_us = count_window_next_change_us(&w, now_us);
                g_assert_cmpint(change_us, ==, n == 0 ? INT64_MAX : first_us + window_us);
                if (n > 0) { /* that is when it falls, and not before */
                    g_assert_cmpuint(oracle(all, change_us - 1, window_us), >=, n);
                    g_assert_cmpuint(oracle(all, change_us, window_us), <, oracle(all, change_us - 1, window_us));
                }
                g_assert_true(count_window_is_exact(&w, now_us));
            }
            if (g_rand_int_range(rand, 0, 10) == 0)
                round_trip(&w);
        }
        g_assert_cmpuint(w.refused, ==, refused);
        count_window_done(&w);
    }
}

static void test_over_the_cap_it_says_at_least(void)
{
    CountWindow w;

    count_window_init(&w, 100, 10, 8);
    for (int64_t t = 1; t <= 20; t++)
        count_window_add(&w, t);
    g_assert_cmpuint(count_window_count(&w, 20), ==, 8);
    g_assert_false(count_window_is_exact(&w, 20));
    g_assert_cmpuint(w.dropped, ==, 12);
    round_trip(&w);
    g_assert_false(count_window_is_exact(&w, 111)); /* the last one dropped was 12: until 112 a true window would hold it */
    g_assert_true(count_window_is_exact(&w, 112));
    g_assert_cmpuint(count_window_count(&w, 112), ==, 8);
    g_assert_cmpuint(count_window_count(&w, 113), ==, 7);
    count_window_done(&w);
}

static void test_memory_stays_bounded(void)
{
    CountWindow w;

    count_window_init(&w, US_PER_HOUR, 0, COUNT_WINDOW_CAP);
    for (guint i = 0; i < 1000000; i++)
        count_window_add(&w, 5);
    g_assert_cmpuint(w.at_us.n, ==, COUNT_WINDOW_CAP);
    g_assert_cmpuint(w.at_us.size, <=, 2 * COUNT_WINDOW_CAP);
    g_assert_cmpuint(w.dropped, ==, 1000000 - COUNT_WINDOW_CAP);
    count_window_done(&w);
}

static void test_rate_average_and_slope(void)
{
    CountWindow steady, rising;

    count_window_init(&steady, 100 * US_PER_S, 0, COUNT_WINDOW_CAP);
    count_window_init(&rising, 80 * US_PER_S, 0, COUNT_WINDOW_CAP);
    for (int64_t i = 1; i <= 1000; i++) /* 5 in each second */
        count_window_add(&steady, i * US_PER_S / 5);
    for (int64_t second = 0; second < 80; second++) /* second 0…9: 1 each, 10…19: 2 each … */
        for (int64_t i = 0; i <= second / 10; i++)
            count_window_add(&rising, (second + 1) * US_PER_S);
    g_assert_cmpfloat(count_window_rate(&steady, 200 * US_PER_S), ==, 5.0);
    g_assert_cmpfloat(fabs(count_window_ewma(&steady, 200 * US_PER_S, 10 * US_PER_S) - 5), <, 0.1);
    g_assert_cmpfloat(fabs(count_window_ewma(&steady, 200 * US_PER_S, 1000 * US_PER_S) - 5), <, 0.1);
    g_assert_cmpfloat(fabs(count_window_slope(&steady, 200 * US_PER_S)), <, 0.001);
    g_assert_cmpfloat(fabs(count_window_slope(&rising, 80 * US_PER_S) - 0.1), <, 0.001); /* one per second more every ten */
    g_assert_cmpfloat(count_window_slope(&rising, 120 * US_PER_S), <, 0);
    g_assert_cmpfloat(count_window_rate(&rising, 1000 * US_PER_S), ==, 0.0);
    g_assert_cmpfloat(count_window_ewma(&rising, 1000 * US_PER_S, US_PER_S), ==, 0.0);
    count_window_done(&steady);
    count_window_done(&rising);
}

static void test_wrong_json_is_refused(void)
{
    static const char *const texts[] = {
        "{}", "[]",
        "{\"window_us\":1,\"lateness_us\":0,\"cap\":2,\"newest_us\":0,\"exact_from_us\":0,\"refused\":0,\"dropped\":0,\"at_us\":[3,2]}",
        "{\"window_us\":1,\"lateness_us\":0,\"cap\":2,\"newest_us\":0,\"exact_from_us\":0,\"refused\":0,\"dropped\":0,\"at_us\":[1,2,3]}",
        "{\"window_us\":1,\"lateness_us\":0,\"cap\":2,\"newest_us\":0,\"exact_from_us\":0,\"refused\":0,\"dropped\":0,\"at_us\":[1.5]}",
        "{\"window_us\":\"1\",\"lateness_us\":0,\"cap\":2,\"newest_us\":0,\"exact_from_us\":0,\"refused\":0,\"dropped\":0,\"at_us\":[]}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) json = json_loads(texts[i], 0, NULL);
        CountWindow w;

        g_assert_false(count_window_from_json(&w, json, &error));
        g_assert_error(error, COUNT_WINDOW_ERROR, COUNT_WINDOW_ERROR_MALFORMED);
    }
}

/* Pacemaker: failure-timeout lets all failures of a resource go together, once the newest is old enough. */
static guint pacemaker_failures(const int64_t *failures_s, guint n, int64_t now_s, int64_t timeout_s)
{
    guint seen = 0;

    for (guint i = 0; i < n; i++)
        seen = i > 0 && failures_s[i] - failures_s[i - 1] >= timeout_s ? 1 : seen + 1;
    return now_s - failures_s[n - 1] >= timeout_s ? 0 : seen;
}

static void test_each_failure_ages_by_itself(void)
{
    /* One failure every 50 s, remembered for 60 s, three are too many. Never are there more than two in a minute; but no failure finds
     * the one before it older than 60 s, so Pacemaker forgets none of them and bans the node at the third. */
    static const int64_t failures_s[] = { 0, 50, 100, 150, 200 };
    static const guint ours[] = { 1, 2, 2, 2, 2 }, joint[] = { 1, 2, 3, 4, 5 };
    CountWindow w;

    count_window_init(&w, 60 * US_PER_S, 0, COUNT_WINDOW_CAP);
    for (guint i = 0; i < G_N_ELEMENTS(failures_s); i++) {
        count_window_add(&w, failures_s[i] * US_PER_S);
        g_assert_cmpuint(count_window_count(&w, failures_s[i] * US_PER_S), ==, ours[i]);
        g_assert_cmpuint(pacemaker_failures(failures_s, i + 1, failures_s[i], 60), ==, joint[i]);
    }
    g_assert_cmpuint(count_window_count(&w, 211 * US_PER_S), ==, 1); /* that of 150 s has gone, that of 200 s has not */
    g_assert_cmpuint(pacemaker_failures(failures_s, 5, 211, 60), ==, 5);
    g_assert_cmpuint(count_window_count(&w, 260 * US_PER_S), ==, 0);
    g_assert_cmpuint(pacemaker_failures(failures_s, 5, 260, 60), ==, 0);
    count_window_done(&w);
}

static void test_back_off(void)
{
    static const int64_t expected_s[] = { 0, 1, 2, 4, 8, 16, 30, 30 };

    for (guint i = 0; i < G_N_ELEMENTS(expected_s); i++)
        g_assert_cmpint(backoff_us(i, US_PER_S, 2000, 30 * US_PER_S), ==, expected_s[i] * US_PER_S);
    g_assert_cmpint(backoff_us(3, 1500000, 1500, US_PER_HOUR), ==, 3375000);
    g_assert_cmpint(backoff_us(4000000000u, US_PER_S, 1000, US_PER_HOUR), ==, US_PER_S);
    g_assert_cmpint(backoff_us(4000000000u, 1, 1500, US_PER_HOUR), ==, 1); /* 1 us does not grow by half; nor does it hang */
    g_assert_cmpint(backoff_us(100, US_PER_S, 4000000000u, INT64_MAX), ==, INT64_MAX);
    g_assert_cmpint(backoff_us(2, US_PER_S, 500, US_PER_HOUR), ==, US_PER_S);
    g_assert_cmpint(backoff_us(2, -5, 2000, US_PER_HOUR), ==, 0);
}

static void test_jitter_falls_the_same_way_each_time(void)
{
    int64_t sum_us = 0, least_us = INT64_MAX, most_us = 0;

    for (guint i = 0; i < 1000; i++) {
        g_autofree char *seed = g_strdup_printf("incident-%u", i);
        int64_t us = backoff_jitter_us(10 * US_PER_S, 20, seed, 3);

        g_assert_cmpint(us, ==, backoff_jitter_us(10 * US_PER_S, 20, seed, 3));
        sum_us += us;
        least_us = MIN(least_us, us);
        most_us = MAX(most_us, us);
    }
    g_assert_cmpint(least_us, >=, 8 * US_PER_S);
    g_assert_cmpint(most_us, <=, 10 * US_PER_S);
    g_assert_cmpint(most_us - least_us, >, 1900 * US_PER_MS); /* spread over the whole part */
    g_assert_cmpint(ABS(sum_us / 1000 - 9 * US_PER_S), <, 100 * US_PER_MS);
    g_assert_cmpint(backoff_jitter_us(7, 0, "x", 1), ==, 7);
    g_assert_cmpint(backoff_jitter_us(INT64_MAX, 100, "x", 1), >=, 0);
    g_assert_cmpuint(hash_text("a", 1), !=, hash_text("a", 2));
    g_assert_cmpuint(hash_text("", 0), ==, hash_text("", 0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/count-window/exact-in-any-order", test_counts_are_exact_in_any_order);
    g_test_add_func("/count-window/over-the-cap", test_over_the_cap_it_says_at_least);
    g_test_add_func("/count-window/memory", test_memory_stays_bounded);
    g_test_add_func("/count-window/rate-average-slope", test_rate_average_and_slope);
    g_test_add_func("/count-window/wrong-json", test_wrong_json_is_refused);
    g_test_add_func("/ageing/each-by-itself", test_each_failure_ages_by_itself);
    g_test_add_func("/ageing/back-off", test_back_off);
    g_test_add_func("/ageing/jitter", test_jitter_falls_the_same_way_each_time);
    return g_test_run();
}
