/* Competing actions: the merge is a semilattice, and settling many does not depend on how they arrive. */
#include "consumers/policy/planner/merge.h"

#include <string.h>

static const char *const actions[] = { "notify", "service.start", "service.restart", "service.stop", "vm.resume", "vm.start",
                                       "vm.set-memory", "vm.migrate", "vm.reboot", "vm.reset", "vm.restart", "vm.relocate", "vm.suspend", "vm.shutdown",
                                       "vm.stop", "app.start", "app.restart", "app.stop", "host.evacuate", "host.fence",
                                       "other.one", "other.two" };
static const char *const targets[] = { "service/v1/nginx", "service/v1/redis", "service/v10/nginx", "vm/v1", "vm/v10", "app/shop", "host/h1" };

static Contender any(GRand *dice)
{
    return (Contender){ actions[g_rand_int_range(dice, 0, G_N_ELEMENTS(actions))], targets[g_rand_int_range(dice, 0, G_N_ELEMENTS(targets))],
                        (uint64_t) g_rand_int_range(dice, 1, 4), g_rand_int_range(dice, 0, 3) };
}

static bool same(const Contender *a, const Contender *b)
{
    return strcmp(a->action, b->action) == 0 && strcmp(a->target, b->target) == 0 && a->incident == b->incident && a->priority == b->priority;
}

static void test_merge_is_a_semilattice(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(3);

    for (int i = 0; i < 200000; i++) {
        const Contender a = any(dice), b = any(dice), c = any(dice);

        g_assert_true(same(action_merge(&a, action_merge(&b, &c)), action_merge(action_merge(&a, &b), &c)));
        g_assert_true(same(action_merge(&a, &b), action_merge(&b, &a)));
        g_assert_true(same(action_merge(&a, &a), &a));
        g_assert_true((action_compare(&a, &b) == 0) == same(&a, &b));
        g_assert_cmpint(action_compare(&a, &b), ==, -action_compare(&b, &a));
    }
}

static void beats(const char *winner, const char *loser)
{
    const Contender a = { winner, "vm/v1", 9, 0 }, b = { loser, "vm/v1", 1, 100 };

    g_assert_true(action_merge(&a, &b) == &a);
    g_assert_true(action_merge(&b, &a) == &a);
}

static void test_the_order_is_the_documented_one(void)
{
    beats("vm.reboot", "service.restart");
    beats("vm.relocate", "vm.reboot");
    beats("app.restart", "vm.relocate");
    beats("host.evacuate", "app.restart");
    beats("host.fence", "host.evacuate");
    beats("service.stop", "service.restart"); /* what somebody wants down */
    beats("vm.stop", "app.restart");
    beats("vm.suspend", "host.evacuate");
    beats("host.fence", "vm.stop");
    beats("service.start", "notify");
    g_assert_true(action_holds("vm.suspend"));
    g_assert_false(action_holds("vm.relocate"));
    g_assert_false(action_holds("other.one"));
    g_assert_cmpuint(action_rank("other.one"), ==, 0);
    for (size_t i = 0; i + 2 < G_N_ELEMENTS(actions); i++)
        g_assert_cmpuint(action_rank(actions[i]), >, 0);
}

static void test_ties_go_to_priority_then_to_the_older_incident(void)
{
    const Contender old = { "vm.reboot", "vm/v1", 1, 50 }, young = { "vm.reboot", "vm/v1", 2, 50 }, urgent = { "vm.reboot", "vm/v1", 3, 90 };

    g_assert_true(action_merge(&young, &old) == &old);
    g_assert_true(action_merge(&old, &urgent) == &urgent);
}

/* host/h1 holds both VMs; app/shop holds v1. */
static bool contains(void *user, const char *outer, const char *inner)
{
    bool in_v1 = strcmp(inner, "vm/v1") == 0 || g_str_has_prefix(inner, "service/v1/");
    bool in_v10 = strcmp(inner, "vm/v10") == 0 || g_str_has_prefix(inner, "service/v10/");

    return (strcmp(outer, "host/h1") == 0 && (in_v1 || in_v10)) || (strcmp(outer, "app/shop") == 0 && in_v1);
}

