#include "broker-plugin/hosts/embedded/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

static bool split(const char *where, char **ret_host, char **ret_port, GError **error)
{
    const char *colon = strrchr(where, ':'), *close = strrchr(where, ']');
    char *end;
    guint64 port;

    if (colon == NULL || (close != NULL && close > colon) || (where[0] == '[' && (close == NULL || close + 1 != colon))) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "listen: want HOST:PORT, got \"%s\"", where);
        return false;
    }
    port = g_ascii_strtoull(colon + 1, &end, 10);
    if (colon[1] == '\0' || *end != '\0' || port > 65535) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "listen: \"%s\" is no port (0 … 65535) in \"%s\"", colon + 1, where);
        return false;
    }
    *ret_host = where[0] == '[' ? g_strndup(where + 1, (gsize) (colon - where - 2)) : g_strndup(where, (gsize) (colon - where));
    *ret_port = g_strdup(colon + 1);
    return true;
}

bool address_is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *) (const void *) sa)->sin_addr.s_addr) >> 24 == 127;
    return sa->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) (const void *) sa)->sin6_addr);
}

static Listener *listener_new(int fd, bool local, bool private_stream, char *text)
{
    Listener *l = g_new0(Listener, 1);

    *l = (Listener){fd, local, private_stream, text};
    return l;
}

static char *bound_text(int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";

    getsockname(fd, (struct sockaddr *) &sa, &n);
    getnameinfo((struct sockaddr *) &sa, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    return sa.ss_family == AF_INET6 ? g_strdup_printf("[%s]:%s", host, port) : g_strdup_printf("%s:%s", host, port);
}

static int bind_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;
    const int one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (ai->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

bool listener_open(GPtrArray *listeners, const char *where, bool lab, bool tls, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    bool ok = false;
    int rc, fd;

    if (!split(where, &host, &port, error))
        return false;
    rc = getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &list);
    if (rc != 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_LISTEN, "listen on %s: %s", where, gai_strerror(rc));
        return false;
    }
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next) {
        bool local = address_is_loopback(ai->ai_addr);
        if (!local && (lab || !tls)) {
            g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "listen on %s: %s", where,
                        lab ? "--lab is for loopback only" : "other than loopback needs TLS: give --tls-cert and --tls-key, or a --data folder");
            ok = false;
            break;
        }
        fd = bind_one(ai);
        if (fd < 0) {
            if (!ok && ai->ai_next == NULL)
                g_set_error(error, BROKER_ERROR, BROKER_ERROR_LISTEN, "listen on %s: %s%s", where, g_strerror(errno),
                            errno == EADDRINUSE ? " (another broker? choose another port with --listen)" : "");
            continue;
        }
        g_ptr_array_add(listeners, listener_new(fd, local, false, bound_text(fd)));
        ok = true;
        if (strcmp(port, "0") == 0)
            break; /* a second family would get another port */
    }
    freeaddrinfo(list);
    return ok;
}

static bool somebody_listens(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = fd >= 0 && connect(fd, (const struct sockaddr *) sa, sizeof *sa) == 0;

    if (fd >= 0)
        close(fd);
    return there;
}

bool listener_open_unix(GPtrArray *listeners, const char *path, GError **error)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    int fd;

    if (strlen(path) >= sizeof sa.sun_path) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_SETTINGS, "unix: path is longer than %zu bytes: %s", sizeof sa.sun_path - 1, path);
        return false;
    }
    strcpy(sa.sun_path, path);
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !somebody_listens(&sa))
        unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *) &sa, sizeof sa) < 0 || chmod(path, 0666) < 0 || listen(fd, BACKLOG) < 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_LISTEN, "listen on unix:%s: %s", path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    g_ptr_array_add(listeners, listener_new(fd, true, true, g_strdup_printf("unix:%s", path)));
    return true;
}

void listener_free(void *data)
{
    Listener *l = data;

    close(l->fd);
    if (l->private_stream)
        unlink(l->text + strlen("unix:"));
    g_free(l->text);
    g_free(l);
}

uint16_t listener_port(const Listener *l)
{
    const char *colon = strrchr(l->text, ':');

    return l->private_stream || colon == NULL ? 0 : (uint16_t) g_ascii_strtoull(colon + 1, NULL, 10);
}
