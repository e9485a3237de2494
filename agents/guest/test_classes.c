/* The agent's classes on a bus of one: requests go in as messages, what comes out is kept. */
#include "agents/guest/deny_list.h"
#include "agents/guest/test_bench.h"

#include "lib/base/uuid.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void agent_open(Bench *b)
{
    bench_open(b);
    const WatchListOptions watch = {b->agent, &b->world->host, b->world->lanes, b->context.data, b->context.identity};
    b->context.watched = watch_list_new(&watch);
    b->guest = guest_class_new(&b->context);
    b->host = host_class_new(&b->context);
    b->services = services_class_new(&b->context);
    b->resources = resources_class_new(&b->context);
    watch_list_load(b->context.watched);
    watch_list_set_online(b->context.watched, true);
    resources_class_set_online(b->resources, true);
}

static void agent_close(Bench *b)
{
    watch_list_free(g_steal_pointer(&b->context.watched));
    resources_class_free(b->resources);
    services_class_free(b->services);
    host_class_free(b->host);
    guest_class_free(b->guest);
    bench_close(b);
}

static Bench *bench_new(void)
{
    Bench *b = bench_make();

    agent_open(b);
    return b;
}

static void bench_free(Bench *b)
{
    agent_close(b);
    bench_drop(b);
}

static void add(Bench *b, const char *short_form)
{
    g_autoptr(GError) error = NULL;
    ServiceSpec *spec = service_spec_parse(short_form, &error);

    g_assert_no_error(error);
    g_assert_true(watch_list_add(b->context.watched, spec, false, &error));
}

static const ServiceReport *report_of(const Bench *b, const char *name)
{
    return service_report(watch_list_find(b->context.watched, name));
}

/* ---- Guest ---- */

#define ID_1 "11111111-1111-4111-8111-111111111111"
#define COMMAND(id, epoch) "{\"mend.command-id\": \"" id "\", \"mend.epoch\": " epoch ", \"mend.incident\": \"i\", \"mend.entity\": \"service/v/p\"}"

static void test_a_kill_a_restart_by_command_and_its_repeat(void)
{
    Bench *b = bench_new();
    const json_t *answer, *extra, *event;
    int64_t pid;

    add(b, "process:p=sleep 600");
    WAIT_FOR(report_of(b, "p")->state == SERVICE_RUNNING);
    kill((pid_t) report_of(b, "p")->pid, SIGKILL);
    WAIT_FOR(report_of(b, "p")->state == SERVICE_FAILED);
    event = event_values(b, "service_state", 1);
    g_assert_cmpstr(json_string_or(event, "state", ""), ==, "failed");
    g_assert_cmpstr(json_string_or(event, "previous", ""), ==, "running");
    g_assert_cmpstr(json_string_or(event, "intent", ""), ==, "none");
    g_assert_cmpint(json_int_or(event, "signal", 0), ==, 9);
    g_assert_cmpint(json_int_or(event, "sequence", 0), ==, 2);
    answer = call_with(b, "Guest", "restart", "{\"name\": \"p\", \"timeout_ms\": 5000}", COMMAND(ID_1, "3"));
    extra = json_object_get(answer, "extra");
    g_assert_cmpstr(json_string_or(answer, "opcode", ""), ==, "_method_response");
    g_assert_cmpstr(json_string_or(extra, "mend.state", ""), ==, "done");
    g_assert_cmpstr(json_string_or(extra, "mend.command-id", ""), ==, ID_1);
    g_assert_cmpstr(json_string_or(extra, "mend.incident", ""), ==, "i");
    g_assert_cmpint(json_int_or(extra, "mend.started_us", 0), >, 0);
    g_assert_cmpint(json_int_or(extra, "mend.ended_us", 0), >=, json_int_or(extra, "mend.started_us", 0));
    pid = report_of(b, "p")->pid;
    g_assert_cmpint(json_int_or(json_object_get(json_object_get(answer, "body"), "_arguments"), "pid", 0), ==, pid);
    answer = call_with(b, "Guest", "restart", "{\"name\": \"p\", \"timeout_ms\": 5000}", COMMAND(ID_1, "3"));
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.state", ""), ==, "done");
    g_assert_cmpint(json_int_or(json_object_get(json_object_get(answer, "body"), "_arguments"), "pid", 0), ==, pid);
    g_assert_cmpint(report_of(b, "p")->pid, ==, pid); /* it ran once */
    agent_close(b);
    agent_open(b); /* and once for the next agent too */
    add(b, "process:p=sleep 600");
    WAIT_FOR(report_of(b, "p")->state == SERVICE_RUNNING);
    answer = call_with(b, "Guest", "restart", "{\"name\": \"p\", \"timeout_ms\": 5000}", COMMAND(ID_1, "3"));
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.state", ""), ==, "done");
    g_assert_cmpint(report_of(b, "p")->pid, ==, pid);
    kill((pid_t) pid, SIGKILL);
    bench_free(b);
}

