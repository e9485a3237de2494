/* A bus that is not one: every answer is an error in words, none is waited for beyond its limit. (A real one: tests/bridges.) */
#include "agents/guest/services/dbus_foreign.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Bus {
    int listener;
    const char *answer;
    size_t answer_bytes;
    GError *error;
    bool done;
} Bus;

/* On a thread of its own: answers whatever is said to it, and hangs up. */
static void *answer_one(void *user)
{
    static const char expected[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
    Bus *bus = user;
    int fd = accept(bus->listener, NULL, NULL);
    char said[sizeof expected - 1];

    g_assert_cmpint(recv(fd, said, sizeof said, MSG_WAITALL), ==, sizeof said);
    g_assert_cmpmem(said, sizeof said, expected, sizeof said);
    g_assert_cmpint(send(fd, bus->answer, bus->answer_bytes, MSG_NOSIGNAL), ==, bus->answer_bytes);
    close(fd);
    return NULL;
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
    g_autofree char *folder = g_dir_make_tmp("mend-foreign-XXXXXX", NULL), *path = g_build_filename(folder, "bus", NULL);
    g_autofree char *address = g_strconcat("unix:path=", path, NULL);
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    Bus bus = { .listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .answer = answer, .answer_bytes = bytes };
    GThread *thread;

    g_strlcpy(at.sun_path, path, sizeof at.sun_path);
    g_assert_cmpint(bind(bus.listener, (const struct sockaddr *) &at, sizeof at), ==, 0);
    g_assert_cmpint(listen(bus.listener, 1), ==, 0);
    thread = g_thread_new("bus", answer_one, &bus);
    dbus_foreign_open(address, NULL, on_open, &bus);
    while (!bus.done)
        g_main_context_iteration(NULL, TRUE);
    if (strstr(bus.error->message, expected) == NULL)
        g_error("'%s' has no '%s'", bus.error->message, expected);
    g_error_free(bus.error);
    g_thread_join(thread);
    close(bus.listener);
    g_unlink(path);
    g_rmdir(folder);
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
