/* What a console holds ends: requests by time, agents by silence. And what it believes: only who was asked. */
#include "tests/qmf/memory_bus.h"

#include <string.h>

typedef struct World {
    MemoryBus *bus;
    QmfConsole *console;
    GString *seen;
} World;

static void on_found(const char *agent, const Value *attributes, void *user)
{
    g_string_append_printf(user, "found %s;", agent);
}

static void on_gone(const char *agent, void *user)
{
    g_string_append_printf(user, "gone %s;", agent);
}

static void on_data(const char *agent, const Value *object, void *user)
{
    g_string_append_printf(user, "data %s %d;", agent, (int) value_get_int(value_get(object, "_values"), "depth", -1));
}

static void on_answer(const Value *answer, const GError *error, void *user)
{
    if (error != NULL)
        g_string_append_printf(user, "error %s;", error->message);
    else
        g_string_append_printf(user, "answer of %zu;", value_size(answer));
}

static World *world_new(void)
{
    World *w = g_new0(World, 1);
    QmfConsoleEvents events = { .agent_found = on_found, .agent_gone = on_gone, .data = on_data };

    w->bus = memory_bus_new();
    w->seen = g_string_new(NULL);
    events.user = w->seen;
    w->console = qmf_console_new(&w->bus->bus, "qmf.default.topic/direct-console.1", &events);
    memory_bus_add_console(w->bus, w->console);
    memory_bus_pass(w->bus, US_PER_S);
    return w;
}

