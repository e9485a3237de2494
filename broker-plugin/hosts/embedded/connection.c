/* A connection costs next to nothing until its first eight bytes are there: only then proton's objects are made, so that ten thousand
 * strangers who connect and say nothing hold a descriptor and a few hundred bytes each, until the handshake timeout.
 *
 * A first header that is not ours gets our own header back, then the stream ends (AMQP 1.0 part 2, §2.2). That answer is what makes
 * 2012 agents, which offer AMQP 0-10 first, come back with 1.0; on a mere close they would offer 0-10 for ever.
 *
 * Some peers are fragile: libqmf2's thread ends for good on an AMQP close (known by qpid.client_process among the open's properties).
 * They never get one: their TCP connection is dropped, and they reconnect. */
#include "broker-plugin/hosts/embedded/internal.h"
#include "broker-plugin/hosts/embedded/listener.h"

#include "broker-plugin/hosts/embedded/guard.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <proton/sasl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_PER_ROUND 4
#define TLS_HANDSHAKE 0x16

static Broker *broker_of(const Connection *c)
{
    return c->io->broker;
}

static void list_add(Connection *c)
{
    c->next = c->io->connections;
    if (c->next != NULL)
        c->next->prev = c;
    c->io->connections = c;
    __atomic_add_fetch(&c->io->n_connections, 1, __ATOMIC_RELAXED);
}

static void list_remove(Connection *c)
{
    *(c->prev != NULL ? &c->prev->next : &c->io->connections) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->prev = c->next = NULL;
    __atomic_sub_fetch(&c->io->n_connections, 1, __ATOMIC_RELAXED);
}

/* What comes over loopback cannot be overheard, also where everybody is listened to; so the parts of `mend up --listen 0.0.0.0:…`
 * reach their own broker without TLS. */
static bool comes_over_loopback(int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t n = sizeof sa;

    return getpeername(fd, (struct sockaddr *) &sa, &n) == 0 && address_is_loopback((const struct sockaddr *) &sa);
}

void connection_new_IO(IoThread *io, int fd, const Listener *listener, const char *where)
{
    Connection *c = g_new0(Connection, 1);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    *c = (Connection){.io = io, .fd = fd, .local = listener->local || comes_over_loopback(fd), .private_stream = listener->private_stream,
                      .accepted_us = clock_now_us(), .where = g_strdup(where)};
    list_add(c);
    if (epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        connection_end_IO(c);
        return;
    }
    if (io->next_tick_us == 0)
        io->next_tick_us = c->accepted_us;
}

void connection_mark_IO(Connection *c)
{
    if (c->dirty || c->ended)
        return;
    c->dirty = true;
    c->next_dirty = c->io->dirty;
    c->io->dirty = c;
}

/* ---- the first bytes ---- */

static void answer_foreign(Connection *c)
{
    static const uint8_t ours[2][8] = {"AMQP\0\1\0", "AMQP\3\1\0"};
    uint8_t rest[512];
    ssize_t n = recv(c->fd, rest, sizeof rest, MSG_DONTWAIT); /* unread bytes at close() would be a reset, and ours be lost */

    n = send(c->fd, ours[broker_of(c)->settings->lab ? 0 : 1], 8, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void) n; /* it fits into an empty socket buffer, or nobody is there */
    __atomic_add_fetch(&broker_of(c)->foreign_headers, 1, __ATOMIC_RELAXED);
    shutdown(c->fd, SHUT_WR); /* what was sent arrives before the end does */
    connection_end_IO(c);
}

static void setup_security(Connection *c, pn_transport_t *t, bool tls)
{
    Broker *b = broker_of(c);
    g_autofree char *host = g_strdup(c->where);
    char *colon = strrchr(host, ':');

    if (tls)
        pn_ssl_init(pn_ssl(t), b->tls, NULL);
    if (colon != NULL)
        *colon = '\0';
    if (b->sasl != NULL)
        sasl_server_attach(b->sasl, t, host, c->private_stream);
    if (b->settings->lab)
        pn_transport_require_auth(t, false);
}

static bool start_driver(Connection *c, bool tls)
{
    Broker *b = broker_of(c);
    pn_transport_t *t;

    if (pn_connection_driver_init(&c->driver, NULL, NULL) != 0)
        return false;
    c->has_driver = true;
    t = c->driver.transport;
    pn_transport_set_server(t);
    pn_transport_set_max_frame(t, (uint32_t) b->settings->max_frame_bytes);
    pn_transport_set_channel_max(t, 255);
    pn_transport_set_idle_timeout(t, (pn_millis_t) (b->settings->idle_timeout_us / US_PER_MS));
    pn_connection_set_container(c->driver.connection, "mend");
    pn_connection_set_context(c->driver.connection, c);
    setup_security(c, t, tls);
    /* By itself the driver binds with the first event taken; bytes that come before would meet a transport without a connection, and
     * proton asserts on the first begin. */
    return pn_connection_driver_bind(&c->driver) == 0;
}