static void test_a_repeat_while_it_runs_gets_the_same_answer(void)
{
    Bench *b = bench_new();
    g_autofree char *first = NULL, *second = NULL;

    add(b, "process:p=sleep 600");
    WAIT_FOR(report_of(b, "p")->state == SERVICE_RUNNING);
    first = ask(b, "Guest", "restart", "{\"name\": \"p\"}", COMMAND(ID_1, "3"));
    second = ask(b, "Guest", "restart", "{\"name\": \"p\"}", COMMAND(ID_1, "3"));
    WAIT_FOR(answer_of(b, first) != NULL && answer_of(b, second) != NULL);
    g_assert_true(json_equal(json_object_get(answer_of(b, first), "body"), json_object_get(answer_of(b, second), "body")));
    kill((pid_t) report_of(b, "p")->pid, SIGKILL);
    bench_free(b);
}

static void refused(Bench *b, const char *method, const char *arguments, const char *extra, const char *error)
{
    const json_t *answer = call_with(b, "Guest", method, arguments, extra);

    g_assert_cmpstr(json_string_or(answer, "opcode", ""), ==, "_exception");
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.state", ""), ==, "refused");
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.error", ""), ==, error);
}

static void test_what_may_not_run_is_refused_with_a_typed_error(void)
{
    Bench *b = bench_new();

    add(b, "tcp:t=127.0.0.1:1");
    refused(b, "restart", "{\"name\": \"nothing\"}", COMMAND("11111111-1111-4111-8111-000000000001", "5"), COMMAND_ERROR_NOT_FOUND);
    refused(b, "restart", "{\"name\": \"t\"}", COMMAND("11111111-1111-4111-8111-000000000002", "4"), COMMAND_ERROR_STALE_EPOCH);
    refused(b, "restart", "{\"name\": \"t\"}",
            "{\"mend.command-id\": \"11111111-1111-4111-8111-000000000003\", \"mend.epoch\": 5, \"mend.deadline\": 1000}",
            COMMAND_ERROR_DEADLINE);
    refused(b, "restart", "{\"name\": 7}", COMMAND("11111111-1111-4111-8111-000000000004", "5"), COMMAND_ERROR_ARGUMENT);
    refused(b, "explode", "{}", COMMAND("11111111-1111-4111-8111-000000000005", "5"), COMMAND_ERROR_UNKNOWN);
    refused(b, "restart", "{\"name\": \"t\"}", COMMAND("not-a-uuid", "5"), COMMAND_ERROR_ARGUMENT);
    bench_free(b);
}

