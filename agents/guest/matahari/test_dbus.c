/* The bridge on a bus of the test's own: the bus itself as Matahari's acceptance test has it, and a service of ours. */
#include "agents/guest/matahari/dbus_bridge.h"
#include "agents/guest/test_bench.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>

#define NAME  "org.mend.Test"
#define ASK   "\"bus_name\": \"" NAME "\", \"object_path\": \"/org/mend/one\", \"interface\": \"" NAME "\""
#define ONE   NAME "@/org/mend/one@" NAME

static const char xml[] = "<node><interface name='org.mend.Test'>"
                          "<method name='Sum'><arg type='ai' name='numbers' direction='in'/><arg type='x' name='sum' direction='out'/></method>"
                          "<method name='Turn'><arg type='a{sv}' name='d' direction='in'/><arg type='u' name='n' direction='in'/>"
                          "<arg type='a{sv}' name='d' direction='out'/><arg type='(us)' name='more' direction='out'/></method>"
                          "<method name='Fail'/><method name='Never'/><method name='Closed'/>"
                          "<signal name='Changed'><arg type='s' name='what'/><arg type='a{us}' name='how'/></signal>"
                          "<signal name='Other'/>"
                          "<property name='Level' type='u' access='readwrite'/><property name='Name' type='s' access='read'/>"
                          "</interface></node>";

static const char *const no_closed[] = {NAME "/" NAME ".Sum",     NAME "/" NAME ".Turn", NAME "/" NAME ".Fail", NAME "/" NAME ".Never",
                                        NAME "/" NAME ".Changed", NAME "/" NAME ".Get",  NAME "/" NAME ".Set",
                                        "org.freedesktop.DBus/org.freedesktop.DBus.*",   NULL};

typedef struct Bus {
    GTestDBus *daemon;
    GDBusConnection *service;
    Bench *b;
    DbusBridge *bridge;
    guint32 level;
    guint name, registered[2];
    bool owned;
} Bus;

static void on_call(GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *method,
                    GVariant *arguments, GDBusMethodInvocation *call, void *user)
{
    if (strcmp(method, "Sum") == 0) {
        g_autoptr(GVariantIter) iter = NULL;
        gint64 sum = 0;
        gint32 n;

        g_variant_get(arguments, "(ai)", &iter);
        while (g_variant_iter_next(iter, "i", &n))
            sum += n;
        g_dbus_method_invocation_return_value(call, g_variant_new("(x)", sum));
    } else if (strcmp(method, "Turn") == 0) {
        g_autoptr(GVariant) d = g_variant_get_child_value(arguments, 0), n = g_variant_get_child_value(arguments, 1);

        g_dbus_method_invocation_return_value(call, g_variant_new("(@a{sv}(us))", d, g_variant_get_uint32(n), "more"));
    } else if (strcmp(method, "Fail") == 0) {
        g_dbus_method_invocation_return_dbus_error(call, "org.mend.Error.Broken", "it is broken");
    } else {
        g_object_unref(call); /* no answer, ever */
    }
}

static GVariant *on_get(GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *property,
                        GError **error, void *user)
{
    return strcmp(property, "Level") == 0 ? g_variant_new_uint32(((Bus *) user)->level) : g_variant_new_string("one");
}

static gboolean on_set(GDBusConnection *connection, const char *sender, const char *path, const char *interface, const char *property,
                       GVariant *value, GError **error, void *user)
{
    Bus *bus = user;
    GVariantBuilder changed;

    bus->level = g_variant_get_uint32(value);
    g_variant_builder_init(&changed, G_VARIANT_TYPE("a{sv}"));
    g_variant_builder_add(&changed, "{sv}", property, value);
    g_dbus_connection_emit_signal(connection, NULL, path, "org.freedesktop.DBus.Properties", "PropertiesChanged",
                                  g_variant_new("(sa{sv}as)", interface, &changed, NULL), NULL);
    return TRUE;
}

static void on_owned(GDBusConnection *connection, const char *name, void *user)
{
    ((Bus *) user)->owned = true;
}

static GDBusConnection *connect_to(const char *address)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_for_address_sync(
        address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, NULL, &error);

    g_assert_no_error(error);
    return connection;
}

