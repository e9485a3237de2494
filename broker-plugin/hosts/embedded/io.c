/* One loop per thread: wait, read what came, run what others asked for, write once per connection. Writing last is what makes batches:
 * a read brings a hundred transfers, they enter their queue under one lock, their consumer (same thread or another) takes them under
 * one lock and one send() carries them out.
 *
 * Connections are spread when accepted and never move, so nothing of proton is ever shared. What crosses goes through the executor. */
#include "broker-plugin/hosts/embedded/internal.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_US (200 * US_PER_MS)
#define TRIM_US (2 * US_PER_S)
#define TRIM_BYTES (INT64_C(16) << 20)
#define TRIM_CONNECTIONS 100

typedef struct Adoption {
    Task task;
    IoThread *io;
    int fd;
    const Listener *listener;
    char *where;
} Adoption;

int64_t io_now_ms(void)
{
    return clock_now_us() / US_PER_MS;
}

static void io_wake(Executor *executor)
{
    IoThread *io = (IoThread *) executor;
    const uint64_t one = 1;
    ssize_t n = write(io->event_fd, &one, sizeof one);

    (void) n; /* EAGAIN: it is awake already */
}

static void adopt(Task *task)
{
    Adoption *a = (Adoption *) task;

    if (a->io->stopping) {
        close(a->fd);
        charge_give(&a->io->broker->budget, CHARGE_CONNECTIONS, 1);
    } else {
        connection_new_IO(a->io, a->fd, a->listener, a->where);
    }
    g_free(a->where);
    g_free(a);
}

void io_adopt(IoThread *io, int fd, const Listener *listener, const char *where)
{
    Adoption *a = g_new0(Adoption, 1);

    *a = (Adoption){.task.run = adopt, .io = io, .fd = fd, .listener = listener, .where = g_strdup(where)};
    executor_post(&io->executor, &a->task);
}

/* ---- accepting ---- */

static char *address_text(const struct sockaddr_storage *sa)
{
    char text[INET6_ADDRSTRLEN] = "";

    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *) sa;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        return g_strdup_printf("%s:%u", text, ntohs(in->sin_port));
    }
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *) sa;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        return g_strdup_printf("[%s]:%u", text, ntohs(in6->sin6_port));
    }
    return g_strdup("unix");
}

static void accept_one(IoThread *io, const Listener *listener, int fd, const struct sockaddr_storage *sa)
{
    Broker *b = io->broker;
    g_autofree char *where = address_text(sa);
    IoThread *to = &b->threads[b->next_thread++ % b->n_threads];
    const int one = 1;

    if (!charge_take(&b->budget, CHARGE_CONNECTIONS, 1, NULL)) {
        __atomic_add_fetch(&b->refused_connections, 1, __ATOMIC_RELAXED);
        close(fd);
        return;
    }
    if (sa->ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    b->accepted_connections++;
    io_adopt(to, fd, listener, where);
}

static void accept_some(IoThread *io, const Listener *listener)
{
    struct sockaddr_storage sa;

    for (int i = 0; i < 64; i++) {
        socklen_t n = sizeof sa;
        int fd = accept4(listener->fd, (struct sockaddr *) &sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                log_warning("cannot accept a connection: %s", g_strerror(errno));
                io->retry_accept_us = clock_now_us() + 100 * US_PER_MS;
            }
            return;
        }
        accept_one(io, listener, fd, &sa);
    }
}

/* Listeners are level-triggered; out of descriptors they would spin, so they rest a while. */
static void listeners_arm(IoThread *io, bool on)
{
    for (guint i = 0; i < io->broker->listeners->len; i++) {
        Listener *l = g_ptr_array_index(io->broker->listeners, i);
        struct epoll_event ev = {.events = on ? EPOLLIN : 0, .data.ptr = (void *) ((uintptr_t) l | 1)};
        if (epoll_ctl(io->epoll_fd, EPOLL_CTL_MOD, l->fd, &ev) < 0)
            epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev);
    }
}

/* ---- the loop ---- */

static void flush_all(IoThread *io)
{
    Connection *c;

    put_batch_flush_IO(io);
    settle_batch_flush_IO(io);
    while ((c = io->dirty) != NULL) {
        io->dirty = c->next_dirty;
        c->dirty = false;
        if (!c->ended)
            connection_flush_IO(c);
    }
    while ((c = io->ended) != NULL) {
        io->ended = c->next_ended;
        connection_free_IO(c);
    }
}

static void tick_all(IoThread *io, int64_t now_us)
{
    for (Connection *c = io->connections, *next; c != NULL; c = next) {
        next = c->next;
        connection_tick_IO(c, now_us);
    }
    io->next_tick_us = now_us + TICK_US;
}

/* What a crowd that has left held goes back to the system; by itself the allocator keeps it. */
static void trim(IoThread *io, int64_t now_us)
{
    Broker *b = io->broker;
    gint64 held = __atomic_load_n(&b->held_bytes, __ATOMIC_RELAXED);
    gint64 connections = charge_held(&b->budget, CHARGE_CONNECTIONS);

    if (now_us < io->next_trim_us)
        return;
    io->next_trim_us = now_us + TRIM_US;
    if (io->peak_held_bytes - held > TRIM_BYTES || io->peak_connections - connections > TRIM_CONNECTIONS) {
        malloc_trim(0);
        io->peak_held_bytes = held;
        io->peak_connections = connections;
    }
    io->peak_held_bytes = MAX(io->peak_held_bytes, held);
    io->peak_connections = MAX(io->peak_connections, connections);
}

