#include "bench/loop.h"

#include "lib/amqp/sasl_client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <proton/sasl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FRAME  65536
#define TICK_NS    (INT64_C(2) * 1000000000) /* idle timeouts are tens of seconds */
#define EVENTS     256

int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

bool peer_parse(const char *text, Peer *ret_peer)
{
    const char *colon;

    if (g_str_has_prefix(text, "amqp://"))
        text += strlen("amqp://");
    colon = strrchr(text, ':');
    if (colon == NULL || colon == text || atoi(colon + 1) <= 0 || atoi(colon + 1) > UINT16_MAX)
        return false;
    g_snprintf(ret_peer->host, sizeof ret_peer->host, "%.*s", (int) (colon - text), text);
    ret_peer->port = (uint16_t) atoi(colon + 1);
    return true;
}

static int peer_connect(const Peer *peer)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char port[8];
    int fd = -1, one = 1;

    g_snprintf(port, sizeof port, "%u", peer->port);
    if (getaddrinfo(peer->host, port, &hints, &found) == 0)
        fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        fprintf(stderr, "cannot connect to %s:%s: %s\n", peer->host, port, strerror(errno));
        exit(1);
    }
    freeaddrinfo(found);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void loop_init(Loop *loop)
{
    *loop = (Loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC), .conns = g_ptr_array_new(), .wake_ns = INT64_MAX };
}

static void conn_watch(Conn *conn, bool reads, bool writes)
{
    struct epoll_event e = { .events = (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u), .data.ptr = conn };

    if (reads == conn->reads && writes == conn->writes)
        return;
    conn->reads = reads;
    conn->writes = writes;
    epoll_ctl(conn->loop->epoll_fd, EPOLL_CTL_MOD, conn->fd, &e);
}

Conn *conn_open(Loop *loop, const Peer *peer, const char *container, void (*on_event)(Conn *, pn_event_t *), void *user)
{
    Conn *conn = g_new0(Conn, 1);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = conn };
    pn_transport_t *transport = pn_transport();

    conn->loop = loop;
    conn->on_event = on_event;
    conn->user = user;
    conn->fd = peer_connect(peer);
    conn->reads = true;
    pn_connection_driver_init(&conn->driver, NULL, transport);
    pn_transport_set_max_frame(transport, MAX_FRAME);
    pn_sasl_allowed_mechs(pn_sasl(transport), peer->user_name == NULL ? "ANONYMOUS" : "SCRAM-SHA-256 PLAIN");
    pn_sasl_set_allow_insecure_mechs(pn_sasl(transport), true);
    sasl_client_attach(transport, peer->user_name, peer->password, false);
    pn_connection_set_container(conn->driver.connection, container);
    pn_connection_set_hostname(conn->driver.connection, peer->host);
    pn_connection_open(conn->driver.connection);
    conn->session = pn_session(conn->driver.connection);
    pn_session_open(conn->session);
    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, conn->fd, &e);
    g_ptr_array_add(loop->conns, conn);
    return conn;
}

static pn_link_t *link_begin(pn_link_t *link, const char *source, const char *target, bool presettled)
{
    pn_terminus_set_address(pn_link_source(link), source);
    pn_terminus_set_address(pn_link_target(link), target);
    pn_link_set_snd_settle_mode(link, presettled ? PN_SND_SETTLED : PN_SND_UNSETTLED);
    pn_link_set_rcv_settle_mode(link, PN_RCV_FIRST);
    return link;
}

pn_link_t *conn_sender(Conn *conn, const char *address, bool presettled)
{
    g_autofree char *name = g_strdup_printf("s-%s-%d-%p", address, getpid(), (void *) conn);

    return link_begin(pn_sender(conn->session, name), name, address, presettled);
}

pn_link_t *conn_receiver(Conn *conn, const char *address, bool presettled)
{
    g_autofree char *name = g_strdup_printf("r-%s-%d-%p", address, getpid(), (void *) conn);

    return link_begin(pn_receiver(conn->session, name), address, name, presettled);
}

static void conn_lost(Conn *conn)
{
    pn_condition_t *why = pn_transport_condition(conn->driver.transport);

    if (pn_condition_is_set(pn_connection_remote_condition(conn->driver.connection)))
        why = pn_connection_remote_condition(conn->driver.connection);
    if (!conn->over && conn->loop->lost++ == 0)
        fprintf(stderr, "connection lost: %s: %s\n", pn_condition_is_set(why) ? pn_condition_get_name(why) : "closed",
                pn_condition_is_set(why) ? pn_condition_get_description(why) : "");
    conn->over = true;
    epoll_ctl(conn->loop->epoll_fd, EPOLL_CTL_DEL, conn->fd, NULL);
    close(conn->fd);
    conn->fd = -1;
}