static void bus_open(Bus *bus, const char *const *allowed)
{
    static const GDBusInterfaceVTable table = {on_call, on_get, on_set, {0}};
    GDBusNodeInfo *node = g_dbus_node_info_new_for_xml(xml, NULL);
    static const char *const paths[] = {"/org/mend/one", "/org/mend/one/two"};
    g_autoptr(GError) error = NULL;

    bus->daemon = g_test_dbus_new(G_TEST_DBUS_NONE);
    g_test_dbus_up(bus->daemon);
    bus->service = connect_to(g_test_dbus_get_bus_address(bus->daemon));
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++)
        bus->registered[i] = g_dbus_connection_register_object(bus->service, paths[i], node->interfaces[0], &table, bus, NULL, NULL);
    bus->name = g_bus_own_name_on_connection(bus->service, NAME, G_BUS_NAME_OWNER_FLAGS_NONE, on_owned, NULL, bus, NULL);
    WAIT_FOR(bus->owned);
    g_dbus_node_info_unref(node);
    bus->b = bench_make();
    bench_open(bus->b);
    const DbusBridgeOptions options = {.address = g_test_dbus_get_bus_address(bus->daemon), .allowed = (char *const *) allowed};
    bus->bridge = dbus_bridge_new(&bus->b->context, &options, &error);
    g_assert_no_error(error);
    dbus_bridge_set_online(bus->bridge, true);
}