static void world_free(World *w)
{
    qmf_console_free(w->console);
    memory_bus_free(w->bus);
    g_string_free(w->seen, TRUE);
    g_free(w);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void hear(World *w, QmfOpcode opcode, const char *agent, const char *content, const char *body)
{
    g_autoptr(QmfMessage) message = qmf_message_new(opcode);

    message->agent = g_strdup(agent);
    message->content = g_strdup(content);
    message->body = value_of(body);
    qmf_console_receive(w->console, message);
}

static void answer(World *w, QmfOpcode opcode, const char *agent, const char *id, bool partial, const char *body)
{
    g_autoptr(QmfMessage) message = qmf_message_new(opcode);

    message->agent = g_strdup(agent);
    message->correlation_id = g_strdup(id);
    message->partial = partial;
    message->body = value_of(body);
    qmf_console_receive(w->console, message);
}

static void ask(World *w, const char *agent)
{
    qmf_console_query_schema_ids(w->console, agent, 3 * US_PER_S, on_answer, w->seen);
    memory_bus_run(w->bus);
}

static void test_silent_agents_age_out(void)
{
    g_autoptr(World) w = world_new();

    hear(w, QMF_AGENT_HEARTBEAT_INDICATION, "a:b:1", NULL, "{'_values':{'_heartbeat_interval':5,'_epoch':1}}");
    hear(w, QMF_AGENT_LOCATE_RESPONSE, "a:b:2", NULL, "{'_values':{}}");
    memory_bus_pass(w->bus, 10 * US_PER_S);
    hear(w, QMF_AGENT_HEARTBEAT_INDICATION, "a:b:1", NULL, "{'_values':{'heartbeat_interval':5,'epoch':1}}"); /* as very old peers */
    memory_bus_pass(w->bus, 15 * US_PER_S);
    g_assert_cmpstr(w->seen->str, ==, "found a:b:1;found a:b:2;");
    memory_bus_pass(w->bus, 2 * US_PER_S);
    g_assert_cmpstr(w->seen->str, ==, "found a:b:1;found a:b:2;gone a:b:1;");
    memory_bus_pass(w->bus, 5 * US_PER_MINUTE);
    g_assert_cmpstr(w->seen->str, ==, "found a:b:1;found a:b:2;gone a:b:1;gone a:b:2;");
    g_autofree const char **names = NULL;
    g_assert_cmpuint(qmf_console_agents(w->console, &names), ==, 0);
}

static void test_name_may_stand_in_the_body_only(void)
{
    g_autoptr(World) w = world_new();

    hear(w, QMF_AGENT_HEARTBEAT_INDICATION, NULL, NULL, "{'_values':{'_name':'a:b:1'}}");
    hear(w, QMF_AGENT_HEARTBEAT_INDICATION, NULL, NULL, "{'_values':{}}");
    hear(w, QMF_AGENT_HEARTBEAT_INDICATION, "a:b:2", NULL, "{}");
    g_assert_cmpstr(w->seen->str, ==, "found a:b:1;");
}

static void test_requests_time_out(void)
{
    g_autoptr(World) w = world_new();

    ask(w, "a:b:1");
    memory_bus_pass(w->bus, 3 * US_PER_S);
    g_assert_cmpstr(w->seen->str, ==, "");
    memory_bus_pass(w->bus, US_PER_S);
    g_assert_cmpstr(w->seen->str, ==, "error a:b:1 did not answer within 3000 ms;");
    answer(w, QMF_QUERY_RESPONSE, "a:b:1", "1", false, "[]"); /* too late */
    g_assert_cmpstr(w->seen->str, ==, "error a:b:1 did not answer within 3000 ms;");
}

static void test_dribbling_agent_times_out_too(void)
{
    g_autoptr(World) w = world_new();

    ask(w, "a:b:1");
    for (int i = 0; i < 10; i++) {
        answer(w, QMF_QUERY_RESPONSE, "a:b:1", "1", true, "[]");
        memory_bus_pass(w->bus, US_PER_S);
    }
    g_assert_cmpstr(w->seen->str, ==, "error a:b:1 did not answer within 3000 ms;");
}

static void test_only_who_was_asked_is_believed(void)
{
    g_autoptr(World) w = world_new();

    ask(w, "a:b:1");
    answer(w, QMF_QUERY_RESPONSE, "a:b:666", "1", false, "[1]");
    answer(w, QMF_QUERY_RESPONSE, "a:b:1", "2", false, "[1]");
    answer(w, QMF_QUERY_RESPONSE, "a:b:1", NULL, false, "[1]");
    g_assert_cmpstr(w->seen->str, ==, "");
    answer(w, QMF_QUERY_RESPONSE, "a:b:1", "1", false, "[1,2,3]");
    answer(w, QMF_QUERY_RESPONSE, "a:b:1", "1", false, "[1,2,3]");
    g_assert_cmpstr(w->seen->str, ==, "answer of 3;");
}

static void test_exceptions_of_every_make(void)
{
    g_autoptr(World) w = world_new();

    ask(w, "a:b:1");
    answer(w, QMF_EXCEPTION, "a:b:1", "1", false, "{'_values':{'error_text':'no','error_code':7}}");
    ask(w, "a:b:1");
    answer(w, QMF_EXCEPTION, NULL, "2", false, "{'_values':{'type':'KeyError','value':'x','traceback':''}}"); /* a plug-in's */
    ask(w, "a:b:1");
    answer(w, QMF_EXCEPTION, "a:b:1", "3", false, "{}");
    g_assert_cmpstr(w->seen->str, ==, "error no;error {\"traceback\":\"\",\"type\":\"KeyError\",\"value\":\"x\"};error {};");
}

static void test_endless_answer_is_cut(void)
{
    g_autoptr(World) w = world_new();
    g_autoptr(GString) many = g_string_new("[0");

    for (int i = 1; i < 50000; i++)
        g_string_append(many, ",0");
    g_string_append_c(many, ']');
    ask(w, "a:b:1");
    for (int i = 0; i < 5; i++)
        answer(w, QMF_QUERY_RESPONSE, "a:b:1", "1", true, many->str);
    g_assert_cmpstr(w->seen->str, ==, "error a:b:1 answered with more than 200000 items;");
}

static void test_object_updates_of_a_broker(void)
{
    g_autoptr(World) w = world_new();

    hear(w, QMF_DATA_INDICATION, "apache.org:qpidd:1", "_data", "[{'_values':{'depth':3}},{'_values':{'depth':4}},'odd']");
    hear(w, QMF_DATA_INDICATION, NULL, "_data", "[{'_values':{'depth':5}}]");
    g_assert_cmpstr(w->seen->str, ==, "data apache.org:qpidd:1 3;data apache.org:qpidd:1 4;");
}

static void on_answer_ask_again(const Value *value, const GError *error, void *user)
{
    World *w = user;

    g_string_append(w->seen, error == NULL ? "answer;" : "closed;");
    if (error != NULL)
        qmf_console_query_schema_ids(w->console, "a:b:1", US_PER_S, on_answer_ask_again, w);
}

static void test_closing_completes_what_is_open_once(void)
{
    World *w = world_new();

    qmf_console_query_schema_ids(w->console, "a:b:1", US_PER_S, on_answer_ask_again, w);
    qmf_console_free(w->console);
    w->console = NULL;
    g_assert_cmpstr(w->seen->str, ==, "closed;");
    world_free(w);
}

/* A bus that delivers inside the call. */
static void send_at_once(void *user, const char *node, const QmfMessage *message)
{
    World *w = user;

    answer(w, QMF_QUERY_RESPONSE, "a:b:1", message->correlation_id, false, "[]");
    g_string_append(w->seen, "sent;");
}

static int64_t no_time(void *user)
{
    return 0;
}

static void test_completion_never_runs_inside_the_call(void)
{
    World w = { .seen = g_string_new(NULL) };
    QmfBus bus = { send_at_once, no_time, &w };

    w.console = qmf_console_new(&bus, "queue", NULL);
    g_assert_null(qmf_console_bindings(w.console)[0].node); /* a queue has no key, and nothing else was asked for */
    qmf_console_query_schema_ids(w.console, "a:b:1", US_PER_S, on_answer, w.seen);
    g_assert_cmpstr(w.seen->str, ==, "sent;");
    qmf_console_tick(w.console, US_PER_S);
    g_assert_cmpstr(w.seen->str, ==, "sent;answer of 0;");
    qmf_console_free(w.console);
    g_string_free(w.seen, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/console/silent agents age out", test_silent_agents_age_out);
    g_test_add_func("/console/name may stand in the body only", test_name_may_stand_in_the_body_only);
    g_test_add_func("/console/requests time out", test_requests_time_out);
    g_test_add_func("/console/dribbling agent times out too", test_dribbling_agent_times_out_too);
    g_test_add_func("/console/only who was asked is believed", test_only_who_was_asked_is_believed);
    g_test_add_func("/console/exceptions of every make", test_exceptions_of_every_make);
    g_test_add_func("/console/endless answer is cut", test_endless_answer_is_cut);
    g_test_add_func("/console/object updates of a broker", test_object_updates_of_a_broker);
    g_test_add_func("/console/closing completes what is open once", test_closing_completes_what_is_open_once);
    g_test_add_func("/console/completion never runs inside the call", test_completion_never_runs_inside_the_call);
    return g_test_run();
}
