/* The roles against peers that behave on the wire as the agents of 2012 and a libqmf2 console were measured to (tests/matahari). */
#include "tests/qmf/live.h"

#include <string.h>

static GSubprocess *stand_in(const char *program, const char *first, ...) G_GNUC_NULL_TERMINATED;
static GSubprocess *stand_in(const char *program, const char *first, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autofree char *path = g_strdup_printf("%s/tests/matahari/%s", g_getenv("MEND_SOURCE_DIR"), program);
    g_autoptr(GError) error = NULL;
    GSubprocess *process;
    va_list more;

    g_ptr_array_add(argv, (char *) "/usr/bin/python3");
    g_ptr_array_add(argv, path);
    va_start(more, first);
    for (const char *word = first; word != NULL; word = va_arg(more, const char *))
        g_ptr_array_add(argv, (char *) word);
    va_end(more);
    g_ptr_array_add(argv, (char *) "--port");
    g_ptr_array_add(argv, strchr(broker.listen, ':') + 1);
    g_ptr_array_add(argv, NULL);
    process = g_subprocess_newv((const char *const *) argv->pdata, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
    g_assert_no_error(error);
    return process;
}

static void stop(GSubprocess *process)
{
    g_subprocess_force_exit(process);
    g_subprocess_wait(process, NULL, NULL);
    g_object_unref(process);
}

/* The one agent the console has found, of that product. */
static char *agent_of(End *console, const char *product)
{
    g_autofree const char **names = NULL;
    size_t n;

    g_assert_true(wait_for(&console->found, console->found + 1));
    n = qmf_console_agents(console->console, &names);
    for (size_t i = 0; i < n; i++)
        if (strstr(names[i], product) != NULL)
            return g_strdup(names[i]);
    g_error("no agent of product %s", product);
}

/* Same words in the same order; whether we say of an argument what they say. */
static void check_same_class(const QmfClass *theirs, const QmfClass *ours)
{
    g_assert_cmpuint(theirs->n_properties, ==, ours->n_properties);
    for (size_t i = 0; i < ours->n_properties; i++) {
        const QmfProperty *property = qmf_class_property(theirs, ours->properties[i].name);

        g_assert_nonnull(property);
        g_assert_cmpint(property->type, ==, ours->properties[i].type);
    }
    g_assert_cmpuint(theirs->n_methods, ==, ours->n_methods);
    for (size_t i = 0; i < ours->n_methods; i++) {
        const QmfMethod *mine = &ours->methods[i], *method = qmf_class_method(theirs, mine->name);

        g_assert_nonnull(method);
        g_assert_cmpuint(method->n_arguments, ==, mine->n_arguments);
        for (size_t j = 0; j < mine->n_arguments; j++) {
            g_assert_cmpstr(method->arguments[j].name, ==, mine->arguments[j].name);
            g_assert_cmpint(method->arguments[j].type, ==, mine->arguments[j].type);
            g_assert_cmpint(method->arguments[j].direction, ==, mine->arguments[j].direction);
        }
    }
}

static void check_schemas(End *console, const char *agent)
{
    g_autoptr(Value) ids = NULL;
    unsigned compared = 0;

    qmf_console_query_schema_ids(console->console, agent, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, console->answers + 1));
    g_assert_nonnull(console->answer);
    ids = value_ref(console->answer);
    for (size_t i = 0; i < value_size(ids); i++) {
        const Value *id = value_at(ids, i);
        const QmfClass *ours = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", value_get_string(id, "_class_name"));
        g_autoptr(GError) error = NULL;
        QmfClass *theirs;

        qmf_console_query_schema(console->console, agent, id, PATIENCE_US / 2, on_answer, console);
        g_assert_true(wait_for(&console->answers, console->answers + 1));
        theirs = qmf_class_from_map(value_at(console->answer, 0), &error);
        g_assert_no_error(error);
        g_assert_nonnull(ours);
        check_same_class(theirs, ours);
        qmf_class_free(theirs);
        compared++;
    }
    g_assert_cmpuint(compared, >=, 2);
}