static void bus_close(Bus *bus)
{
    dbus_bridge_free(bus->bridge);
    bench_close(bus->b);
    bench_drop(bus->b);
    g_bus_unown_name(bus->name);
    for (size_t i = 0; i < G_N_ELEMENTS(bus->registered); i++)
        g_dbus_connection_unregister_object(bus->service, bus->registered[i]);
    g_dbus_connection_close_sync(bus->service, NULL, NULL);
    g_object_unref(bus->service);
    g_test_dbus_down(bus->daemon);
    g_object_unref(bus->daemon);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

#define BRIDGE(method, arguments, said_) CALL_IS("DBusBridge", method, "{" arguments "}", said_)
#define THE_BUS "\"bus_name\": \"org.freedesktop.DBus\", \"object_path\": \"/org/freedesktop/DBus\", \"interface\": \"org.freedesktop.DBus\""

/* Matahari's acceptance test: bridge org.freedesktop.DBus, call ListNames, receive NameOwnerChanged as an event. */
static void test_the_bus_itself(void)
{
    Bus bus = {0};
    const char *object = "org.freedesktop.DBus@/org/freedesktop/DBus@org.freedesktop.DBus";
    GDBusConnection *other;
    const json_t *event;

    bus_open(&bus, no_closed);
    Bench *b = bus.b;
    BRIDGE("add_dbus_object", THE_BUS, "{\"result\":0}");
    BRIDGE("add_dbus_object", THE_BUS, "{\"result\":0}");
    g_autofree char *names = call(b, object, "ListNames", "{}");
    g_assert_nonnull(strstr(names, "\"org.freedesktop.DBus\""));
    g_assert_nonnull(strstr(names, "\"" NAME "\""));
    other = connect_to(g_test_dbus_get_bus_address(bus.daemon));
    WAIT_FOR((event = event_values(b, "org.freedesktop.DBus.NameOwnerChanged", 0)) != NULL);
    g_assert_cmpuint(json_object_size(event), ==, 3);
    g_dbus_connection_close_sync(other, NULL, NULL);
    g_object_unref(other);
    WAIT_FOR(count_events(b, "org.freedesktop.DBus.NameOwnerChanged") >= 2);
    dbus_bridge_set_online(bus.bridge, false);
    other = connect_to(g_test_dbus_get_bus_address(bus.daemon));
    g_autofree char *again = call(b, object, "ListNames", "{}"); /* what was signalled before has been heard by now */
    guint n = count_events(b, "org.freedesktop.DBus.NameOwnerChanged");
    g_assert_cmpuint(n, <=, 3);
    g_dbus_connection_close_sync(other, NULL, NULL);
    g_object_unref(other);
    bus_close(&bus);
}

static void test_what_is_on_the_bus(void)
{
    Bus bus = {0};

    bus_open(&bus, no_closed);
    Bench *b = bus.b;
    BRIDGE("list_dbus_objects", "\"only_well_known\": true", "{\"dbus_objects\":[\"org.freedesktop.DBus\",\"" NAME "\"]}");
    g_autofree char *all = call(b, "DBusBridge", "list_dbus_objects", "{\"only_well_known\": false}");
    g_assert_nonnull(strstr(all, "\":1."));
    BRIDGE("list_object_paths", "\"bus_name\": \"" NAME "\"", "{\"object_paths\":[\"/org/mend/one/two\",\"/org/mend/one\"]}");
    BRIDGE("list_interfaces", "\"bus_name\": \"" NAME "\", \"object_path\": \"/org/mend/one\"",
           "{\"interfaces\":[\"org.freedesktop.DBus.Properties\",\"org.freedesktop.DBus.Introspectable\",\"org.freedesktop.DBus.Peer\","
           "\"org.mend.Test\"]}");
    BRIDGE("list_interfaces", "\"bus_name\": \"" NAME "\", \"object_path\": \"/nothing\"", "{\"interfaces\":[]}");
    BRIDGE("list_object_paths", "\"bus_name\": \"not a name\"", "! Invalid Arguments");
    BRIDGE("list_object_paths", "\"bus_name\": \"org.other\"", "! You are not authorized for specified action (mend-guest --dbus-allow)");
    BRIDGE("list_interfaces", "\"bus_name\": \"" NAME "\", \"object_path\": \"no path\"", "! Invalid Arguments");
    bus_close(&bus);
}

#define CALL(method, args, said_) BRIDGE("call", ASK ", \"method_name\": \"" method "\", \"args\": " args, said_)

static void test_call(void)
{
    Bus bus = {0};

    bus_open(&bus, no_closed);
    Bench *b = bus.b;
    CALL("Sum", "[[1, 2, -4]]", "{\"results\":[-1]}");
    CALL("Turn", "[{\"a\": 1, \"b\": [\"x\"]}, 7]", "{\"results\":[[[\"a\",1],[\"b\",[\"x\"]]],[7,\"more\"]]}");
    CALL("Fail", "[]", "! Unable to call DBus method: it is broken");
    CALL("Sum", "[]", "! Wrong number of arguments (expected: 1, found: 0)");
    CALL("Sum", "[[\"x\"]]", "! Invalid Arguments: numbers: a string does not fit D-Bus type i");
    CALL("Closed", "[]", "! You are not authorized for specified action (mend-guest --dbus-allow)");
    CALL("no method", "[]", "! Invalid Arguments");
    BRIDGE("call", "\"bus_name\": \"" NAME "\", \"object_path\": \"/nothing\", \"interface\": \"" NAME "\", \"method_name\": \"Sum\", \"args\": [[]]",
           "! No such interface 'org.mend.Test' found on object 'org.mend.Test' with path '/nothing'");
    BRIDGE("call", THE_BUS ", \"method_name\": \"Nothing\", \"args\": []", "! Unknown method 'Nothing' on interface 'org.freedesktop.DBus'");
    g_autofree char *never = ask(b, "DBusBridge", "call", "{" ASK ", \"method_name\": \"Never\", \"args\": []}", NULL);
    CALL("Sum", "[[1]]", "{\"results\":[1]}");
    g_assert_null(answer_of(b, never));
    dbus_bridge_free(g_steal_pointer(&bus.bridge));
    g_assert_nonnull(answer_of(b, never));
    bus_close(&bus);
}

static void emit(Bus *bus, GDBusConnection *connection, const char *path, const char *what)
{
    GVariantBuilder how;
    g_autoptr(GError) error = NULL;

    g_variant_builder_init(&how, G_VARIANT_TYPE("a{us}"));
    g_variant_builder_add(&how, "{us}", 7, "seven");
    g_dbus_connection_emit_signal(connection, NULL, path, NAME, "Changed", g_variant_new("(sa{us})", what, &how), &error);
    g_assert_no_error(error);
    g_dbus_connection_flush_sync(connection, NULL, NULL);
}

static void test_a_bridged_object(void)
{
    Bus bus = {.level = 3};
    const Value *values;
    GDBusConnection *stranger;

    bus_open(&bus, no_closed);
    Bench *b = bus.b;
    BRIDGE("add_dbus_object", "\"bus_name\": \"" NAME "\", \"object_path\": \"/org/mend/one\"", "{\"result\":0}");
    values = qmf_object_values(qmf_agent_object(b->agent, ONE));
    g_assert_cmpint(value_get_int(values, "Level", -1), ==, 3);
    g_assert_cmpstr(value_get_string(values, "Name"), ==, "one");
    g_assert_cmpstr(qmf_object_class(qmf_agent_object(b->agent, ONE))->package, ==, NAME "@/org/mend/one");
    g_assert_null(qmf_agent_object(b->agent, NAME "@/org/mend/one@org.freedesktop.DBus.Peer")); /* nothing of it is allowed */
    CALL_IS(ONE, "Sum", "{\"numbers\": [1, 2, 3]}", "{\"sum\":6}");
    CALL_IS(ONE, "Turn", "{\"d\": [[\"a\", 1]], \"n\": 9}", "{\"d_out\":[[\"a\",1]],\"more\":[9,\"more\"]}");
    CALL_IS(ONE, "Turn", "{\"n\": 9}", "! Invalid Arguments: d: a missing value does not fit D-Bus type a{sv}");
    CALL_IS(ONE, "Closed", "{}", "! You are not authorized for specified action (mend-guest --dbus-allow)");
    CALL_IS(ONE, "Nothing", "{}", "! Unknown method: Nothing");
    CALL_IS(ONE, "Get", "{}", "{\"values\":{\"Level\":3,\"Name\":\"one\"}}");
    CALL_IS(ONE, "Set", "{\"values\": {\"Level\": 5}}", "{}");
    g_assert_cmpuint(bus.level, ==, 5);
    WAIT_FOR(value_get_int(qmf_object_values(qmf_agent_object(b->agent, ONE)), "Level", -1) == 5); /* PropertiesChanged */
    CALL_IS(ONE, "Set", "{\"values\": {\"Height\": 5}}", "! No such property 'Height' on interface 'org.mend.Test'");
    CALL_IS(ONE, "Set", "{\"values\": {\"Level\": \"high\"}}", "! Invalid Arguments: Level: a string does not fit D-Bus type u");
    stranger = connect_to(g_test_dbus_get_bus_address(bus.daemon));
    emit(&bus, stranger, "/org/mend/one", "forged");
    g_dbus_connection_emit_signal(bus.service, NULL, "/org/mend/one", NAME, "Other", NULL, NULL); /* no rule speaks of it */
    emit(&bus, bus.service, "/org/mend/one/two", "elsewhere");
    emit(&bus, bus.service, "/org/mend/one", "true");
    WAIT_FOR(count_events(b, NAME ".Changed") == 1);
    g_autofree char *event = json_text(event_values(b, NAME ".Changed", 0));
    g_assert_cmpstr(event, ==, "{\"how\":[[7,\"seven\"]],\"what\":\"true\"}");
    int64_t begun_us = clock_now_us();
    for (int i = 0; i < 300; i++)
        emit(&bus, bus.service, "/org/mend/one", "flood");
    CALL_IS(ONE, "Sum", "{\"numbers\": []}", "{\"sum\":0}"); /* in order after them */
    if (clock_now_us() - begun_us < 5 * US_PER_S) /* else they were too few at a time */
        g_assert_cmpuint(count_events(b, NAME ".Changed"), ==, 200);
    g_assert_cmpuint(count_events(b, NAME ".Other"), ==, 0);
    g_dbus_connection_close_sync(stranger, NULL, NULL);
    g_object_unref(stranger);
    BRIDGE("add_dbus_object", "\"bus_name\": \"" NAME "\", \"object_path\": \"/org/mend/one\", \"interface\": \"org.mend.No\"",
           "! No such interface 'org.mend.No' found on object 'org.mend.Test' with path '/org/mend/one'");
    BRIDGE("add_dbus_object", "\"bus_name\": \"" NAME "\", \"object_path\": \"/org/mend/one\", \"interface\": \"org.freedesktop.DBus.Peer\"",
           "! You are not authorized for specified action (mend-guest --dbus-allow)");
    bus_close(&bus);
}

/* Bound is not yet listening. */
static bool is_listening(const char *path)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketConnection) connection = g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);

    return connection != NULL;
}

