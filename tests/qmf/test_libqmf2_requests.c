/* What an unmodified libqmf2 console sent to an agent it accepted, given to ours: the same name, schema and object must draw the answers
 * that console was content with. Both captures: the console on AMQP 0-10 behind a qpidd, and on AMQP 1.0. */
#include "tests/qmf/memory_bus.h"
#include "tests/qmf/vectors.h"

#include <string.h>

static const char *const captures[] = { "console-0-10", "console-libqmf2-amqp10" };

typedef struct World {
    MemoryBus *bus;
    QmfAgent *agent;
    QmfClass *class;
} World;

static Vector *vector(const char *kind, const char *capture)
{
    g_autofree char *prefix = g_strdup_printf("%s.%s.json", kind, capture);
    g_autoptr(GPtrArray) all = vectors_load(prefix);

    g_assert_cmpuint(all->len, ==, 1);
    return g_ptr_array_steal_index(all, 0);
}

static QmfMessage *message_of(const Vector *v)
{
    g_autoptr(GError) error = NULL;
    size_t n;
    const void *data = g_bytes_get_data(v->bytes, &n);
    g_autoptr(AmqpMessage) amqp = amqp_message_decode(data, n, &error);
    QmfMessage *message;

    g_assert_no_error(error);
    message = qmf_message_from_amqp(amqp, &error);
    g_assert_no_error(error);
    return message;
}

static void on_method(QmfCall *call, void *user)
{
    Value *outputs = value_map();

    value_set(outputs, "uuid", value_string("22222222"));
    qmf_call_return(call, outputs);
}

/* The class is the one the accepted agent answered, read from its own answer. */
static World *world_new(const char *capture)
{
    static const QmfAgentOptions options = { "matahariproject.org", "host", "pn-instance-1", 1, 5 };
    Vector *schema = vector("from_agent.query_response.schema", capture);
    g_autoptr(QmfMessage) answer = message_of(schema);
    g_autoptr(GError) error = NULL;
    World *w = g_new0(World, 1);
    Value *values = value_map();

    w->class = qmf_class_from_map(value_at(answer->body, 0), &error);
    g_assert_no_error(error);
    w->bus = memory_bus_new();
    w->agent = qmf_agent_new(&w->bus->bus, &options);
    qmf_agent_set_attribute(w->agent, "hostname", value_string("pn-host"));
    qmf_agent_set_attribute(w->agent, "uuid", value_string("22222222"));
    qmf_agent_on_method(w->agent, w->class, on_method, NULL);
    value_set(values, "hostname", value_string("pn-host"));
    value_set(values, "uuid", value_string("22222222"));
    value_set(values, "update_interval", value_uint(VALUE_UINT32, 5));
    qmf_agent_add_object(w->agent, w->class, "Host", values);
    vector_free(schema);
    return w;
}

static void world_free(World *w)
{
    qmf_agent_free(w->agent);
    qmf_class_free(w->class);
    memory_bus_free(w->bus);
    g_free(w);
}

/* Gives the captured request to our agent; its answer, borrowed from the bus. */
static const QmfMessage *ask(World *w, const char *kind, const char *capture)
{
    Vector *v = vector(kind, capture);
    g_autoptr(QmfMessage) request = message_of(v);
    const QmfMessage *answer;

    qmf_agent_receive(w->agent, request);
    memory_bus_run(w->bus);
    g_assert_cmpuint(w->bus->sent->len, ==, 1);
    answer = memory_bus_last(w->bus);
    g_assert_cmpstr(answer->correlation_id, ==, request->correlation_id);
    g_assert_cmpstr(answer->subject, ==, strchr(request->reply_to, '/') + 1);
    vector_free(v);
    return answer;
}

static void check_answer(const char *request, const char *accepted)
{
    for (size_t i = 0; i < G_N_ELEMENTS(captures); i++) {
        World *w = world_new(captures[i]);
        const QmfMessage *answer = ask(w, request, captures[i]);
        Vector *v = vector(accepted, captures[i]);
        const json_t *properties = json_object_get(v->plain, "application-properties");
        g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(answer);
        const char *key;
        json_t *item;

        vector_check_plain(v->name, answer->body, json_object_get(v->plain, "body"));
        json_object_foreach((json_t *) properties, key, item)
            g_assert_cmpstr(amqp_message_property(amqp, key), ==, json_string_value(item));
        g_assert_cmpuint(value_size(amqp->properties), ==, json_object_size(properties));
        vector_free(v);
        world_free(w);
    }
}

static void test_schema(void)
{
    check_answer("to_agent.query_request.SCHEMA", "from_agent.query_response.schema");
}

static void test_objects_by_class_and_by_id(void)
{
    check_answer("to_agent.query_request.OBJECT", "from_agent.query_response.data");
    check_answer("to_agent.query_request.OBJECT.by_id", "from_agent.query_response.data");
}

static void test_method(void)
{
    check_answer("to_agent.method_request.get_uuid", "from_agent.method_response");
}

static void test_schema_ids(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(captures); i++) {
        World *w = world_new(captures[i]);
        const QmfMessage *answer = ask(w, "to_agent.query_request.SCHEMA_ID", captures[i]);
        Vector *v = vector("from_agent.query_response.schema_id", captures[i]);

        g_assert_cmpstr(answer->content, ==, "_schema_id");
        vector_check_plain(v->name, value_at(answer->body, 0), json_array_get(json_object_get(v->plain, "body"), 0));
        vector_free(v);
        world_free(w);
    }
}