static bool overlap(const char *a, const char *b)
{
    const Contender x = { "vm.reboot", a, 1, 0 }, y = { "vm.reset", b, 2, 0 };

    return action_overlaps(&x, &y, contains, NULL) && action_overlaps(&y, &x, contains, NULL);
}

static void test_overlap_is_containment(void)
{
    const Contender tell = { "notify", "vm/v1", 1, 0 }, act = { "vm.reset", "vm/v1", 1, 0 };

    g_assert_true(overlap("vm/v1", "service/v1/nginx"));
    g_assert_false(overlap("vm/v1", "service/v10/nginx")); /* a beginning is not the name */
    g_assert_false(overlap("service/v1/nginx", "service/v1/redis"));
    g_assert_true(overlap("host/h1", "service/v10/nginx"));
    g_assert_false(overlap("app/shop", "vm/v10"));
    g_assert_false(action_overlaps(&tell, &act, contains, NULL));
}

static void test_the_loser_of_a_loser_goes_on(void)
{
    const Contender all[] = { { "vm.reboot", "vm/v10", 1, 0 }, { "host.evacuate", "host/h1", 2, 0 }, { "vm.stop", "vm/v1", 3, 0 } };
    guint loses_to[3];

    action_settle(all, 3, contains, NULL, loses_to);
    g_assert_cmpuint(loses_to[2], ==, 2); /* the stop is done; evacuation waits for it, so the reboot elsewhere needs to wait for nobody */
    g_assert_cmpuint(loses_to[1], ==, 2);
    g_assert_cmpuint(loses_to[0], ==, 0);
}

static void test_settling_does_not_depend_on_arrival(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(4);

    for (int round = 0; round < 5000; round++) {
        Contender all[8], mixed[8];
        guint from[8], loses_to[8], again[8], n = (guint) g_rand_int_range(dice, 1, 9);

        for (guint i = 0; i < n; i++) {
            all[i] = any(dice);
            all[i].incident = i; /* no two alike */
            from[i] = i;
        }
        for (guint i = n; i-- > 1;) {
            guint k = (guint) g_rand_int_range(dice, 0, (gint32) i + 1), held = from[i];

            from[i] = from[k];
            from[k] = held;
        }
        for (guint i = 0; i < n; i++)
            mixed[i] = all[from[i]];
        action_settle(all, n, contains, NULL, loses_to);
        action_settle(mixed, n, contains, NULL, again);
        for (guint i = 0; i < n; i++) {
            g_assert_cmpuint(from[again[i]], ==, loses_to[from[i]]);
            g_assert_true(loses_to[i] == i || action_compare(&all[loses_to[i]], &all[i]) > 0);
            g_assert_cmpuint(loses_to[loses_to[i]], ==, loses_to[i]); /* gives way to one that is done */
            for (guint k = 0; k < i; k++)
                g_assert_false(loses_to[i] == i && loses_to[k] == k && action_overlaps(&all[i], &all[k], contains, NULL));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/merge/is-a-semilattice", test_merge_is_a_semilattice);
    g_test_add_func("/merge/the-order-is-the-documented-one", test_the_order_is_the_documented_one);
    g_test_add_func("/merge/ties-go-to-priority-then-to-the-older-incident", test_ties_go_to_priority_then_to_the_older_incident);
    g_test_add_func("/merge/overlap-is-containment", test_overlap_is_containment);
    g_test_add_func("/merge/the-loser-of-a-loser-goes-on", test_the_loser_of_a_loser_goes_on);
    g_test_add_func("/merge/settling-does-not-depend-on-arrival", test_settling_does_not_depend_on_arrival);
    return g_test_run();
}