typedef struct Feed {
    pn_connection_driver_t *driver;
    size_t n_bytes;
} Feed;

static void feed_proton(void *user)
{
    Feed *f = user;

    pn_connection_driver_read_done(f->driver, f->n_bytes);
}

/* False: what came broke an assertion of proton's, and the connection is gone. */
static bool feed(Connection *c, size_t n_bytes)
{
    Feed f = {&c->driver, n_bytes};

    if (guard_run(feed_proton, &f))
        return true;
    log_warning("%s: dropped: what it sent breaks an assertion in proton (%s)", c->where, guard_reason());
    connection_end_IO(c);
    return false;
}

static void destroy_driver(void *user)
{
    pn_connection_driver_destroy(user);
}

/* False: not (yet) a connection of ours; the bytes so far are kept or answered. */
static bool read_header(Connection *c)
{
    Broker *b = broker_of(c);
    ssize_t n = recv(c->fd, c->header + c->n_header, sizeof c->header - c->n_header, MSG_DONTWAIT);
    pn_rwbytes_t to;
    bool tls;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            connection_end_IO(c);
        return false;
    }
    c->n_header = (uint8_t) (c->n_header + n);
    tls = c->header[0] == TLS_HANDSHAKE && b->tls != NULL;
    if (!tls && memcmp(c->header, "AMQP", MIN(c->n_header, 4)) != 0) {
        answer_foreign(c);
        return false;
    }
    if (!tls && c->n_header < 8)
        return false;
    if (!tls && ((c->header[4] != 0 && c->header[4] != 3) || memcmp(c->header + 5, "\1\0", 3) != 0)) {
        answer_foreign(c);
        return false;
    }
    if ((!tls && !c->local) || !start_driver(c, tls)) {
        log_notice("%s: refused: no TLS", c->where);
        connection_end_IO(c);
        return false;
    }
    to = pn_connection_driver_read_buffer(&c->driver);
    memcpy(to.start, c->header, c->n_header);
    return feed(c, c->n_header);
}

/* ---- events ---- */

typedef struct DropTask {
    Task task;
    Peer *peer;
    Executor *executor;
    char *reason;
} DropTask;

static void drop_now(Task *task)
{
    DropTask *d = (DropTask *) task;
    IoThread *io = (IoThread *) d->executor;

    for (Connection *c = io->connections; c != NULL; c = c->next)
        if (c->peer == d->peer) {
            log_notice("%s: dropped: %s", c->where, d->reason);
            connection_refuse_IO(c, "amqp:connection:forced", d->reason);
            break;
        }
    peer_unref(d->peer);
    g_free(d->reason);
    g_free(d);
}

static void drop_peer(Peer *peer, const char *reason)
{
    DropTask *d = g_new0(DropTask, 1);

    *d = (DropTask){.task.run = drop_now, .peer = peer_ref(peer), .executor = peer->executor, .reason = g_strdup(reason)};
    executor_post(peer->executor, &d->task);
}

static bool is_fragile(pn_connection_t *connection)
{
    pn_data_t *data = pn_connection_remote_properties(connection);
    bool found = false;
    size_t n;

    if (data == NULL)
        return false;
    pn_data_rewind(data);
    if (!pn_data_next(data) || pn_data_type(data) != PN_MAP)
        return false;
    n = pn_data_get_map(data) / 2;
    pn_data_enter(data);
    for (; n > 0 && pn_data_next(data); n--) {
        pn_bytes_t key = pn_data_type(data) == PN_SYMBOL ? pn_data_get_symbol(data) : pn_data_get_string(data);
        found |= key.size == strlen("qpid.client_process") && memcmp(key.start, "qpid.client_process", key.size) == 0;
        if (!pn_data_next(data))
            break;
    }
    pn_data_exit(data);
    return found;
}

static void make_peer(Connection *c)
{
    Broker *b = broker_of(c);
    pn_transport_t *t = c->driver.transport;
    const char *user = pn_transport_get_user(t), *container = pn_connection_remote_container(c->driver.connection);
    pn_sasl_t *sasl = pn_sasl(t);
    const char *mechanism = sasl != NULL ? pn_sasl_get_mech(sasl) : NULL;
    Peer *p = g_new0(Peer, 1);

    if (mechanism == NULL || strcmp(mechanism, "ANONYMOUS") == 0)
        user = NULL;
    p->refs = 1;
    p->id = peers_next_id(b->peers);
    p->user = g_strdup(user != NULL ? user : "");
    p->mechanism = g_strdup(mechanism != NULL ? mechanism : "");
    p->container_id = g_strdup(container != NULL ? container : "");
    p->address = g_strdup(c->where);
    p->opened_us = clock_now_us();
    p->executor = &c->io->executor;
    p->drop = drop_peer;
    c->access = access_peer_new(b->access, user, p->id, c->where);
    p->role = g_strdup(role_name(access_peer_role(c->access)));
    c->peer = p;
    c->user = broker_user_budget(b, p->user);
}

