/* What the parts of the broker share: the Broker, its I/O threads, connections and links. Only files of this folder include it.
 *
 * _IO: runs on the connection's own I/O thread. Nobody else touches a connection, its links or its proton objects. */
#ifndef MEND_EMBEDDED_INTERNAL_H
#define MEND_EMBEDDED_INTERNAL_H

#include "broker-plugin/hosts/embedded/access.h"
#include "broker-plugin/hosts/embedded/broker.h"
#include "broker-plugin/hosts/embedded/peers.h"
#include "broker-plugin/hosts/embedded/router.h"
#include "broker-plugin/hosts/embedded/sasl.h"
#include "broker-plugin/hosts/embedded/selector.h"
#include "broker-plugin/hosts/embedded/site.h"
#include "broker-plugin/hosts/embedded/subscription.h"
#include "broker-plugin/hosts/embedded/terminus.h"

#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/ssl.h>

#define IO_BATCH 64

typedef struct IoThread IoThread;
typedef struct Connection Connection;
typedef struct LinkIn LinkIn;
typedef struct LinkOut LinkOut;
typedef struct Listener Listener;

struct Broker {
    const BrokerSettings *settings;
    Access *access;
    bool owns_access;
    Site *site;
    Store *store;
    SaslServer *sasl;
    pn_ssl_domain_t *tls;
    Budget budget;
    GMutex users_lock;
    GHashTable *users;        /* user → Budget, for ever: there are few */
    Router *router;
    Subscriptions *subscriptions;
    Peers *peers;
    IoThread *threads;
    unsigned n_threads, next_thread;
    GPtrArray *listeners;
    char *listening;
    uint16_t port;
    bool started;
    gint64 held_bytes;        /* atomic; of messages alive */
    uint64_t accepted_connections, refused_connections, foreign_headers, half_open_dropped;
};

Budget *broker_user_budget(Broker *broker, const char *user);

struct Listener {
    int fd;
    bool local;               /* UNIX socket or loopback: may go without TLS */
    bool private_stream;      /* UNIX socket */
    char *text;
};

/* ---- I/O threads ---- */

typedef struct PutBatch {     /* messages of one link on their way into one queue */
    LinkIn *link;
    size_t n;
    QueuePut puts[IO_BATCH];
    pn_delivery_t *deliveries[IO_BATCH]; /* NULL: pre-settled */
} PutBatch;

typedef struct SettleBatch {  /* accepted deliveries of one link */
    LinkOut *link;
    size_t n;
    Entry *entries[IO_BATCH];
} SettleBatch;

struct IoThread {
    Executor executor;        /* first */
    Broker *broker;
    pthread_t thread;
    int epoll_fd, event_fd;
    bool stopping, running, accepts; /* accepts: has the listeners */
    int64_t stop_at_us, next_tick_us, next_sweep_us, retry_accept_us, next_trim_us;
    gint64 peak_held_bytes, peak_connections;
    Connection *connections, *dirty, *ended;
    gint n_connections;
    PutBatch put;
    SettleBatch settle;
};

bool io_start(IoThread *io, Broker *broker, bool accepts, GError **error);
void io_stop(IoThread *io);   /* asks; any thread */
void io_join(IoThread *io);
void io_done(IoThread *io);
void io_adopt(IoThread *io, int fd, const Listener *listener, const char *where); /* any thread */
int64_t io_now_ms(void);

/* ---- connections ---- */

struct Connection {
    IoThread *io;
    Connection *prev, *next, *next_dirty, *next_ended;
    Peer *peer;               /* NULL until open */
    AccessPeer *access;
    int fd;
    uint8_t header[8], n_header;
    bool local, private_stream, has_driver, dirty, blocked, writable_armed, ended, fragile, opened, goodbye, closing, shut;
    bool registered;
    int32_t n_links;
    int64_t accepted_us, tick_ms;
    int64_t partial_bytes, unwritten_bytes;
    bool held_back;           /* a link stopped at max_connection_bytes */
    pn_connection_driver_t driver;
    Budget *user;             /* charged for connection, links and queues */
    LinkIn *links_in;
    LinkOut *links_out;
    char *where;
};

void connection_new_IO(IoThread *io, int fd, const Listener *listener, const char *where);
void connection_ready_IO(Connection *c, uint32_t epoll_events);
void connection_flush_IO(Connection *c);
void connection_mark_IO(Connection *c);           /* has something to write or to dispatch: flushed at the end of the round */
void connection_tick_IO(Connection *c, int64_t now_us);
void connection_end_IO(Connection *c);            /* at once, without a word; freed at the end of the round */
void connection_free_IO(Connection *c);
/* As the peer can bear it: TCP only for those who go deaf on an AMQP close. */
void connection_refuse_IO(Connection *c, const char *condition, const char *text);

/* ---- links ---- */

typedef struct Pending Pending; /* a delivery that waits for the store or a gate */

struct LinkIn {
    Producer producer;        /* first: waits for room in the queue */
    Connection *connection;
    LinkIn *prev, *next;
    pn_link_t *link;
    Node *node;               /* NULL: anonymous or discarding */
    char *key;                /* of an address NODE/KEY; NULL: the subject */
    char *made;               /* dynamic node to remove at the end */
    bool refusing;            /* a message too large is being thrown away */
    bool anonymous, check;    /* check: ask the access rules for each message */
    GByteArray *partial;
    uint32_t last_bytes;      /* size of the newest message + 1; 0: none yet */
    Pending *pendings;
};

struct LinkOut {
    Consumer consumer;        /* first */
    Connection *connection;
    LinkOut *prev, *next;
    pn_link_t *link;
    Node *node;
    Binding *binding;
    Subscription *subscription; /* lasting ones */
    Selector *selector;
    bool no_local, made_node, silent, settles;
    uint32_t next_tag;
};

void link_opened_IO(Connection *c, pn_link_t *link);
void link_closed_IO(Connection *c, pn_link_t *link, bool detached_only);
/* Refuses or ends a link with a condition; silent towards peers that die of it. */
void link_refuse_IO(Connection *c, pn_link_t *link, const char *condition, const char *text);

LinkIn *link_in_new_IO(Connection *c, pn_link_t *link);
void link_in_delivery_IO(LinkIn *l, pn_delivery_t *delivery);
void link_in_credit_IO(LinkIn *l);
void link_in_free_IO(LinkIn *l);
void put_batch_flush_IO(IoThread *io);

LinkOut *link_out_new_IO(Connection *c, pn_link_t *link);
void link_out_start_IO(LinkOut *l, Queue *queue, bool browse, bool settles);
void link_out_flow_IO(LinkOut *l);
void link_out_delivery_IO(LinkOut *l, pn_delivery_t *delivery);
void link_out_free_IO(LinkOut *l, bool keep_subscription);
void settle_batch_flush_IO(IoThread *io);

/* ---- gates (port.c) ---- */

typedef void (*GateDone)(void *user, int32_t verdict, const char *reason); /* any thread, once */
/* False: no gate here (any more). @done may be NULL. */
bool gate_offer(Node *node, Message *message, GateDone done, void *user);

#endif
