/* Our agent and our console, each on its own connection, across the broker; the broker stops and starts between; commands come by queue. */
#include "tests/qmf/live.h"

#include <string.h>

#define AGENT "matahariproject.org:test:1"
#define QUEUE "mend.control." AGENT

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
    call(console, AGENT, "Services", "status", "name", value_string("web"));
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 3);
    qmf_agent_raise_event(agent->agent, heartbeat, -1, value_map());
    g_assert_true(wait_for(&console->events, 1));
    g_assert_true(wait_for(&console->heartbeats, 2)); /* by themselves, each second */
}

static void test_refusals_have_texts(void)
{
    g_autoptr(End) console = console_new(), agent = agent_new(NULL);

    call(console, AGENT, "Services", "explode", NULL, NULL);
    g_assert_cmpstr(console->error, ==, "Unknown method: explode");
    call(console, AGENT, "Services", "status", "timeout", value_string("soon"));
    g_assert_cmpstr(console->error, ==, "Invalid argument: timeout: string, want TYPE_INT");
    call(console, AGENT, "Kitchen", "status", NULL, NULL);
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
    call(console, AGENT, "Services", "status", NULL, NULL);
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

static void on_settled(const GError *error, void *user)
{
    (*(unsigned *) user)++;
}

/* What is no command goes off the queue, with the reason, and what nobody wants an answer to is done all the same. */
static void test_odd_messages_in_the_queue(void)
{
    g_autoptr(End) agent = agent_new(QUEUE), engine = end_new();
    AmqpSenderOptions to = { .address = QUEUE };
    AmqpSender *sender = amqp_sender_new(engine->client, &to);
    g_autoptr(AmqpMessage) text = amqp_message_new(), locate = NULL, command = NULL;
    g_autoptr(QmfMessage) request = qmf_message_new(QMF_AGENT_LOCATE_REQUEST), silent = qmf_message_new(QMF_METHOD_REQUEST);
    unsigned settled = 0;

    text->body_kind = AMQP_BODY_DATA;
    text->data = g_bytes_new_static("hello", 5);
    locate = qmf_message_to_amqp(request);
    silent->body = value_map();
    value_set(silent->body, "_method_name", value_string("status"));
    value_set(silent->body, "_object_id", qmf_object_id(AGENT, "Services", 0));
    command = qmf_message_to_amqp(silent);
    g_assert_true(amqp_sender_send(sender, text, 0, on_settled, &settled, NULL));
    g_assert_true(amqp_sender_send(sender, locate, 0, on_settled, &settled, NULL));
    g_assert_true(amqp_sender_send(sender, command, 0, on_settled, &settled, NULL));
    g_assert_true(wait_for(&agent->calls, 1));
    g_assert_true(wait_for(&settled, 3));
    g_assert_cmpuint(agent->calls, ==, 1);
    amqp_sender_free(sender);
}

/* A peer that names a new node for each answer costs us a bounded number of links, and nobody else an answer. */
static void test_many_reply_nodes(void)
{
    g_autoptr(End) console = console_new(), agent = agent_new(NULL), peer = end_new();
    AmqpSenderOptions to = { .address = QMF_DIRECT };
    AmqpSender *sender = amqp_sender_new(peer->client, &to);

    for (unsigned i = 0; i < 200; i++) {
        g_autoptr(QmfMessage) message = qmf_message_new(QMF_METHOD_REQUEST);
        g_autoptr(AmqpMessage) amqp = NULL;

        message->subject = g_strdup(AGENT);
        message->reply_to = g_strdup_printf("reply-%u", i);
        message->correlation_id = g_strdup("1");
        message->body = value_map();
        value_set(message->body, "_method_name", value_string("status"));
        value_set(message->body, "_object_id", qmf_object_id(AGENT, "Services", 0));
        amqp = qmf_message_to_amqp(message);
        g_assert_true(amqp_sender_send(sender, amqp, 0, NULL, NULL, NULL));
    }
    g_assert_true(wait_for(&agent->calls, 200));
    call(console, AGENT, "Services", "status", NULL, NULL);
    g_assert_cmpint(value_get_int(console->answer, "rc", -1), ==, 3);
    amqp_sender_free(sender);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    broker_start();
    g_test_add_func("/session/discovery, queries, calls and events", test_discovery_queries_calls_and_events);
    g_test_add_func("/session/refusals have texts", test_refusals_have_texts);
    g_test_add_func("/session/broker that comes back finds both again", test_broker_that_comes_back_finds_both_again);
    g_test_add_func("/session/commands are settled with their answers", test_commands_are_settled_with_their_answers);
    g_test_add_func("/session/odd messages in the queue", test_odd_messages_in_the_queue);
    g_test_add_func("/session/many reply nodes", test_many_reply_nodes);
    rc = g_test_run();
    broker_done();
    return rc;
}
