#include "agents/guest/services/test_world.h"

#include "agents/common/child.h"

#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t pid_of(const World *w)
{
    return (pid_t) service_report(w->service)->pid;
}

static void test_a_killed_process_is_seen_at_once_and_restarted_by_command(void)
{
    World *w = world_new(NULL);
    pid_t first;
    int64_t killed_us;

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 600\"}");
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_BOOT));
    first = pid_of(w);
    killed_us = clock_now_us();
    kill(first, SIGKILL);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(clock_now_us() - killed_us, <, US_PER_S);
    g_autofree char *reason = g_strdup_printf("main process %d killed by signal 9 (KILL)", (int) first);
    g_assert_cmpstr(service_report(w->service)->reason, ==, reason);
    g_assert_cmpint(service_report(w->service)->signal, ==, 9);
    g_assert_cmpint(pid_of(w), ==, 0);
    g_assert_cmpint(world_act(w, "restart", 5 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_RUNNING, INTENT_COMMAND));
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    world_free(w);
}

static void test_an_agents_restart_neither_kills_nor_doubles_it(void)
{
    World *w = world_new(NULL);
    pid_t first;

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": [\"sh\", \"-c\", \"echo x >> %s/starts; exec sleep 600\"]}");
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_BOOT) && world_has(w, "starts"));
    first = pid_of(w);
    world_restart_agent(w);
    g_assert_cmpint(kill(first, 0), ==, 0);
    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 601\"}");
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    g_assert_cmpint(pid_of(w), ==, first);
    g_autofree char *starts = world_read(w, "starts");
    g_assert_cmpstr(starts, ==, "x\n");
    kill(first, SIGKILL); /* adopted: its end is seen too */
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    waitpid(first, NULL, WNOHANG);
    world_restart_agent(w); /* the next agent still says that it failed, and does not start it by itself */
    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 602\"}");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(pid_of(w), ==, 0);
    world_free(w);
}

static void test_a_pid_given_to_another_program_is_not_taken_for_it(void)
{
    World *w = world_new(NULL);
    json_t *record = json_pack("{s:i, s:i, s:b}", "pid", (int) getpid(), "start_ticks", 1, "seen", 1);

    memory_change(w->host.memory, "p", record);
    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 600\"}");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(pid_of(w), ==, 0);
    world_free(w);
}

static void test_stopped_by_command_stays_stopped_for_the_next_agent(void)
{
    World *w = world_new(NULL);

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 600\"}");
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_BOOT));
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    world_restart_agent(w);
    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"sleep 600\"}");
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    world_free(w);
}

static void test_an_end_by_itself_is_no_crash_unless_said(void)
{
    World *w = world_new(NULL);

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": \"true\"}");
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_UNKNOWN));
    world_restart_agent(w);
    world_watch(w, "{\"name\": \"q\", \"standard\": \"process\", \"command\": \"true\", \"clean_exit_fails\": true}");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(service_report(w->service)->exit_status, ==, 0);
    world_restart_agent(w);
    world_watch(w, "{\"name\": \"r\", \"standard\": \"process\", \"command\": [\"sh\", \"-c\", \"exit 3\"]}");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpint(service_report(w->service)->exit_status, ==, 3);
    world_restart_agent(w);
    world_watch(w, "{\"name\": \"s\", \"standard\": \"process\", \"command\": \"/does/not/exist\"}");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_nonnull(strstr(service_report(w->service)->reason, "/does/not/exist"));
    g_assert_cmpint(world_act(w, "start", US_PER_S), ==, OCF_INSTALLED);
    world_free(w);
}

static void test_what_it_left_behind_dies_with_it(void)
{
    World *w = world_new(NULL);
    g_autofree char *worker = NULL;

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"command\": [\"sh\", \"-c\", \"sleep 600 & echo $! > %s/worker; wait\"]}");
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_BOOT) && world_has(w, "worker"));
    WAIT_FOR((g_free(worker), worker = world_read(w, "worker"), strchr(worker, '\n') != NULL));
    kill(pid_of(w), SIGKILL);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    WAIT_FOR(kill((pid_t) atoi(worker), 0) != 0);
    world_free(w);
}

static void test_one_that_ignores_sigterm_is_killed_in_time(void)
{
    World *w = world_new(NULL);

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"stop_timeout\": \"200ms\", "
                   "\"command\": [\"sh\", \"-c\", \"trap '' TERM; touch %s/up; sleep 600\"]}");
    WAIT_FOR(world_has(w, "up"));
    g_assert_cmpint(world_act(w, "stop", 4 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    g_assert_nonnull(strstr(w->text, "signal 9"));
    world_free(w);
}

/* python3's own socket module: what an unmodified sd_notify client sends. */
#define NOTIFIER                                                                                                              \
    "import os,socket,time,sys\\n"                                                                                            \
    "s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\\n"                                                                    \
    "s.connect(os.environ['NOTIFY_SOCKET'])\\n"                                                                               \
    "assert int(os.environ['WATCHDOG_PID'])==os.getpid()\\n"                                                                  \
    "s.send(b'STATUS=warming up\\\\nREADY=1')\\n"                                                                             \
    "while not os.path.exists('%s/silent'):\\n"                                                                               \
    "  s.send(b'WATCHDOG=1'); time.sleep(int(os.environ['WATCHDOG_USEC'])/4e6)\\n"                                            \
    "while os.path.exists('%s/silent'): time.sleep(0.02)\\n"                                                                  \
    "s.send(b'WATCHDOG=1'); time.sleep(600)\\n"

static void test_a_missed_watchdog_is_a_failure_with_a_reason(void)
{
    World *w = world_new(NULL);
    pid_t pid;

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"notify\": true, \"watchdog\": \"500ms\", "
                   "\"command\": [\"/usr/bin/python3\", \"-c\", \"" NOTIFIER "\"]}");
    WAIT_FOR(service_report(w->service)->state == SERVICE_STARTING);
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    g_assert_cmpstr(service_report(w->service)->reason, ==, "warming up");
    pid = pid_of(w);
    world_write(w, "silent", "");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_nonnull(strstr(service_report(w->service)->reason, "said nothing for 500ms"));
    g_assert_cmpint(pid_of(w), ==, pid); /* hung, not gone */
    world_remove(w, "silent");
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    world_free(w);
    kill(-pid, SIGKILL);
}

