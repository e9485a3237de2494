/* The embedded AMQP 1.0 broker, seen from the program that runs it and from the plugin host inside it.
 *
 * A Broker owns its I/O threads. A BrokerPort is the in-process party: everything a port calls back happens on one GMainContext (the
 * plugin loop), and all port calls are made from there. Messages cross as encoded AMQP 1.0 (OASIS part 3, §3.2: header … body), the
 * bare message byte for byte as its sender wrote it. Verdicts, nodes and peers use the words of broker-plugin/plugin.h. */
#ifndef MEND_EMBEDDED_BROKER_H
#define MEND_EMBEDDED_BROKER_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"
#include "lib/base/settings.h"

typedef struct Access Access; /* access.h: who may do what */
typedef struct Broker Broker;
typedef struct BrokerPort BrokerPort;

/* What `mend broker` and `mend up` let people set; broker_settings_rows says name, range, default and meaning of each. Rows may be
 * copied into a larger table: the offsets are those of this struct as first member. */
typedef struct BrokerSettings {
    GStrv listen;               /* HOST:PORT, several */
    char *unix_path, *data;
    char *tls_cert, *tls_key, *tls_client_ca;
    bool lab, anonymous, auto_create;
    int64_t threads;
    int64_t max_connections, max_connections_per_user, max_links_per_connection, max_queues, max_queues_per_user;
    int64_t max_message_bytes, max_queue_messages, max_queue_bytes, max_connection_bytes, max_total_bytes, max_partial_bytes;
    int64_t subscription_messages, subscription_bytes; /* limits of a topic subscriber's queue; it is a ring */
    int64_t max_frame_bytes, credit, max_delivery_count;
    int64_t idle_timeout_us, handshake_timeout_us, auto_delete_us, drain_timeout_us;
    char *dead_letter;          /* where refused and expired messages of plain queues go; empty: nowhere */
} BrokerSettings;

extern const Setting broker_settings_rows[];
extern const size_t n_broker_settings_rows;
void broker_settings_init(BrokerSettings *settings); /* every default; settings_done() with the rows frees */

#define BROKER_ERROR broker_error_quark()
GQuark broker_error_quark(void);
typedef enum {
    BROKER_ERROR_SETTINGS, /* cannot be run like this (no TLS off loopback …) */
    BROKER_ERROR_LISTEN,   /* port in use, address not ours … */
    BROKER_ERROR_STORE,    /* data folder */
    BROKER_ERROR_NO_NODE, BROKER_ERROR_SHAPE /* exists otherwise */, BROKER_ERROR_LIMIT
} BrokerError;

/* @settings must outlive the broker. @access: NULL makes one from the settings. Opens store and listeners, so that every mistake is
 * told here; nothing is accepted before broker_start(). NULL: error. */
Broker *broker_new(const BrokerSettings *settings, Access *access, GError **error);
bool broker_start(Broker *broker, GError **error);
/* Stops listening, drops every peer (TCP close after an AMQP close for those that survive one), waits for the store, joins threads. */
void broker_stop(Broker *broker);
void broker_free(Broker *broker); /* stops too; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Broker, broker_free)

/* "127.0.0.1:5672 unix:/run/mend/bus": what it really listens on (port 0 resolved). Valid while the broker is. */
const char *broker_listening(const Broker *broker);
/* The first TCP port, 0: none. */
uint16_t broker_port_number(const Broker *broker);
/* All of it: totals, per node (depth, bytes, consumers, enqueued, dequeued, dropped, expired …), per connection. (transfer full) */
json_t *broker_statistics(Broker *broker);

/* ---- in-process party ------------------------------------------------------------------------------------------------- */

typedef struct BrokerDelivery { /* all borrowed for the call */
    mend_id id;                 /* for broker_port_settle */
    mend_id peer;               /* who sent it; 0: this process */
    const char *address;        /* node it entered */
    const char *subject;        /* parsed at entry; "" when there is none */
    const void *bytes;          /* encoded message, header first */
    size_t n_bytes;
    uint32_t delivery_count;    /* earlier attempts to deliver it */
} BrokerDelivery;

/* Returns MEND_ACCEPT, MEND_RELEASE, MEND_REJECT or MEND_KEEP (then broker_port_settle later). The verdict on a TAP or BROWSE is ignored. */
typedef int32_t (*BrokerDeliveryFn)(void *user, const BrokerDelivery *delivery);

BrokerPort *broker_port_new(Broker *broker, GMainContext *context);
/* Ends subscriptions (kept messages go back), watches and pending completions (told RELEASE first). */
void broker_port_free(BrokerPort *port);

/* As mend_host.subscribe. MEND_CONSUME on a topic node makes an own queue bound with @subscription->subject; on a queue it competes.
 * MEND_GATE: while a gate's owner keeps more than the window, what enters waits, bounded; beyond it is refused to its sender.
 * Returns MEND_OK, MEND_NOT_FOUND, MEND_LIMIT, MEND_UNSUPPORTED. */
mend_rc broker_port_subscribe(BrokerPort *port, const mend_subscription *subscription, BrokerDeliveryFn fn, void *user, mend_id *ret_id);
void broker_port_unsubscribe(BrokerPort *port, mend_id id); /* no call of @fn after it; what was kept goes back */
/* @reason: for REJECT, told to the sender (gate) or written as mend.reason (dead letter). MEND_NOT_FOUND: already gone. */
mend_rc broker_port_settle(BrokerPort *port, mend_id delivery, int32_t verdict, mend_str reason);

/* Into node @address. @bytes is copied. @done (may be NULL) is called once, later, on the port's context: MEND_ACCEPT when it is in
 * the node (and, if durable there, on disk), MEND_REJECT: no such node or refused, MEND_RELEASE: full. Gates do not see it. */
mend_rc broker_port_publish(BrokerPort *port, const char *address, const void *bytes, size_t n_bytes, mend_published_fn done, void *user);

mend_rc broker_port_declare(BrokerPort *port, const mend_node *node); /* MEND_OK, MEND_HELD (other shape), MEND_LIMIT */
mend_rc broker_port_undeclare(BrokerPort *port, const char *address); /* MEND_NOT_FOUND */

/* Those already here are announced as OPENED, later. NULL ends it. The mend_peer is borrowed for the call. */
void broker_port_watch_peers(BrokerPort *port, mend_peer_fn fn, void *user);
/* Strings valid until the next port call. */
mend_rc broker_port_peer(BrokerPort *port, mend_id peer, mend_peer *ret_peer);
/* Ends the peer's connection as it can bear it. Asynchronous. */
mend_rc broker_port_drop_peer(BrokerPort *port, mend_id peer, const char *reason);

#endif
