#include "lib/amqp/vsock.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

bool vsock_cid_parse(const char *text, uint32_t *ret_cid)
{
    guint64 cid;

    if (!g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX - 1, &cid, NULL))
        return false;
    if (ret_cid != NULL)
        *ret_cid = (uint32_t) cid;
    return true;
}

typedef struct Attempt {
    GTask *task;
    int fd;
    GSource *writable, *cancelled;
} Attempt;

static void attempt_free(Attempt *attempt)
{
    g_clear_object(&attempt->task);
    if (attempt->writable != NULL)
        g_source_destroy(attempt->writable);
    if (attempt->cancelled != NULL)
        g_source_destroy(attempt->cancelled);
    g_clear_pointer(&attempt->writable, g_source_unref);
    g_clear_pointer(&attempt->cancelled, g_source_unref);
    if (attempt->fd >= 0)
        close(attempt->fd);
    g_free(attempt);
}

static void attempt_failed(Attempt *attempt, int code)
{
    g_task_return_new_error(attempt->task, G_IO_ERROR, (int) g_io_error_from_errno(code), "vsock: %s%s", g_strerror(code),
                            code == EAFNOSUPPORT || code == ENODEV ? ": has this machine a vsock device?" : "");
    attempt_free(attempt);
}

static gboolean on_writable(int fd, GIOCondition ready, void *user)
{
    Attempt *attempt = user;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocket) socket = NULL;
    socklen_t size = sizeof(int);
    int code = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
        code = errno;
    if (code != 0) {
        attempt_failed(attempt, code);
        return G_SOURCE_REMOVE;
    }
    socket = g_socket_new_from_fd(fd, &error);
    if (socket != NULL) {
        attempt->fd = -1;
        g_task_return_pointer(attempt->task, g_socket_connection_factory_create_connection(socket), g_object_unref);
    } else {
        g_task_return_error(attempt->task, g_steal_pointer(&error));
    }
    attempt_free(attempt);
    return G_SOURCE_REMOVE;
}

static gboolean on_cancelled(GCancellable *cancel, void *user)
{
    attempt_failed(user, ETIMEDOUT);
    return G_SOURCE_REMOVE;
}

void vsock_connect(const char *cid, uint16_t port, GCancellable *cancel, GAsyncReadyCallback done, gpointer user)
{
    Attempt *attempt = g_new0(Attempt, 1);
    struct sockaddr_vm to = { .svm_family = AF_VSOCK, .svm_port = port };

    attempt->task = g_task_new(NULL, NULL, done, user);
    attempt->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0 || !vsock_cid_parse(cid, &to.svm_cid) ||
        (connect(attempt->fd, (struct sockaddr *) &to, sizeof to) < 0 && errno != EINPROGRESS)) {
        attempt_failed(attempt, errno);
        return;
    }
    attempt->writable = g_unix_fd_source_new(attempt->fd, G_IO_OUT);
    g_source_set_callback(attempt->writable, G_SOURCE_FUNC(on_writable), attempt, NULL);
    g_source_attach(attempt->writable, g_main_context_get_thread_default());
    if (cancel == NULL)
        return;
    attempt->cancelled = g_cancellable_source_new(cancel);
    g_source_set_callback(attempt->cancelled, G_SOURCE_FUNC(on_cancelled), attempt, NULL);
    g_source_attach(attempt->cancelled, g_main_context_get_thread_default());
}

int vsock_listen(uint32_t port, uint32_t *ret_port, GError **error)
{
    struct sockaddr_vm here = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port == 0 ? VMADDR_PORT_ANY : port };
    socklen_t size = sizeof here;
    int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *) &here, sizeof here) == 0 && listen(fd, SOMAXCONN) == 0 &&
        getsockname(fd, (struct sockaddr *) &here, &size) == 0) {
        if (ret_port != NULL)
            *ret_port = here.svm_port;
        return fd;
    }
    g_set_error(error, G_IO_ERROR, (int) g_io_error_from_errno(errno), "vsock port %u: %s", port, g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int vsock_accept(int listener, uint32_t *ret_cid)
{
    struct sockaddr_vm from = { 0 };
    socklen_t size = sizeof from;
    int fd = accept4(listener, (struct sockaddr *) &from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

    *ret_cid = from.svm_cid;
    return fd;
}
