/* Any AMQP message, given to the QMFv2 reader, and what it lets pass to an agent and a console: they answer or ignore, no more. What they
 * answer is given to them again, so both sides see peers of every kind of mind. */
#include "lib/qmf/console.h"
#include "lib/qmf/predicate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct World {
    QmfAgent *agent;
    QmfConsole *console;
    unsigned hops;
} World;

static void take(World *world, const QmfMessage *message)
{
    if (world->hops++ > 20)
        return;
    qmf_agent_receive(world->agent, message);
    qmf_console_receive(world->console, message);
}

static void send_over(void *user, const char *node, const QmfMessage *message)
{
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_autoptr(GBytes) bytes = amqp_message_encode(amqp);
    g_autoptr(GError) error = NULL;
    g_autoptr(AmqpMessage) arrived = amqp_message_decode(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes), &error);
    g_autoptr(QmfMessage) read = arrived == NULL ? NULL : qmf_message_from_amqp(arrived, NULL);

    if (read != NULL) /* a name with invalid text in it may not survive; nothing worse */
        take(user, read);
}

static int64_t some_time(void *user)
{
    return US_PER_S;
}

static void on_method(QmfCall *call, void *user)
{
    Value *outputs = value_map();

    value_set(outputs, "arguments", value_ref((Value *) qmf_call_arguments(call)));
    qmf_call_return(call, outputs);
}

static void on_agent(const char *agent, const Value *attributes, void *user)
{
}

static void on_answer(const Value *answer, const GError *error, void *user)
{
    QmfClass *class = answer == NULL ? NULL : qmf_class_from_map(value_at(answer, 0), NULL);

    qmf_class_free(class);
}

static void run(const QmfMessage *message)
{
    static const QmfAgentOptions options = { "v", "p", "i", 1, 5 };
    static const QmfConsoleEvents events = { .agent_found = on_agent, .heartbeat = on_agent, .event = on_agent, .data = on_agent };
    const QmfSchema *schema = qmf_schema_builtin();
    World world = { NULL };
    QmfBus bus = { send_over, some_time, &world };
    const QmfClass *services = qmf_schema_find(schema, NULL, "Services");

    world.agent = qmf_agent_new(&bus, &options);
    world.console = qmf_console_new(&bus, "qmf.default.topic/direct-console.1", &events);
    qmf_agent_on_method(world.agent, services, on_method, NULL);
    qmf_agent_add_object(world.agent, services, "Services", value_map());
    qmf_console_query_objects(world.console, "v:p:i", "p", "c", NULL, US_PER_S, on_answer, NULL);
    qmf_console_query_schema_ids(world.console, "v:p:i", US_PER_S, on_answer, NULL);
    world.hops = 0;
    take(&world, message);
    qmf_agent_tick(world.agent, US_PER_S);
    qmf_console_tick(world.console, US_PER_S);
    qmf_agent_free(world.agent);
    world.agent = NULL;
    qmf_console_free(world.console);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(AmqpMessage) amqp = amqp_message_decode(data, size, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(QmfMessage) message = amqp == NULL ? NULL : qmf_message_from_amqp(amqp, &error);

    if (message != NULL) {
        if (predicate_check(message->body, NULL))
            predicate_matches(message->body, message->extra);
        run(message);
    } else if (amqp != NULL)
        g_assert_nonnull(error);
    return 0;
}
