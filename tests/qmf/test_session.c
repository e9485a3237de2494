/* Our agent and our console, each on its own connection, across the broker; the broker stops and starts between; commands come by queue. */
#include "lib/qmf/session.h"

#include "lib/base/clock.h"

#include <string.h>

#define PATIENCE_US (15 * US_PER_S)
#define AGENT "matahariproject.org:test:1"
#define QUEUE "mend.control." AGENT

static struct {
    GSubprocess *process;
    char *folder, *url, *listen;
} broker;

static void broker_start(void)
{
    g_autofree char *program = g_build_filename(g_getenv("MEND_BUILD_DIR"), "bin/mend", NULL);
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDataInputStream) output = NULL;
    g_autofree char *line = NULL;

    broker.process = g_subprocess_launcher_spawn(launcher, &error, program, "broker", "--lab", "--listen",
                                                 broker.listen == NULL ? "127.0.0.1:0" : broker.listen, "--data", broker.folder, NULL);
    g_assert_no_error(error);
    output = g_data_input_stream_new(g_subprocess_get_stdout_pipe(broker.process));
    line = g_data_input_stream_read_line(output, NULL, NULL, NULL);
    if (line == NULL || !g_str_has_prefix(line, "mend broker: listening on "))
        g_error("the broker said: %s", line);
    g_free(broker.listen);
    broker.listen = g_strdup(strrchr(line, ' ') + 1);
    g_free(broker.url);
    broker.url = g_strconcat("amqp://", broker.listen, NULL);
}

static void broker_stop(void)
{
    g_subprocess_force_exit(broker.process);
    g_subprocess_wait(broker.process, NULL, NULL);
    g_clear_object(&broker.process);
}

/* --- two ends --- */

typedef struct End {
    AmqpClient *client;
    QmfSession *session;
    QmfAgent *agent;
    QmfConsole *console;
    QmfCall *held;
    bool hold, ready;
    unsigned calls;
    /* what the console saw */
    unsigned found, heartbeats, events;
    Value *answer;
    char *error;
    unsigned answers;
} End;

static void on_ready(void *user)
{
    ((End *) user)->ready = true;
}

static bool wait_for(const unsigned *counter, unsigned wanted)
{
    int64_t end = clock_now_us() + PATIENCE_US;

    while (*counter < wanted && clock_now_us() < end)
        if (!g_main_context_iteration(NULL, FALSE))
            g_usleep(500);
    return *counter >= wanted;
}

static void wait_ready(End *end)
{
    int64_t deadline_us = clock_now_us() + PATIENCE_US;

    qmf_session_when_ready(end->session, on_ready, end);
    while (!end->ready && clock_now_us() < deadline_us)
        g_main_context_iteration(NULL, TRUE);
    g_assert_true(end->ready);
}

static void on_problem(const char *what, const GError *error, void *user)
{
    g_test_message("%s: %s", what, error->message);
}

static End *end_new(void)
{
    AmqpClientOptions options = { .url = broker.url, .reconnect = true, .backoff_first_us = 50 * US_PER_MS,
                                  .backoff_max_us = 200 * US_PER_MS };
    End *end = g_new0(End, 1);

    end->client = amqp_client_new(&options);
    end->session = qmf_session_new(end->client);
    qmf_session_on_problem(end->session, on_problem, end);
    return end;
}

