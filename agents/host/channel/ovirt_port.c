#include "agents/host/channel/ovirt_port.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES 16384

struct OvirtPort {
    char *path;
    OvirtGuest *guest;
    int fd; /* -1: away */
    guint readable, writable;
    GByteArray *queue;
    unsigned failures;
    int64_t retry_at;
};

static void port_close(OvirtPort *port)
{
    g_clear_handle_id(&port->readable, g_source_remove);
    g_clear_handle_id(&port->writable, g_source_remove);
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
    g_byte_array_set_size(port->queue, 0);
}

static void port_failed(OvirtPort *port, const char *why)
{
    bool cool = ++port->failures >= OVIRT_PORT_TRIES;

    port_close(port);
    port->retry_at = clock_now_us() + (cool ? OVIRT_PORT_COOLDOWN_US : OVIRT_PORT_RETRY_US);
    if (port->failures == OVIRT_PORT_TRIES)
        log_warning("%s: %s, %u times in a row; tried again each minute", port->path, why, port->failures);
}

static gboolean on_writable(int fd, GIOCondition ready, void *user);

static void flush(OvirtPort *port)
{
    while (port->fd >= 0 && port->queue->len > 0) {
        gssize n = send(port->fd, port->queue->data, port->queue->len, MSG_NOSIGNAL);

        if (n <= 0)
            break;
        g_byte_array_remove_range(port->queue, 0, (guint) n);
    }
    if (port->fd >= 0 && port->queue->len > 0 && port->writable == 0)
        port->writable = g_unix_fd_add(port->fd, G_IO_OUT, on_writable, port);
}

static gboolean on_writable(int fd, GIOCondition ready, void *user)
{
    OvirtPort *port = user;

    port->writable = 0;
    flush(port);
    return G_SOURCE_REMOVE;
}

static void on_send(const char *line, size_t n, void *user)
{
    OvirtPort *port = user;

    if (port->fd < 0 || port->queue->len + n > OVIRT_PORT_QUEUE_MAX)
        return;
    g_byte_array_append(port->queue, (const uint8_t *) line, (guint) n);
    flush(port);
}

static gboolean on_readable(int fd, GIOCondition ready, void *user)
{
    OvirtPort *port = user;
    char bytes[READ_BYTES];
    gssize n = read(fd, bytes, sizeof bytes);

    if (n > 0) {
        port->failures = 0;
        ovirt_guest_feed(port->guest, bytes, (size_t) n, clock_now_us());
        return G_SOURCE_CONTINUE;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return G_SOURCE_CONTINUE;
    port->readable = 0;
    port_failed(port, n == 0 ? "the other end closed it" : g_strerror(errno));
    return G_SOURCE_REMOVE;
}

static void port_open(OvirtPort *port)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    if (g_strlcpy(to.sun_path, port->path, sizeof to.sun_path) >= sizeof to.sun_path) {
        port_failed(port, "its path is too long");
        return;
    }
    port->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (port->fd < 0 || connect(port->fd, (struct sockaddr *) &to, sizeof to) < 0) {
        port_failed(port, g_strerror(errno));
        return;
    }
    port->readable = g_unix_fd_add(port->fd, G_IO_IN | G_IO_HUP, on_readable, port);
    ovirt_guest_begin(port->guest, clock_now_us());
}

OvirtPort *ovirt_port_new(const char *path, const OvirtHooks *hooks)
{
    OvirtPort *port = g_new0(OvirtPort, 1);

    port->path = g_strdup(path);
    port->fd = -1;
    port->queue = g_byte_array_new();
    port->guest = ovirt_guest_new(hooks, on_send, port);
    port_open(port);
    return port;
}

void ovirt_port_free(OvirtPort *port)
{
    if (port == NULL)
        return;
    port_close(port);
    ovirt_guest_free(port->guest);
    g_byte_array_unref(port->queue);
    g_free(port->path);
    g_free(port);
}

void ovirt_port_tick(OvirtPort *port)
{
    if (port->fd < 0 && clock_now_us() >= port->retry_at)
        port_open(port);
    ovirt_guest_tick(port->guest, clock_now_us());
}

const char *ovirt_port_path(const OvirtPort *port) { return port->path; }
OvirtGuest *ovirt_port_guest(const OvirtPort *port) { return port->guest; }
unsigned ovirt_port_failures(const OvirtPort *port) { return port->failures; }
