/* The part as the bus sees it: evidence and the object VmFacts, with an agent that answers as told and a guest at the end of a socket. */
#include "agents/host/channel/channels.h"

#include "agents/host/host_stand.h"
#include "lib/base/clock.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <jansson.h>
#include <signal.h>
#include <string.h>

#define REPLY "{\"__name__\":\"completion\",\"reply_id\":\"1\"}\n"
#define VM "aaaaaaaa-0000-4000-8000-000000000001"

typedef struct World {
    HostStand *stand;
    Channels *channels;
    QgaOutcome outcome;
    unsigned asked;
    int lifecycle; /* -1 */
} World;

typedef struct Late {
    World *world;
    char *command;
    ChannelsAnswerFn done;
    void *data;
} Late;

static gboolean answer_late(void *user)
{
    g_autofree Late *late = user;
    bool info = strstr(late->command, "guest-info") != NULL, name = strstr(late->command, "host-name") != NULL;

    late->done(late->world->outcome,
               info ? "{\"return\":{\"version\":\"7\",\"supported_commands\":[{\"name\":\"guest-get-host-name\",\"enabled\":true}]}}"
               : name ? "{\"return\":{\"host-name\":\"inside\"}}" : "{\"return\":{}}", late->data);
    g_free(late->command);
    return G_SOURCE_REMOVE;
}

static void on_ask(void *user, const char *vm, const char *command, int limit_s, ChannelsAnswerFn done, void *data)
{
    World *world = user;
    Late *late = g_new(Late, 1);

    g_assert_cmpstr(vm, ==, VM);
    world->asked++;
    *late = (Late) { world, g_strdup(command), done, data };
    g_idle_add(answer_late, late);
}

static const Value *facts(World *world)
{
    QmfObject *object = qmf_agent_object(host_agent(world->stand->host), "facts:" VM);

    return object != NULL ? value_get(qmf_object_values(object), "facts") : NULL;
}

static bool knows_hostname(void *user) { return value_get(facts(user), "hostname") != NULL; }
static bool lifecycle_done(void *user) { return ((World *) user)->lifecycle >= 0; }
static void on_lifecycle(OvirtReply reply, void *user) { ((World *) user)->lifecycle = (int) reply; }

static void test_agent(void)
{
    World world = { .stand = host_stand_new(), .outcome = QGA_ANSWERED, .lifecycle = -1 };
    guint at;

    world.channels = channels_new(world.stand->host, on_ask, &world);
    channels_set(world.channels, VM, true, false, NULL); /* nobody has it open in the guest: not asked */
    channels_set(world.channels, VM, true, true, NULL);
    at = host_stand_wait(world.stand, 0, "vm_state", "channel", "qga", 5000);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world.stand, at), "says")), ==, "alive");
    host_stand_until(knows_hostname, &world, 10000);
    g_assert_cmpstr(value_get_string(value_get(facts(&world), "hostname"), "value"), ==, "inside");
    g_assert_cmpstr(value_get_string(value_get(facts(&world), "hostname"), "source"), ==, "qga");
    channels_lifecycle(world.channels, VM, OVIRT_BEFORE_MIGRATION, on_lifecycle, &world);
    g_assert_cmpint(world.lifecycle, ==, OVIRT_REPLY_UNSUPPORTED);
    channels_set(world.channels, VM, true, false, NULL);
    at = host_stand_wait(world.stand, at + 1, "vm_state", "says", "unknown", 5000);
    channels_set(world.channels, VM, false, false, NULL);
    g_assert_null(facts(&world));
    channels_free(world.channels);
    host_stand_free(world.stand);
}

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection, GObject *source, gpointer user)
{
    static const char session[] = "{\"__name__\":\"host-name\",\"name\":\"by ovirt\"}\n{\"__name__\":\"heartbeat\",\"apiVersion\":3}\n";

    g_set_object((GSocketConnection **) user, connection);
    g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), session, strlen(session), NULL, NULL, NULL);
    return TRUE;
}

static void test_ovirt(void)
{
    World world = { .stand = host_stand_new(), .outcome = QGA_ANSWERED, .lifecycle = -1 };
    g_autofree char *path = g_build_filename(host_data(world.stand->host), "port", NULL);
    g_autoptr(GSocketAddress) here = g_unix_socket_address_new(path);
    g_autoptr(GSocketService) service = g_socket_service_new();
    GSocketConnection *connection = NULL;

    g_socket_listener_add_address(G_SOCKET_LISTENER(service), here, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, NULL);
    g_signal_connect(service, "incoming", G_CALLBACK(on_incoming), &connection);
    world.channels = channels_new(world.stand->host, on_ask, &world);
    channels_set(world.channels, VM, false, false, path);
    host_stand_until(knows_hostname, &world, 10000);
    g_assert_cmpstr(value_get_string(value_get(facts(&world), "hostname"), "source"), ==, "ovirt-guest-agent");
    g_assert_cmpuint(world.asked, ==, 0);
    channels_lifecycle(world.channels, VM, OVIRT_BEFORE_MIGRATION, on_lifecycle, &world);
    g_assert_cmpint(world.lifecycle, ==, -1);
    g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), REPLY, strlen(REPLY), NULL, NULL, NULL);
    host_stand_until(lifecycle_done, &world, 5000);
    g_assert_cmpint(world.lifecycle, ==, OVIRT_REPLY_OK);
    channels_free(world.channels);
    g_socket_listener_close(G_SOCKET_LISTENER(service));
    g_clear_object(&connection);
    g_unlink(path);
    host_stand_free(world.stand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    g_test_add_func("/channels/agent", test_agent);
    g_test_add_func("/channels/ovirt", test_ovirt);
    return g_test_run();
}
