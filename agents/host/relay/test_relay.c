/* The relay between guests at the ends of sockets such as QEMU makes, and a broker that sends back what it gets. */
#include "agents/host/relay/relay.h"

#include "lib/amqp/serial_pipe.h"
#include "lib/amqp/vsock.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VM "aaaaaaaa-0000-4000-8000-000000000001"
#define OTHER "aaaaaaaa-0000-4000-8000-000000000002"

#define UNTIL(condition)                                     \
    do {                                                     \
        int64_t until_ = clock_now_us() + 20 * US_PER_S;     \
        while (!(condition)) {                               \
            g_assert_cmpint(clock_now_us(), <, until_);      \
            g_main_context_iteration(NULL, FALSE);           \
        }                                                    \
    } while (0)

/* ---- a broker ---- */

typedef struct Broker {
    GSocketService *service;
    uint16_t port;
    unsigned connections, open;
    GPtrArray *streams;
} Broker;

static void on_echoed(GObject *object, GAsyncResult *result, gpointer user)
{
    ((Broker *) user)->open--;
    g_output_stream_splice_finish(G_OUTPUT_STREAM(object), result, NULL);
}

static gboolean on_incoming(GSocketService *service, GSocketConnection *connection, GObject *source, gpointer user)
{
    Broker *broker = user;

    broker->connections++;
    broker->open++;
    g_ptr_array_add(broker->streams, g_object_ref(connection));
    g_output_stream_splice_async(g_io_stream_get_output_stream(G_IO_STREAM(connection)), g_io_stream_get_input_stream(G_IO_STREAM(connection)),
                                 G_OUTPUT_STREAM_SPLICE_CLOSE_SOURCE | G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, 0, NULL, on_echoed, broker);
    return TRUE;
}

static void broker_start(Broker *broker)
{
    g_autoptr(GSocketAddress) any = g_inet_socket_address_new_from_string("127.0.0.1", broker->port), here = NULL;
    g_autoptr(GError) error = NULL;

    broker->service = g_socket_service_new();
    if (broker->streams == NULL)
        broker->streams = g_ptr_array_new_with_free_func(g_object_unref);
    g_socket_listener_add_address(G_SOCKET_LISTENER(broker->service), any, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &here, &error);
    g_assert_no_error(error);
    broker->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(here));
    g_signal_connect(broker->service, "incoming", G_CALLBACK(on_incoming), broker);
}

static void broker_stop(Broker *broker)
{
    g_socket_service_stop(broker->service);
    g_socket_listener_close(G_SOCKET_LISTENER(broker->service));
    g_clear_object(&broker->service);
    for (guint i = 0; i < broker->streams->len; i++)
        shutdown(g_socket_get_fd(g_socket_connection_get_socket(broker->streams->pdata[i])), SHUT_RDWR);
    UNTIL(broker->open == 0);
    g_ptr_array_set_size(broker->streams, 0);
}

/* ---- QEMU: the socket; and in it a guest's agent ---- */

typedef struct Machine {
    char *path;
    GSocketService *service;
    GSocketConnection *connection; /* the relay's */
    SerialPipe *pipe;              /* the agent's end */
    int stream;                    /* -1: no session */
    char *closed;
    unsigned lives;
} Machine;