static void end_free(End *end)
{
    qmf_session_free(end->session);
    amqp_client_free(end->client);
    value_unref(end->answer);
    g_free(end->error);
    g_free(end);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(End, end_free)

static void on_method(QmfCall *call, void *user)
{
    End *end = user;
    Value *outputs;

    end->calls++;
    if (end->hold) {
        end->held = call;
        return;
    }
    outputs = value_map();
    value_set(outputs, "rc", value_uint(VALUE_UINT32, 3));
    qmf_call_return(call, outputs);
}

static void before_heartbeat(QmfAgent *agent, void *user)
{
    qmf_agent_set_attribute(agent, "beat", value_uint(VALUE_UINT32, ++((End *) user)->heartbeats));
}

static End *agent_new(const char *queue)
{
    static const QmfAgentOptions options = { "matahariproject.org", "test", "1", 1, 1 };
    const QmfClass *services = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", "Services");
    End *end = end_new();
    Value *values = value_map();

    end->agent = qmf_session_agent(end->session, &options);
    value_set(values, "hostname", value_string("node1"));
    qmf_agent_on_method(end->agent, services, on_method, end);
    qmf_agent_add_object(end->agent, services, "Services", values);
    qmf_session_on_heartbeat(end->session, before_heartbeat, end);
    if (queue != NULL)
        qmf_session_agent_add_queue(end->session, queue);
    qmf_session_agent_start(end->session);
    wait_ready(end);
    return end;
}

static void on_found(const char *agent, const Value *attributes, void *user)
{
    ((End *) user)->found++;
}

static void on_heartbeat(const char *agent, const Value *attributes, void *user)
{
    g_assert_nonnull(value_get(attributes, "beat"));
    ((End *) user)->heartbeats++;
}

static void on_event(const char *agent, const Value *event, void *user)
{
    ((End *) user)->events++;
}

static End *console_new(void)
{
    End *end = end_new();
    QmfConsoleEvents events = { .agent_found = on_found, .heartbeat = on_heartbeat, .event = on_event, .user = end };

    end->console = qmf_session_console(end->session, &events);
    wait_ready(end);
    return end;
}

static void on_answer(const Value *answer, const GError *error, void *user)
{
    End *end = user;

    g_clear_pointer(&end->answer, value_unref);
    g_clear_pointer(&end->error, g_free);
    end->answer = answer == NULL ? NULL : value_ref((Value *) answer);
    end->error = error == NULL ? NULL : g_strdup(error->message);
    end->answers++;
}

static void call(End *console, const char *object, const char *method, const char *argument, Value *value)
{
    g_autoptr(Value) id = qmf_object_id(AGENT, object, 1), arguments = value_map();

    if (argument != NULL)
        value_set(arguments, argument, value);
    qmf_console_call(console->console, AGENT, id, method, arguments, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, console->answers + 1));
}

/* --- tests --- */

static void test_discovery_queries_calls_and_events(void)
{
    g_autoptr(End) console = console_new(), agent = agent_new(NULL);
    const QmfClass *heartbeat = qmf_schema_find(qmf_schema_builtin(), NULL, "heartbeat");
    g_autoptr(Value) id = NULL;

    qmf_console_locate(console->console, NULL);
    g_assert_true(wait_for(&console->found, 1));
    qmf_console_query_schema_ids(console->console, AGENT, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, 1));
    g_assert_cmpuint(value_size(console->answer), ==, 1);
    id = value_ref((Value *) value_at(console->answer, 0));
    qmf_console_query_schema(console->console, AGENT, id, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, 2));
    g_assert_cmpuint(value_size(value_get(value_at(console->answer, 0), "_methods")), ==, 7);
    qmf_console_query_objects(console->console, AGENT, "org.matahariproject", "Services", NULL, PATIENCE_US / 2, on_answer, console);
    g_assert_true(wait_for(&console->answers, 3));
    g_assert_cmpstr(value_get_string(value_get(value_at(console->answer, 0), "_values"), "hostname"), ==, "node1");
    call(console, "Services", "status", "name", value_string("web"));
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 3);
    qmf_agent_raise_event(agent->agent, heartbeat, -1, value_map());
    g_assert_true(wait_for(&console->events, 1));
    g_assert_true(wait_for(&console->heartbeats, 2)); /* by themselves, each second */
}

static void test_refusals_have_texts(void)
{
    g_autoptr(End) console = console_new(), agent = agent_new(NULL);

    call(console, "Services", "explode", NULL, NULL);
    g_assert_cmpstr(console->error, ==, "Unknown method: explode");
    call(console, "Services", "status", "timeout", value_string("soon"));
    g_assert_cmpstr(console->error, ==, "Invalid argument: timeout: string, want TYPE_INT");
    call(console, "Kitchen", "status", NULL, NULL);
    g_assert_cmpstr(console->error, ==, "No data object found with the specified address");
}

