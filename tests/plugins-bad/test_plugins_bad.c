#include "broker-plugin/abi.h"
#include "broker-plugin/loader.h"
#include "lib/base/log.h"
#include "tests/sim-host/sim_host.h"

#include <string.h>

static char *bad_path(const char *name)
{
    return g_strdup_printf("%s/%s.so", g_getenv("MEND_BAD_PLUGINS"), name);
}

static const LoaderHost ordinary = { MEND_ABI_MINOR, MEND_CAP_TAP };

static void test_each_refusal_names_what_was_found_and_wanted(void)
{
    static const struct { const char *plugin, *config; LoaderError code; const char *says[4]; } cases[] = {
        { "is_not_there", NULL, LOADER_ERROR_FILE, { "no such file", "is_not_there.so" } },
        { "unresolved", NULL, LOADER_ERROR_FILE, { "a_function_of_some_host", "shared object" } },
        { "no_symbol", NULL, LOADER_ERROR_SYMBOL, { "mend_plugin_v1", "no_symbol.so" } },
        { "wrong_magic", NULL, LOADER_ERROR_MAGIC, { "0x12345678", "0x646e656d" } },
        { "wrong_major", NULL, LOADER_ERROR_MAJOR, { "major 2", "has 1" } },
        { "newer_minor", NULL, LOADER_ERROR_MINOR, { "1.7", "1.0" } },
        { "short_size", NULL, LOADER_ERROR_SIZE, { "bytes", "wanted" } },
        { "incomplete", NULL, LOADER_ERROR_INCOMPLETE, { "reload" } },
        { "needs_more", NULL, LOADER_ERROR_NEEDS, { "without GATE, unknown 0x10000000000", "offers TAP" } },
        { "odd_schema", NULL, LOADER_ERROR_CONFIG, { "patternProperties" } },
        { "picky_config", NULL, LOADER_ERROR_CONFIG, { "\"site\" is missing" } },
        { "picky_config", "{\"site\":", LOADER_ERROR_CONFIG, { "configuration:1:" } },
        { "picky_config", "[]", LOADER_ERROR_CONFIG, { "array found", "object" } },
        { "picky_config", "{\"site\":1}", LOADER_ERROR_CONFIG, { "site: integer found", "string" } },
        { "picky_config", "{\"site\":\"x\",\"limi\":1}", LOADER_ERROR_CONFIG, { "limi:", "did you mean \"limit\"" } },
        { "picky_config", "{\"site\":\"x\",\"limit\":0}", LOADER_ERROR_CONFIG, { "limit: 0 found", "at least 1" } },
        { "picky_config", "{\"site\":\"x\",\"limit\":11}", LOADER_ERROR_CONFIG, { "limit: 11 found", "at most 10" } },
        { "picky_config", "{\"site\":\"x\",\"limit\":1.5}", LOADER_ERROR_CONFIG, { "limit: number found", "integer" } },
        { "picky_config", "{\"site\":\"x\",\"mode\":\"psi\"}", LOADER_ERROR_CONFIG, { "mode: \"psi\" found", "phi" } },
        { "picky_config", "{\"site\":\"x\",\"classes\":{\"a\":{\"threshold\":\"3\"}}}", LOADER_ERROR_CONFIG, { "classes.a.threshold: string found" } },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = bad_path(cases[i].plugin);
        g_autoptr(GError) error = NULL;

        g_assert_null(loader_open(path, &ordinary, cases[i].config, &error));
        g_assert_error(error, LOADER_ERROR, (int) cases[i].code);
        g_assert_true(g_str_has_prefix(error->message, path));
        for (size_t j = 0; j < 4 && cases[i].says[j] != NULL; j++)
            if (strstr(error->message, cases[i].says[j]) == NULL)
                g_error("%s: \"%s\" does not say \"%s\"", cases[i].plugin, error->message, cases[i].says[j]);
    }
}

static void test_a_file_that_is_no_object_is_refused(void)
{
    g_autofree char *path = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "LICENSE", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_null(loader_open(path, &ordinary, NULL, &error));
    g_assert_error(error, LOADER_ERROR, LOADER_ERROR_FILE);
}

static const mend_plugin *open_bad(const char *name)
{
    const LoaderHost all = { MEND_ABI_MINOR, SIM_CAPS };
    g_autofree char *path = bad_path(name);
    g_autoptr(GError) error = NULL;
    const mend_plugin *plugin = loader_open(path, &all, "{\"site\":\"x\"}", &error);

    g_assert_no_error(error);
    return plugin;
}

static SimHost *sim_with(const char *name)
{
    SimHost *sim = sim_host_new(1);
    g_autoptr(GError) error = NULL;

    sim_host_queue_new(sim, "work");
    sim_host_set_limits(sim, (RunnerLimits) { .slow_us = 5 * US_PER_MS, .stall_us = 20 * US_PER_MS });
    sim_host_load(sim, open_bad(name), NULL, &error);
    g_assert_no_error(error);
    return sim;
}

static int32_t send_work(SimHost *sim)
{
    const mend_msg msg = { .size = sizeof msg, .address = str_of("work"), .subject = str_of("x"), .body = str_of("y"), .body_kind = MEND_BODY_DATA };

    return sim_host_send(sim, &msg);
}

static const RunnerStats *stats(SimHost *sim) { return runner_stats(sim_host_runner(sim)); }