static void test_events_wait_for_the_bus_one_per_service(void)
{
    Bench *b = bench_new();
    g_autoptr(Value) states = NULL;

    add(b, "process:p=sleep 600");
    WAIT_FOR(report_of(b, "p")->state == SERVICE_RUNNING);
    watch_list_set_online(b->context.watched, false);
    for (int i = 0; i < 3; i++) {
        kill((pid_t) report_of(b, "p")->pid, SIGKILL);
        WAIT_FOR(report_of(b, "p")->state == SERVICE_FAILED);
        if (i < 2)
            g_assert_nonnull(call_with(b, "Guest", "start", "{\"name\": \"p\"}", NULL));
    }
    g_assert_cmpuint(count_events(b, "service_state"), ==, 1);
    states = watch_list_digest(b->context.watched);
    g_assert_cmpstr(value_get_string(states, "p"), ==, "failed");
    watch_list_set_online(b->context.watched, true);
    g_assert_cmpuint(count_events(b, "service_state"), ==, 2);
    g_assert_cmpstr(json_string_or(event_values(b, "service_state", 1), "state", ""), ==, "failed");
    g_assert_cmpuint(watch_list_event_sequence(b->context.watched), ==, 2);
    bench_free(b);
}

static void test_monitor_is_kept_and_brings_no_commands(void)
{
    Bench *b = bench_new();

    CALL_IS("Guest", "monitor", "{\"name\": \"job\", \"standard\": \"exec\", \"parameters\": {\"start\": \"a\", \"stop\": \"b\", \"monitor\": \"c\"}}",
            "! commands over the bus are not allowed here (mend-guest --allow-remote-commands)");
    CALL_IS("Guest", "monitor", "{\"name\": \"t\", \"standard\": \"tpc\"}",
            "! no standard 'tpc'; there are systemd, ocf, lsb, exec, process, tcp and http (did you mean tcp?)");
    CALL_IS("Guest", "monitor", "{\"name\": \"t\", \"standard\": \"tcp\", \"agent\": \"127.0.0.1:1\", \"interval_ms\": 50}", "{}");
    WAIT_FOR(report_of(b, "t")->state == SERVICE_FAILED);
    agent_close(b);
    agent_open(b);
    g_assert_nonnull(watch_list_find(b->context.watched, "t"));
    CALL_IS("Guest", "unmonitor", "{\"name\": \"t\"}", "{}");
    CALL_IS("Guest", "unmonitor", "{\"name\": \"t\"}", "! no service 't' is watched here; there are: none");
    CALL_IS("Guest", "list", "{}", "{\"services\":[]}");
    agent_close(b);
    agent_open(b);
    g_assert_null(watch_list_find(b->context.watched, "t"));
    bench_free(b);
}

/* ---- Matahari ---- */

static void test_host_uuids_and_power(void)
{
    g_autofree char *path = g_strdup(g_getenv("PATH"));
    Bench *b = bench_new();
    g_autofree char *agent_uuid = g_strdup_printf("{\"uuid\":\"%s\"}", b->context.identity->agent);
    g_autofree char *reboot_uuid = g_strdup_printf("{\"uuid\":\"%s\"}", b->context.identity->boot_id);

    CALL_IS("Host", "get_uuid", "{\"lifetime\": \"Agent\"}", agent_uuid);
    CALL_IS("Host", "get_uuid", "{\"lifetime\": \"Reboot\"}", reboot_uuid);
    CALL_IS("Host", "get_uuid", "{\"lifetime\": \"Custom\"}", "{\"uuid\":\"not-available\"}");
    CALL_IS("Host", "get_uuid", "{\"lifetime\": \"Century\"}", "{\"uuid\":\"invalid-lifetime\"}");
    CALL_IS("Host", "set_uuid", "{\"lifetime\": \"Hardware\", \"uuid\": \"x\"}", "{\"rc\":23}");
    CALL_IS("Host", "set_uuid", "{\"lifetime\": \"Custom\"}", "! Invalid Arguments");
    CALL_IS("Host", "set_uuid", "{\"lifetime\": \"Custom\", \"uuid\": \"rack-7\"}", "{\"rc\":0}");
    CALL_IS("Host", "get_uuid", "{\"lifetime\": \"Custom\"}", "{\"uuid\":\"rack-7\"}");
    CALL_IS("Host", "identify", "{}", "{}");
    CALL_IS("Host", "reboot", "{}", "! power is not in the agent's hands here (mend-guest --allow-power)");
    g_setenv("PATH", "/nowhere", TRUE); /* no tuned-adm */
    CALL_IS("Host", "list_power_profiles", "{}", "{\"profiles\":[]}");
    CALL_IS("Host", "get_power_profile", "{}", "! Error in backend");
    CALL_IS("Host", "set_power_profile", "{}", "! Invalid Arguments");
    g_setenv("PATH", path, TRUE);
    const Value *values = qmf_object_values(qmf_agent_object(b->agent, "Host"));
    g_assert_cmpint(value_get_int(values, "memory", 0), >, 1000);
    g_assert_cmpint(value_get_int(values, "cpu_count", 0), >, 0);
    g_assert_cmpint(value_get_int(value_get(values, "process_statistics"), "total", 0), >, 1);
    g_assert_true(g_str_has_prefix(value_get_string(values, "os"), "Linux ("));
    g_assert_cmpstr(value_get_string(values, "custom_uuid"), ==, "rack-7");
    bench_free(b);
}

