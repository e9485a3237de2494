/* Agent and console talk to each other. */
#include "tests/qmf/memory_bus.h"

#include <string.h>

typedef struct Answer {
    Value *value;
    char *error;
    int code;
    unsigned times;
} Answer;

typedef struct World {
    MemoryBus *bus;
    QmfAgent *agent;
    QmfConsole *console;
    const QmfClass *host, *services, *heartbeat;
    Answer answer;
    QmfCall *held;  /* a call the handler keeps */
    GString *seen;  /* what the console told */
} World;

#define AGENT "matahariproject.org:test:1"
#define WAIT (5 * US_PER_S)

static void take_answer(const Value *value, const GError *error, void *user)
{
    Answer *answer = user;

    g_clear_pointer(&answer->value, value_unref);
    g_clear_pointer(&answer->error, g_free);
    answer->value = value == NULL ? NULL : value_ref((Value *) value);
    answer->error = error == NULL ? NULL : g_strdup(error->message);
    answer->code = error == NULL ? -1 : error->code;
    answer->times++;
}

static void on_method(QmfCall *call, void *user)
{
    World *w = user;
    const char *method = qmf_call_method(call);
    Value *outputs = value_map();

    if (strcmp(method, "start") == 0) {
        w->held = call;
        value_unref(outputs);
    } else if (strcmp(method, "status") == 0) {
        value_set(outputs, "rc", value_uint(VALUE_UINT32, (uint64_t) value_get_int(qmf_call_arguments(call), "timeout", 99)));
        qmf_call_return(call, outputs);
    } else {
        value_set(outputs, "detail", value_string("of ours"));
        qmf_call_raise(call, "cannot", outputs);
    }
}

static void on_found(const char *agent, const Value *attributes, void *user)
{
    g_string_append_printf(user, "found %s on %s;", agent, value_get_string(attributes, "hostname"));
}

static void on_restarted(const char *agent, const Value *attributes, void *user)
{
    g_string_append(user, "restarted;");
}

static void on_event(const char *agent, const Value *event, void *user)
{
    const Value *id = value_get(event, "_schema_id");

    g_string_append_printf(user, "event %s %s severity %d sequence %d;", value_get_string(id, "_class_name"), value_get_string(id, "_type"),
                           (int) value_get_int(event, "_severity", -1), (int) value_get_int(value_get(event, "_values"), "sequence", -1));
}

static QmfAgent *agent_new(World *w, const char *instance, uint32_t epoch)
{
    QmfAgentOptions options = { "matahariproject.org", "test", instance, epoch, 5 };
    QmfAgent *agent = qmf_agent_new(&w->bus->bus, &options);

    qmf_agent_set_attribute(agent, "hostname", value_string("node1"));
    qmf_agent_add_class(agent, w->heartbeat);
    qmf_agent_on_method(agent, w->services, on_method, w);
    qmf_agent_add_object(agent, w->services, "Services", value_of("{'hostname':'node1','uuid':'1234'}"));
    return agent;
}

static World *world_new(void)
{
    World *w = g_new0(World, 1);
    const QmfSchema *schema = qmf_schema_builtin();
    QmfConsoleEvents events = { .agent_found = on_found, .agent_restarted = on_restarted, .event = on_event };

    w->bus = memory_bus_new();
    w->seen = g_string_new(NULL);
    w->host = qmf_schema_find(schema, "org.matahariproject", "Host");
    w->services = qmf_schema_find(schema, "org.matahariproject", "Services");
    w->heartbeat = qmf_schema_find(schema, "org.matahariproject", "heartbeat");
    w->agent = agent_new(w, "1", 1);
    events.user = w->seen;
    w->console = qmf_console_new(&w->bus->bus, "qmf.default.topic/direct-console.1", &events);
    memory_bus_add_agent(w->bus, w->agent);
    memory_bus_add_console(w->bus, w->console);
    return w;
}

