/* Numeric control: limits hold for every number, and a balloon settles. */
#include "consumers/policy/engine/control.h"
#include "lib/base/json.h"

#include <math.h>
#include <string.h>

#define GIB (INT64_C(1) << 30)

static const ControlLimits balloon = { .every_us = 10 * US_PER_S, .samples = 4, .min = GIB, .max = 8 * GIB, .step_permille = 50,
                                       .dead_band = 64 << 20 };

static void test_average_over_samples(void)
{
    ControlState s = { 0 };
    ControlWindow w;

    g_assert_cmpint(control_window(&s, &balloon, 0, &w), ==, CONTROL_NO_SAMPLE);
    for (int64_t i = 1; i <= 6; i++)
        g_assert_true(control_sample(&s, &balloon, (double) (i * i), i * 10 * US_PER_S));
    g_assert_cmpint(control_window(&s, &balloon, 61 * US_PER_S, &w), ==, CONTROL_SET);
    g_assert_cmpuint(w.count, ==, 4);
    g_assert_cmpfloat(w.average, ==, (9 + 16 + 25 + 36) / 4.0);
    g_assert_cmpfloat(w.last, ==, 36);
    g_assert_false(control_sample(&s, &balloon, 1, 60 * US_PER_S)); /* not newer */
    g_assert_false(control_sample(&s, &balloon, NAN, 70 * US_PER_S));
    g_assert_false(control_sample(&s, &balloon, INFINITY, 70 * US_PER_S));
    ControlLimits fewer = balloon, many = balloon, ewma = balloon;
    fewer.samples = 2;
    g_assert_cmpint(control_window(&s, &fewer, 61 * US_PER_S, &w), ==, CONTROL_SET);
    g_assert_cmpfloat(w.average, ==, 30.5);
    g_assert_true(control_sample(&s, &fewer, 40, 70 * US_PER_S));
    g_assert_cmpuint(s.n, ==, 2);
    many.samples = 1000; /* brought down to what there is room for */
    for (int64_t i = 0; i < 1000; i++)
        control_sample(&s, &many, 5, (80 + i) * US_PER_S);
    g_assert_cmpuint(s.n, ==, CONTROL_SAMPLES_MAX);

    ControlState e = { 0 };
    ewma.ewma_permille = 500;
    control_sample(&e, &ewma, 8, 1);
    control_sample(&e, &ewma, 16, 2);
    control_sample(&e, &ewma, 16, 3);
    g_assert_cmpint(control_window(&e, &ewma, 4, &w), ==, CONTROL_SET);
    g_assert_cmpfloat(w.average, ==, 14);
}

static void test_hands_off_when_samples_are_older_than_two_intervals(void)
{
    ControlState s = { 0 };
    ControlWindow w;

    control_sample(&s, &balloon, 1, 100 * US_PER_S);
    g_assert_cmpint(control_window(&s, &balloon, 120 * US_PER_S, &w), ==, CONTROL_SET);
    g_assert_cmpint(control_window(&s, &balloon, 120 * US_PER_S + 1, &w), ==, CONTROL_STALE);
    g_assert_cmpstr(control_outcome_text(CONTROL_STALE), ==, "the last sample is too old");
}

static void test_limits(void)
{
    static const struct {
        ControlLimits limits;
        int64_t current;
        double wanted;
        ControlOutcome outcome;
        int64_t value;
    } rows[] = {
        { { .min = 10, .max = 100 }, 50, 200, CONTROL_SET, 100 },
        { { .min = 10, .max = 100 }, 50, -1e300, CONTROL_SET, 10 },
        { { .min = 10, .max = 100 }, 100, 200, CONTROL_SAME, 0 },
        { { .min = 10, .max = 100 }, 50, NAN, CONTROL_NOT_A_NUMBER, 0 },
        { { .min = 10, .max = 100 }, 50, 59.4, CONTROL_SET, 59 },
        { { .min = 10, .max = 100, .dead_band = 10 }, 50, 59.4, CONTROL_DEAD_BAND, 0 },
        { { .min = 10, .max = 100, .dead_band = 10 }, 50, 60, CONTROL_SET, 60 },
        { { .min = 10, .max = 100, .step = 5 }, 50, 100, CONTROL_SET, 55 },
        { { .min = 10, .max = 100, .step = 5 }, 50, 10, CONTROL_SET, 45 },
        { { .min = 10, .max = 100, .step_permille = 100 }, 50, 100, CONTROL_SET, 55 },
        { { .min = 10, .max = 100, .step = 3, .step_permille = 100 }, 50, 100, CONTROL_SET, 53 },
        { { .min = 0, .max = 100, .step_permille = 100 }, 0, 100, CONTROL_SET, 1 },
        { { .min = 10, .max = 100, .step = 5, .dead_band = 10 }, 50, 100, CONTROL_SET, 55 }, /* a step smaller than the band still goes */
        { { .min = 10, .max = 100, .dead_band = 10 }, 101, 200, CONTROL_SET, 100 },         /* outside: back in, however little */
        { { .min = 10, .max = 100, .step = 5 }, 200, 50, CONTROL_SET, 195 },
        { { .min = INT64_MIN, .max = INT64_MAX }, INT64_MIN, 1e300, CONTROL_SET, INT64_C(1) << 53 },
        { { .min = INT64_MIN, .max = INT64_MAX, .step_permille = 4000000000u }, INT64_MIN, 0, CONTROL_SET, 0 },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        int64_t value = 0;

        g_assert_cmpint(control_decide(&rows[i].limits, rows[i].current, rows[i].wanted, &value), ==, rows[i].outcome);
        g_assert_cmpint(value, ==, rows[i].value);
    }
}

