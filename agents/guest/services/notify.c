#include "agents/guest/services/notify.h"

#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX_BYTES 4096
#define MESSAGES_PER_TURN 64 /* then the rest of the loop has its turn */

struct NotifySocket {
    char *path;
    int fd;
    guint source;
    GList *listeners;
};

struct NotifyListener {
    NotifySocket *socket;
    pid_t leader;
    NotifyFn heard;
    void *user;
};

static void dispatch(NotifySocket *socket, pid_t sender, char *text)
{
    pid_t session = sender > 0 ? getsid(sender) : -1;
    g_auto(GStrv) fields = g_strsplit(text, "\n", -1);

    for (GList *i = socket->listeners; i != NULL; i = i->next) {
        NotifyListener *listener = i->data;

        if (listener->leader == sender || listener->leader == session) {
            listener->heard(fields, listener->user); /* may change the list: one message has one listener */
            return;
        }
    }
    log_debug("notify: process %d belongs to no service", (int) sender);
}

static pid_t sender_of(struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;

            memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
            return credentials.pid;
        }
    return -1;
}

/* A program may pass descriptors (FDSTORE=1); nothing is stored here. */
static void close_passed(struct msghdr *header)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            close(fd);
        }
    }
}

static gboolean on_readable(int fd, GIOCondition condition, void *user)
{
    NotifySocket *socket = user;

    for (int i = 0; i < MESSAGES_PER_TURN; i++) {
        char text[MESSAGE_MAX_BYTES + 1];
        union {
            char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 16)];
            struct cmsghdr align;
        } control;
        struct iovec part = {text, MESSAGE_MAX_BYTES};
        struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0)
            break;
        close_passed(&header);
        text[n] = '\0';
        if ((header.msg_flags & MSG_TRUNC) == 0)
            dispatch(socket, sender_of(&header), text);
    }
    return G_SOURCE_CONTINUE;
}

NotifySocket *notify_socket_new(const char *path, GError **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    NotifySocket *s;
    int fd, yes = 1;

    if (strlen(path) >= sizeof address.sun_path) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NAMETOOLONG, "%s: a socket's path has at most %zu bytes; use a shorter --data",
                    path, sizeof address.sun_path - 1);
        return NULL;
    }
    strcpy(address.sun_path, path);
    unlink(path);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    chmod(path, 0666); /* services run as other users; who sent is what the kernel says */
    s = g_new0(NotifySocket, 1);
    s->path = g_strdup(path);
    s->fd = fd;
    s->source = g_unix_fd_add(fd, G_IO_IN, on_readable, s);
    return s;
}

void notify_socket_free(NotifySocket *socket)
{
    if (socket == NULL)
        return;
    g_assert(socket->listeners == NULL);
    g_source_remove(socket->source);
    close(socket->fd);
    unlink(socket->path);
    g_free(socket->path);
    g_free(socket);
}

const char *notify_socket_path(const NotifySocket *socket)
{
    return socket->path;
}

NotifyListener *notify_listen(NotifySocket *socket, int64_t leader, NotifyFn heard, void *user)
{
    NotifyListener *listener = g_new0(NotifyListener, 1);

    *listener = (NotifyListener){socket, (pid_t) leader, heard, user};
    socket->listeners = g_list_prepend(socket->listeners, listener);
    return listener;
}

void notify_listener_free(NotifyListener *listener)
{
    if (listener == NULL)
        return;
    listener->socket->listeners = g_list_remove(listener->socket->listeners, listener);
    g_free(listener);
}