static void conn_events(Conn *conn)
{
    pn_event_t *event;

    while ((event = pn_connection_driver_next_event(&conn->driver)) != NULL) {
        if (pn_event_type(event) == PN_CONNECTION_REMOTE_OPEN)
            conn->open = true;
        if (pn_event_type(event) == PN_LINK_REMOTE_CLOSE && pn_condition_is_set(pn_link_remote_condition(pn_event_link(event))))
            fprintf(stderr, "link refused: %s\n", pn_condition_get_description(pn_link_remote_condition(pn_event_link(event))));
        conn->on_event(conn, event);
    }
}

void conn_flush(Conn *conn)
{
    if (conn->over)
        return;
    for (;;) {
        pn_bytes_t bytes;
        ssize_t n;

        conn_events(conn);
        if (conn->on_room != NULL)
            conn->on_room(conn);
        bytes = pn_connection_driver_write_buffer(&conn->driver);
        if (bytes.size == 0)
            break;
        n = send(conn->fd, bytes.start, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            pn_connection_driver_write_done(&conn->driver, (size_t) n);
            continue;
        }
        if (errno != EAGAIN) {
            conn_lost(conn);
            return;
        }
        conn_watch(conn, pn_connection_driver_read_buffer(&conn->driver).size > 0, true);
        return;
    }
    conn_watch(conn, pn_connection_driver_read_buffer(&conn->driver).size > 0, false);
    conn_events(conn);
    if (pn_connection_driver_finished(&conn->driver))
        conn_lost(conn);
}

static void conn_read(Conn *conn)
{
    pn_rwbytes_t room = pn_connection_driver_read_buffer(&conn->driver);
    ssize_t n = room.size == 0 ? -2 : recv(conn->fd, room.start, room.size, MSG_DONTWAIT);

    if (n > 0)
        pn_connection_driver_read_done(&conn->driver, (size_t) n);
    else if (n == 0 || (n == -1 && errno != EAGAIN))
        pn_connection_driver_read_close(&conn->driver);
}

static void loop_tick(Loop *loop)
{
    for (guint i = 0; i < loop->conns->len; i++) {
        Conn *conn = g_ptr_array_index(loop->conns, i);
        if (!conn->over) {
            pn_transport_tick(conn->driver.transport, now_ns() / 1000000);
            conn_flush(conn);
        }
    }
}

void loop_run(Loop *loop, int64_t until_ns)
{
    struct epoll_event ready[EVENTS];
    int64_t tick_ns = 0;

    loop->stop = false;
    for (guint i = 0; i < loop->conns->len; i++)
        conn_flush(g_ptr_array_index(loop->conns, i));
    while (!loop->stop && (until_ns == 0 || now_ns() < until_ns)) {
        int64_t now = now_ns(), wait = MIN(tick_ns, loop->wake_ns) - now;
        struct timespec timeout;
        int n;

        if (until_ns != 0)
            wait = MIN(wait, until_ns - now);
        wait = MAX(wait, 0);
        timeout = (struct timespec){ wait / 1000000000, wait % 1000000000 };
        n = epoll_pwait2(loop->epoll_fd, ready, EVENTS, &timeout, NULL);
        for (int i = 0; i < n; i++) {
            Conn *conn = ready[i].data.ptr;
            if (!conn->over && (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                conn_read(conn);
            conn_flush(conn);
        }
        if (loop->turn != NULL)
            loop->turn(loop);
        if (now_ns() >= tick_ns) {
            loop_tick(loop);
            tick_ns = now_ns() + TICK_NS;
        }
    }
}

void conn_close(Conn *conn)
{
    if (conn->over)
        return;
    conn->over = true; /* what comes now is no loss */
    pn_connection_close(conn->driver.connection);
    for (pn_bytes_t bytes; (bytes = pn_connection_driver_write_buffer(&conn->driver)).size > 0;) {
        ssize_t n = send(conn->fd, bytes.start, bytes.size, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        pn_connection_driver_write_done(&conn->driver, (size_t) n);
    }
    close(conn->fd);
    conn->fd = -1;
    pn_connection_driver_destroy(&conn->driver);
    g_ptr_array_remove_fast(conn->loop->conns, conn);
    g_free(conn);
}