static void world_free(World *w)
{
    qmf_console_free(w->console);
    qmf_agent_free(w->agent);
    memory_bus_free(w->bus);
    g_clear_pointer(&w->answer.value, value_unref);
    g_free(w->answer.error);
    g_string_free(w->seen, TRUE);
    g_free(w);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void call(World *w, const char *object, const char *method, const char *arguments)
{
    g_autoptr(Value) id = qmf_object_id(AGENT, object, 1), in = value_of(arguments);

    qmf_console_call(w->console, AGENT, id, method, in, WAIT, take_answer, &w->answer);
    memory_bus_run(w->bus);
}

static void expect_error(const World *w, QmfErrorCode code, const char *text)
{
    g_assert_cmpuint(w->answer.times, ==, 1);
    g_assert_cmpstr(w->answer.error, ==, text);
    g_assert_cmpint(w->answer.code, ==, (int) code);
}

/* --- finding --- */

static void test_locate_finds_who_matches(void)
{
    g_autoptr(World) w = world_new();
    g_autoptr(Value) other = value_of("['eq','_vendor',['quote','somebody']]"), ours = value_of("['eq','hostname',['quote','node1']]");
    const QmfMessage *answer;

    qmf_console_locate(w->console, other);
    memory_bus_run(w->bus);
    g_assert_cmpstr(w->seen->str, ==, "");
    qmf_console_locate(w->console, ours);
    memory_bus_run(w->bus);
    g_assert_cmpstr(w->seen->str, ==, "found " AGENT " on node1;");
    answer = memory_bus_last(w->bus);
    g_assert_cmpint(answer->opcode, ==, QMF_AGENT_LOCATE_RESPONSE);
    g_assert_cmpstr(answer->agent, ==, AGENT);
    g_assert_cmpint(value_get_int(value_get(answer->body, "_values"), "_heartbeat_interval", 0), ==, 5);
}

static void test_heartbeat_has_what_consoles_need(void)
{
    g_autoptr(World) w = world_new();
    const Value *values;

    qmf_agent_heartbeat(w->agent);
    memory_bus_run(w->bus);
    g_assert_cmpstr(memory_bus_last(w->bus)->subject, ==, "agent.ind.heartbeat.matahariproject.org.test");
    values = value_get(memory_bus_last(w->bus)->body, "_values");
    g_assert_cmpstr(value_get_string(values, "_name"), ==, AGENT);
    g_assert_cmpstr(value_get_string(values, "_direct_subject"), ==, qmf_agent_bindings(w->agent)[0].key);
    g_assert_cmpint(value_type(value_get(values, "_epoch")), ==, VALUE_UINT32);
    g_assert_cmpint(value_type(value_get(values, "_heartbeat_interval")), ==, VALUE_UINT32);
    g_assert_cmpint(value_type(value_get(values, "_timestamp")), ==, VALUE_UINT64);
    g_assert_cmpint(value_get_int(values, "_timestamp", 0), ==, w->bus->bus.wall_us(w->bus) * 1000);
    g_assert_cmpint(value_get_int(values, "qmf.agent_capability", 0), ==, 1);
    g_assert_cmpstr(w->seen->str, ==, "found " AGENT " on node1;");
}

static void test_greater_epoch_is_a_restart(void)
{
    g_autoptr(World) w = world_new();
    QmfAgent *next = agent_new(w, "1", 2);

    qmf_agent_heartbeat(w->agent);
    qmf_agent_heartbeat(next);
    qmf_agent_heartbeat(next);
    memory_bus_run(w->bus);
    g_assert_cmpstr(w->seen->str, ==, "found " AGENT " on node1;restarted;");
    qmf_agent_free(next);
}

static void test_direct_key_belongs_to_the_name(void)
{
    g_autoptr(World) w = world_new();
    QmfAgent *again = agent_new(w, "1", 2), *other = agent_new(w, "2", 1);

    g_assert_cmpstr(qmf_agent_bindings(again)[0].key, ==, qmf_agent_bindings(w->agent)[0].key);
    g_assert_cmpstr(qmf_agent_bindings(other)[0].key, !=, qmf_agent_bindings(w->agent)[0].key);
    qmf_agent_free(again);
    qmf_agent_free(other);
}

static void test_events_arrive_with_severity(void)
{
    g_autoptr(World) w = world_new();

    qmf_agent_raise_event(w->agent, w->heartbeat, -1, value_of("{'sequence':7}"));
    qmf_agent_raise_event(w->agent, w->heartbeat, 2, value_of("{'sequence':8}"));
    memory_bus_run(w->bus);
    g_assert_cmpstr(w->seen->str, ==, "event heartbeat _event severity 6 sequence 7;event heartbeat _event severity 2 sequence 8;");
    g_assert_cmpstr(memory_bus_last(w->bus)->subject, ==, "agent.ind.event.org.matahariproject.heartbeat");
}

/* --- methods --- */

static void test_call_returns_at_once_or_later(void)
{
    g_autoptr(World) w = world_new();

    call(w, "Services", "status", "{'name':'web','timeout':7}");
    g_assert_cmpuint(w->answer.times, ==, 1);
    g_assert_cmpint(value_get_int(w->answer.value, "rc", -1), ==, 7);
    call(w, "Services", "start", "{'name':'web'}");
    g_assert_cmpuint(w->answer.times, ==, 1);
    g_assert_cmpstr(qmf_object_name(qmf_call_object(w->held)), ==, "Services");
    qmf_call_return(w->held, NULL);
    memory_bus_run(w->bus);
    g_assert_cmpuint(w->answer.times, ==, 2);
    g_assert_cmpuint(value_size(w->answer.value), ==, 0);
}

static void test_refusals_have_texts(void)
{
    static const struct { const char *object, *method, *arguments, *text; } rows[] = {
        { "Services", "describe", "{}", "cannot" },
        { "Services", "explode", "{}", "Unknown method: explode" },
        { "Services", "explode", "{'a':1}", "Unknown method: explode" },
        { "Nowhere", "status", "{}", "No data object found with the specified address" },
        { "Services", "status", "{'bogus':1}", "Invalid argument: bogus" },
        { "Services", "status", "{'rc':1}", "Invalid argument: rc" },
        { "Services", "status", "{'name':5}", "Invalid argument: name: int64, want TYPE_STRING" },
        { "Services", "status", "{'timeout':99999999999}", "Invalid argument: timeout: does not fit uint32" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(World) w = world_new();

        call(w, rows[i].object, rows[i].method, rows[i].arguments);
        expect_error(w, QMF_ERROR_EXCEPTION, rows[i].text);
        g_assert_cmpint(memory_bus_last(w->bus)->opcode, ==, QMF_EXCEPTION);
        g_assert_cmpstr(memory_bus_last(w->bus)->content, ==, "_data");
    }
}

static void test_class_without_handler(void)
{
    g_autoptr(World) w = world_new();

    qmf_agent_add_object(w->agent, w->host, "Host", value_map());
    call(w, "Host", "reboot", "{}");
    expect_error(w, QMF_ERROR_EXCEPTION, "Not implemented: reboot");
}

static void send_body(World *w, QmfOpcode opcode, const char *body)
{
    g_autoptr(QmfMessage) message = qmf_message_new(opcode);

    message->subject = g_strdup(AGENT);
    message->reply_to = g_strdup("queue");
    message->correlation_id = g_strdup("c");
    message->body = value_of(body);
    w->bus->bus.send(w->bus, QMF_DIRECT, message);
    memory_bus_run(w->bus);
}

static void expect_exception(const World *w, const char *text)
{
    const QmfMessage *last = memory_bus_last(w->bus);

    g_assert_cmpint(last->opcode, ==, QMF_EXCEPTION);
    g_assert_cmpstr(value_get_string(value_get(last->body, "_values"), "error_text"), ==, text);
    g_assert_cmpstr(last->correlation_id, ==, "c");
    g_assert_null(last->subject); /* the reply address is a queue */
}

static void test_malformed_requests_are_answered(void)
{
    g_autoptr(World) w = world_new();

    send_body(w, QMF_METHOD_REQUEST, "{}");
    expect_exception(w, "Malformed MethodRequest: missing _method_name field");
    send_body(w, QMF_METHOD_REQUEST, "{'_method_name':'status'}");
    expect_exception(w, "No data object found with the specified address");
    send_body(w, QMF_METHOD_REQUEST, "{'_method_name':'status','_object_id':{'_agent_name':'other','_object_name':'Services'}}");
    expect_exception(w, "No data object found with the specified address");
    send_body(w, QMF_METHOD_REQUEST, "{'_method_name':'status','_object_id':'Services','_arguments':[1]}");
    expect_exception(w, "No data object found with the specified address");
    send_body(w, QMF_QUERY_REQUEST, "{}");
    expect_exception(w, "Query is Invalid: _what is missing");
    send_body(w, QMF_QUERY_REQUEST, "{'_what':'LUNCH'}");
    expect_exception(w, "Query is Invalid: _what is none of SCHEMA_ID, SCHEMA, OBJECT, OBJECT_ID");
    send_body(w, QMF_QUERY_REQUEST, "{'_what':'OBJECT'}");
    expect_exception(w, "Query is Invalid");
    send_body(w, QMF_QUERY_REQUEST, "{'_what':'OBJECT','_schema_id':{'_class_name':'Services'},'_where':['gt','a',5]}");
    expect_exception(w, "Query is Invalid: the predicate in _where cannot be read");
    send_body(w, QMF_QUERY_REQUEST, "{'_what':'SCHEMA'}");
    expect_exception(w, "Invalid Schema Query: Requests for SCHEMA must supply a valid schema ID.");
}

static void test_arguments_that_are_no_map_count_as_none(void)
{
    g_autoptr(World) w = world_new();

    send_body(w, QMF_METHOD_REQUEST, "{'_method_name':'status','_object_id':{'_object_name':'Services'},'_arguments':[1]}");
    g_assert_cmpint(memory_bus_last(w->bus)->opcode, ==, QMF_METHOD_RESPONSE);
}

static void test_unanswered_calls_are_limited(void)
{
    g_autoptr(World) w = world_new();

    for (int i = 0; i < 1001; i++)
        send_body(w, QMF_METHOD_REQUEST, "{'_method_name':'start','_object_id':{'_object_name':'Services'}}");
    expect_exception(w, "Too many calls in progress");
}

static void test_agent_that_stops_answers_what_is_open(void)
{
    g_autoptr(World) w = world_new();

    call(w, "Services", "start", "{}");
    g_ptr_array_set_size(w->bus->receivers, 0);
    memory_bus_add_console(w->bus, w->console);
    g_clear_pointer(&w->agent, qmf_agent_free);
    memory_bus_run(w->bus);
    expect_error(w, QMF_ERROR_EXCEPTION, "The agent stops");
}

/* --- the command gate --- */

static bool gate(QmfCall *call_, void *user)
{
    const Value *extra = qmf_call_request(call_)->extra;

    qmf_call_set_extra(call_, "mend.command-id", value_string(value_get_string(extra, "mend.command-id")));
    if (value_get_int(extra, "mend.epoch", 0) >= 3)
        return true;
    qmf_call_raise(call_, "old epoch", NULL);
    return false;
}

static void on_answer(QmfCall *call_, const char *error_text, void *user)
{
    qmf_call_set_extra(call_, "mend.state", value_string(error_text == NULL ? "done" : "failed"));
}

static void send_command(World *w, int epoch, const char *method)
{
    g_autoptr(QmfMessage) message = qmf_message_new(QMF_METHOD_REQUEST);

    message->reply_to = g_strdup("mend.results");
    message->correlation_id = g_strdup("id-1");
    message->body = value_map();
    value_set(message->body, "_method_name", value_string(method));
    value_set(message->body, "_object_id", qmf_object_id(AGENT, "Services", 0));
    message->extra = value_map();
    value_set(message->extra, "mend.command-id", value_string("id-1"));
    value_set(message->extra, "mend.epoch", value_int(VALUE_INT32, epoch));
    qmf_agent_receive(w->agent, message);
    memory_bus_run(w->bus);
}

static void expect_result(const World *w, QmfOpcode opcode, const char *state)
{
    const QmfMessage *last = memory_bus_last(w->bus);

    g_assert_cmpint(last->opcode, ==, opcode);
    g_assert_cmpstr(last->correlation_id, ==, "id-1");
    g_assert_cmpstr(value_get_string(last->extra, "mend.command-id"), ==, "id-1");
    g_assert_cmpstr(value_get_string(last->extra, "mend.state"), ==, state);
}

static void test_filter_and_answer_hook_see_every_command(void)
{
    g_autoptr(World) w = world_new();

    qmf_agent_set_filter(w->agent, gate, w);
    qmf_agent_on_answer(w->agent, on_answer, w);
    send_command(w, 2, "status");
    expect_result(w, QMF_EXCEPTION, "failed");
    send_command(w, 3, "status");
    expect_result(w, QMF_METHOD_RESPONSE, "done");
    send_command(w, 3, "explode"); /* refused by the agent itself */
    expect_result(w, QMF_EXCEPTION, "failed");
}

/* --- queries --- */

static void test_schemas_can_be_read(void)
{
    g_autoptr(World) w = world_new();
    QmfClass *read;

    qmf_console_query_schema_ids(w->console, AGENT, WAIT, take_answer, &w->answer);
    memory_bus_run(w->bus);
    g_assert_cmpuint(value_size(w->answer.value), ==, 2);
    for (size_t i = 0; i < 2; i++) {
        g_autoptr(Value) id = value_ref((Value *) value_at(w->answer.value, i));

        qmf_console_query_schema(w->console, AGENT, id, WAIT, take_answer, &w->answer);
        memory_bus_run(w->bus);
        g_assert_cmpuint(value_size(w->answer.value), ==, 1);
        read = qmf_class_from_map(value_at(w->answer.value, 0), NULL);
        g_assert_cmpstr(read->name, ==, i == 0 ? "heartbeat" : "Services");
        g_assert_true(read->event == (i == 0));
        qmf_class_free(read);
        qmf_console_query_schema_ids(w->console, AGENT, WAIT, take_answer, &w->answer);
        memory_bus_run(w->bus);
    }
}

static void test_schema_with_another_hash_is_not_ours(void)
{
    g_autoptr(World) w = world_new();
    g_autoptr(Value) id = qmf_class_id(w->services);
    static const uint8_t other[16] = { 1 };

    value_set(id, "_hash", value_uuid(other));
    qmf_console_query_schema(w->console, AGENT, id, WAIT, take_answer, &w->answer);
    memory_bus_run(w->bus);
    g_assert_nonnull(w->answer.value);
    g_assert_cmpuint(value_size(w->answer.value), ==, 0);
}

static void add_hosts(World *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("Host%u", i);
        Value *values = value_map();

        value_set(values, "memory", value_uint(VALUE_UINT64, i * 100));
        qmf_agent_add_object(w->agent, w->host, name, values);
    }
}

static void query(World *w, const char *class, const char *where)
{
    g_autoptr(Value) predicate = where == NULL ? NULL : value_of(where);

    qmf_console_query_objects(w->console, AGENT, "org.matahariproject", class, predicate, WAIT, take_answer, &w->answer);
    memory_bus_run(w->bus);
}

static void test_many_objects_come_in_parts(void)
{
    g_autoptr(World) w = world_new();
    unsigned parts = 0;

    add_hosts(w, 10000);
    memory_bus_forget(w->bus);
    query(w, "Host", NULL);
    g_assert_cmpuint(w->answer.times, ==, 1);
    g_assert_cmpuint(value_size(w->answer.value), ==, 10000);
    for (guint i = 0; i < w->bus->sent->len; i++) {
        const QmfMessage *message = w->bus->sent->pdata[i];

        if (message->opcode != QMF_QUERY_RESPONSE)
            continue;
        parts++;
        g_assert_cmpuint(value_size(message->body), <=, 8);
        g_assert_true(message->partial == (parts < 1250));
    }
    g_assert_cmpuint(parts, ==, 1250);
}

static void test_queries_by_class_predicate_and_name(void)
{
    g_autoptr(World) w = world_new();
    const Value *object;

    add_hosts(w, 20);
    query(w, "Host", "['and',['ge','memory',['quote',500]],['lt','memory',['quote',700]]]");
    g_assert_cmpuint(value_size(w->answer.value), ==, 2);
    query(w, "Network", NULL);
    g_assert_cmpuint(value_size(w->answer.value), ==, 0);
    qmf_console_query_object(w->console, AGENT, "Host3", WAIT, take_answer, &w->answer);
    memory_bus_run(w->bus);
    object = value_at(w->answer.value, 0);
    g_assert_cmpint(value_get_int(value_get(object, "_values"), "memory", 0), ==, 300);
    g_assert_cmpstr(value_get_string(value_get(object, "_object_id"), "_object_name"), ==, "Host3");
    g_assert_nonnull(value_as_uuid(value_get(value_get(object, "_schema_id"), "_hash")));
    qmf_console_query_object(w->console, AGENT, "Host99", WAIT, take_answer, &w->answer);
    memory_bus_run(w->bus);
    g_assert_cmpuint(value_size(w->answer.value), ==, 0);
}

static void test_objects_change_and_go(void)
{
    g_autoptr(World) w = world_new();

    add_hosts(w, 3);
    qmf_object_set(qmf_agent_object(w->agent, "Host1"), "memory", value_uint(VALUE_UINT64, 1));
    qmf_agent_remove_object(w->agent, qmf_agent_object(w->agent, "Host0"));
    g_assert_null(qmf_agent_object(w->agent, "Host0"));
    query(w, "Host", NULL);
    g_assert_cmpuint(value_size(w->answer.value), ==, 2);
    g_assert_cmpint(value_get_int(value_get(value_at(w->answer.value, 0), "_values"), "memory", 0), ==, 1);
}

static void count_plain(void *user, const char *node, const QmfMessage *message)
{
    unsigned *counts = user;

    counts[message->plain]++;
}

static int64_t no_time(void *user)
{
    return 0;
}

static void test_who_asks_for_plain_bodies_gets_them_and_nobody_else(void)
{
    unsigned counts[2] = { 0 };
    const QmfBus bus = { count_plain, no_time, counts };
    g_autoptr(QmfAgent) agent = qmf_agent_new(&bus, &(QmfAgentOptions){ "matahariproject.org", "test", "1", 1, 5 });
    g_autoptr(QmfMessage) request = qmf_message_new(QMF_QUERY_REQUEST);

    request->reply_to = g_strdup("qmf.default.topic/direct-console.1");
    request->body = value_of("{'_what':'SCHEMA_ID'}");
    qmf_agent_receive(agent, request);
    g_assert_cmpuint(counts[false], ==, 1);
    request->extra = value_map();
    value_set(request->extra, QMF_BODY_KEY, value_string(QMF_BODY_PLAIN));
    qmf_agent_receive(agent, request);
    g_clear_pointer(&request->body, value_unref);
    request->body = value_of("{'_what':'NOTHING'}"); /* refusals too */
    qmf_agent_receive(agent, request);
    value_set(request->extra, QMF_BODY_KEY, value_string("other"));
    qmf_agent_receive(agent, request);
    qmf_agent_heartbeat(agent);
    g_assert_cmpuint(counts[true], ==, 2);
    g_assert_cmpuint(counts[false], ==, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/roles/locate finds who matches", test_locate_finds_who_matches);
    g_test_add_func("/roles/heartbeat has what consoles need", test_heartbeat_has_what_consoles_need);
    g_test_add_func("/roles/greater epoch is a restart", test_greater_epoch_is_a_restart);
    g_test_add_func("/roles/direct key belongs to the name", test_direct_key_belongs_to_the_name);
    g_test_add_func("/roles/events arrive with severity", test_events_arrive_with_severity);
    g_test_add_func("/roles/call returns at once or later", test_call_returns_at_once_or_later);
    g_test_add_func("/roles/refusals have texts", test_refusals_have_texts);
    g_test_add_func("/roles/class without handler", test_class_without_handler);
    g_test_add_func("/roles/malformed requests are answered", test_malformed_requests_are_answered);
    g_test_add_func("/roles/arguments that are no map count as none", test_arguments_that_are_no_map_count_as_none);
    g_test_add_func("/roles/unanswered calls are limited", test_unanswered_calls_are_limited);
    g_test_add_func("/roles/agent that stops answers what is open", test_agent_that_stops_answers_what_is_open);
    g_test_add_func("/roles/filter and answer hook see every command", test_filter_and_answer_hook_see_every_command);
    g_test_add_func("/roles/schemas can be read", test_schemas_can_be_read);
    g_test_add_func("/roles/schema with another hash is not ours", test_schema_with_another_hash_is_not_ours);
    g_test_add_func("/roles/many objects come in parts", test_many_objects_come_in_parts);
    g_test_add_func("/roles/queries by class, predicate and name", test_queries_by_class_predicate_and_name);
    g_test_add_func("/roles/who asks for plain bodies gets them and nobody else", test_who_asks_for_plain_bodies_gets_them_and_nobody_else);
    g_test_add_func("/roles/objects change and go", test_objects_change_and_go);
    return g_test_run();
}