/* A stand-in for tuned-adm that keeps its profile in a file and prints as 2.20 does. */
static const char tuned_adm[] = "#!/bin/sh\n"
                                "case $1 in\n"
                                "list) echo 'Available profiles:'; echo '- balanced      - General non-specialized profile'\n"
                                "  echo '- virtual-guest - For a virtual machine'; echo 'Current active profile: balanced';;\n"
                                "active) test -e FOLDER/broken && exit 1; echo \"Current active profile: $(cat FOLDER/profile)\"; echo x:y;;\n"
                                "profile) echo $2 >FOLDER/profile;;\n"
                                "off) echo none >FOLDER/profile;;\n"
                                "esac\n";

static void test_power_profiles(void)
{
    static const char *const some[] = {"virtual-*", "nothing", "off", NULL};
    g_autofree char *path = g_strdup(g_getenv("PATH")), *with = NULL, *tool = NULL, *script = NULL;
    Bench *b = bench_new();
    g_auto(GStrv) parts = g_strsplit(tuned_adm, "FOLDER", -1);

    script = g_strjoinv(b->world->folder, parts);
    world_write(b->world, "tuned-adm", script);
    world_write(b->world, "profile", "balanced");
    tool = g_build_filename(b->world->folder, "tuned-adm", NULL);
    g_assert_cmpint(g_chmod(tool, 0755), ==, 0);
    with = g_strconcat(b->world->folder, ":", path, NULL);
    g_setenv("PATH", with, TRUE);
    CALL_IS("Host", "list_power_profiles", "{}", "{\"profiles\":[\"balanced\",\"virtual-guest\"]}");
    CALL_IS("Host", "get_power_profile", "{}", "{\"profile\":\"balanced\"}");
    CALL_IS("Host", "set_power_profile", "{\"profile\": \"virtual-guest\"}",
            "! You are not authorized for specified action (mend-guest --power-profile)");
    b->context.power_profiles = (char *const *) some;
    CALL_IS("Host", "set_power_profile", "{\"profile\": \"virtual-guest\"}", "{\"status\":0}");
    CALL_IS("Host", "get_power_profile", "{}", "{\"profile\":\"virtual-guest\"}");
    CALL_IS("Host", "set_power_profile", "{\"profile\": \"nothing\"}", "! Invalid Arguments");
    CALL_IS("Host", "set_power_profile", "{\"profile\": \"balanced\"}",
            "! You are not authorized for specified action (mend-guest --power-profile)");
    CALL_IS("Host", "set_power_profile", "{\"profile\": \"--help\"}", "! Invalid Arguments");
    CALL_IS("Host", "set_power_profile", "{\"profile\": \"off\"}", "{\"status\":0}");
    CALL_IS("Host", "get_power_profile", "{}", "{\"profile\":\"none\"}");
    world_write(b->world, "broken", "");
    CALL_IS("Host", "get_power_profile", "{}", "! Error in backend");
    g_setenv("PATH", path, TRUE);
    bench_free(b);
}

static unsigned beats(const Bench *b)
{
    return count_events(b, "heartbeat");
}