/* In form A keys have a type too. */
static const char *key_of(const Vector *v, const json_t *entry)
{
    const json_t *key = json_array_get(entry, 0);

    return json_string_value(v->form_b ? key : json_array_get(key, 1));
}

/* The same keys; the values are this moment's, and that agent's widths were its own. */
static void check_keys(const Vector *v, const Value *values, const json_t *typed)
{
    const json_t *entry;
    size_t i;

    g_assert_cmpuint(value_size(values), ==, json_array_size(json_array_get(typed, 1)));
    json_array_foreach(json_array_get(typed, 1), i, entry) {
        const char *key = key_of(v, entry);

        if (value_get(values, key) == NULL)
            g_error("%s: we do not send %s", v->name, key);
    }
}

static void check_indication(const char *kind, const QmfMessage *ours, const char *capture)
{
    Vector *v = vector(kind, capture);
    const json_t *values = json_array_get(json_array_get(json_array_get(v->body, 1), 0), 1);
    const char *subject = json_string_value(json_object_get(json_object_get(v->plain, "properties"), "subject"));

    if (strstr(kind, "locate") == NULL)
        g_assert_cmpstr(ours->subject, ==, subject);
    check_keys(v, value_get(ours->body, "_values"), values);
    vector_free(v);
}

static void test_locate_and_heartbeat(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(captures); i++) {
        World *w = world_new(captures[i]);

        check_indication("from_agent.agent_locate_response", ask(w, "to_agent.agent_locate_request", captures[i]), captures[i]);
        qmf_agent_heartbeat(w->agent);
        memory_bus_run(w->bus);
        check_indication("from_agent.agent_heartbeat_indication", memory_bus_last(w->bus), captures[i]);
        world_free(w);
    }
}

static void test_event(void)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", "heartbeat");

    for (size_t i = 0; i < G_N_ELEMENTS(captures); i++) {
        World *w = world_new(captures[i]);
        Vector *v = vector("from_agent.data_indication", captures[i]);
        const json_t *event = json_array_get(json_array_get(v->body, 1), 0), *entry;
        const QmfMessage *ours;
        size_t n;

        qmf_agent_raise_event(w->agent, class, -1, value_map());
        memory_bus_run(w->bus);
        ours = memory_bus_last(w->bus);
        g_assert_cmpstr(ours->subject, ==, "agent.ind.event.org.matahariproject.heartbeat");
        json_array_foreach(json_array_get(event, 1), n, entry)
            g_assert_nonnull(value_get(value_at(ours->body, 0), key_of(v, entry)));
        vector_free(v);
        world_free(w);
    }
}

static void test_exceptions(void)
{
    static const struct { const char *request, *text; } rows[] = {
        { "to_agent.method_request.get_uuid.bad_argument", "Invalid argument: bogus" },
        { "to_agent.method_request.no_such_method", "Unknown method: no_such_method" },
    };

    for (size_t i = 0; i < 2 * G_N_ELEMENTS(rows); i++) {
        World *w = world_new(captures[i % 2]);
        const QmfMessage *answer = ask(w, rows[i / 2].request, captures[i % 2]);

        g_assert_cmpint(answer->opcode, ==, QMF_EXCEPTION);
        g_assert_cmpstr(answer->content, ==, "_data");
        g_assert_cmpstr(value_get_string(value_get(answer->body, "_values"), "error_text"), ==, rows[i / 2].text);
        world_free(w);
    }
}

/* libqmf2's agents and qpidd stay silent; ours grant it. The request asked for 5 ms and 300 s. */
static void test_subscription_is_granted(void)
{
    g_autoptr(GPtrArray) all = vectors_load("subscribe_request.");

    g_assert_cmpuint(all->len, ==, 2);
    for (guint i = 0; i < all->len; i++) {
        World *w = world_new(captures[0]);
        g_autoptr(QmfMessage) request = message_of(all->pdata[i]);

        qmf_agent_receive(w->agent, request);
        memory_bus_run(w->bus);
        g_assert_cmpint(memory_bus_last(w->bus)->opcode, ==, QMF_SUBSCRIBE_RESPONSE);
        g_assert_cmpint(value_get_int(memory_bus_last(w->bus)->body, "_interval", 0), ==, 1000);
        g_assert_cmpint(value_get_int(memory_bus_last(w->bus)->body, "_duration", 0), ==, 300);
        qmf_agent_tick(w->agent, US_PER_S);
        memory_bus_run(w->bus);
        g_assert_cmpint(memory_bus_last(w->bus)->opcode, ==, QMF_DATA_INDICATION);
        g_assert_cmpstr(memory_bus_last(w->bus)->correlation_id, ==, request->correlation_id);
        g_assert_cmpuint(value_size(memory_bus_last(w->bus)->body), ==, 1);
        world_free(w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/libqmf2/schema", test_schema);
    g_test_add_func("/libqmf2/objects by class and by id", test_objects_by_class_and_by_id);
    g_test_add_func("/libqmf2/method", test_method);
    g_test_add_func("/libqmf2/schema ids", test_schema_ids);
    g_test_add_func("/libqmf2/locate and heartbeat", test_locate_and_heartbeat);
    g_test_add_func("/libqmf2/event", test_event);
    g_test_add_func("/libqmf2/exceptions", test_exceptions);
    g_test_add_func("/libqmf2/subscription is granted", test_subscription_is_granted);
    return g_test_run();
}
