/* Load on AMQP brokers: many connections of proton on one epoll, in one thread, with no layer of ours between them and the socket. The
 * generator shares the machine with what it measures, so it must cost less than that. */
#ifndef MEND_BENCH_LOOP_H
#define MEND_BENCH_LOOP_H

#include "lib/base/base.h"

#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>

typedef struct Peer {
    char host[256];
    uint16_t port;
    const char *user_name, *password; /* NULL user: ANONYMOUS */
} Peer;

typedef struct Conn Conn;
typedef struct Loop {
    int epoll_fd;
    GPtrArray *conns;
    int64_t wake_ns;     /* monotonic; the loop returns to `turn` not later */
    bool stop;
    void (*turn)(struct Loop *loop); /* after each round of events; may be NULL */
    void *user;
    unsigned lost;       /* connections that ended without our wish */
} Loop;

struct Conn {
    Loop *loop;
    int fd;
    bool reads, writes;  /* what epoll is asked for */
    bool open;           /* the peer answered open */
    bool over;
    pn_connection_driver_t driver;
    pn_session_t *session;
    void (*on_event)(Conn *conn, pn_event_t *event);
    void (*on_room)(Conn *conn); /* after events, before writing: send if there is credit; may be NULL */
    void *user;
};

void loop_init(Loop *loop);
/* Until loop->stop or @until_ns (monotonic; 0: no end). */
void loop_run(Loop *loop, int64_t until_ns);
int64_t now_ns(void);

/* "HOST:PORT" or an amqp url. False: no such form. */
bool peer_parse(const char *text, Peer *ret_peer);

/* Connects (blocking), opens connection and session. Never NULL: failure ends the program with a message. */
Conn *conn_open(Loop *loop, const Peer *peer, const char *container, void (*on_event)(Conn *, pn_event_t *), void *user);
void conn_flush(Conn *conn); /* events, on_room, write */
void conn_close(Conn *conn);

pn_link_t *conn_sender(Conn *conn, const char *address, bool presettled);
pn_link_t *conn_receiver(Conn *conn, const char *address, bool presettled);

#endif
