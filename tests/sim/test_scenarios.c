/* Worlds that are written down: what must be seen in their stories, and what must not. Run the same by hand: mend simulate --scenario NAME. */
#include "consumers/policy/sim/scenario_file.h"
#include "consumers/policy/sim/sim.h"

#include <string.h>

static char *play(const char *name, SimReport *ret)
{
    g_autoptr(Policy) policy = policy_default();
    const SimOptions options = { .seed = 1, .profile = sim_profile("default"), .scenario = sim_scenario(name), .policy = policy, .story = true };

    sim_policy_furnish(policy);
    g_assert_nonnull(options.scenario);
    sim_run(&options, ret);
    if (ret->broken != INVARIANT_N)
        g_error("%s breaks %s: %s\n%s", name, invariant_name(ret->broken), ret->what, ret->story);
    return ret->story;
}

static unsigned count(const char *story, const char *words)
{
    unsigned n = 0;

    for (const char *at = story; (at = strstr(at, words)) != NULL; at += strlen(words))
        n++;
    return n;
}

/* Forty of a hundred fall silent and are not dead; one is, and comes back elsewhere; nothing is fenced, nothing storms. */
static void test_switch_and_dead_host(void)
{
    g_auto(SimReport) report = { 0 };
    const char *story = play("switch-and-dead-host", &report);

    for (unsigned i = 0; i < 10; i += 3) { /* rack r0 */
        g_autofree char *dead = g_strdup_printf("host/h%u is judged dead", i), *off = g_strdup_printf("host/h%u is judged off", i);

        g_assert_cmpuint(count(story, dead) + count(story, off), ==, 0);
    }
    g_assert_cmpuint(count(story, "many hosts fell silent at once: their silence"), ==, 1);
    g_assert_cmpuint(count(story, "observer.fault"), ==, 1);
    g_assert_cmpuint(count(story, "host/h1 is judged off"), >=, 1);
    g_assert_cmpuint(count(story, "healed: well again, and it lasted · vm/"), >=, 2);
    g_assert_cmpuint(count(story, "host.fence"), ==, 0);
    g_assert_cmpuint(report.commands, <, 20);
}

/* No power, no BMC: what has a lease comes back by it, what has none waits for a person, who is told; and nothing loops. */
static void test_bmc_dead_with_host(void)
{
    g_auto(SimReport) report = { 0 };
    const char *story = play("bmc-dead-with-host", &report);

    g_assert_cmpuint(count(story, "its lease is expired"), >=, 1);
    g_assert_cmpuint(count(story, "healed: well again, and it lasted · vm/"), >=, 1);
    g_assert_cmpuint(count(story, "waits for a proof that no other copy runs"), >=, 2);
    g_assert_cmpuint(count(story, "host/h1 is dead and needs a human"), ==, 1);
    g_assert_cmpuint(count(story, "host/h1 is dead; on it stand"), ==, 1); /* one notice covers what stands on it */
    g_assert_cmpuint(count(story, "waited too long for a proof that no other copy runs"), >=, 1);
    g_assert_cmpuint(count(story, ", host.fence of"), <=, 4);
}

static void test_broker_restart(void)
{
    g_auto(SimReport) report = { 0 };
    const char *story = play("broker-restart", &report);

    g_assert_cmpuint(count(story, "host/h1 is judged off"), >=, 1);
    g_assert_cmpuint(count(story, "healed: well again, and it lasted · vm/"), >=, 3);
    g_assert_cmpuint(count(story, "host.fence"), ==, 0);
}

/* Three attempts in ten minutes, counted over the engine's death: the fourth failure is not restarted, a human is told. */
static void test_engine_restart(void)
{
    g_auto(SimReport) report = { 0 };
    const char *story = play("engine-restart", &report);

    g_assert_cmpuint(count(story, "service/vm5/svc5 dies"), ==, 4);
    g_assert_cmpuint(count(story, "service.restart of vm5/svc5, to"), ==, 3);
    g_assert_cmpuint(count(story, "service/vm5/svc5 is failed and needs a human"), ==, 1);
}