static GSubprocess *daemon_at(const char *path)
{
    g_autofree char *address = g_strconcat("--address=unix:path=", path, NULL);
    g_autoptr(GError) error = NULL;
    GSubprocess *daemon;

    g_remove(path);
    daemon = g_subprocess_new(G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error, "dbus-daemon", "--session", "--nofork", address, NULL);
    g_assert_no_error(error);
    WAIT_FOR(is_listening(path));
    return daemon;
}

static void end(GSubprocess *daemon)
{
    g_subprocess_force_exit(daemon);
    g_subprocess_wait(daemon, NULL, NULL);
    g_object_unref(daemon);
}

/* The same objects signal again, whether the next call opens the bus or nobody calls. */
static void test_a_bus_that_comes_back(void)
{
    static const char owner_changed[] = "org.freedesktop.DBus.NameOwnerChanged";
    static const char *const some[] = {"org.freedesktop.DBus/*", NULL};
    Bench *b = bench_make();
    g_autofree char *path = g_build_filename(b->world->folder, "bus", NULL), *address = g_strconcat("unix:path=", path, NULL);
    const char *object = "org.freedesktop.DBus@/org/freedesktop/DBus@org.freedesktop.DBus";
    GSubprocess *daemon = daemon_at(path);
    GDBusConnection *other;
    DbusBridge *bridge;

    bench_open(b);
    const DbusBridgeOptions options = {.address = address, .allowed = (char *const *) some};
    bridge = dbus_bridge_new(&b->context, &options, NULL);
    dbus_bridge_set_online(bridge, true);
    BRIDGE("add_dbus_object", THE_BUS, "{\"result\":0}");
    end(daemon);
    g_autofree char *gone = call(b, object, "GetId", "{}");
    g_assert_true(g_str_has_prefix(gone, "! Unable to call DBus method: "));
    daemon = daemon_at(path);
    g_autofree char *back = NULL;
    for (back = call(b, object, "GetId", "{}"); *back == '!'; back = call(b, object, "GetId", "{}"))
        g_free(back);
    other = connect_to(address);
    WAIT_FOR(count_events(b, owner_changed) > 0);
    g_dbus_connection_close_sync(other, NULL, NULL);
    g_object_unref(other);
    end(daemon);
    daemon = daemon_at(path);
    unsigned before = count_events(b, owner_changed);
    for (int64_t until_us = clock_now_us() + 20 * US_PER_S; count_events(b, owner_changed) == before && clock_now_us() < until_us;) {
        other = connect_to(address);
        g_dbus_connection_close_sync(other, NULL, NULL);
        g_object_unref(other);
        for (int i = 0; i < 50; i++) {
            g_usleep(4000);
            g_main_context_iteration(NULL, FALSE);
        }
    }
    g_assert_cmpuint(count_events(b, owner_changed), >, before);
    dbus_bridge_free(bridge);
    bench_close(b);
    end(daemon);
    bench_drop(b);
}