static void test_update_interval_is_writable(void)
{
    Bench *b = bench_new();
    const Value *values = qmf_object_values(qmf_agent_object(b->agent, "Host"));
    int64_t first_us;

    host_class_set_online(b->host, true);
    CALL_IS("Guest", "set_properties", "{\"object\": \"Host\", \"values\": {\"update_interval\": 1}}", "{}");
    g_assert_cmpint(value_get_int(values, "update_interval", -1), ==, 1);
    WAIT_FOR(beats(b) == 1);
    first_us = clock_now_us();
    WAIT_FOR(beats(b) == 3);
    g_assert_cmpint(clock_now_us() - first_us, >, US_PER_S);
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpint(json_int_or(event_values(b, "heartbeat", i), "sequence", 0), ==, i + 1);
    CALL_IS("Guest", "set_properties", "{\"object\": \"Host\", \"values\": {\"update_interval\": 0}}", "{}");
    first_us = clock_now_us();
    WAIT_FOR(clock_now_us() - first_us > 1500 * US_PER_MS);
    g_assert_cmpuint(beats(b), ==, 3);
#define SET(object, values, said_) CALL_IS("Guest", "set_properties", "{\"object\": \"" object "\", \"values\": " values "}", said_)
#define RANGE "! Invalid Arguments: update_interval is a number, 0 to 3600"
    SET("Host", "{\"update_interval\": -1}", RANGE);
    SET("Host", "{\"update_interval\": 3601}", RANGE);
    SET("Host", "{\"update_interval\": \"1\"}", RANGE);
    SET("Host", "{\"update_interval\": 5, \"uuid\": 1}", "! Invalid Arguments: no property 'uuid' of 'Host' can be set");
    SET("Services", "{\"update_interval\": 5}", "! Invalid Arguments: no property 'update_interval' of 'Services' can be set");
    SET("Host", "{}", "{}");
    g_assert_cmpint(value_get_int(values, "update_interval", -1), ==, 0);
    bench_free(b);
}

/* Reboot's is the boot's: another agent says the same, as it does of the machine's; Agent's is new. */
static void test_uuid_lifetimes(void)
{
    static const char *const lifetimes[] = {"Filesystem", "Hardware", "Reboot", "Custom", "Agent"};
    Bench *b = bench_new();
    char *first[5];

    CALL_IS("Host", "set_uuid", "{\"lifetime\": \"Custom\", \"uuid\": \"rack-7\"}", "{\"rc\":0}");
    for (int i = 0; i < 5; i++) {
        g_autofree char *arguments = g_strdup_printf("{\"lifetime\": \"%s\"}", lifetimes[i]);

        first[i] = call(b, "Host", "get_uuid", arguments);
    }
    agent_close(b);
    agent_open(b);
    for (int i = 0; i < 5; i++) {
        g_autofree char *arguments = g_strdup_printf("{\"lifetime\": \"%s\"}", lifetimes[i]);
        g_autofree char *now = call(b, "Host", "get_uuid", arguments);

        if (strcmp(lifetimes[i], "Agent") == 0)
            g_assert_cmpstr(now, !=, first[i]);
        else
            g_assert_cmpstr(now, ==, first[i]);
        g_free(first[i]);
    }
    bench_free(b);
}

static const char *const denied[] = {"org.matahariproject.Host.get_uuid", "org.matahariproject.Host.memory", "org.matahariproject.Services.*", NULL};

static bool is_denied(const QmfClass *class, const char *member, void *user)
{
    return deny_list_has((char *const *) denied, class, member);
}