static void test_broker_that_comes_back_finds_both_again(void)
{
    g_autoptr(End) console = console_new(), agent = agent_new(NULL);
    unsigned heard;

    g_assert_true(wait_for(&console->heartbeats, 1));
    broker_stop();
    broker_start();
    heard = console->heartbeats;
    g_assert_true(wait_for(&console->heartbeats, heard + 1));
    call(console, "Services", "status", NULL, NULL);
    g_assert_cmpstr(console->error, ==, NULL);
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 3);
}

/* --- commands by queue --- */

typedef struct Results {
    unsigned n;
    QmfMessage *last;
} Results;

static void on_result(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *amqp, void *user)
{
    Results *results = user;

    g_clear_pointer(&results->last, qmf_message_free);
    results->last = qmf_message_from_amqp(amqp, NULL);
    g_assert_nonnull(results->last);
    results->n++;
    amqp_delivery_accept(delivery);
}

static void send_command(AmqpSender *sender, const char *id)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_METHOD_REQUEST);
    g_autoptr(AmqpMessage) amqp = NULL;

    message->reply_to = g_strdup("mend.results");
    message->correlation_id = g_strdup(id);
    message->body = value_map();
    message->extra = value_map();
    value_set(message->extra, "mend.command-id", value_string(id));
    value_set(message->body, "_method_name", value_string("status"));
    value_set(message->body, "_object_id", qmf_object_id(AGENT, "Services", 0));
    amqp = qmf_message_to_amqp(message);
    g_assert_true(amqp_sender_send(sender, amqp, 0, NULL, NULL, NULL));
}

static void test_commands_are_settled_with_their_answers(void)
{
    End *first = agent_new(QUEUE);
    g_autoptr(End) engine = end_new(), second = NULL;
    Results results = { 0 };
    AmqpSenderOptions to = { .address = QUEUE };
    AmqpReceiverOptions from = { .address = "mend.results", .on_message = on_result, .user = &results };
    AmqpSender *sender = amqp_sender_new(engine->client, &to);
    AmqpReceiver *receiver = amqp_receiver_new(engine->client, &from);

    send_command(sender, "one");
    g_assert_true(wait_for(&results.n, 1));
    g_assert_cmpint(results.last->opcode, ==, QMF_METHOD_RESPONSE);
    g_assert_cmpstr(results.last->correlation_id, ==, "one");
    /* The second command is taken and the agent dies before it answers: the command is there for the next. */
    first->hold = true;
    send_command(sender, "two");
    g_assert_true(wait_for(&first->calls, 2));
    end_free(first);
    second = agent_new(QUEUE);
    g_assert_true(wait_for(&second->calls, 1));
    g_assert_true(wait_for(&results.n, 2));
    g_assert_cmpstr(results.last->correlation_id, ==, "two");
    /* The first one is not. */
    send_command(sender, "three");
    g_assert_true(wait_for(&results.n, 3));
    g_assert_cmpstr(results.last->correlation_id, ==, "three");
    g_assert_cmpuint(second->calls, ==, 2);
    qmf_message_free(results.last);
    amqp_receiver_free(receiver);
    amqp_sender_free(sender);
}

int main(int argc, char **argv)
{
    g_autofree char *template = g_build_filename(g_get_tmp_dir(), "mend-session-XXXXXX", NULL);
    int rc;

    g_test_init(&argc, &argv, NULL);
    broker.folder = g_mkdtemp(template);
    broker_start();
    g_test_add_func("/session/discovery, queries, calls and events", test_discovery_queries_calls_and_events);
    g_test_add_func("/session/refusals have texts", test_refusals_have_texts);
    g_test_add_func("/session/broker that comes back finds both again", test_broker_that_comes_back_finds_both_again);
    g_test_add_func("/session/commands are settled with their answers", test_commands_are_settled_with_their_answers);
    rc = g_test_run();
    broker_stop();
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) clean = g_subprocess_new(G_SUBPROCESS_FLAGS_NONE, &error, "rm", "-rf", broker.folder, NULL);
    g_subprocess_wait(clean, NULL, NULL);
    g_free(broker.url);
    g_free(broker.listen);
    return rc;
}