static void test_every_decision_keeps_within_its_limits(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (guint i = 0; i < 200000; i++) {
        ControlLimits l = { .min = g_rand_int_range(rand, -50, 50), .step = g_rand_int_range(rand, 0, 20),
                            .step_permille = g_rand_int_range(rand, 0, 300), .dead_band = g_rand_int_range(rand, 0, 10) };
        l.max = l.min + g_rand_int_range(rand, 0, 200);
        int64_t current = g_rand_int_range(rand, -100, 300), value = current;
        double wanted = g_rand_double_range(rand, -200, 400);
        ControlOutcome outcome = control_decide(&l, current, wanted, &value);

        if (outcome != CONTROL_SET) {
            g_assert_cmpint(value, ==, current);
            continue;
        }
        int64_t moved = ABS(value - current);
        g_assert_cmpint(moved, >, 0);
        g_assert_true(l.step == 0 || moved <= l.step);
        g_assert_true(l.step_permille == 0 || moved <= MAX(1, ABS(current) * (int64_t) l.step_permille / 1000));
        /* never further out than it was */
        g_assert_true((value >= l.min && value <= l.max) || (current > l.max && value < current) || (current < l.min && value > current));
    }
}

/* A guest whose need rises and falls, seen through noise: the balloon follows in steps, and rests when the need does. */
static void test_a_balloon_settles(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    ControlState s = { 0 };
    ControlWindow w;
    int64_t current = 4 * GIB, last_move = 0;

    for (int64_t cycle = 1; cycle < 200; cycle++) {
        int64_t now_us = cycle * balloon.every_us, need = cycle < 60 ? 3 * GIB : 6 * GIB, value;

        control_sample(&s, &balloon, (double) need + g_rand_double_range(rand, -30e6, 30e6), now_us);
        g_assert_cmpint(control_window(&s, &balloon, now_us, &w), ==, CONTROL_SET);
        if (control_decide(&balloon, current, w.average, &value) != CONTROL_SET)
            continue;
        g_assert_cmpint(ABS(value - current), <=, current / 20);
        current = value;
        last_move = cycle;
    }
    g_assert_cmpint(ABS(current - 6 * GIB), <, 100 << 20);
    g_assert_cmpint(last_move, <, 90);
}

static void test_one_control_per_target_and_cycle(void)
{
    g_autoptr(ControlBook) b = control_book_new();
    const char *by = NULL;

    g_assert_true(control_book_may_set(b, "vm/a vm.set-memory", 10, 100, &by));
    control_book_set(b, "vm/a vm.set-memory", "shrink", 10, 100);
    g_assert_false(control_book_may_set(b, "vm/a vm.set-memory", 10, 109, &by));
    g_assert_cmpstr(by, ==, "shrink");
    g_assert_false(control_book_may_set(b, "vm/a vm.set-memory", 1, 109, NULL)); /* a quicker rule does not undo the slower one's */
    g_assert_true(control_book_may_set(b, "vm/b vm.set-memory", 10, 109, &by));
    g_assert_true(control_book_may_set(b, "vm/a vm.set-memory", 10, 110, &by));
    g_assert_false(control_book_may_set(b, "vm/a vm.set-memory", 60, 110, &by));

    ControlState *s = control_book_state(b, "shrink", "vm/a");
    control_sample(s, &balloon, 0.1, 5);
    control_sample(s, &balloon, 1.0 / 3, 6);
    control_book_state(b, "shrink", "vm/b")->set_to = 7;
    control_book_state(b, "grow", "vm/a");
    g_autoptr(json_t) json = control_book_to_json(b);
    g_autofree char *text = json_text(json);
    g_autoptr(json_t) read = json_parse(text, strlen(text), "book", NULL);
    g_autoptr(ControlBook) again = control_book_from_json(read, NULL);
    g_autoptr(json_t) json_again = control_book_to_json(again);
    g_assert_true(json_equal(json, json_again)); /* to the last bit of a third */
    control_book_forget(b, "vm/a");
    g_assert_cmpuint(control_book_state(b, "shrink", "vm/a")->n, ==, 0);
    g_assert_cmpint(control_book_state(b, "shrink", "vm/b")->set_to, ==, 7);
    control_book_keep_rules(b, (const char *const[]) { "grow", NULL });
    g_assert_cmpint(control_book_state(b, "shrink", "vm/b")->set_to, ==, 0);
}

static void test_wrong_json(void)
{
    static const char *const texts[] = {
        "{}", "{\"states\":[{}],\"settings\":[]}", "{\"states\":[],\"settings\":[{}]}",
        "{\"states\":[{\"rule\":\"r\",\"entity\":\"e\",\"values\":[\"x\"],\"ewma\":0}],\"settings\":[]}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) json = json_loads(texts[i], 0, NULL);

        g_assert_null(control_book_from_json(json, &error));
        g_assert_error(error, CONTROL_ERROR, CONTROL_ERROR_MALFORMED);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control/average", test_average_over_samples);
    g_test_add_func("/control/stale", test_hands_off_when_samples_are_older_than_two_intervals);
    g_test_add_func("/control/limits", test_limits);
    g_test_add_func("/control/within", test_every_decision_keeps_within_its_limits);
    g_test_add_func("/control/balloon", test_a_balloon_settles);
    g_test_add_func("/control/one-per-cycle", test_one_control_per_target_and_cycle);
    g_test_add_func("/control/wrong-json", test_wrong_json);
    return g_test_run();
}