/* Matahari had one polkit action for each member. */
static void test_a_denied_member_is_refused_alone(void)
{
    static const char *const wrong[] = {"org.matahariproject.Host.explode", NULL};
    Bench *b = bench_make();
    const json_t *answer;
    g_autoptr(GError) error = NULL;

    g_assert_true(deny_list_check((char *const *) denied, NULL));
    g_assert_true(deny_list_check(NULL, NULL));
    g_assert_false(deny_list_check((char *const *) wrong, &error));
    g_assert_nonnull(strstr(error->message, "no method or property is called 'org.matahariproject.Host.explode'"));
    bench_open(b);
    qmf_agent_deny(b->agent, is_denied, MH_DENIED, NULL);
    b->host = host_class_new(&b->context);
    b->services = services_class_new(&b->context);
    CALL_IS("Host", "get_uuid", "{\"lifetime\": \"Agent\"}", "! You are not authorized for specified action");
    CALL_IS("Host", "identify", "{}", "{}");
    CALL_IS("Services", "list", "{}", "! You are not authorized for specified action");
    const Value *values = qmf_object_values(qmf_agent_object(b->agent, "Host"));
    g_assert_null(value_get(values, "memory"));
    g_assert_nonnull(value_get(values, "swap"));
    g_assert_cmpuint(value_size(qmf_object_values(qmf_agent_object(b->agent, "Services"))), ==, 0);
    answer = call_with(b, "Host", "get_uuid", "{}", COMMAND(ID_1, "1"));
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.state", ""), ==, "refused");
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.error", ""), ==, COMMAND_ERROR_ARGUMENT);
    services_class_free(b->services);
    host_class_free(b->host);
    bench_close(b);
    bench_drop(b);
}

static void test_a_slow_script_is_timed_out(void)
{
    Bench *b = bench_new();
    g_autofree char *folder = g_build_filename(b->world->folder, "init", NULL), *script = g_build_filename(folder, "slow", NULL);

    g_assert_cmpint(g_mkdir(folder, 0755), ==, 0);
    world_write(b->world, "init/slow", "#!/bin/sh\nsleep 600\n");
    g_assert_cmpint(g_chmod(script, 0755), ==, 0);
    b->world->host.init_dir = folder;
    CALL_IS("Services", "status", "{\"name\": \"slow\", \"timeout\": 1}", "{\"rc\":198}");
    CALL_IS("Services", "start", "{\"name\": \"slow\", \"timeout\": 1}", "{\"rc\":198}");
    bench_free(b);
}

static void test_services_answer_as_the_original(void)
{
    Bench *b = bench_new();

    CALL_IS("Services", "list", "{}", "{\"agents\":[\"mhdemo\"]}");
    CALL_IS("Services", "stop", "{\"name\": \"mhdemo\", \"timeout\": 5000}", "{\"rc\":0}");
    CALL_IS("Services", "status", "{\"name\": \"mhdemo\", \"timeout\": 5000}", "{\"rc\":3}");
    CALL_IS("Services", "start", "{\"name\": \"mhdemo\", \"timeout\": 5000}", "{\"rc\":0}");
    CALL_IS("Services", "status", "{\"name\": \"mhdemo\"}", "{\"rc\":0}");
    CALL_IS("Services", "stop", "{\"name\": \"mhdemo\"}", "{\"rc\":0}");
    CALL_IS("Services", "status", "{\"name\": \"nothing\"}", "{\"rc\":1}");
    CALL_IS("Services", "enable", "{\"name\": \"mhdemo\"}", "{\"rc\":5}");
    CALL_IS("Services", "status", "{\"name\": \"\"}", "! Invalid Arguments");
    CALL_IS("Services", "status", "{\"name\": \"../../bin/sh\"}", "! Invalid Arguments");
    CALL_IS("Services", "describe", "{\"name\": \"mhdemo\"}", "! Not implemented");
    bench_free(b);
}

#define CODES "\"name\": \"r\", \"provider\": \"mendtest\", \"agent\": \"Codes\", \"parameters\": {\"state\": \"%s/state\"}"
#define MONITOR "{" CODES ", \"action\": \"monitor\", \"interval\": 30, \"timeout\": 5000, \"userdata\": \"mine\", \"expected-rc\": 7}"

