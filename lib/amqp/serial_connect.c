/* The stream is one end of a pair of sockets, the pipe has the other: so it is a stream like any other to its user (polling, closing, a
 * buffer of the kernel's), and the framing is code that the host's relay shares.
 *
 * While nobody is at the host's end a port is "hung up" and readable for ever, so it is looked at on a timer and not waited for. */
#include "lib/amqp/serial_connect.h"

#include "lib/amqp/serial_pipe.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOK_MS 250
#define WAIT_US (8 * US_PER_S) /* less than the client gives an attempt, so that it hears the reason */

typedef struct Serial {
    GTask *task;        /* NULL: answered */
    char *path;
    int port;           /* -1: the pipe has it, or closed */
    SerialPipe *pipe;
    GIOStream *stream;  /* weak: for the reason of its end */
    GSource *look;      /* timer until somebody is there */
    GSource *cancelled, *late;
} Serial;

static void drop(GSource **source)
{
    if (*source != NULL)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void serial_free(Serial *serial)
{
    drop(&serial->look);
    drop(&serial->cancelled);
    drop(&serial->late);
    serial_pipe_free(serial->pipe);
    if (serial->port >= 0)
        close(serial->port);
    g_clear_weak_pointer(&serial->stream);
    g_free(serial->path);
    g_free(serial);
}

/* Ends it: tells whoever waits or whoever uses the stream. */
static void serial_end(Serial *serial, GIOErrorEnum code, const char *why)
{
    GTask *task = g_steal_pointer(&serial->task);

    if (task != NULL)
        g_task_return_new_error(task, G_IO_ERROR, (int) code, "%s: %s", serial->path, why);
    else if (serial->stream != NULL)
        g_object_set_data_full(G_OBJECT(serial->stream), "mend-why", g_strdup(why), g_free);
    g_clear_object(&task);
    serial_free(serial);
}

static void on_opened(SerialPipe *pipe, void *user)
{
    Serial *serial = user;
    GTask *task = g_steal_pointer(&serial->task);
    g_autoptr(GError) error = NULL;
    GSocket *socket;
    int ends[2];

    drop(&serial->cancelled);
    drop(&serial->late);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 || (socket = g_socket_new_from_fd(ends[0], &error)) == NULL) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", serial->path, error != NULL ? error->message : g_strerror(errno));
        g_object_unref(task);
        serial_free(serial);
        return;
    }
    g_set_weak_pointer(&serial->stream, G_IO_STREAM(g_socket_connection_factory_create_connection(socket)));
    g_object_unref(socket);
    serial_pipe_attach(pipe, ends[1]);
    g_task_return_pointer(task, serial->stream, g_object_unref);
    g_object_unref(task);
}

static void on_closed(SerialPipe *pipe, const char *why, void *user)
{
    serial_end(user, G_IO_ERROR_CONNECTION_REFUSED, why);
}

static void on_gone(SerialPipe *pipe, const char *why, void *user)
{
    serial_end(user, G_IO_ERROR_CONNECTION_CLOSED, why);
}

static bool host_is_there(int port)
{
    struct pollfd look = { .fd = port, .events = POLLOUT };

    return poll(&look, 1, 0) >= 0 && (look.revents & POLLHUP) == 0;
}

static gboolean on_look(void *user)
{
    static const SerialPipeOptions guest = { .opened = on_opened, .closed = on_closed, .gone = on_gone };
    Serial *serial = user;
    SerialPipeOptions options = guest;

    if (!host_is_there(serial->port))
        return G_SOURCE_CONTINUE;
    drop(&serial->look);
    options.user = serial;
    serial->pipe = serial_pipe_new(serial->port, &options);
    serial->port = -1;
    serial_pipe_open(serial->pipe);
    return G_SOURCE_REMOVE;
}

static gboolean on_cancelled(GCancellable *cancel, void *user)
{
    serial_end(user, G_IO_ERROR_CANCELLED, "given up");
    return G_SOURCE_REMOVE;
}

static gboolean on_late(void *user)
{
    Serial *serial = user;

    serial_end(serial, G_IO_ERROR_TIMED_OUT,
               serial->look != NULL ? "nobody is at the host's end: does mend-host run there?" : "the host does not answer: does mend-host run there?");
    return G_SOURCE_REMOVE;
}

static GSource *attach(GSource *source, GSourceFunc fn, Serial *serial)
{
    g_source_set_callback(source, fn, serial, NULL);
    g_source_attach(source, g_main_context_get_thread_default());
    return source;
}

void serial_connect(const char *path, GCancellable *cancel, GAsyncReadyCallback done, gpointer user)
{
    Serial *serial = g_new0(Serial, 1);

    serial->task = g_task_new(NULL, NULL, done, user); /* cancelling has its own text */
    serial->path = g_strdup(path);
    serial->port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (serial->port < 0) {
        serial_end(serial, errno == EBUSY ? G_IO_ERROR_BUSY : G_IO_ERROR_FAILED,
                   errno == EBUSY ? "another program has it open" : g_strerror(errno));
        return;
    }
    if (cancel != NULL)
        serial->cancelled = attach(g_cancellable_source_new(cancel), G_SOURCE_FUNC(on_cancelled), serial);
    serial->late = attach(g_timeout_source_new(WAIT_US / US_PER_MS), on_late, serial);
    serial->look = attach(g_timeout_source_new(host_is_there(serial->port) ? 0 : LOOK_MS), on_look, serial);
}