static void on_opened(SerialPipe *pipe, void *user)
{
    Machine *machine = user;
    int ends[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
    g_unix_set_fd_nonblocking(ends[0], TRUE, NULL);
    machine->stream = ends[0];
    serial_pipe_attach(pipe, ends[1]);
}

static void agent_stop(Machine *machine)
{
    g_clear_pointer(&machine->pipe, serial_pipe_free);
    if (machine->stream >= 0)
        close(machine->stream);
    machine->stream = -1;
}

static void on_closed(SerialPipe *pipe, const char *why, void *user)
{
    Machine *machine = user;

    g_free(machine->closed);
    machine->closed = g_strdup(why);
    if (machine->stream >= 0)
        close(machine->stream);
    machine->stream = -1;
}

static void on_gone(SerialPipe *pipe, const char *why, void *user)
{
    agent_stop(user);
}

static void agent_start(Machine *machine)
{
    SerialPipeOptions options = { .opened = on_opened, .closed = on_closed, .gone = on_gone, .user = machine };

    UNTIL(machine->connection != NULL);
    machine->pipe = serial_pipe_new(dup(g_socket_get_fd(g_socket_connection_get_socket(machine->connection))), &options);
    serial_pipe_open(machine->pipe);
}

static gboolean on_relay(GSocketService *service, GSocketConnection *connection, GObject *source, gpointer user)
{
    Machine *machine = user;

    g_set_object(&machine->connection, connection);
    machine->lives++;
    return TRUE;
}

static void machine_start(Machine *machine, const char *folder, const char *name)
{
    g_autoptr(GSocketAddress) here = NULL;
    g_autoptr(GError) error = NULL;

    *machine = (Machine) { .path = g_build_filename(folder, name, NULL), .stream = -1, .service = g_socket_service_new() };
    here = g_unix_socket_address_new(machine->path);
    g_socket_listener_add_address(G_SOCKET_LISTENER(machine->service), here, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, &error);
    g_assert_no_error(error);
    g_signal_connect(machine->service, "incoming", G_CALLBACK(on_relay), machine);
}

static void machine_stop(Machine *machine)
{
    agent_stop(machine);
    g_socket_service_stop(machine->service);
    g_socket_listener_close(G_SOCKET_LISTENER(machine->service));
    g_clear_object(&machine->service);
    g_clear_object(&machine->connection);
    g_unlink(machine->path);
    g_clear_pointer(&machine->path, g_free);
    g_clear_pointer(&machine->closed, g_free);
}

static void talk(const Machine *machine, const char *text)
{
    char answer[64] = "";
    size_t n = 0;

    g_assert_cmpint(write(machine->stream, text, strlen(text)), ==, (gssize) strlen(text));
    while (n < strlen(text)) {
        gssize r = read(machine->stream, answer + n, sizeof answer - 1 - n);
        g_assert_cmpint(r, !=, 0);
        n += r > 0 ? (size_t) r : 0;
        g_main_context_iteration(NULL, FALSE);
    }
    g_assert_cmpstr(answer, ==, text);
}

/* ---- tests ---- */

typedef struct World {
    char *folder, *url;
    Broker broker;
    Relay *relay;
} World;

static void relay_start(World *world)
{
    g_autoptr(GError) error = NULL;

    world->relay = relay_new(&(RelayOptions) { .broker = world->url }, &error);
    g_assert_no_error(error);
}

static World *world_new(void)
{
    World *world = g_new0(World, 1);

    world->folder = g_dir_make_tmp("mend-relay-XXXXXX", NULL);
    broker_start(&world->broker);
    world->url = g_strdup_printf("amqps://127.0.0.1:%u", world->broker.port);
    relay_start(world);
    return world;
}

static void world_free(World *world)
{
    relay_free(world->relay);
    if (world->broker.service != NULL)
        broker_stop(&world->broker);
    g_ptr_array_unref(world->broker.streams);
    g_rmdir(world->folder);
    g_free(world->folder);
    g_free(world->url);
    g_free(world);
}

static void test_two_guests(void)
{
    World *world = world_new();
    Machine a, b;

    machine_start(&a, world->folder, "a");
    machine_start(&b, world->folder, "b");
    relay_set_channel(world->relay, VM, a.path);
    relay_set_channel(world->relay, OTHER, b.path);
    relay_set_channel(world->relay, VM, a.path); /* again: nothing new */
    agent_start(&a);
    agent_start(&b);
    UNTIL(a.stream >= 0 && b.stream >= 0);
    talk(&a, "one of a");
    talk(&b, "one of b");
    g_assert_cmpuint(world->broker.connections, ==, 2);
    g_assert_cmpuint(relay_open_count(world->relay), ==, 2);
    relay_set_channel(world->relay, OTHER, NULL); /* b is off */
    UNTIL(world->broker.open == 1);
    talk(&a, "still there");
    machine_stop(&a);
    machine_stop(&b);
    world_free(world);
}

static void test_agent_restarts(void)
{
    World *world = world_new();
    Machine a;

    machine_start(&a, world->folder, "a");
    relay_set_channel(world->relay, VM, a.path);
    for (unsigned life = 1; life <= 3; life++) {
        agent_start(&a);
        while (a.stream < 0) {
            if (a.closed != NULL) { /* too soon */
                g_clear_pointer(&a.closed, g_free);
                agent_stop(&a);
                agent_start(&a);
            }
            g_main_context_iteration(NULL, FALSE);
        }
        UNTIL(world->broker.open == 1); /* the one of its last life is closed */
        g_assert_cmpuint(world->broker.connections, ==, life);
        talk(&a, "hello");
        close(a.stream); /* as when it is killed: nothing is said on the port */
        a.stream = -1;
        g_clear_pointer(&a.pipe, serial_pipe_free);
    }
    machine_stop(&a);
    world_free(world);
}

static void test_broker_away(void)
{
    World *world = world_new();
    Machine a;

    machine_start(&a, world->folder, "a");
    relay_set_channel(world->relay, VM, a.path);
    agent_start(&a);
    UNTIL(a.stream >= 0);
    broker_stop(&world->broker);
    UNTIL(a.closed != NULL);
    g_assert_cmpuint(relay_open_count(world->relay), ==, 0);
    for (int i = 0; i < 2; i++) {
        g_clear_pointer(&a.closed, g_free);
        serial_pipe_open(a.pipe);
        UNTIL(a.closed != NULL);
        g_assert_true(strstr(a.closed, "no way to the broker") != NULL || strstr(a.closed, "too soon") != NULL);
    }
    broker_start(&world->broker);
    while (a.stream < 0) {
        if (a.closed != NULL) {
            g_clear_pointer(&a.closed, g_free);
            serial_pipe_open(a.pipe);
        }
        g_main_context_iteration(NULL, FALSE);
    }
    talk(&a, "back");
    machine_stop(&a);
    world_free(world);
}

static void test_relay_restarts(void)
{
    World *world = world_new();
    Machine a;

    machine_start(&a, world->folder, "a");
    relay_set_channel(world->relay, VM, a.path);
    agent_start(&a);
    UNTIL(a.stream >= 0);
    relay_free(world->relay);
    UNTIL(world->broker.open == 0);
    relay_start(world);
    relay_set_channel(world->relay, VM, a.path);
    UNTIL(a.lives == 2);
    agent_stop(&a); /* what it had open is hung up */
    agent_start(&a);
    UNTIL(a.stream >= 0);
    talk(&a, "again");
    machine_stop(&a);
    world_free(world);
}

static void test_machine_comes_later(void)
{
    World *world = world_new();
    g_autofree char *path = g_build_filename(world->folder, "a", NULL);
    Machine a;

    relay_set_channel(world->relay, VM, path);
    for (int i = 0; i < 5; i++)
        g_main_context_iteration(NULL, FALSE);
    for (int life = 0; life < 2; life++) {
        machine_start(&a, world->folder, "a");
        agent_start(&a);
        UNTIL(a.stream >= 0 || a.closed != NULL);
        if (a.stream >= 0)
            talk(&a, "up");
        machine_stop(&a);
    }
    world_free(world);
}

/* ---- vsock, where this kernel loops it back: then we are the VM with the address 1 ---- */

typedef struct Answer {
    GIOStream *stream;
    bool done;
} Answer;

static void on_vsock(GObject *object, GAsyncResult *result, gpointer user)
{
    Answer *answer = user;

    answer->stream = g_task_propagate_pointer(G_TASK(result), NULL);
    answer->done = true;
}

static GIOStream *vsock_to(uint16_t port)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    int64_t until = clock_now_us() + US_PER_S;
    Answer answer = { 0 };

    vsock_connect("1", port, cancel, on_vsock, &answer);
    while (!answer.done) {
        g_main_context_iteration(NULL, FALSE);
        if (clock_now_us() > until)
            g_cancellable_cancel(cancel);
    }
    return answer.stream;
}