static void test_resources_recur_as_the_original_and_never_twice(void)
{
    Bench *b = bench_new();
    const json_t *event;
    g_autofree char *log = NULL;
    unsigned runs;

    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"monitor\"}", "{\"rc\":7}");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"start\"}", "{\"rc\":0}");
    CALL_IS("Resources", "invoke", MONITOR, "{\"rc\":0,\"userdata\":\"mine\"}");
    CALL_IS("Resources", "invoke", MONITOR, "{\"rc\":0,\"userdata\":\"mine\"}");
    world_remove(b->world, "state");
    WAIT_FOR(count_events(b, "resource_op") == 1);
    event = event_values(b, "resource_op", 0);
    g_assert_cmpint(json_int_or(event, "rc", -1), ==, 7);
    g_assert_cmpint(json_int_or(event, "interval", -1), ==, 30);
    g_assert_cmpint(json_int_or(event, "expected-rc", -1), ==, 7);
    g_assert_cmpstr(json_string_or(event, "userdata", ""), ==, "mine");
    g_assert_cmpstr(json_string_or(event, "provider", ""), ==, "mendtest");
    g_assert_cmpint(json_int_or(event, "timestamp", 0), <, INT64_C(100000000000)); /* seconds */
    world_write(b->world, "state", "");
    WAIT_FOR(count_events(b, "resource_op") == 2);
    g_assert_cmpint(json_int_or(event_values(b, "resource_op", 1), "rc", -1), ==, 0);
    g_assert_true(json_equal(json_object_get(event_values(b, "resource_op", 1), "sequence"), json_object_get(event, "sequence")));
    CALL_IS("Resources", "fail", "{\"name\": \"r\", \"rc\": 1}", "{}");
    WAIT_FOR(count_events(b, "resource_op") == 4); /* told as failed, and the next monitor says it is not */
    CALL_IS("Resources", "cancel", "{\"name\": \"r\", \"action\": \"monitor\", \"interval\": 30}", "{}");
    CALL_IS("Resources", "cancel", "{\"name\": \"r\", \"action\": \"monitor\", \"interval\": 30}", "{}");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"stop\"}", "{\"rc\":0}");
    world_remove(b->world, "state.log");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"monitor\"}", "{\"rc\":7}");
    for (int64_t until_us = clock_now_us() + 150 * US_PER_MS; clock_now_us() < until_us;)
        g_main_context_iteration(NULL, FALSE);
    log = world_read(b->world, "state.log");
    for (runs = 0; strstr(log, "monitor") != NULL; runs++)
        memcpy(strstr(log, "monitor"), "-------", 7);
    g_assert_cmpuint(runs, ==, 1); /* nothing recurs any more */
    g_assert_cmpuint(count_events(b, "resource_op"), ==, 4);
    bench_free(b);
}

static void test_resources_errors_and_lists(void)
{
    Bench *b = bench_new();
    g_autofree char *xml = NULL;

    CALL_IS("Resources", "list_standards", "{}", "{\"standards\":[\"ocf\",\"lsb\",\"systemd\"]}");
    CALL_IS("Resources", "list_providers", "{\"standard\": \"ocf\"}", "{\"providers\":[\"mendtest\"]}");
    CALL_IS("Resources", "list_providers", "{\"standard\": \"lsb\"}", "{\"providers\":[]}");
    CALL_IS("Resources", "list", "{\"provider\": \"mendtest\"}", "{\"agents\":[\"Codes\"]}");
    CALL_IS("Resources", "list", "{\"standard\": \"none\"}", "{\"agents\":[]}");
    CALL_IS("Resources", "list", "{\"standard\": \"systemd\"}", "{\"agents\":[]}");
    CALL_IS("Resources", "invoke", "{" CODES "}", "! Invalid Arguments");
    CALL_IS("Resources", "invoke", "{\"action\": \"monitor\"}", "! Invalid Arguments");
    CALL_IS("Resources", "invoke", "{" CODES ", \"standard\": \"upstart\", \"action\": \"monitor\"}", "! Not implemented");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"explode\"}", "{\"rc\":3}");
    CALL_IS("Resources", "invoke", "{\"name\": \"x\", \"agent\": \"Nothing\", \"action\": \"monitor\"}", "{\"rc\":5}");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"monitor\", \"interval\": 4294967295}", "! Invalid Arguments");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"monitor\", \"timeout\": 4294967295}", "! Invalid Arguments");
    world_write(b->world, "state.hang", "");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"monitor\", \"timeout\": 100}", "{\"rc\":198}");
    world_remove(b->world, "state.hang");
    world_write(b->world, "state.code", "kill");
    CALL_IS("Resources", "invoke", "{" CODES ", \"action\": \"monitor\"}", "{\"rc\":194}");
    xml = call(b, "Resources", "describe", "{\"provider\": \"mendtest\", \"agent\": \"Codes\"}");
    g_assert_nonnull(strstr(xml, "<resource-agent name=\\\"Codes\\\""));
    CALL_IS("Resources", "describe", "{\"standard\": \"lsb\", \"agent\": \"mhdemo\"}", "! Not implemented");
    bench_free(b);
}

