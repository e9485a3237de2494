/* The port is held open whether or not a guest speaks: that is how a guest sees that a relay is there. A UNIX socket of QEMU's and not
 * virDomainOpenChannel(): libvirt makes it anew with the same name's channel on the host a VM migrates to (a path that libvirt chose needs
 * nothing in the definition), the bytes do not pass through libvirtd, and a restart of libvirtd does not cut them. When the VM has moved, the
 * source's socket ends, the destination's relay says HELLO, and the guest opens a new session there.
 *
 * A guest that asks again and again costs a connection to the broker each time, so sessions that did not last make the next one wait. */
#include "agents/host/relay/line.h"

#include "lib/amqp/serial_pipe.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT_RETRY_FIRST_US (250 * US_PER_MS)
#define PORT_RETRY_MAX_US   (5 * US_PER_S)
#define ASK_FIRST_US        (100 * US_PER_MS) /* between two sessions, doubled while they do not last */
#define ASK_MAX_US          (10 * US_PER_S)
#define LASTING_US          (5 * US_PER_S)

struct Line {
    const LineOptions *options;
    char *vm, *path; /* NULL: vsock */
    SerialPipe *pipe;
    guint retry;
    int64_t retry_us;
    GCancellable *connecting;
    int64_t ask_wait_us, ask_not_before, opened_at;
    bool told_away; /* the broker */
};

static void line_session_over(Line *line)
{
    int64_t now = clock_now_us();

    if (line->connecting != NULL)
        g_cancellable_cancel(line->connecting);
    g_clear_object(&line->connecting);
    if (line->opened_at != 0 && now - line->opened_at >= LASTING_US) {
        line->ask_wait_us = ASK_FIRST_US;
    } else {
        line->ask_not_before = now + line->ask_wait_us;
        line->ask_wait_us = MIN(line->ask_wait_us * 2, ASK_MAX_US);
    }
    line->opened_at = 0;
}

/* ---- the broker's side ---- */

typedef struct Attempt {
    Line *line;
    GCancellable *cancel; /* cancelled: the line may be gone */
} Attempt;

static void refuse(Line *line, const char *why)
{
    line_session_over(line);
    if (line->path != NULL)
        serial_pipe_close(line->pipe, why);
    else
        g_clear_pointer(&line->pipe, serial_pipe_free);
}

static void broker_answered(Line *line, GSocketConnection *connection, const GError *error)
{
    int fd = connection != NULL ? fcntl(g_socket_get_fd(g_socket_connection_get_socket(connection)), F_DUPFD_CLOEXEC, 0) : -1;

    if (fd < 0) {
        g_autofree char *why = g_strdup_printf("the host has no way to the broker: %s", error != NULL ? error->message : g_strerror(errno));

        log_line(line->told_away ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "relay of vm %s: %s: %s", line->vm, line->options->broker_name, why);
        line->told_away = true;
        refuse(line, why);
        return;
    }
    line->told_away = false;
    line->opened_at = clock_now_us();
    log_info("relay of vm %s: open, over %s", line->vm, line->path != NULL ? line->path : "vsock");
    serial_pipe_attach(line->pipe, fd);
}

static void on_broker(GObject *object, GAsyncResult *result, gpointer user)
{
    Attempt *attempt = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection = g_socket_client_connect_finish(G_SOCKET_CLIENT(object), result, &error);

    if (!g_cancellable_is_cancelled(attempt->cancel)) {
        g_clear_object(&attempt->line->connecting);
        broker_answered(attempt->line, connection, error);
    }
    g_object_unref(attempt->cancel);
    g_free(attempt);
}

static void connect_broker(Line *line)
{
    g_autoptr(GSocketClient) sockets = g_socket_client_new();
    Attempt *attempt = g_new(Attempt, 1);

    line->connecting = g_cancellable_new();
    *attempt = (Attempt) { line, g_object_ref(line->connecting) };
    g_socket_client_set_enable_proxy(sockets, FALSE);
    g_socket_client_set_timeout(sockets, 5);
    g_socket_client_connect_async(sockets, line->options->broker, line->connecting, on_broker, attempt);
}

