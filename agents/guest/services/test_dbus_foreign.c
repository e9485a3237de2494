/* A bus that is not one: every answer is an error in words, none is waited for beyond its limit. (A real one: tests/bridges.) */
#include "agents/guest/services/dbus_foreign.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct Bus {
    GSocketService *service;
    char *path, *address, *answer;
    size_t answer_bytes;
    GError *error;
    bool done;
} Bus;

/* Answers whatever is said, and hangs up. On a thread of its own. */
static gboolean on_run(GThreadedSocketService *service, GSocketConnection *connection, GObject *source, void *user)
{
    Bus *bus = user;
    char said[256];
    gssize n = g_input_stream_read(g_io_stream_get_input_stream(G_IO_STREAM(connection)), said, sizeof said, NULL, NULL);

    g_assert_cmpmem(said, (size_t) n, "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n", 29);
    g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), bus->answer, bus->answer_bytes, NULL, NULL, NULL);
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    return TRUE;
}

static void on_open(GObject *source, GAsyncResult *result, void *user)
{
    Bus *bus = user;
    GDBusConnection *connection = dbus_foreign_open_finish(result, &bus->error);

    g_assert_null(connection);
    bus->done = true;
}

static void says(const char *answer, size_t bytes, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *folder = g_dir_make_tmp("mend-foreign-XXXXXX", NULL);
    Bus bus = { .service = g_threaded_socket_service_new(1), .path = g_build_filename(folder, "bus", NULL), .answer = (char *) answer, .answer_bytes = bytes };
    g_autoptr(GSocketAddress) at = g_unix_socket_address_new(bus.path);

    bus.address = g_strconcat("unix:path=", bus.path, NULL);
    g_assert_true(g_socket_listener_add_address(G_SOCKET_LISTENER(bus.service), at, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, &error));
    g_signal_connect(bus.service, "run", G_CALLBACK(on_run), &bus);
    dbus_foreign_open(bus.address, NULL, on_open, &bus);
    while (!bus.done)
        g_main_context_iteration(NULL, TRUE);
    if (strstr(bus.error->message, expected) == NULL)
        g_error("'%s' has no '%s'", bus.error->message, expected);
    g_error_free(bus.error);
    g_socket_service_stop(bus.service);
    g_socket_listener_close(G_SOCKET_LISTENER(bus.service));
    g_object_unref(bus.service);
    g_unlink(bus.path);
    g_rmdir(folder);
    g_free(bus.path);
    g_free(bus.address);
}

static void test_no_bus(void)
{
    g_autofree char *flood = g_strnfill(4000, 'x');

    says("", 0, "AllowStreamLocalForwarding");
    says("REJECTED ANONYMOUS\r\n", 20, "does not let us in");
    says("DATA\r\nREJECTED EXTERNAL\r\n", 25, "does not let us in");
    says("DATA\r\nOK 12", 11, "AllowStreamLocalForwarding"); /* never whole */
    says(flood, 4000, "does not let us in");
    says("\0\0\0", 3, "AllowStreamLocalForwarding");
}

/* It lets us in and says nothing sensible to Hello. */
static void test_half_a_bus(void) { says("DATA\r\nOK 1234\r\n", 15, ""); }

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/dbus-foreign/no bus", test_no_bus);
    g_test_add_func("/dbus-foreign/half a bus", test_half_a_bus);
    return g_test_run();
}