static void test_host_agent_of_2012(void)
{
    g_autoptr(End) console = console_new();
    GSubprocess *process = stand_in("agent.py", "host", "--hostname", "old", "--uuid", "11111111222233334444555555555555", NULL);
    g_autofree char *agent = agent_of(console, ":host:");
    const Value *values;

    g_assert_cmpstr(value_get_string(qmf_console_agent_attributes(console->console, agent), "hostname"), ==, "old");
    check_schemas(console, agent);
    qmf_console_query_objects(console->console, agent, "org.matahariproject", "Host", NULL, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, console->answers + 1));
    values = value_get(value_at(console->answer, 0), "_values");
    g_assert_cmpint(value_get_int(values, "wordsize", 0), ==, 64);
    g_assert_cmpstr(value_get_string(values, "hostname"), ==, "old"); /* binary on the wire */
    call(console, agent, "Host", "get_uuid", "lifetime", value_string("Filesystem"));
    g_assert_cmpstr(value_get_string(console->answer, "uuid"), ==, "11111111222233334444555555555555");
    call(console, agent, "Host", "get_uuid", "lifetme", value_string("Filesystem"));
    g_assert_cmpstr(console->error, ==, "Invalid argument: lifetme");
    call(console, agent, "Nothing", "get_uuid", NULL, NULL);
    g_assert_cmpstr(console->error, ==, "No data object found with the specified address");
    g_assert_true(wait_for(&console->events, 1));
    g_assert_cmpstr(console->event_class, ==, "heartbeat");
    stop(process);
}

static void test_service_agent_of_2012(void)
{
    g_autoptr(End) console = console_new();
    GSubprocess *process = stand_in("agent.py", "service", "--state", broker.folder, NULL);
    g_autofree char *agent = agent_of(console, ":service:"), *script = g_build_filename(broker.folder, "demo.init", NULL);

    g_assert_true(g_file_set_contents(script, "", 0, NULL));
    check_schemas(console, agent);
    call(console, agent, "Services", "status", "name", value_string("demo"));
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 3);
    call(console, agent, "Services", "start", "name", value_string("demo"));
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 0);
    call(console, agent, "Services", "status", "name", value_string("demo"));
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 0);
    stop(process);
}

/* --- the other way round --- */

static void on_method(QmfCall *call_, void *user)
{
    Value *outputs = value_map();

    value_set(outputs, "uuid", value_string("1234"));
    qmf_call_return(call_, outputs);
}

static gboolean on_beat(gpointer agent)
{
    qmf_agent_raise_event(agent, qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", "heartbeat"), -1, value_map());
    return G_SOURCE_CONTINUE;
}

static void on_said(GObject *source, GAsyncResult *result, gpointer user)
{
    char **ret_text = user;
    g_autoptr(GError) error = NULL;

    g_assert_true(g_subprocess_communicate_utf8_finish(G_SUBPROCESS(source), result, ret_text, NULL, &error));
    g_assert_no_error(error);
}

static void test_libqmf2_console_finds_reads_and_calls_our_agent(void)
{
    static const QmfAgentOptions options = { "matahariproject.org", "host", "ours", 1, 1 };
    const QmfClass *host = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", "Host");
    g_autoptr(End) end = end_new();
    g_autofree char *said = NULL;
    Value *values = value_map();
    GSubprocess *console;
    unsigned timer;

    end->agent = qmf_session_agent(end->session, &options);
    value_set(values, "hostname", value_string("node1"));
    qmf_agent_on_method(end->agent, host, on_method, end);
    qmf_agent_add_object(end->agent, host, "Host", values);
    qmf_session_agent_start(end->session);
    wait_ready(end);
    console = stand_in("console.py", "--for", "1.5", "--call", "Host.get_uuid", "{\"lifetime\": \"Filesystem\"}", NULL);
    g_subprocess_communicate_utf8_async(console, NULL, NULL, on_said, &said);
    timer = g_timeout_add(100, on_beat, end->agent);
    while (said == NULL)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
    g_test_message("%s", said);
    g_assert_nonnull(strstr(said, "matahariproject.org:host:ours"));
    g_assert_nonnull(strstr(said, "node1"));
    g_assert_nonnull(strstr(said, "\"event\": \"returned\""));
    g_assert_nonnull(strstr(said, "1234"));
    g_assert_nonnull(strstr(said, "\"event\": \"data\""));
    g_assert_null(strstr(said, "unreadable"));
    stop(console);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    broker_start();
    g_test_add_func("/interop/host agent of 2012", test_host_agent_of_2012);
    g_test_add_func("/interop/service agent of 2012", test_service_agent_of_2012);
    g_test_add_func("/interop/libqmf2 console finds, reads and calls our agent", test_libqmf2_console_finds_reads_and_calls_our_agent);
    rc = g_test_run();
    broker_done();
    return rc;
}