/* Twenty seconds without storage: everything waits where it is, and goes on. */
static void test_storage_blip(void)
{
    g_auto(SimReport) report = { 0 };
    const char *story = play("storage-blip", &report);
    unsigned paused = count(story, "is paused: io-error");

    g_assert_cmpuint(paused, >=, 3);
    g_assert_cmpuint(count(story, " goes on"), ==, paused);
    g_assert_cmpuint(count(story, "vm.start of") + count(story, "vm.migrate of") + count(story, "vm.stop of"), ==, 0);
}

#define FAULT "\"faults\": [[\"host-power\", 120, 60, 1, 1]]"
#define EXPECT "\"expect\": {\"vms\": [\"elsewhere\"]}"

/* What is wrong in a file is told with the scenario it is in. */
static void test_bad_files(void)
{
    static const char *const bad[][2] = {
        { "", "*line 1*" },
        { "{}", "*list of one*" },
        { "{\"scenarios\": []}", "*list of one*" },
        { "{\"scenarios\": [{\"name\": \"a\", " EXPECT "}]}", "*\"a\"*list of one to eight*" },
        { "{\"scenarios\": [{\"name\": \"a\", " FAULT "}]}", "*\"a\"*\"expect\" says*" },
        { "{\"scenarios\": [{\"name\": \"a\", \"hosts\": 0, " FAULT ", " EXPECT "}]}", "*\"a\"*hosts and vms are 1 to 1000*" },
        { "{\"scenarios\": [{\"name\": \"a\", \"racks\": 9, " FAULT ", " EXPECT "}]}", "*racks 1 to 8*" },
        { "{\"scenarios\": [{\"name\": \"a\", \"faults\": [[\"no-such\", 1, 1, 1, 1]], " EXPECT "}]}", "*a fault is*" },
        { "{\"scenarios\": [{\"name\": \"a\", \"faults\": [[\"host-power\", -1, 1, 1, 1]], " EXPECT "}]}", "*a fault is*" },
        { "{\"scenarios\": [{\"name\": \"a\", " FAULT ", \"expect\": {\"vms\": [\"nowhere\"]}}]}", "*\"vms\" is a list of*" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(scenario_file_parse(bad[i][0], &error));
        g_assert_error(error, SCENARIO_FILE_ERROR, SCENARIO_FILE_ERROR_SYNTAX);
        if (!g_pattern_match_simple(bad[i][1], error->message))
            g_error("%s: %s", bad[i][0], error->message);
    }
}

/* An end that is not the written one is found: another number of fenced hosts, another place. */
static void test_another_end_is_found(void)
{
    static const char text[] = "{\"scenarios\": [{\"name\": \"a\", " FAULT ", \"expect\": {\"vms\": [\"elsewhere\"], \"fenced\": 1, \"told\": true}}]}";
    g_autoptr(GError) error = NULL;
    g_autoptr(ScenarioFile) file = scenario_file_parse(text, &error);
    const SimReport good = { .broken = INVARIANT_N, .victims = 2, .victims_elsewhere = 2, .fenced = 1, .victims_told = true };
    SimReport bad[] = { good, good, good, good, good };
    char *why;

    g_assert_no_error(error);
    g_assert_cmpuint(scenario_file_count(file), ==, 1);
    g_assert_true(scenario_file_holds(file, 0, &good, &why));
    g_assert_null(why);
    bad[0].victims_here = 1;
    bad[1].fenced = 0;
    bad[2].victims_told = false;
    bad[3].victims = 0; /* nothing was tried */
    bad[4].broken = INVARIANT_ONE_COPY;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(scenario_file_holds(file, 0, &bad[i], &why));
        g_assert_nonnull(why);
        g_free(why);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim/scenario/switch-and-dead-host", test_switch_and_dead_host);
    g_test_add_func("/sim/scenario/bmc-dead-with-host", test_bmc_dead_with_host);
    g_test_add_func("/sim/scenario/broker-restart", test_broker_restart);
    g_test_add_func("/sim/scenario/engine-restart", test_engine_restart);
    g_test_add_func("/sim/scenario/storage-blip", test_storage_blip);
    g_test_add_func("/sim/scenario-file/bad", test_bad_files);
    g_test_add_func("/sim/scenario-file/another-end", test_another_end_is_found);
    return g_test_run();
}
