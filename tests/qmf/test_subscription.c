/* Subscriptions, as a QMFv2 console of the Java kind uses them. */
#include "tests/qmf/memory_bus.h"

#include <string.h>

typedef struct World {
    MemoryBus *bus;
    QmfAgent *agent;
    QmfObject *one;
} World;

static World *world_new(void)
{
    static const QmfAgentOptions options = { "v", "p", "1", 1, 5 };
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", "Host");
    World *w = g_new0(World, 1);

    w->bus = memory_bus_new();
    w->agent = qmf_agent_new(&w->bus->bus, &options);
    w->one = qmf_agent_add_object(w->agent, class, "one", value_of("{'memory':1}"));
    qmf_agent_add_object(w->agent, class, "two", value_of("{'memory':2}"));
    memory_bus_add_agent(w->bus, w->agent);
    return w;
}

static void world_free(World *w)
{
    qmf_agent_free(w->agent);
    memory_bus_free(w->bus);
    g_free(w);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

/* Sends the request; the answer, borrowed. */
static const QmfMessage *request(World *w, QmfOpcode opcode, const char *body)
{
    g_autoptr(QmfMessage) message = qmf_message_new(opcode);

    message->reply_to = g_strdup("qmf.default.topic/direct-console.1");
    message->correlation_id = g_strdup("handle");
    message->body = value_of(body);
    memory_bus_forget(w->bus);
    qmf_agent_receive(w->agent, message);
    memory_bus_run(w->bus);
    return w->bus->sent->len == 0 ? NULL : memory_bus_last(w->bus);
}

#define HOSTS "'_query':{'_what':'OBJECT','_schema_id':{'_class_name':'Host','_package_name':'org.matahariproject'}}"

static const char *subscribe(World *w, const char *body)
{
    const QmfMessage *answer = request(w, QMF_SUBSCRIBE_REQUEST, body);

    g_assert_cmpint(answer->opcode, ==, QMF_SUBSCRIBE_RESPONSE);
    g_assert_cmpstr(answer->subject, ==, "direct-console.1");
    g_assert_cmpstr(answer->correlation_id, ==, "handle");
    return value_get_string(answer->body, "_subscription_id");
}

/* "one=1 two=2" of what was pushed while the time passed. */
static char *pushed(World *w, int64_t us)
{
    GString *text = g_string_new(NULL);

    memory_bus_forget(w->bus);
    memory_bus_pass(w->bus, us);
    for (guint i = 0; i < w->bus->sent->len; i++) {
        const QmfMessage *message = w->bus->sent->pdata[i];

        g_assert_cmpint(message->opcode, ==, QMF_DATA_INDICATION);
        g_assert_cmpstr(message->content, ==, "_data");
        g_assert_cmpstr(message->correlation_id, ==, "handle");
        for (size_t j = 0; j < value_size(message->body); j++) {
            const Value *object = value_at(message->body, j);

            g_string_append_printf(text, "%s%s=%d%s", text->len == 0 ? "" : " ",
                                   value_get_string(value_get(object, "_object_id"), "_object_name"),
                                   (int) value_get_int(value_get(object, "_values"), "memory", -1),
                                   value_get(object, "_delete_ts") != NULL ? " gone" : "");
        }
    }
    return g_string_free(text, FALSE);
}

static void expect(World *w, int64_t us, const char *wanted)
{
    g_autofree char *text = pushed(w, us);

    g_assert_cmpstr(text, ==, wanted);
}

static void test_all_at_first_then_what_changed(void)
{
    g_autoptr(World) w = world_new();

    subscribe(w, "{" HOSTS ",'_interval':5000,'_duration':300}");
    expect(w, US_PER_S, "one=1 two=2");
    expect(w, 20 * US_PER_S, "");
    qmf_object_set(w->one, "memory", value_int(VALUE_INT32, 5));
    expect(w, 5 * US_PER_S, "one=5");
    expect(w, 20 * US_PER_S, "");
    qmf_agent_remove_object(w->agent, w->one);
    expect(w, 5 * US_PER_S, "one=5 gone");
    expect(w, 20 * US_PER_S, "");
}

static void test_only_what_matches(void)
{
    g_autoptr(World) w = world_new();

    subscribe(w, "{'_query':{'_what':'OBJECT','_schema_id':{'_class_name':'Host'},'_where':['eq','memory',['quote',2]]}}");
    expect(w, US_PER_S, "two=2");
    qmf_object_set(w->one, "memory", value_int(VALUE_INT32, 7));
    expect(w, 60 * US_PER_S, "");
}

static void test_times_are_bounded_and_told(void)
{
    g_autoptr(World) w = world_new();
    const QmfMessage *answer = request(w, QMF_SUBSCRIBE_REQUEST, "{" HOSTS ",'_interval':5,'_duration':1000000}");

    g_assert_cmpint(value_get_int(answer->body, "_interval", 0), ==, 1000);
    g_assert_cmpint(value_get_int(answer->body, "_duration", 0), ==, 3600);
    answer = request(w, QMF_SUBSCRIBE_REQUEST, "{" HOSTS "}");
    g_assert_cmpint(value_get_int(answer->body, "_interval", 0), ==, 30000);
    g_assert_cmpint(value_get_int(answer->body, "_duration", 0), ==, 300);
}

static void touch(World *w)
{
    qmf_object_set(w->one, "memory", value_int(VALUE_INT32, 5));
}

static void test_end_refresh_and_cancel(void)
{
    g_autoptr(World) w = world_new();
    g_autofree char *id = g_strdup(subscribe(w, "{" HOSTS ",'_interval':1000,'_duration':10}"));
    g_autofree char *body = g_strdup_printf("{'_subscription_id':'%s'}", id);
    g_autofree char *longer = g_strdup_printf("{'_subscription_id':'%s','_duration':20}", id);

    expect(w, 8 * US_PER_S, "one=1 two=2");
    g_assert_cmpint(request(w, QMF_SUBSCRIBE_REFRESH_INDICATION, body)->opcode, ==, QMF_SUBSCRIBE_RESPONSE);
    touch(w);
    expect(w, 8 * US_PER_S, "one=5"); /* ten seconds from the refresh */
    g_assert_cmpint(value_get_int(request(w, QMF_SUBSCRIBE_REFRESH_INDICATION, longer)->body, "_duration", 0), ==, 20);
    expect(w, 15 * US_PER_S, "");
    touch(w);
    expect(w, 2 * US_PER_S, "one=5");
    g_assert_null(request(w, QMF_SUBSCRIBE_CANCEL_INDICATION, body)); /* no answer */
    touch(w);
    expect(w, 60 * US_PER_S, "");
    g_assert_cmpint(request(w, QMF_SUBSCRIBE_REFRESH_INDICATION, body)->opcode, ==, QMF_EXCEPTION);
}

static void test_expired_is_forgotten(void)
{
    g_autoptr(World) w = world_new();

    subscribe(w, "{" HOSTS ",'_interval':1000,'_duration':10}");
    expect(w, 20 * US_PER_S, "one=1 two=2");
    touch(w);
    expect(w, 20 * US_PER_S, "");
}

static void test_bad_requests_and_too_many(void)
{
    g_autoptr(World) w = world_new();
    static const char *const bad[] = { "{}", "{'_query':{'_what':'SCHEMA'}}", "{'_query':{'_what':'OBJECT'}}", "{'_query':5}",
                                       "{'_query':{'_what':'OBJECT','_schema_id':{'_class_name':'Host'},'_where':['eq']}}", NULL };

    for (size_t i = 0; bad[i] != NULL; i++)
        g_assert_cmpint(request(w, QMF_SUBSCRIBE_REQUEST, bad[i])->opcode, ==, QMF_EXCEPTION);
    for (int i = 0; i < 64; i++)
        subscribe(w, "{" HOSTS "}");
    g_assert_cmpint(request(w, QMF_SUBSCRIBE_REQUEST, "{" HOSTS "}")->opcode, ==, QMF_EXCEPTION);
    g_assert_null(request(w, QMF_SUBSCRIBE_CANCEL_INDICATION, "{'_subscription_id':'nobody'}"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/subscription/all at first, then what changed", test_all_at_first_then_what_changed);
    g_test_add_func("/subscription/only what matches", test_only_what_matches);
    g_test_add_func("/subscription/times are bounded and told", test_times_are_bounded_and_told);
    g_test_add_func("/subscription/end, refresh and cancel", test_end_refresh_and_cancel);
    g_test_add_func("/subscription/expired is forgotten", test_expired_is_forgotten);
    g_test_add_func("/subscription/bad requests and too many", test_bad_requests_and_too_many);
    return g_test_run();
}