static void test_a_bus_that_is_not_there(void)
{
    static const char *const some[] = {"*/*", NULL};
    Bench *b = bench_make();
    g_autoptr(GError) error = NULL;
    DbusBridge *bridge;

    bench_open(b);
    const DbusBridgeOptions options = {.address = "unix:path=/nowhere/at/all", .allowed = (char *const *) some};
    bridge = dbus_bridge_new(&b->context, &options, &error);
    g_assert_no_error(error);
    g_autofree char *said_ = call(b, "DBusBridge", "list_object_paths", "{\"bus_name\": \"org.a\"}");
    g_assert_cmpstr(said_, ==, "{\"object_paths\":[]}");
    g_autofree char *names = call(b, "DBusBridge", "list_dbus_objects", "{}");
    g_assert_true(g_str_has_prefix(names, "! Unable to call DBus method: "));
    dbus_bridge_free(bridge);
    bench_close(b);
    bench_drop(b);
}

int main(int argc, char **argv)
{
    g_autofree char *daemon = g_find_program_in_path("dbus-daemon");

    g_test_init(&argc, &argv, NULL);
    if (daemon == NULL) {
        g_print("skipped: no dbus-daemon here\n");
        return 77;
    }
    g_test_add_func("/dbus/the bus itself", test_the_bus_itself);
    g_test_add_func("/dbus/what is on the bus", test_what_is_on_the_bus);
    g_test_add_func("/dbus/call", test_call);
    g_test_add_func("/dbus/a bridged object", test_a_bridged_object);
    g_test_add_func("/dbus/a bus that comes back", test_a_bus_that_comes_back);
    g_test_add_func("/dbus/a bus that is not there", test_a_bus_that_is_not_there);
    return g_test_run();
}