static void opened(Connection *c)
{
    Broker *b = broker_of(c);
    pn_connection_t *connection = c->driver.connection;

    if (c->opened)
        return;
    c->opened = true;
    c->fragile = is_fragile(connection);
    make_peer(c);
    if (!charge_take(c->user, CHARGE_AGENTS, 1, NULL)) { /* connections of this user; the total was charged when accepted */
        log_notice("%s: refused: user %s has too many connections", c->where, c->peer->user);
        connection_refuse_IO(c, "amqp:resource-limit-exceeded", "too many connections of this user");
        return;
    }
    c->registered = true;
    pn_data_put_array(pn_connection_offered_capabilities(connection), false, PN_SYMBOL);
    pn_data_enter(pn_connection_offered_capabilities(connection));
    pn_data_put_symbol(pn_connection_offered_capabilities(connection), pn_bytes(15, "ANONYMOUS-RELAY"));
    pn_data_exit(pn_connection_offered_capabilities(connection));
    pn_connection_open(connection);
    peers_add(b->peers, c->peer);
    c->tick_ms = pn_transport_tick(c->driver.transport, io_now_ms());
}

static void remote_closed(Connection *c)
{
    c->goodbye = true;
    pn_connection_close(c->driver.connection);
}

static void delivery_event(Connection *c, pn_event_t *e)
{
    pn_link_t *link = pn_event_link(e);
    void *context = pn_link_get_context(link);

    if (context == NULL)
        return;
    if (pn_link_is_receiver(link))
        link_in_delivery_IO(context, pn_event_delivery(e));
    else
        link_out_delivery_IO(context, pn_event_delivery(e));
}

static void flow_event(pn_link_t *link)
{
    void *context = pn_link_get_context(link);

    if (context != NULL && pn_link_is_sender(link))
        link_out_flow_IO(context);
}

static void session_closed(Connection *c, pn_session_t *session)
{
    for (pn_link_t *link = pn_link_head(c->driver.connection, 0), *next; link != NULL; link = next) {
        next = pn_link_next(link, 0);
        if (pn_link_session(link) == session)
            link_closed_IO(c, link, false);
    }
    pn_session_close(session);
    pn_session_free(session);
}

static void connection_event(Connection *c, pn_event_t *e)
{
    switch (pn_event_type(e)) {
    case PN_DELIVERY: delivery_event(c, e); break;
    case PN_LINK_FLOW: flow_event(pn_event_link(e)); break;
    case PN_CONNECTION_REMOTE_OPEN: opened(c); break;
    case PN_SESSION_REMOTE_OPEN: pn_session_open(pn_event_session(e)); break;
    case PN_LINK_REMOTE_OPEN: link_opened_IO(c, pn_event_link(e)); break;
    case PN_LINK_REMOTE_DETACH: link_closed_IO(c, pn_event_link(e), true); break;
    case PN_LINK_REMOTE_CLOSE: link_closed_IO(c, pn_event_link(e), false); break;
    case PN_SESSION_REMOTE_CLOSE: session_closed(c, pn_event_session(e)); break;
    case PN_CONNECTION_REMOTE_CLOSE: remote_closed(c); break;
    default: break;
    }
}

static void dispatch(Connection *c)
{
    pn_event_t *e;

    while (!c->ended && (e = pn_connection_driver_next_event(&c->driver)) != NULL)
        connection_event(c, e);
}

/* ---- bytes ---- */

