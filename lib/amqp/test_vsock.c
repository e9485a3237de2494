/* vsock: addresses; and, where this kernel loops it back to itself, a connection. */
#include "lib/amqp/client_private.h"
#include "lib/amqp/vsock.h"
#include "lib/base/clock.h"

#include <string.h>
#include <unistd.h>

static void test_addresses(void)
{
    static const char *const good[] = { "vsock://2:5672", "vsock://2", "vsock://3:1?tls=broker.example", "virtio-serial:///dev/virtio-ports/io.mend.bus.0",
                                        "virtio-serial:///dev/vport0p1?tls=10.0.0.1", "amqps://host:1", "amqp://host?tls=other" };
    static const char *const bad[] = { "vsock://host:1", "vsock://2:0", "vsock://", "virtio-serial://", "virtio-serial://x", "vsock://2:1?tls=",
                                       "vsock://2:1?x=y", "vsock://-1:4", "vsock://4294967295:4", "serial:///x" };
    Endpoint endpoint;

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_true(endpoint_parse(good[i], &endpoint, &error));
        g_assert_no_error(error);
        if (i == 2)
            g_assert_cmpstr(endpoint.tls, ==, "broker.example");
        if (i == 5)
            g_assert_cmpstr(endpoint.tls, ==, "host");
        endpoint_done(&endpoint);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(endpoint_parse(bad[i], &endpoint, &error));
        g_assert_error(error, AMQP_ERROR, AMQP_ERROR_CONNECT);
    }
}

typedef struct Answer {
    GIOStream *stream;
    GError *error;
    bool done;
} Answer;

static void on_answer(GObject *object, GAsyncResult *result, gpointer user)
{
    Answer *answer = user;

    answer->stream = g_task_propagate_pointer(G_TASK(result), &answer->error);
    answer->done = true;
}

static gboolean on_timeout(void *user)
{
    g_cancellable_cancel(user);
    return G_SOURCE_REMOVE;
}

static void test_connection(void)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    Answer answer = { 0 };
    uint32_t port, cid;
    int listener = vsock_listen(0, &port, &error), fd;
    char bytes[5] = "";
    guint timer;

    if (listener < 0) {
        g_test_skip(error->message);
        return;
    }
    if (port > UINT16_MAX) { /* any port may be any 32 bits; urls have 16 */
        close(listener);
        listener = vsock_listen(52000 + (uint32_t) getpid() % 10000, &port, NULL);
    }
    g_assert_cmpint(listener, >=, 0);
    timer = g_timeout_add_seconds(1, on_timeout, cancel);
    vsock_connect("1", (uint16_t) port, cancel, on_answer, &answer);
    while (!answer.done)
        g_main_context_iteration(NULL, TRUE);
    if (answer.error != NULL) {
        g_test_skip("this kernel has no vsock_loopback");
        g_clear_error(&answer.error);
        if (g_cancellable_is_cancelled(cancel))
            timer = 0;
    } else {
        fd = vsock_accept(listener, &cid);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpuint(cid, ==, 1);
        g_assert_true(g_output_stream_write_all(g_io_stream_get_output_stream(answer.stream), "AMQP", 4, NULL, NULL, NULL));
        g_assert_cmpint(read(fd, bytes, 4), ==, 4);
        g_assert_cmpstr(bytes, ==, "AMQP");
        close(fd);
        g_object_unref(answer.stream);
    }
    if (timer != 0)
        g_source_remove(timer);
    close(listener);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vsock/addresses", test_addresses);
    g_test_add_func("/vsock/connection", test_connection);
    return g_test_run();
}