static void test_a_service_of_another_user_can_speak_too(void)
{
    World *w;

    if (geteuid() != 0 || getpwnam("nobody") == NULL) {
        g_test_skip("needs root and a user nobody");
        return;
    }
    w = world_new(NULL);
    g_assert_cmpint(g_chmod(w->folder, 0711), ==, 0);
    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"notify\": true, \"user\": \"nobody\", \"command\": [\"/usr/bin/python3\", \"-c\", "
                   "\"import os,socket,time\\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\\ns.connect(os.environ['NOTIFY_SOCKET'])\\n"
                   "s.send(b'STATUS=%d' % os.getuid() + b'\\\\nREADY=1')\\ntime.sleep(600)\"]}");
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    g_assert_cmpint(atoi(service_report(w->service)->reason), ==, (int) getpwnam("nobody")->pw_uid);
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    world_free(w);
}

static void test_a_start_waits_for_ready(void)
{
    World *w = world_new(NULL);

    world_watch(w, "{\"name\": \"p\", \"standard\": \"process\", \"notify\": true, \"command\": \"sleep 600\"}");
    WAIT_FOR(service_report(w->service)->state == SERVICE_STARTING);
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    g_assert_cmpint(world_act(w, "start", 300 * US_PER_MS), ==, OCF_TIMEOUT);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    world_free(w);
}

static void child_ended(const ChildResult *result, void *user)
{
    g_string_append_printf(user, "%d %s|%s", result->timed_out, result->output, result->last_words);
}

static void test_a_daemon_that_holds_the_pipes_does_not_hold_the_operation(void)
{
    g_autoptr(GString) said = g_string_new(NULL);
    const char *const argv[] = {"sh", "-c", "sleep 3 & echo out; echo first >&2; echo last >&2", NULL};
    const ChildOptions options = {.argv = (char **) argv, .deadline_us = clock_now_us() + 2 * US_PER_S};
    g_autoptr(Child) child = child_start(&options, child_ended, said, NULL);

    g_assert_nonnull(child);
    WAIT_FOR(said->len > 0);
    g_assert_cmpstr(said->str, ==, "0 out\n|last");
}

static void test_the_line_it_waits_for_ends_it(void)
{
    g_autoptr(GString) said = g_string_new(NULL);
    const char *const argv[] = {"sh", "-c", "echo out; printf 'xEND 1\\n\\0\\nEND 7\\n' >&2; exec sleep 600", NULL};
    const ChildOptions options = {.argv = (char **) argv, .deadline_us = clock_now_us() + 60 * US_PER_S, .until = "END "};
    g_autoptr(Child) child = child_start(&options, child_ended, said, NULL);

    g_assert_nonnull(child);
    WAIT_FOR(said->len > 0);
    g_assert_cmpstr(said->str, ==, "0 out\n|END 7");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/process/a kill is seen at once", test_a_killed_process_is_seen_at_once_and_restarted_by_command);
    g_test_add_func("/process/an agent's restart neither kills nor doubles it", test_an_agents_restart_neither_kills_nor_doubles_it);
    g_test_add_func("/process/a reused pid is not taken for it", test_a_pid_given_to_another_program_is_not_taken_for_it);
    g_test_add_func("/process/stopped by command stays stopped", test_stopped_by_command_stays_stopped_for_the_next_agent);
    g_test_add_func("/process/an end by itself is no crash", test_an_end_by_itself_is_no_crash_unless_said);
    g_test_add_func("/process/what it left behind dies with it", test_what_it_left_behind_dies_with_it);
    g_test_add_func("/process/the line it waits for ends it", test_the_line_it_waits_for_ends_it);
    g_test_add_func("/process/one that ignores SIGTERM is killed", test_one_that_ignores_sigterm_is_killed_in_time);
    g_test_add_func("/process/a missed watchdog is a failure", test_a_missed_watchdog_is_a_failure_with_a_reason);
    g_test_add_func("/process/a service of another user can speak too", test_a_service_of_another_user_can_speak_too);
    g_test_add_func("/process/a start waits for READY=1", test_a_start_waits_for_ready);
    g_test_add_func("/child/a daemon does not hold the operation", test_a_daemon_that_holds_the_pipes_does_not_hold_the_operation);
    return g_test_run();
}