/* ---- the guest's side ---- */

static void on_asked(SerialPipe *pipe, void *user)
{
    Line *line = user;

    if (clock_now_us() >= line->ask_not_before)
        connect_broker(line);
    else if (line->path != NULL)
        serial_pipe_close(pipe, "too soon after the last session");
    else
        g_clear_pointer(&line->pipe, serial_pipe_free);
}

static void on_closed(SerialPipe *pipe, const char *why, void *user)
{
    Line *line = user;
    bool was_open = line->opened_at != 0;

    if (was_open || line->connecting != NULL)
        line_session_over(line);
    if (was_open)
        log_info("relay of vm %s: closed: %s", line->vm, strcmp(why, "the stream ended") == 0 ? "the broker ended the connection" : why);
    if (line->path == NULL)
        g_clear_pointer(&line->pipe, serial_pipe_free);
}

static void try_port_later(Line *line);

static void on_gone(SerialPipe *pipe, const char *why, void *user)
{
    Line *line = user;

    if (line->opened_at != 0)
        log_info("relay of vm %s: the port is gone: %s", line->vm, why);
    if (line->opened_at != 0 || line->connecting != NULL)
        line_session_over(line);
    g_clear_pointer(&line->pipe, serial_pipe_free);
    if (line->path != NULL)
        try_port_later(line);
}

static void take_port(Line *line, int fd)
{
    SerialPipeOptions options = { .host = true,
                                  .raw = line->path == NULL,
                                  .bytes_per_s = line->options->bytes_per_s,
                                  .asked = on_asked,
                                  .closed = on_closed,
                                  .gone = on_gone,
                                  .user = line };

    line->pipe = serial_pipe_new(fd, &options);
}

static int open_port(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd;

    if (g_strlcpy(to.sun_path, path, sizeof to.sun_path) >= sizeof to.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *) &to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static gboolean on_retry(void *user)
{
    Line *line = user;
    int fd = open_port(line->path);

    line->retry = 0;
    if (fd < 0) {
        log_debug("relay of vm %s: %s: %s", line->vm, line->path, g_strerror(errno));
        try_port_later(line);
        return G_SOURCE_REMOVE;
    }
    line->retry_us = PORT_RETRY_FIRST_US;
    take_port(line, fd);
    return G_SOURCE_REMOVE;
}

static void try_port_later(Line *line)
{
    line->retry = g_timeout_add((guint) (line->retry_us / US_PER_MS), on_retry, line);
    line->retry_us = MIN(line->retry_us * 2, PORT_RETRY_MAX_US);
}

/* ---- its life ---- */

static Line *line_new(const LineOptions *options, const char *vm)
{
    Line *line = g_new0(Line, 1);

    line->options = options;
    line->vm = g_strdup(vm);
    line->retry_us = PORT_RETRY_FIRST_US;
    line->ask_wait_us = ASK_FIRST_US;
    return line;
}

Line *line_new_port(const LineOptions *options, const char *vm, const char *path)
{
    Line *line = line_new(options, vm);

    line->path = g_strdup(path);
    line->retry = g_idle_add(on_retry, line);
    return line;
}

Line *line_new_vsock(const LineOptions *options, const char *vm)
{
    return line_new(options, vm);
}

void line_take_vsock(Line *line, int fd)
{
    if (line->pipe != NULL) {
        line_session_over(line);
        serial_pipe_free(line->pipe);
    }
    take_port(line, fd);
    on_asked(line->pipe, line);
}

const char *line_path(const Line *line) { return line->path; }
bool line_is_open(const Line *line) { return line->opened_at != 0; }

void line_free(Line *line)
{
    if (line == NULL)
        return;
    g_clear_handle_id(&line->retry, g_source_remove);
    if (line->connecting != NULL)
        g_cancellable_cancel(line->connecting);
    g_clear_object(&line->connecting);
    serial_pipe_free(line->pipe);
    g_free(line->path);
    g_free(line->vm);
    g_free(line);
}
