#include "tests/qmf/memory_bus.h"

#include <string.h>

typedef struct Receiver {
    QmfAgent *agent;
    QmfConsole *console;
} Receiver;

typedef struct Sent {
    char *node;
    QmfMessage *message;
} Sent;

/* Over the whole wire form and back: roles never share values by accident. */
static QmfMessage *across(const QmfMessage *message)
{
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_autoptr(GBytes) bytes = amqp_message_encode(amqp);
    g_autoptr(GError) error = NULL;
    size_t n;
    const void *data = g_bytes_get_data(bytes, &n);
    g_autoptr(AmqpMessage) arrived = amqp_message_decode(data, n, &error);
    QmfMessage *read;

    g_assert_no_error(error);
    read = qmf_message_from_amqp(arrived, &error);
    g_assert_no_error(error);
    return read;
}

static void bus_send(void *user, const char *node, const QmfMessage *message)
{
    MemoryBus *bus = user;
    Sent *sent = g_new0(Sent, 1);

    sent->node = g_strdup(node);
    sent->message = across(message);
    g_queue_push_tail(&bus->queue, sent);
}

static int64_t bus_wall_us(void *user)
{
    return ((const MemoryBus *) user)->now_us + INT64_C(1330000000) * US_PER_S;
}

MemoryBus *memory_bus_new(void)
{
    MemoryBus *bus = g_new0(MemoryBus, 1);

    bus->bus = (QmfBus) { bus_send, bus_wall_us, bus };
    bus->now_us = US_PER_S;
    bus->receivers = g_ptr_array_new_with_free_func(g_free);
    bus->sent = g_ptr_array_new_with_free_func((GDestroyNotify) qmf_message_free);
    return bus;
}

static void sent_free(Sent *sent)
{
    g_free(sent->node);
    qmf_message_free(sent->message);
    g_free(sent);
}

void memory_bus_free(MemoryBus *bus)
{
    g_queue_clear_full(&bus->queue, (GDestroyNotify) sent_free);
    g_ptr_array_unref(bus->receivers);
    g_ptr_array_unref(bus->sent);
    g_free(bus);
}

void memory_bus_add_agent(MemoryBus *bus, QmfAgent *agent)
{
    Receiver *receiver = g_new0(Receiver, 1);

    receiver->agent = agent;
    g_ptr_array_add(bus->receivers, receiver);
}

void memory_bus_add_console(MemoryBus *bus, QmfConsole *console)
{
    Receiver *receiver = g_new0(Receiver, 1);

    receiver->console = console;
    g_ptr_array_add(bus->receivers, receiver);
}

static bool bound(const QmfBinding *binding, const Sent *sent)
{
    const char *subject = sent->message->subject == NULL ? "" : sent->message->subject;

    for (; binding->node != NULL; binding++) {
        if (strcmp(binding->node, sent->node) != 0)
            continue;
        if (g_str_has_suffix(binding->key, "#") ? strncmp(binding->key, subject, strlen(binding->key) - 1) == 0
                                                : strcmp(binding->key, subject) == 0)
            return true;
    }
    return false;
}

static void deliver(MemoryBus *bus, const Sent *sent)
{
    for (guint i = 0; i < bus->receivers->len; i++) {
        const Receiver *receiver = bus->receivers->pdata[i];

        if (receiver->agent != NULL && bound(qmf_agent_bindings(receiver->agent), sent))
            qmf_agent_receive(receiver->agent, sent->message);
        if (receiver->console != NULL && bound(qmf_console_bindings(receiver->console), sent))
            qmf_console_receive(receiver->console, sent->message);
    }
}

void memory_bus_run(MemoryBus *bus)
{
    Sent *sent;

    while ((sent = g_queue_pop_head(&bus->queue)) != NULL) {
        deliver(bus, sent);
        g_ptr_array_add(bus->sent, g_steal_pointer(&sent->message));
        sent_free(sent);
    }
}

void memory_bus_pass(MemoryBus *bus, int64_t us)
{
    for (int64_t end = bus->now_us + us; bus->now_us < end;) {
        bus->now_us = MIN(end, bus->now_us + US_PER_S);
        for (guint i = 0; i < bus->receivers->len; i++) {
            const Receiver *receiver = bus->receivers->pdata[i];

            if (receiver->agent != NULL)
                qmf_agent_tick(receiver->agent, bus->now_us);
            if (receiver->console != NULL)
                qmf_console_tick(receiver->console, bus->now_us);
        }
        memory_bus_run(bus);
    }
}

const QmfMessage *memory_bus_last(const MemoryBus *bus)
{
    g_assert_cmpuint(bus->sent->len, >, 0);
    return bus->sent->pdata[bus->sent->len - 1];
}

void memory_bus_forget(MemoryBus *bus)
{
    g_ptr_array_set_size(bus->sent, 0);
}

Value *value_of(const char *json)
{
    g_autofree char *text = g_strdelimit(g_strdup(json), "'", '"');
    g_autoptr(json_t) parsed = json_loads(text, JSON_DECODE_ANY, NULL);

    g_assert_nonnull(parsed);
    return value_from_json(parsed);
}
