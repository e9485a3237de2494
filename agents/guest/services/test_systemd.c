/* The systemd backend against a stand-in for org.freedesktop.systemd1 on a bus of its own: one unit, web.service, with jobs and
 * signals in the order systemd sends them. (Against real systemd: tests/system.) */
#include "agents/guest/services/test_world.h"

#include <string.h>

#define UNIT_PATH "/org/freedesktop/systemd1/unit/web_2eservice"

typedef struct Mock {
    GTestDBus *bus;
    GDBusConnection *connection;
    const char *active, *sub, *result, *restart;
    int code, status;
    guint32 pid, last_pid, job, next_job;
    bool hang_jobs, not_found, fail_start;
    GString *calls;
    guint objects[2], owner;
} Mock;

static const char introspection[] =
    "<node>"
    "<interface name='org.freedesktop.systemd1.Manager'>"
    "<method name='Subscribe'/>"
    "<method name='LoadUnit'><arg type='s' direction='in'/><arg type='o' direction='out'/></method>"
    "<method name='ResetFailedUnit'><arg type='s' direction='in'/></method>"
    "<method name='StartUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='o' direction='out'/></method>"
    "<method name='StopUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='o' direction='out'/></method>"
    "<method name='RestartUnit'><arg type='s' direction='in'/><arg type='s' direction='in'/><arg type='o' direction='out'/></method>"
    "<method name='ListUnitFiles'><arg type='a(ss)' direction='out'/></method>"
    "</interface>"
    "<interface name='org.freedesktop.DBus.Properties'>"
    "<method name='GetAll'><arg type='s' direction='in'/><arg type='a{sv}' direction='out'/></method>"
    "</interface>"
    "</node>";

static GVariant *job_value(const Mock *m)
{
    g_autofree char *path = m->job != 0 ? g_strdup_printf("/org/freedesktop/systemd1/job/%u", m->job) : g_strdup("/");

    return g_variant_new("(uo)", m->job, path);
}

static GVariant *properties(const Mock *m, bool of_service)
{
    GVariantBuilder b;

    g_variant_builder_init(&b, G_VARIANT_TYPE("a{sv}"));
    if (of_service) {
        g_variant_builder_add(&b, "{sv}", "Result", g_variant_new_string(m->result));
        g_variant_builder_add(&b, "{sv}", "Restart", g_variant_new_string(m->restart));
        g_variant_builder_add(&b, "{sv}", "ExecMainCode", g_variant_new_int32(m->code));
        g_variant_builder_add(&b, "{sv}", "ExecMainStatus", g_variant_new_int32(m->status));
        g_variant_builder_add(&b, "{sv}", "MainPID", g_variant_new_uint32(m->pid));
        g_variant_builder_add(&b, "{sv}", "ExecMainPID", g_variant_new_uint32(m->last_pid));
    } else {
        g_variant_builder_add(&b, "{sv}", "LoadState", g_variant_new_string(m->not_found ? "not-found" : "loaded"));
        g_variant_builder_add(&b, "{sv}", "ActiveState", g_variant_new_string(m->active));
        g_variant_builder_add(&b, "{sv}", "SubState", g_variant_new_string(m->sub));
        g_variant_builder_add(&b, "{sv}", "Job", job_value(m));
    }
    return g_variant_builder_end(&b);
}

static void emit(const Mock *m, const char *path, const char *interface, const char *signal, GVariant *parameters)
{
    g_assert_true(g_dbus_connection_emit_signal(m->connection, NULL, path, interface, signal, parameters, NULL));
}

/* As systemd: the Service interface first, then Unit. */
static void show(Mock *m, const char *active, const char *sub)
{
    static const char *const interfaces[] = {"org.freedesktop.systemd1.Service", "org.freedesktop.systemd1.Unit"};

    m->active = active;
    m->sub = sub;
    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++)
        emit(m, UNIT_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged",
             g_variant_new("(s@a{sv}@as)", interfaces[i], properties(m, i == 0), g_variant_new_strv(NULL, 0)));
}

static void end_main(Mock *m, const char *result, int code, int status)
{
    m->result = result;
    m->code = code;
    m->status = status;
    m->pid = 0;
}

static void begin_main(Mock *m, guint32 pid)
{
    m->result = "success";
    m->code = m->status = 0;
    m->pid = m->last_pid = pid;
}