static void test_a_cancel_while_it_runs(void)
{
    Bench *b = bench_new();
    g_autofree char *running = NULL;

    world_write(b->world, "state.hang", "");
    running = ask(b, "Resources", "invoke", "{" CODES ", \"action\": \"monitor\", \"interval\": 20, \"timeout\": 500}", NULL);
    WAIT_FOR(world_has(b->world, "state.hung"));
    CALL_IS("Resources", "cancel", "{\"name\": \"r\", \"action\": \"monitor\", \"interval\": 20}", "{}");
    CALL_IS("Resources", "cancel", "{\"name\": \"r\", \"action\": \"monitor\", \"interval\": 20}", "{}");
    WAIT_FOR(answer_of(b, running) != NULL);
    g_assert_cmpuint(count_events(b, "resource_op"), ==, 0);
    bench_free(b);
}

static void test_an_agent_that_ends_answers_what_is_open(void)
{
    Bench *b = bench_new();
    g_autofree char *open = NULL;
    const json_t *answer;

    world_write(b->world, "state.hang", "");
    open = ask(b, "Resources", "invoke", "{" CODES ", \"action\": \"start\"}", COMMAND(ID_1, "1"));
    WAIT_FOR(world_has(b->world, "state.hung"));
    agent_close(b);
    answer = answer_of(b, open);
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.error", ""), ==, COMMAND_ERROR_INTERRUPTED);
    agent_open(b);
    answer = call_with(b, "Resources", "invoke", "{" CODES ", \"action\": \"start\"}", COMMAND(ID_1, "1"));
    g_assert_cmpstr(json_string_or(json_object_get(answer, "extra"), "mend.error", ""), ==, COMMAND_ERROR_INTERRUPTED);
    bench_free(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/guest/a kill, a restart by command, its repeat", test_a_kill_a_restart_by_command_and_its_repeat);
    g_test_add_func("/guest/a repeat while it runs gets the same answer", test_a_repeat_while_it_runs_gets_the_same_answer);
    g_test_add_func("/guest/what may not run is refused", test_what_may_not_run_is_refused_with_a_typed_error);
    g_test_add_func("/guest/events wait for the bus", test_events_wait_for_the_bus_one_per_service);
    g_test_add_func("/guest/monitor is kept", test_monitor_is_kept_and_brings_no_commands);
    g_test_add_func("/guest/an agent that ends answers what is open", test_an_agent_that_ends_answers_what_is_open);
    g_test_add_func("/matahari/host", test_host_uuids_and_power);
    g_test_add_func("/matahari/power profiles", test_power_profiles);
    g_test_add_func("/matahari/update_interval is writable", test_update_interval_is_writable);
    g_test_add_func("/matahari/lifetimes of UUIDs", test_uuid_lifetimes);
    g_test_add_func("/matahari/a denied member is refused alone", test_a_denied_member_is_refused_alone);
    g_test_add_func("/matahari/a slow script is timed out", test_a_slow_script_is_timed_out);
    g_test_add_func("/matahari/services", test_services_answer_as_the_original);
    g_test_add_func("/matahari/resources recur", test_resources_recur_as_the_original_and_never_twice);
    g_test_add_func("/matahari/resources errors and lists", test_resources_errors_and_lists);
    g_test_add_func("/matahari/cancel while it runs", test_a_cancel_while_it_runs);
    return g_test_run();
}
