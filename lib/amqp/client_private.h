/* What client.c, endpoint.c, stream.c, sender.c and receiver.c share. Everything runs on the thread of client->context.
 *
 * Life: the user's handle is one reference; each walk through proton's events holds another, so that a callback may free whatever
 * it likes. `freed` says the user let go: nothing is called back any more. */
#ifndef MEND_AMQP_CLIENT_PRIVATE_H
#define MEND_AMQP_CLIENT_PRIVATE_H

#include "lib/amqp/client.h"
#include "lib/amqp/dialect.h"

#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/ssl.h>
#include <proton/terminus.h>
#include <proton/transport.h>

#define NEVER G_MAXINT64

typedef enum { ENDPOINT_TCP, ENDPOINT_SRV, ENDPOINT_UNIX, ENDPOINT_VSOCK, ENDPOINT_SERIAL, ENDPOINT_CUSTOM } EndpointKind;

typedef struct Endpoint {
    EndpointKind kind;
    char *host; /* or path of a UNIX socket or serial port, or a vsock CID */
    char *tls;  /* name of the broker, as its certificate has it; NULL: no TLS */
    char *mechanisms; /* "PLAIN": asked for by the url; NULL: not */
    const AmqpDialect *dialect; /* asked for by the url; NULL: found out */
    uint16_t port;
    bool secure_service; /* SRV: _matahari._tls, not _tcp */
} Endpoint;

struct AmqpClient {
    int refs;
    bool freed;
    GMainContext *context;
    GSource *source;         /* one for waking and for all timers */
    AmqpClientOptions options; /* strings owned */
    Endpoint endpoint;
    GError *url_error;       /* malformed url: told once, then closed */
    char **urls;             /* NULL: a stream of the caller's */
    unsigned n_urls, at_url; /* the one in use or tried next */
    char *product, *version; /* what the peer last said it is; NULL: nothing */
    const AmqpDialect *dialect; /* NULL: not known yet */
    AmqpState state;
    unsigned attempts;       /* failed since the last connection that lasted */
    int64_t retry_at, open_by, opened_at, tick_at, linger_until, close_by; /* monotonic; NEVER */
    bool running, again;     /* inside client_run; run once more */
    bool awake;              /* the source is set to fire at once */
    bool closing, close_sent;
    void (*on_closed)(void *user);
    void *on_closed_user;
    GCancellable *cancel;    /* of the attempt that is under way */

    /* one connection; NULL between connections */
    GIOStream *stream;
    GPollableInputStream *input;
    GPollableOutputStream *output;
    GSource *readable, *writable; /* writable only while the stream is full */
    int64_t heard_at;             /* monotonic: when the last bytes came; 0: never */
    bool connected;               /* driver is initialised */
    bool stream_lost;
    pn_connection_driver_t driver;
    pn_session_t *session;
    GError *loss;            /* the first reason why this connection ends */

    GQueue senders, receivers;
};

/* A link's own life across connections. */
typedef struct Link {
    pn_link_t *pn;           /* NULL: not on this connection */
    char *name, *address;
    pn_session_t *session;   /* its own; NULL: the client's, or none */
    bool attached;
    unsigned refusals;       /* in a row */
    int64_t retry_at;        /* NEVER: attached, or waiting for a connection */
} Link;

typedef struct Pending {
    GList link;              /* in waiting or unsettled */
    GBytes *bytes;
    bool named;              /* has the user-id a dialect wants */
    int64_t deadline_us;     /* NEVER */
    pn_delivery_t *delivery; /* NULL while waiting */
    void (*done)(const GError *error, void *user);
    void *user;
} Pending;

struct AmqpSender {
    int refs;
    bool freed;
    AmqpClient *client;      /* NULL once the client was freed */
    AmqpSenderOptions options;
    Link link;
    GList node;              /* in client->senders */
    GQueue waiting, unsettled;
    size_t pending_bytes;
    int64_t next_deadline;   /* not later than the earliest; NEVER */
    uint64_t tags;
    bool full;               /* said LIMIT, owes on_ready */
};

struct AmqpReceiver {
    int refs;
    bool freed;
    AmqpClient *client;
    AmqpReceiverOptions options;
    Link link;
    GList node;
    Value *node_properties;
    char *remote_address;
    GQueue deliveries;       /* of AmqpDelivery, handed to the user and not settled */
};

struct AmqpDelivery {
    GList node;
    AmqpReceiver *receiver;
    pn_delivery_t *pn;       /* NULL: presettled, or its connection is gone */
};

/* client.c */
AmqpClient *client_ref(AmqpClient *client);
void client_unref(AmqpClient *client);
void client_wake(AmqpClient *client);       /* runs client_run soon, never now */
void client_run(AmqpClient *client);
void client_lost(AmqpClient *client, GError *why); /* (transfer full); first reason counts */
int64_t client_backoff(const AmqpClient *client, unsigned attempt);

/* endpoint.c */
#define ENDPOINT_WHY "mend-why" /* data of a stream: text, why its end came */
bool endpoint_parse(const char *url, Endpoint *ret_endpoint, GError **error);
void endpoint_done(Endpoint *endpoint);
void stream_connect(AmqpClient *client);

/* stream.c */
void stream_adopt(AmqpClient *client, GIOStream *stream);
void stream_pump(AmqpClient *client);
void stream_close(AmqpClient *client);

/* connection.c */
void connection_begin(AmqpClient *client);
void connection_event(AmqpClient *client, pn_event_t *event);
void connection_end(AmqpClient *client);

/* link.c */
void link_init(Link *link, const char *name, const char *address);
void link_done(Link *link);
/* NULL: not now; retry_at is set where that helps. */
pn_link_t *link_make(AmqpClient *client, Link *link, bool sender, bool apart);
void link_drop(Link *link, bool keep);   /* closes (keep: detaches) and forgets; the pn_link is freed when the peer answers */
void link_ended(const AmqpClient *client, Link *link); /* the peer detached: answers, frees, sets retry_at */
GError *error_from_condition(pn_condition_t *condition, const char *fallback);
void data_put(pn_data_t *data, const Value *value, bool symbol_keys);
void data_put_capability(pn_terminus_t *terminus, const char *symbol);

/* sender.c */
void sender_attach(AmqpSender *sender);
void sender_opened(AmqpSender *sender);
void sender_flush(AmqpSender *sender);
void sender_settled(AmqpSender *sender, pn_delivery_t *delivery);
void sender_closed(AmqpSender *sender, pn_condition_t *why);
void sender_connection_gone(AmqpSender *sender);
int64_t sender_due(const AmqpSender *sender);
void sender_tick(AmqpSender *sender, int64_t now_us);
void sender_client_gone(AmqpSender *sender);
void sender_unref(AmqpSender *sender);

/* receiver.c */
void receiver_attach(AmqpReceiver *receiver);
void receiver_opened(AmqpReceiver *receiver);
void receiver_delivery(AmqpReceiver *receiver);
void receiver_closed(AmqpReceiver *receiver, pn_condition_t *why);
void receiver_connection_gone(AmqpReceiver *receiver);
void receiver_tick(AmqpReceiver *receiver, int64_t now_us);
void receiver_unref(AmqpReceiver *receiver);

#endif