static void job_begin(Mock *m)
{
    g_autofree char *path = g_strdup_printf("/org/freedesktop/systemd1/job/%u", m->job = ++m->next_job);

    emit(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobNew", g_variant_new("(uos)", m->job, path, "web.service"));
}

static void job_end(Mock *m, guint32 job, const char *result)
{
    g_autofree char *path = g_strdup_printf("/org/freedesktop/systemd1/job/%u", job);

    emit(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobRemoved",
         g_variant_new("(uoss)", job, path, "web.service", result));
}

static void do_stop(Mock *m)
{
    guint32 job;

    job_begin(m);
    job = m->job;
    show(m, "deactivating", "stop-sigterm");
    m->job = 0;
    end_main(m, m->result, 1, 0);
    show(m, "inactive", "dead");
    job_end(m, job, "done");
}

static void do_start(Mock *m, bool stop_first)
{
    guint32 job;

    job_begin(m);
    job = m->job;
    if (stop_first && strcmp(m->active, "active") == 0)
        show(m, "deactivating", "stop-sigterm");
    begin_main(m, m->last_pid + 1);
    show(m, "activating", "start");
    m->job = 0;
    if (m->fail_start) {
        end_main(m, "exit-code", 1, 1);
        show(m, "failed", "failed");
        job_end(m, job, "failed");
        return;
    }
    show(m, "active", "running");
    job_end(m, job, "done");
}

static void on_method(GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *method,
                      GVariant *parameters, GDBusMethodInvocation *invocation, void *user)
{
    Mock *m = user;
    const char *text = NULL;
    g_autofree char *job = g_strdup_printf("/org/freedesktop/systemd1/job/%u", m->next_job + 1);

    if (g_variant_n_children(parameters) > 0)
        g_variant_get_child(parameters, 0, "&s", &text);
    if (strcmp(method, "GetAll") == 0) {
        g_dbus_method_invocation_return_value(
            invocation, g_variant_new("(@a{sv})", properties(m, strcmp(text, "org.freedesktop.systemd1.Service") == 0)));
        return;
    }
    g_string_append_printf(m->calls, "%s ", method);
    if (strcmp(method, "LoadUnit") == 0)
        g_dbus_method_invocation_return_value(invocation, g_variant_new("(o)", UNIT_PATH));
    else if (strcmp(method, "ListUnitFiles") == 0)
        g_dbus_method_invocation_return_value(
            invocation, g_variant_new_parsed("([('/lib/systemd/system/web.service', 'enabled'), ('/x/getty@.service', 'enabled')],)"));
    else if (strcmp(method, "Subscribe") == 0 || strcmp(method, "ResetFailedUnit") == 0)
        g_dbus_method_invocation_return_value(invocation, NULL);
    else if (m->not_found)
        g_dbus_method_invocation_return_dbus_error(invocation, "org.freedesktop.systemd1.NoSuchUnit", "Unit web.service not found.");
    else {
        g_dbus_method_invocation_return_value(invocation, g_variant_new("(o)", job));
        if (m->hang_jobs)
            job_begin(m);
        else if (strcmp(method, "StopUnit") == 0)
            do_stop(m);
        else
            do_start(m, strcmp(method, "RestartUnit") == 0);
    }
}

static void mock_attach(Mock *m)
{
    static const GDBusInterfaceVTable vtable = {.method_call = on_method};
    static const char *const paths[] = {"/org/freedesktop/systemd1", UNIT_PATH};
    g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(introspection, NULL);
    g_autoptr(GVariant) reply = NULL;

    m->connection = g_dbus_connection_new_for_address_sync(
        g_test_dbus_get_bus_address(m->bus),
        G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, NULL);
    g_assert_nonnull(m->connection);
    g_dbus_connection_set_exit_on_close(m->connection, FALSE);
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        m->objects[i] = g_dbus_connection_register_object(m->connection, paths[i], node->interfaces[i], &vtable, m, NULL, NULL);
        g_assert_cmpuint(m->objects[i], !=, 0);
    }
    reply = g_dbus_connection_call_sync(m->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                        "RequestName", g_variant_new("(su)", "org.freedesktop.systemd1", 0), NULL, 0, -1, NULL, NULL);
    g_assert_nonnull(reply);
}

static Mock *mock_new(void)
{
    Mock *m = g_new0(Mock, 1);

    m->bus = g_test_dbus_new(G_TEST_DBUS_NONE);
    g_test_dbus_up(m->bus);
    m->calls = g_string_new(NULL);
    m->restart = "no";
    m->active = "active";
    m->sub = "running";
    begin_main(m, 100);
    mock_attach(m);
    return m;
}

