#include "agents/guest/services/test_world.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define CODES "{\"name\": \"r\", \"standard\": \"ocf\", \"provider\": \"mendtest\", \"agent\": \"Codes\", \"interval\": \"20ms\", " \
              "\"timeout\": \"5s\", \"parameters\": {\"state\": \"%s/state\"}}"

static void test_every_ocf_code_means_what_the_table_says(void)
{
    static const struct {
        int rc;
        ServiceState state;
        OcfClass class;
    } rows[] = {
        {0, SERVICE_RUNNING, OCF_CLASS_GOOD},      {1, SERVICE_FAILED, OCF_CLASS_SOFT},      {2, SERVICE_FAILED, OCF_CLASS_HARD},
        {3, SERVICE_FAILED, OCF_CLASS_HARD},       {4, SERVICE_FAILED, OCF_CLASS_HARD},      {5, SERVICE_FAILED, OCF_CLASS_HARD},
        {6, SERVICE_FAILED, OCF_CLASS_FATAL},      {7, SERVICE_STOPPED, OCF_CLASS_SOFT},     {8, SERVICE_RUNNING, OCF_CLASS_GOOD},
        {9, SERVICE_FAILED, OCF_CLASS_SOFT},       {190, SERVICE_DEGRADED, OCF_CLASS_GOOD},  {191, SERVICE_DEGRADED, OCF_CLASS_GOOD},
        {194, SERVICE_FAILED, OCF_CLASS_SOFT},     {195, SERVICE_FAILED, OCF_CLASS_HARD},    {196, SERVICE_STARTING, OCF_CLASS_SOFT},
        {197, SERVICE_UNKNOWN, OCF_CLASS_SOFT},    {198, SERVICE_FAILED, OCF_CLASS_SOFT},    {199, SERVICE_FAILED, OCF_CLASS_HARD},
        {42, SERVICE_FAILED, OCF_CLASS_SOFT},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpint(ocf_monitor_state(rows[i].rc), ==, rows[i].state);
        g_assert_cmpint(ocf_code_class(rows[i].rc), ==, rows[i].class);
        g_assert_cmpstr(ocf_code_text(rows[i].rc), !=, "");
    }
}

static void test_an_ocf_agents_codes_arrive_with_its_words(void)
{
    static const int codes[] = {1, 2, 3, 4, 5, 6, 9};
    World *w = world_new(NULL);

    world_write(w, "state", "");
    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    for (size_t i = 0; i < G_N_ELEMENTS(codes); i++) {
        g_autofree char *text = g_strdup_printf("%d", codes[i]);
        g_autofree char *words = g_strdup_printf("told to end with %d", codes[i]);

        g_string_truncate(w->story, 0);
        world_write(w, "state.code", text);
        g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), ==, codes[i]);
        g_assert_nonnull(strstr(w->text, words));
        g_assert_cmpstr(w->story->str, ==, "starting/command failed/none ");
        g_assert_cmpint(service_report(w->service)->rc, ==, codes[i]);
        g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), ==, 0);
        g_assert_true(world_is(w, SERVICE_RUNNING, INTENT_COMMAND));
    }
    world_write(w, "state.code", "190"); /* the next monitor takes it */
    WAIT_FOR(service_report(w->service)->state == SERVICE_DEGRADED);
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    world_write(w, "state.code", "kill");
    WAIT_FOR(service_report(w->service)->rc == OCF_SIGNAL);
    g_assert_nonnull(strstr(service_report(w->service)->reason, "killed by signal 9 (KILL)"));
    world_free(w);
}

static void test_a_vanished_resource_fails_and_a_command_heals_it(void)
{
    World *w = world_new(NULL);
    g_autofree char *log = NULL;

    world_write(w, "state", "");
    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    world_remove(w, "state");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(world_act(w, "restart", 5 * US_PER_S), ==, 0);
    g_assert_cmpstr(w->story->str, ==, "running/unknown failed/none starting/command running/command ");
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    world_restart_agent(w); /* a new agent knows that it was stopped by command */
    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    log = world_read(w, "state.log");
    g_assert_nonnull(strstr(log, "monitor r 20\n"));
    g_assert_nonnull(strstr(log, "stop r 0\nstart r 0\n"));
    world_free(w);
}