static void test_vsock(void)
{
    World *world = world_new();
    uint16_t port = (uint16_t) (40000 + getpid() % 20000);
    g_autoptr(GError) error = NULL;
    GIOStream *stream = NULL;
    Machine guest = { .stream = -1 };

    g_clear_pointer(&world->relay, relay_free);
    world->relay = relay_new(&(RelayOptions) { .broker = world->url, .vsock_port = port }, &error);
    if (world->relay == NULL || (stream = vsock_to(port)) == NULL) {
        g_test_skip("this kernel has no vsock_loopback");
        world_free(world);
        return;
    }
    guest.stream = g_socket_get_fd(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)));
    UNTIL(read(guest.stream, &(char) { 0 }, 1) == 0); /* nobody's address: hung up on */
    g_object_unref(stream);
    g_assert_cmpuint(world->broker.connections, ==, 0);
    relay_set_cid(world->relay, VM, 1);
    stream = vsock_to(port);
    g_assert_nonnull(stream);
    guest.stream = g_socket_get_fd(g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream)));
    talk(&guest, "over vsock");
    g_assert_cmpuint(world->broker.open, ==, 1);
    g_object_unref(stream);
    UNTIL(world->broker.open == 0); /* the guest went, so does its connection */
    world_free(world);
}

static void test_bad_options(void)
{
    static const char *const bad[] = { "vsock://2:1", "virtio-serial:///dev/x", "http://x", "" };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(relay_new(&(RelayOptions) { .broker = bad[i] }, &error));
        g_assert_nonnull(error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/relay/two-guests", test_two_guests);
    g_test_add_func("/relay/agent-restarts", test_agent_restarts);
    g_test_add_func("/relay/broker-away", test_broker_away);
    g_test_add_func("/relay/relay-restarts", test_relay_restarts);
    g_test_add_func("/relay/machine-comes-later", test_machine_comes_later);
    g_test_add_func("/relay/vsock", test_vsock);
    g_test_add_func("/relay/bad-options", test_bad_options);
    return g_test_run();
}