static void mock_detach(Mock *m)
{
    for (size_t i = 0; i < G_N_ELEMENTS(m->objects); i++)
        g_dbus_connection_unregister_object(m->connection, m->objects[i]);
    g_dbus_connection_close_sync(m->connection, NULL, NULL);
    g_clear_object(&m->connection);
}

static void mock_free(Mock *m)
{
    mock_detach(m);
    g_test_dbus_down(m->bus);
    g_object_unref(m->bus);
    g_string_free(m->calls, TRUE);
    g_free(m);
}

#define WEB "{\"name\": \"web\", \"standard\": \"systemd\"}"

static World *web(Mock *m)
{
    World *w = world_new(g_test_dbus_get_bus_address(m->bus));

    world_watch(w, WEB);
    WAIT_FOR(w->story->len > 0);
    return w;
}

static void test_a_killed_main_process_is_a_failure_and_a_command_heals_it(void)
{
    Mock *m = mock_new();
    World *w = web(m);

    g_assert_true(world_is(w, SERVICE_RUNNING, INTENT_UNKNOWN));
    g_assert_cmpint(service_report(w->service)->pid, ==, 100);
    end_main(m, "signal", 2, 9);
    show(m, "failed", "failed");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_cmpstr(service_report(w->service)->reason, ==, "main process 100 killed by signal 9 (KILL)");
    g_assert_cmpint(service_report(w->service)->signal, ==, 9);
    g_assert_cmpint(world_act(w, "restart", 5 * US_PER_S), ==, 0);
    g_assert_cmpstr(w->story->str, ==, "running/unknown failed/none starting/command running/command ");
    g_assert_cmpint(service_report(w->service)->pid, ==, 101);
    g_assert_nonnull(strstr(m->calls->str, "ResetFailedUnit RestartUnit "));
    world_free(w);
    mock_free(m);
}

static void test_a_death_is_told_while_the_rest_still_ends_unless_systemd_restarts_it(void)
{
    Mock *m = mock_new();
    World *w = web(m);

    end_main(m, "signal", 2, 9);
    show(m, "deactivating", "stop-sigterm");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    show(m, "failed", "failed");
    begin_main(m, 101);
    show(m, "active", "running");
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    g_string_truncate(w->story, 0);
    m->restart = "on-failure";
    end_main(m, "signal", 2, 9);
    show(m, "deactivating", "stop-sigterm");
    show(m, "activating", "auto-restart");
    WAIT_FOR(world_is(w, SERVICE_STARTING, INTENT_UNKNOWN));
    g_assert_nonnull(strstr(service_report(w->service)->reason, "killed by signal 9 (KILL); systemd restarts it"));
    begin_main(m, 102);
    show(m, "active", "running");
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    g_assert_null(strstr(w->story->str, "failed"));
    end_main(m, "start-limit-hit", 2, 9);
    show(m, "failed", "failed");
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    g_assert_nonnull(strstr(service_report(w->service)->reason, "start-limit-hit"));
    world_free(w);
    mock_free(m);
}

static void test_what_an_admin_stops_is_no_failure_however_badly_it_ends(void)
{
    Mock *m = mock_new();
    World *w = web(m);
    guint32 job;

    do_stop(m); /* systemctl stop */
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_ADMIN));
    g_assert_nonnull(strstr(w->story->str, "stopping/admin stopped/admin"));
    do_start(m, false); /* systemctl start */
    WAIT_FOR(world_is(w, SERVICE_RUNNING, INTENT_ADMIN));
    job_begin(m); /* systemctl stop, and the program ends with 143 */
    job = m->job;
    show(m, "deactivating", "stop-sigterm");
    m->job = 0;
    end_main(m, "exit-code", 1, 143);
    show(m, "failed", "failed");
    job_end(m, job, "done");
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_ADMIN));
    g_assert_cmpint(service_report(w->service)->exit_status, ==, 143);
    world_free(w);
    mock_free(m);
}

static void test_an_end_by_itself_and_a_command_have_their_own_names(void)
{
    Mock *m = mock_new();
    World *w = web(m);

    end_main(m, "success", 1, 0);
    show(m, "inactive", "dead");
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_UNKNOWN));
    do_start(m, false);
    WAIT_FOR(service_report(w->service)->state == SERVICE_RUNNING);
    g_assert_cmpint(world_act(w, "stop", 5 * US_PER_S), ==, 0);
    g_assert_true(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    world_restart_agent(w);
    world_watch(w, WEB);
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_COMMAND));
    world_free(w);
    mock_free(m);
}