static void test_what_ended_while_no_agent_watched_is_a_failure_only_if_it_ran(void)
{
    World *w = world_new(NULL);

    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_UNKNOWN));
    world_restart_agent(w);
    world_write(w, "state", "");
    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    world_restart_agent(w);
    world_remove(w, "state");
    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    world_free(w);
}

static void test_a_timeout_kills_the_whole_group(void)
{
    World *w = world_new(NULL);
    g_autofree char *pid = NULL;

    world_write(w, "state", "");
    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    world_write(w, "state.hang", "");
    WAIT_FOR(world_has(w, "state.hung"));
    world_remove(w, "state.hung");
    g_clear_pointer(&w->service, service_free); /* an abandoned action dies too */
    world_watch(w, CODES);
    g_assert_cmpint(world_act(w, "start", 300 * US_PER_MS), ==, OCF_TIMEOUT);
    world_remove(w, "state.hang");
    pid = world_read(w, "state.hung");
    WAIT_FOR(*pid == '\0' || kill((pid_t) atoi(pid), 0) != 0);
    world_free(w);
}

static void test_operations_on_one_service_wait_for_each_other(void)
{
    World *w = world_new(NULL);
    g_autofree char *log = NULL;

    world_watch(w, CODES);
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_UNKNOWN));
    world_write(w, "state.hang", "");
    w->rc = -1;
    service_act(w->service, "start", INTENT_COMMAND, clock_now_us() + 10 * US_PER_S, world_acted, w);
    WAIT_FOR(world_has(w, "state.hung"));
    g_assert_cmpint(world_act(w, "stop", 100 * US_PER_MS), ==, OCF_TIMEOUT);
    g_assert_nonnull(strstr(w->text, "turn"));
    g_clear_pointer(&w->service, service_free);
    g_assert_cmpint(w->rc, ==, OCF_CANCELLED);
    log = world_read(w, "state.log");
    g_assert_null(strstr(log, "stop"));
    world_free(w);
}

static void test_failures_in_a_row_are_counted(void)
{
    World *w = world_new(NULL);

    world_write(w, "state", "");
    world_watch(w, "{\"name\": \"r\", \"standard\": \"ocf\", \"provider\": \"mendtest\", \"agent\": \"Codes\", \"interval\": \"20ms\", "
                   "\"failures\": 2, \"parameters\": {\"state\": \"%s/state\"}}");
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    world_write(w, "state.code", "1");
    WAIT_FOR(!world_has(w, "state.code"));
    for (int i = 0; i < 5; i++)
        g_assert_cmpint(world_act(w, "monitor", 5 * US_PER_S), ==, 0);
    g_assert_cmpstr(w->story->str, ==, "running/unknown ");
    world_remove(w, "state");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    world_free(w);
}

static void test_lsb_status_becomes_ocf(void)
{
    World *w = world_new(NULL);

    for (int status = 0; status < 6; status++)
        g_assert_cmpint(ocf_from_lsb_status(status), ==, status == 0 ? 0 : status <= 3 ? 7 : 1);
    world_watch(w, "{\"name\": \"mhdemo\", \"standard\": \"lsb\", \"interval\": \"20ms\"}");
    WAIT_FOR(w->story->len > 0);
    g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_RUNNING, INTENT_COMMAND));
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    g_assert_cmpint(world_act(w, "status-of-nothing", 5 * US_PER_S), ==, 3);
    world_free(w);
}

static void test_commands_given_in_the_settings(void)
{
    World *w = world_new(NULL);

    world_watch(w, "{\"name\": \"job\", \"standard\": \"exec\", \"interval\": \"20ms\", \"start\": \"touch %s/up\", "
                   "\"stop\": [\"rm\", \"-f\", \"%s/up\"], \"monitor\": [\"sh\", \"-c\", \"test -e %s/up || exit 7\"]}");
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_UNKNOWN));
    g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), ==, 0);
    world_remove(w, "up");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(world_act(w, "restart", 5 * US_PER_S), ==, 0);
    g_assert_true(world_has(w, "up"));
    world_free(w);
}