static void test_create_and_start_that_fail_leave_nothing(void)
{
    g_autoptr(SimHost) sim = sim_host_new(1);
    g_autoptr(GError) error = NULL;

    g_assert_false(sim_host_load(sim, open_bad("create_fails"), NULL, &error));
    g_assert_error(error, RUNNER_ERROR, RUNNER_ERROR_CREATE);
    g_assert_nonnull(strstr(error->message, "ECONFIG: xxx")); /* read to the end of the buffer and no further */
    g_clear_error(&error);
    g_assert_false(sim_host_load(sim, open_bad("start_fails"), NULL, &error));
    g_assert_error(error, RUNNER_ERROR, RUNNER_ERROR_START);
    g_assert_nonnull(strstr(error->message, "start-fails: start answered EFAULT: the moon"));
    g_assert_null(sim_host_runner(sim));
}

static void test_a_reload_that_fails_is_told(void)
{
    g_autoptr(SimHost) sim = sim_with("reload_fails");
    g_autoptr(GError) error = NULL;

    g_assert_false(runner_reload(sim_host_runner(sim), "{}", &error));
    g_assert_error(error, RUNNER_ERROR, RUNNER_ERROR_RELOAD);
    g_assert_true(runner_is_running(sim_host_runner(sim)));
}

static void test_calls_out_of_order_are_refused(void)
{
    g_autoptr(SimHost) sim = sim_with("drains_twice");
    g_autoptr(GError) error = NULL;

    g_assert_false(runner_start(sim_host_runner(sim), &error));
    g_assert_error(error, RUNNER_ERROR, RUNNER_ERROR_ORDER);
}

static void test_a_slow_callback_is_counted_and_named(void)
{
    g_autoptr(SimHost) slow = sim_with("message_stalls");
    g_autoptr(SimHost) timer = sim_with("timer_stalls");

    g_assert_cmpint(send_work(slow), ==, MEND_ACCEPT);
    g_assert_cmpuint(stats(slow)->slow, ==, 1);
    g_assert_cmpuint(stats(slow)->stalls, ==, 1);
    g_assert_cmpstr(stats(slow)->longest, ==, "message");
    sim_host_advance(timer, 10 * US_PER_MS);
    g_assert_cmpuint(stats(timer)->stalls, ==, 1);
    g_assert_cmpstr(stats(timer)->longest, ==, "a timer");
}

static void test_a_verdict_that_does_not_exist_harms_nobody(void)
{
    g_autoptr(SimHost) sim = sim_with("odd_verdict");
    g_autoptr(SimHost) gate = sim_with("odd_gate");

    send_work(sim);
    g_assert_cmpuint(stats(sim)->bad_verdicts, >=, 1);
    g_assert_cmpuint(sim_host_queue_size(sim, "work"), ==, 1); /* not lost */
    g_assert_cmpint(send_work(gate), ==, MEND_REJECT);         /* not let in */
    g_assert_cmpuint(sim_host_queue_size(gate, "work"), ==, 0);
    g_assert_cmpuint(stats(gate)->bad_verdicts, ==, 1);
}

static void test_settling_twice_settles_once(void)
{
    g_autoptr(SimHost) sim = sim_with("settles_twice");

    send_work(sim);
    sim_host_advance(sim, US_PER_MS);
    send_work(sim);
    sim_host_advance(sim, US_PER_MS);
    g_assert_cmpuint(sim_host_queue_size(sim, "work"), ==, 0);
}

static void test_draining_twice_completes_once(void)
{
    g_autoptr(SimHost) sim = sim_with("drains_twice");
    Runner *runner = sim_host_runner(sim);
    uint64_t before = runner_stats(runner)->bad_completions;

    g_assert_cmpuint(before, ==, 0);
    g_assert_true(sim_host_unload(sim, US_PER_S));
}

static void count(void *user) { ++*(int *) user; }

static void test_the_second_completion_is_counted(void)
{
    g_autoptr(SimHost) sim = sim_with("drains_twice");
    Runner *runner = sim_host_runner(sim);
    int drained = 0;

    runner_drain(runner, count, &drained);
    g_assert_cmpint(drained, ==, 0); /* not inside the call */
    runner_dispatch(runner);
    runner_dispatch(runner);
    g_assert_cmpint(drained, ==, 1);
    g_assert_cmpuint(runner_stats(runner)->bad_completions, ==, 1);
}

static void test_one_that_never_drains_is_destroyed_at_the_deadline(void)
{
    g_autoptr(SimHost) sim = sim_with("never_drains");

    g_assert_false(sim_host_unload(sim, 5 * US_PER_S));
    g_assert_null(sim_host_runner(sim));
}

static void test_one_that_gives_up_is_heard(void)
{
    g_autoptr(SimHost) sim = sim_with("gives_up");

    sim_host_advance(sim, US_PER_S);
    g_assert_cmpstr(sim_host_failure(sim), ==, "lost my way");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/plugins-bad/refusals", test_each_refusal_names_what_was_found_and_wanted);
    g_test_add_func("/plugins-bad/not-an-object", test_a_file_that_is_no_object_is_refused);
    g_test_add_func("/plugins-bad/create-start", test_create_and_start_that_fail_leave_nothing);
    g_test_add_func("/plugins-bad/reload", test_a_reload_that_fails_is_told);
    g_test_add_func("/plugins-bad/order", test_calls_out_of_order_are_refused);
    g_test_add_func("/plugins-bad/slow", test_a_slow_callback_is_counted_and_named);
    g_test_add_func("/plugins-bad/verdict", test_a_verdict_that_does_not_exist_harms_nobody);
    g_test_add_func("/plugins-bad/settle-twice", test_settling_twice_settles_once);
    g_test_add_func("/plugins-bad/drain-twice", test_draining_twice_completes_once);
    g_test_add_func("/plugins-bad/second-completion", test_the_second_completion_is_counted);
    g_test_add_func("/plugins-bad/never-drains", test_one_that_never_drains_is_destroyed_at_the_deadline);
    g_test_add_func("/plugins-bad/gives-up", test_one_that_gives_up_is_heard);
    return g_test_run();
}