static void on_time(IoThread *io)
{
    int64_t now_us = clock_now_us();

    if (now_us >= io->next_tick_us)
        tick_all(io, now_us);
    if (!io->accepts)
        return;
    if (now_us >= io->next_sweep_us) {
        int64_t next_us = subscriptions_sweep(io->broker->subscriptions, now_us);
        io->next_sweep_us = MIN(next_us, router_sweep(io->broker->router, now_us));
        trim(io, now_us);
    }
    if (io->retry_accept_us != 0 && now_us >= io->retry_accept_us && !io->stopping) {
        io->retry_accept_us = 0;
        listeners_arm(io, true);
    }
}

static int timeout_ms(const IoThread *io)
{
    int64_t next_us = io->connections != NULL ? io->next_tick_us : INT64_MAX;

    if (io->accepts) {
        next_us = MIN(next_us, io->next_sweep_us);
        if (io->retry_accept_us != 0)
            next_us = MIN(next_us, io->retry_accept_us);
    }
    if (io->stopping)
        next_us = MIN(next_us, io->stop_at_us);
    if (next_us == INT64_MAX)
        return -1;
    return (int) CLAMP((next_us - clock_now_us()) / US_PER_MS + 1, 0, 60000);
}

static void take_events(IoThread *io, const struct epoll_event *events, int n)
{
    uint64_t count;

    for (int i = 0; i < n; i++) {
        uintptr_t p = (uintptr_t) events[i].data.ptr;
        if (p == 0) {
            ssize_t got = read(io->event_fd, &count, sizeof count);
            (void) got;
        } else if (p & 1) {
            accept_some(io, (const Listener *) (p & ~(uintptr_t) 1));
            if (io->retry_accept_us != 0)
                listeners_arm(io, false);
        } else if (!((Connection *) p)->ended) {
            connection_ready_IO((Connection *) p, events[i].events);
        }
    }
}

static void *io_run(void *data)
{
    IoThread *io = data;
    struct epoll_event events[256];

    for (;;) {
        bool sleep = executor_sleep(&io->executor);
        int n = epoll_wait(io->epoll_fd, events, G_N_ELEMENTS(events), sleep ? timeout_ms(io) : 0);

        executor_awake(&io->executor);
        take_events(io, events, MAX(n, 0));
        put_batch_flush_IO(io);
        settle_batch_flush_IO(io);
        executor_run(&io->executor);
        on_time(io);
        flush_all(io);
        if (io->stopping && (io->connections == NULL || clock_now_us() >= io->stop_at_us))
            break;
    }
    while (io->connections != NULL)
        connection_end_IO(io->connections);
    flush_all(io);
    return NULL;
}

/* ---- starting and stopping ---- */

bool io_start(IoThread *io, Broker *broker, bool accepts, GError **error)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    int rc;

    executor_init(&io->executor, io_wake);
    io->broker = broker;
    io->accepts = accepts;
    io->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    io->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (io->epoll_fd < 0 || io->event_fd < 0 || epoll_ctl(io->epoll_fd, EPOLL_CTL_ADD, io->event_fd, &ev) < 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_LISTEN, "I/O thread: %s", g_strerror(errno));
        return false;
    }
    if (accepts)
        listeners_arm(io, true);
    rc = pthread_create(&io->thread, NULL, io_run, io);
    if (rc != 0) {
        g_set_error(error, BROKER_ERROR, BROKER_ERROR_LISTEN, "I/O thread: %s", g_strerror(rc));
        return false;
    }
    io->running = true;
    return true;
}

typedef struct StopTask {
    Task task;
    IoThread *io;
} StopTask;

static void stop_now(Task *task)
{
    IoThread *io = ((StopTask *) task)->io;

    g_free(task);
    io->stopping = true;
    io->stop_at_us = clock_now_us() + io->broker->settings->drain_timeout_us;
    if (io->accepts)
        for (guint i = 0; i < io->broker->listeners->len; i++)
            epoll_ctl(io->epoll_fd, EPOLL_CTL_DEL, ((Listener *) g_ptr_array_index(io->broker->listeners, i))->fd, NULL);
    for (Connection *c = io->connections, *next; c != NULL; c = next) {
        next = c->next;
        connection_refuse_IO(c, "amqp:connection:forced", "the broker is stopping");
    }
}

void io_stop(IoThread *io)
{
    StopTask *t = g_new0(StopTask, 1);

    *t = (StopTask){.task.run = stop_now, .io = io};
    executor_post(&io->executor, &t->task);
}

void io_join(IoThread *io)
{
    if (io->running)
        pthread_join(io->thread, NULL);
    io->running = false;
    executor_close(&io->executor);
}

void io_done(IoThread *io)
{
    if (io->broker == NULL)
        return;
    if (io->epoll_fd >= 0)
        close(io->epoll_fd);
    if (io->event_fd >= 0)
        close(io->event_fd);
    executor_done(&io->executor);
}