static void test_a_shutdown_is_no_failure(void)
{
    Mock *m = mock_new();
    World *w = web(m);

    emit(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobNew",
         g_variant_new("(uos)", 900, "/org/freedesktop/systemd1/job/900", "shutdown.target"));
    do_stop(m);
    WAIT_FOR(world_is(w, SERVICE_STOPPED, INTENT_SHUTDOWN));
    world_free(w);
    mock_free(m);
}

static void test_jobs_fail_hang_and_miss_their_unit(void)
{
    Mock *m = mock_new();
    World *w = web(m);

    m->fail_start = true;
    g_assert_cmpint(world_act(w, "restart", 5 * US_PER_S), ==, OCF_GENERIC);
    g_assert_nonnull(strstr(w->text, "exited with status 1"));
    g_assert_true(world_is(w, SERVICE_FAILED, INTENT_NONE));
    m->fail_start = false;
    m->hang_jobs = true;
    g_assert_cmpint(world_act(w, "start", 100 * US_PER_MS), ==, OCF_TIMEOUT);
    m->hang_jobs = false;
    m->job = 0;
    world_restart_agent(w);
    m->not_found = true;
    m->active = "inactive";
    world_watch(w, WEB);
    WAIT_FOR(world_is(w, SERVICE_UNKNOWN, INTENT_UNKNOWN) && service_report(w->service)->rc == OCF_INSTALLED);
    g_assert_cmpstr(service_report(w->service)->reason, ==, "there is no unit web.service");
    g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), ==, OCF_INSTALLED);
    world_free(w);
    mock_free(m);
}

static void test_a_new_systemd_is_asked_again(void)
{
    Mock *m = mock_new();
    World *w = web(m);

    mock_detach(m);
    end_main(m, "signal", 2, 9);
    m->active = "failed";
    m->sub = "failed";
    mock_attach(m);
    WAIT_FOR(world_is(w, SERVICE_FAILED, INTENT_NONE));
    world_free(w);
    mock_free(m);
}

static void test_without_a_bus_the_state_is_unknown_and_says_why(void)
{
    World *w = world_new("unix:path=/nonexistent/bus");

    world_watch(w, WEB);
    WAIT_FOR(world_is(w, SERVICE_UNKNOWN, INTENT_UNKNOWN) && strstr(service_report(w->service)->reason, "systemd: ") != NULL);
    g_assert_cmpint(world_act(w, "start", 5 * US_PER_S), !=, OCF_OK);
    world_free(w);
}

static void on_names(char *const *names, void *user)
{
    *(char **) user = g_strjoinv(" ", (char **) names);
}

static void test_services_are_listed_without_templates(void)
{
    Mock *m = mock_new();
    World *w = world_new(g_test_dbus_get_bus_address(m->bus));
    g_autofree char *names = NULL;

    systemd_list_services(w->host.systemd, on_names, &names);
    WAIT_FOR(names != NULL);
    g_assert_cmpstr(names, ==, "web");
    world_free(w);
    mock_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/systemd/a kill is a failure, a command heals it", test_a_killed_main_process_is_a_failure_and_a_command_heals_it);
    g_test_add_func("/systemd/a death is told at once, Restart= is respected",
                    test_a_death_is_told_while_the_rest_still_ends_unless_systemd_restarts_it);
    g_test_add_func("/systemd/what an admin stops is no failure", test_what_an_admin_stops_is_no_failure_however_badly_it_ends);
    g_test_add_func("/systemd/an end by itself, a stop by command", test_an_end_by_itself_and_a_command_have_their_own_names);
    g_test_add_func("/systemd/a shutdown is no failure", test_a_shutdown_is_no_failure);
    g_test_add_func("/systemd/jobs fail, hang and miss their unit", test_jobs_fail_hang_and_miss_their_unit);
    g_test_add_func("/systemd/a new systemd is asked again", test_a_new_systemd_is_asked_again);
    g_test_add_func("/systemd/without a bus", test_without_a_bus_the_state_is_unknown_and_says_why);
    g_test_add_func("/systemd/services are listed", test_services_are_listed_without_templates);
    return g_test_run();
}