static void watch_io(Connection *c)
{
    struct epoll_event ev = {.events = c->blocked ? EPOLLOUT : EPOLLIN, .data.ptr = c};

    if (c->writable_armed == c->blocked)
        return;
    c->writable_armed = c->blocked;
    epoll_ctl(c->io->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
}

/* A peer that does not read is not read from either: else what we owe it (outcomes, flow) would grow with all it sends. */
static void write_out(Connection *c)
{
    pn_bytes_t b;
    ssize_t n;

    while ((b = pn_connection_driver_write_buffer(&c->driver)).size > 0) {
        n = send(c->fd, b.start, b.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            pn_connection_driver_write_done(&c->driver, (size_t) n);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            c->blocked = true;
            watch_io(c);
            return;
        } else {
            connection_end_IO(c);
            return;
        }
    }
    c->unwritten_bytes = 0;
    if (!c->blocked && !c->held_back)
        return;
    c->blocked = c->held_back = false;
    watch_io(c);
    for (LinkOut *l = c->links_out; l != NULL; l = l->next)
        link_out_flow_IO(l);
}

void connection_flush_IO(Connection *c)
{
    if (!c->has_driver)
        return;
    dispatch(c);
    put_batch_flush_IO(c->io);
    settle_batch_flush_IO(c->io);
    if (!c->ended && c->fragile && !c->goodbye && pn_condition_is_set(pn_transport_condition(c->driver.transport))) {
        log_info("%s: dropped: %s", c->where, pn_condition_get_description(pn_transport_condition(c->driver.transport)));
        connection_end_IO(c);
    }
    if (!c->ended)
        write_out(c);
    if (!c->ended)
        dispatch(c);
    if (!c->ended && !c->shut && pn_connection_driver_write_closed(&c->driver)) {
        shutdown(c->fd, SHUT_WR); /* and wait for the peer's end, so that it gets to read our close */
        c->shut = c->closing = true;
        c->accepted_us = clock_now_us();
    }
    if (!c->ended && pn_connection_driver_finished(&c->driver))
        connection_end_IO(c);
    else if (!c->ended && pn_connection_driver_has_event(&c->driver))
        connection_mark_IO(c);
}

static void read_in(Connection *c)
{
    for (int i = 0; i < READS_PER_ROUND && !c->ended; i++) {
        pn_rwbytes_t to = pn_connection_driver_read_buffer(&c->driver);
        ssize_t n;

        if (to.size == 0)
            return;
        n = recv(c->fd, to.start, to.size, MSG_DONTWAIT);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                connection_end_IO(c);
            return;
        }
        if (n == 0) {
            pn_connection_driver_read_close(&c->driver);
            dispatch(c);
            if (!c->ended && !c->goodbye)
                connection_end_IO(c); /* nobody there to hear our close */
            return;
        }
        if (!feed(c, (size_t) n))
            return;
        dispatch(c);
        if ((size_t) n < to.size)
            return;
    }
}

void connection_ready_IO(Connection *c, uint32_t events)
{
    if (!c->has_driver) {
        if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_header(c))
            return;
    } else if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && (events & EPOLLIN) == 0)) {
        connection_end_IO(c);
        return;
    }
    if ((events & EPOLLIN) != 0)
        read_in(c);
    connection_mark_IO(c);
}

void connection_tick_IO(Connection *c, int64_t now_us)
{
    Broker *b = broker_of(c);

    if (!c->opened) {
        if (now_us - c->accepted_us > b->settings->handshake_timeout_us) {
            __atomic_add_fetch(&b->half_open_dropped, 1, __ATOMIC_RELAXED);
            connection_end_IO(c);
        }
        return;
    }
    if (c->closing && now_us - c->accepted_us > b->settings->drain_timeout_us) {
        connection_end_IO(c);
        return;
    }
    if (c->tick_ms == 0 || now_us / US_PER_MS < c->tick_ms)
        return;
    c->tick_ms = pn_transport_tick(c->driver.transport, now_us / US_PER_MS);
    connection_mark_IO(c);
}

/* ---- the end ---- */

void connection_refuse_IO(Connection *c, const char *condition, const char *text)
{
    pn_condition_t *error;

    if (c->ended || c->closing)
        return;
    if (!c->opened || c->fragile) {
        connection_end_IO(c);
        return;
    }
    error = pn_connection_condition(c->driver.connection);
    pn_condition_set_name(error, condition);
    pn_condition_set_description(error, text);
    pn_connection_open(c->driver.connection);
    pn_connection_close(c->driver.connection);
    c->closing = true;
    c->accepted_us = clock_now_us(); /* from now on: when it was asked to go */
    connection_mark_IO(c);
}

void connection_end_IO(Connection *c)
{
    Broker *b = broker_of(c);

    if (c->ended)
        return;
    put_batch_flush_IO(c->io);
    settle_batch_flush_IO(c->io);
    c->ended = true;
    while (c->links_in != NULL)
        link_in_free_IO(c->links_in);
    while (c->links_out != NULL)
        link_out_free_IO(c->links_out, true);
    list_remove(c);
    if (c->registered) {
        peers_remove(b->peers, c->peer, c->goodbye ? MEND_PEER_CLOSED : MEND_PEER_LOST);
        charge_give(c->user, CHARGE_AGENTS, 1);
    }
    charge_give(&b->budget, CHARGE_CONNECTIONS, 1);
    close(c->fd);
    c->next_ended = c->io->ended;
    c->io->ended = c;
}

void connection_free_IO(Connection *c)
{
    if (c->has_driver)
        guard_run(destroy_driver, &c->driver);
    access_peer_free(c->access);
    peer_unref(c->peer);
    g_free(c->where);
    g_free(c);
}
