/* Which connection of a qpidd is which agent's, by its events and its objects. */
#include "broker-plugin/hosts/attach/qpidd_names.h"

#include <string.h>

static void on_opened(const char *key, const char *user, const char *where, void *host) { g_string_append_printf(host, "+%s=%s;", key, user); }
static void on_closed(const char *key, void *host) { g_string_append_printf(host, "-%s;", key); }
static void on_named(const char *key, const char *agent, void *host) { g_string_append_printf(host, "%s:%s;", key, agent); }

static AttachWay way_to(GString *said)
{
    return (AttachWay) { .peer_opened = on_opened, .peer_closed = on_closed, .peer_named = on_named, .host = said };
}

static Value *from(const char *json)
{
    g_autoptr(json_t) parsed = json_loads(json, 0, NULL);

    g_assert_nonnull(parsed);
    return value_from_json(parsed);
}

#define REF(class, name) "{\"_object_name\": \"org.apache.qpid.broker:" class ":" name "\"}"

static void test_objects(void)
{
    g_autoptr(Value) bindings = from("["
        "{\"_values\": {\"exchangeRef\": " REF("exchange", "qmf.default.direct") ", \"queueRef\": " REF("queue", "c1_l1") ", \"bindingKey\": \"v:new:1\"}},"
        "{\"_values\": {\"exchangeRef\": " REF("exchange", "qmf.default.direct") ", \"queueRef\": " REF("queue", "old") ", \"bindingKey\": \"v:old:1\"}},"
        "{\"_values\": {\"exchangeRef\": " REF("exchange", "qmf.default.direct") ", \"queueRef\": " REF("queue", "left") ", \"bindingKey\": \"v:left:1\"}},"
        "{\"_values\": {\"exchangeRef\": " REF("exchange", "qmf.default.direct") ", \"queueRef\": " REF("queue", "nobodys") ", \"bindingKey\": \"v:x:1\"}},"
        "{\"_values\": {\"exchangeRef\": " REF("exchange", "qmf.default.topic") ", \"queueRef\": " REF("queue", "old") ", \"bindingKey\": \"agent.#\"}},"
        "{\"_values\": {\"exchangeRef\": 7}}, 3]");
    g_autoptr(Value) outgoing = from("[{\"_values\": {\"containerid\": \"c1\", \"name\": \"l1\", \"sessionRef\": " REF("session", "0x1") "}}, {}]");
    g_autoptr(Value) subscriptions = from("[{\"_values\": {\"queueRef\": " REF("queue", "old") ", \"sessionRef\": " REF("session", "s2") "}},"
                                          "{\"_values\": {\"queueRef\": " REF("queue", "left") ", \"sessionRef\": " REF("session", "s3") "}}]");
    g_autoptr(Value) sessions = from("[{\"_object_id\": " REF("session", "0x1") ", \"_values\": {\"connectionRef\": " REF("connection", "k:1-h:1") "}},"
                                     "{\"_object_id\": " REF("session", "s2") ", \"_values\": {\"connectionRef\": " REF("connection", "k:1-h:2") "}},"
                                     "{\"_object_id\": " REF("session", "s3") ", \"_values\": {\"connectionRef\": " REF("connection", "k:1-h:3") "}},"
                                     "{\"_object_id\": " REF("queue", "s4") "}]");
    g_autoptr(Value) connections = from("[{\"_values\": {\"address\": \"k:1-h:1\", \"authIdentity\": \"anonymous@QPID\"}},"
                                        "{\"_values\": {\"address\": \"k:1-h:2\", \"authIdentity\": \"anonymous\"}},"
                                        "{\"_values\": {\"address\": \"k:1-h:3\"}}, {\"_values\": {}}]");
    g_autoptr(GString) said = g_string_new(NULL);
    g_autoptr(GHashTable) ended = g_hash_table_new(g_str_hash, g_str_equal);
    const AttachWay way = way_to(said);

    g_hash_table_add(ended, (gpointer) "k:1-h:3"); /* it went while we asked */
    qpidd_names_read(&way, &(QpiddObjects) { bindings, outgoing, subscriptions, sessions, connections }, ended);
    g_assert_cmpstr(said->str, ==, "+k:1-h:1=anonymous;+k:1-h:2=anonymous;k:1-h:1:v:new:1;k:1-h:2:v:old:1;");
    g_string_truncate(said, 0);
    qpidd_names_read(&way, &(QpiddObjects) { 0 }, ended); /* nothing was answered */
    g_assert_cmpstr(said->str, ==, "");
}

static void event(QpiddNames *names, const char *class, const char *json)
{
    g_autoptr(Value) values = from(json);

    qpidd_names_event(names, class, values);
}

static void test_events(void)
{
    g_autoptr(GString) said = g_string_new(NULL);
    const AttachWay way = way_to(said);
    QpiddNames *names = qpidd_names_new(&way, NULL);

    event(names, "clientConnect", "{\"rhost\": \"k\", \"user\": \"mh@QPID\"}");
    event(names, "bind", "{\"rhost\": \"k\", \"exName\": \"qmf.default.direct\", \"key\": \"v:p:1\"}");
    event(names, "bind", "{\"rhost\": \"k\", \"exName\": \"qmf.default.topic\", \"key\": \"console.#\"}");
    event(names, "bind", "{\"rhost\": \"\", \"exName\": \"qmf.default.direct\", \"key\": \"v:p:2\"}"); /* the broker's own */
    event(names, "bind", "{\"exName\": \"qmf.default.direct\"}");
    event(names, "queueDeclare", "{\"rhost\": \"k\", \"excl\": true, \"qName\": \"q\"}"); /* asked for later */
    event(names, "queueDeclare", "{\"rhost\": \"k\", \"qName\": \"q\"}");
    event(names, "clientDisconnect", "{\"rhost\": \"k\", \"user\": \"mh@QPID\"}");
    event(names, "nonsense", "{\"rhost\": \"k\"}");
    g_assert_cmpstr(said->str, ==, "+k=mh;k:v:p:1;-k;");
    qpidd_names_close(names);
    qpidd_names_look(names); /* not any more */
    qpidd_names_free(names);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qpidd-names/objects", test_objects);
    g_test_add_func("/qpidd-names/events", test_events);
    return g_test_run();
}