/* The agent everybody has: heartbeat:Dummy of Debian's resource-agents. */
static void test_the_dummy_of_resource_agents(void)
{
    World *w;

    if (!g_file_test("/usr/lib/ocf/resource.d/heartbeat/Dummy", G_FILE_TEST_IS_EXECUTABLE)) {
        g_test_skip("resource-agents is not installed");
        return;
    }
    w = world_new(NULL);
    w->host.ocf_root = "/usr/lib/ocf";
    world_watch(w, "{\"name\": \"d1\", \"standard\": \"ocf\", \"agent\": \"Dummy\", \"interval\": \"50ms\", "
                   "\"parameters\": {\"state\": \"%s/dummy\"}}");
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_UNKNOWN));
    g_assert_cmpint(world_act(w, "start", 10 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_RUNNING, INTENT_COMMAND));
    world_remove(w, "dummy");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(world_act(w, "restart", 10 * US_PER_S), ==, 0);
    g_assert_cmpint(world_act(w, "stop", 10 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    world_free(w);
}

/* The state file is a parameter: given another one, the service runs with it, and the old one has been stopped. */
static void test_parameters_hold_from_the_next_start(void)
{
    World *w = world_new(NULL);
    g_autofree char *elsewhere = g_strdup_printf("%s/elsewhere", w->folder), *before = g_strdup_printf("%s/state", w->folder);
    g_autoptr(json_t) parameters = json_pack("{s:s}", "state", elsewhere), wrong = json_pack("{s:s}", "a b", "x");
    g_autoptr(GError) error = NULL;

    world_watch(w, CODES);
    g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), ==, 0);
    g_assert_true(service_give_parameters(w->service, parameters, &error));
    g_assert_true(g_file_test(before, G_FILE_TEST_EXISTS));
    g_assert_cmpint(world_act(w, "restart", 5 * US_PER_S), ==, 0);
    g_assert_true(g_file_test(elsewhere, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(before, G_FILE_TEST_EXISTS));
    g_assert_false(service_give_parameters(w->service, wrong, &error));
    g_assert_nonnull(strstr(error->message, "a b"));
    world_free(w);
}

static void test_a_missing_program_is_said(void)
{
    World *w = world_new(NULL);

    world_watch(w, "{\"name\": \"r\", \"standard\": \"ocf\", \"provider\": \"mendtest\", \"agent\": \"Nothing\"}");
    WAIT_FOR(world_is(w, SERVICE_UNKNOWN, INTENT_UNKNOWN) && service_report(w->service)->rc == OCF_INSTALLED);
    g_assert_nonnull(strstr(service_report(w->service)->reason, "mendtest/Nothing"));
    world_free(w);
}

int main(int argc, char **argv)
{
    g_autofree char *state = NULL;

    g_test_init(&argc, &argv, NULL);
    state = g_strdup_printf("%s/mhdemo-%d", g_get_tmp_dir(), (int) getpid());
    g_test_add_func("/ocf/every code means what the table says", test_every_ocf_code_means_what_the_table_says);
    g_test_add_func("/ocf/codes arrive with the agent's words", test_an_ocf_agents_codes_arrive_with_its_words);
    g_test_add_func("/ocf/a vanished resource fails and a command heals it", test_a_vanished_resource_fails_and_a_command_heals_it);
    g_test_add_func("/ocf/ended while nobody watched", test_what_ended_while_no_agent_watched_is_a_failure_only_if_it_ran);
    g_test_add_func("/ocf/a timeout kills the whole group", test_a_timeout_kills_the_whole_group);
    g_test_add_func("/ocf/operations wait for each other", test_operations_on_one_service_wait_for_each_other);
    g_test_add_func("/ocf/failures in a row are counted", test_failures_in_a_row_are_counted);
    g_test_add_func("/ocf/the Dummy of resource-agents", test_the_dummy_of_resource_agents);
    g_test_add_func("/ocf/parameters hold from the next start", test_parameters_hold_from_the_next_start);
    g_test_add_func("/ocf/a missing program is said", test_a_missing_program_is_said);
    g_test_add_func("/lsb/status becomes ocf", test_lsb_status_becomes_ocf);
    g_test_add_func("/exec/commands given in the settings", test_commands_given_in_the_settings);
    int failed = g_test_run();
    g_unlink(state);
    return failed;
}
