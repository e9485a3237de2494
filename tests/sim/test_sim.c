/* Worlds from seeds: no rule may break; the same seed is the same world; and a simulator that cannot fail proves nothing, so whatever is
 * made wrong on purpose must be found. */
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/sim/sim.h"

#include <stdlib.h>

static Policy *policy_for(const char *file)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = file == NULL ? NULL : g_build_filename(g_getenv("MEND_SOURCE_DIR"), "tests/sim", file, NULL);
    Policy *policy = path == NULL ? policy_default() : policy_load(path, &error);

    g_assert_no_error(error);
    sim_policy_furnish(policy);
    return policy;
}

static uint64_t seeds(void)
{
    const char *n = g_getenv("MEND_SIM_SEEDS");

    return n == NULL ? 100 : g_ascii_strtoull(n, NULL, 10);
}

static void play(SimOptions options, uint64_t n)
{
    uint64_t commands = 0;

    for (options.seed = 1; options.seed <= n; options.seed++) {
        g_auto(SimReport) report = { 0 };

        sim_run(&options, &report);
        if (report.broken != INVARIANT_N)
            g_error("seed %" G_GUINT64_FORMAT " breaks %s: %s\nmend simulate --seed %" G_GUINT64_FORMAT " shrinks and tells it", options.seed,
                    invariant_name(report.broken), report.what, options.seed);
        commands += report.commands;
    }
    g_assert_cmpuint(commands, >, n); /* something happened */
}

static void test_no_rule_breaks(gconstpointer profile)
{
    g_autoptr(Policy) policy = policy_for(NULL);

    play((SimOptions){ .profile = sim_profile(profile), .policy = policy }, seeds());
}

/* Whatever a policy says: it is unkind enough that nobody asks of it that things heal. */
static void test_a_hostile_policy(gconstpointer profile)
{
    g_autoptr(Policy) policy = policy_for("hostile.yaml");

    play((SimOptions){ .profile = sim_profile(profile), .policy = policy, .only_safety = true }, seeds());
}

static void test_a_seed_is_a_world(void)
{
    g_autoptr(Policy) policy = policy_for(NULL);

    for (uint64_t seed = 1; seed <= 20; seed++) {
        const SimOptions options = { .seed = seed, .profile = sim_profile("default"), .policy = policy, .story = true };
        g_auto(SimReport) one = { 0 }, other = { 0 };

        sim_run(&options, &one);
        sim_run(&options, &other);
        g_assert_cmpstr(one.story, ==, other.story);
        g_assert_cmpuint(one.events, ==, other.events);
    }
}

static void test_a_flaw_is_found(gconstpointer data)
{
    static const Invariant finds[SIM_FLAW_N] = {
        [SIM_FLAW_OLD_EPOCHS] = INVARIANT_ONCE,     [SIM_FLAW_FORGETFUL] = INVARIANT_ONCE,
        [SIM_FLAW_FENCE_UNVERIFIED] = INVARIANT_FENCING, [SIM_FLAW_FALSE_STOP] = INVARIANT_ONE_COPY,
        [SIM_FLAW_TWICE] = INVARIANT_ONCE,          [SIM_FLAW_MEDDLING] = INVARIANT_ALONE,
        [SIM_FLAW_NO_INTENT] = INVARIANT_INTENT,    [SIM_FLAW_NO_PAUSE] = INVARIANT_OFFICE,
        [SIM_FLAW_NO_GUARD] = INVARIANT_OFFICE,    [SIM_FLAW_LOSSY_RESTORE] = INVARIANT_PURE,
        [SIM_FLAW_MUTE] = INVARIANT_ENDS,           [SIM_FLAW_DEAF] = INVARIANT_ENDS,
        [SIM_FLAW_ANY_BOOT] = INVARIANT_ONCE,       [SIM_FLAW_NO_SELF_KILL] = INVARIANT_LEASES,
        [SIM_FLAW_SHORT_LEASE] = INVARIANT_LEASES,  [SIM_FLAW_NO_LEASE_TAKEN] = INVARIANT_LEASES,
        [SIM_FLAW_KDUMP_DEAF] = INVARIANT_DUMPS,    [SIM_FLAW_NO_REASON] = INVARIANT_PAUSED_STAYS,
    };
    SimFlaw flaw = GPOINTER_TO_UINT(data);
    g_autoptr(Policy) policy = policy_for(NULL);
    SimOptions options = { .profile = sim_profile(flaw == SIM_FLAW_OLD_EPOCHS ? "failover" : "default"), .policy = policy, .flaws = 1u << flaw };
    bool found = false;

    for (options.seed = 1; options.seed <= 2000 && !found; options.seed++) {
        g_auto(SimReport) report = { 0 };

        sim_run(&options, &report);
        found = report.broken == finds[flaw];
    }
    g_assert_true(found);
}

static void test_what_is_found_shrinks(void)
{
    g_autoptr(Policy) policy = policy_for(NULL);
    SimOptions options = { .profile = sim_profile("default"), .policy = policy, .flaws = 1u << SIM_FLAW_FORGETFUL };
    g_auto(SimReport) whole = { 0 }, small = { 0 };

    for (options.seed = 1; whole.broken != INVARIANT_ONCE; options.seed++) {
        sim_report_clear(&whole);
        sim_run(&options, &whole);
    }
    options.seed--;
    g_autoptr(GPtrArray) drop = sim_shrink(&options, INVARIANT_ONCE);
    g_assert_cmpuint(drop->len, >, 0);
    options.drop = drop;
    options.story = true;
    sim_run(&options, &small);
    g_assert_cmpint(small.broken, ==, INVARIANT_ONCE);
    g_assert_cmpuint(small.events, <, whole.events + 1);
    g_assert_nonnull(g_strrstr(small.story, "BROKEN once"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/sim/no-rule-breaks/default", "default", test_no_rule_breaks);
    g_test_add_data_func("/sim/no-rule-breaks/network", "network", test_no_rule_breaks);
    g_test_add_data_func("/sim/no-rule-breaks/storage", "storage", test_no_rule_breaks);
    g_test_add_data_func("/sim/hostile/default", "default", test_a_hostile_policy);
    g_test_add_func("/sim/a-seed-is-a-world", test_a_seed_is_a_world);
    g_test_add_func("/sim/what-is-found-shrinks", test_what_is_found_shrinks);
    for (SimFlaw flaw = 0; flaw < SIM_FLAW_N; flaw++) {
        g_autofree char *name = g_strdup_printf("/sim/flaw/%s", sim_flaw_name(flaw));

        g_test_add_data_func(name, GUINT_TO_POINTER(flaw), test_a_flaw_is_found);
    }
    return g_test_run();
}
