/* An AMQP 1.0 client that lives in the caller's GMainContext: no thread of its own, one connection over any byte stream.
 *
 * It connects, authenticates, keeps the connection alive (idle timeout both ways), and after a loss reconnects by itself with
 * capped back-off and jitter; senders and receivers are re-attached with the same names. What was sent and not settled when the
 * connection went is sent again (at least once), in order, unless its deadline passed.
 *
 * Thread: everything, callbacks included, on the thread that iterates the GMainContext given at the start.
 * Re-entrancy: a callback never runs inside the call that asked for it, but for amqp_client_free and amqp_sender_free, which complete
 * pending sends with CANCELLED before they return. Objects may be freed from any callback.
 * Ownership: senders and receivers are the caller's, to be freed before or after their client; after it they do nothing.
 * Bytes: urls "amqp://HOST:PORT", "amqps://HOST:PORT", "amqp+unix:///path/to/socket", "amqp+srv://DOMAIN" and
 * "amqps+srv://DOMAIN" (SRV records _matahari._tcp, _matahari._tls, as Matahari's agents look them up), "vsock://CID:PORT",
 * "virtio-serial:///dev/virtio-ports/NAME" (docs/wire.md, "Serial ports"), each with "?tls=NAME" for TLS with the broker of that name, end
 * to end; "sasl=PLAIN": the password may be shown on a stream without TLS; "dialect=NAME": what the broker does not tell by itself.
 * Several, separated by commas: tried in turn. Other streams by AmqpClientOptions.connect.
 * Addresses of senders and receivers are those of docs/wire.md on every broker: lib/amqp/dialect.h. */
#ifndef MEND_AMQP_CLIENT_H
#define MEND_AMQP_CLIENT_H

#include "lib/amqp/dialect.h"
#include "lib/amqp/message.h"

#include <gio/gio.h>

typedef struct AmqpClient AmqpClient;
typedef struct AmqpSender AmqpSender;
typedef struct AmqpReceiver AmqpReceiver;

#define AMQP_ERROR amqp_error_quark()
GQuark amqp_error_quark(void);
typedef enum {
    AMQP_ERROR_CONNECT,      /* no byte stream: refused, unreachable, no such host, TLS failed */
    AMQP_ERROR_AUTH,         /* the peer does not accept who we are; not retried quickly */
    AMQP_ERROR_PROTOCOL,     /* what came was not AMQP 1.0 */
    AMQP_ERROR_CLOSED,       /* the peer closed connection, session or link; the condition is in the message */
    AMQP_ERROR_NOT_FOUND,    /* amqp:not-found */
    AMQP_ERROR_DENIED,       /* amqp:unauthorized-access, amqp:not-allowed */
    AMQP_ERROR_LIMIT,        /* amqp:resource-limit-exceeded, or our own send buffer is full: back-pressure */
    AMQP_ERROR_REJECTED,     /* this message was rejected; condition and description in the message */
    AMQP_ERROR_RELEASED,     /* released or modified by the receiver: not taken */
    AMQP_ERROR_TIMEOUT,
    AMQP_ERROR_CANCELLED,    /* sender or client was freed */
} AmqpErrorCode;

typedef enum { AMQP_STATE_CONNECTING, AMQP_STATE_OPEN, AMQP_STATE_WAITING /* for the next attempt */, AMQP_STATE_CLOSED } AmqpState;

/* Where the sockets of @url are to be opened, for those who carry the bytes of others there: TCP and UNIX only. (transfer full)
 * NULL: AMQP_ERROR_CONNECT. */
GSocketConnectable *amqp_url_address(const char *url, GError **error);

typedef struct AmqpClientOptions {
    const char *url;
    const char *container_id;      /* NULL: a new UUID. No '/': qpidd splits reply addresses there */
    const char *user, *password; /* NULL user: ANONYMOUS (or EXTERNAL with a certificate) */
    const AmqpDialect *dialect;    /* NULL: the url's, or found out */
    const char *mechanisms;        /* allowed SASL mechanisms, space separated; NULL: what is safe on this stream */
    const char *ca_file, *cert_file, *key_file; /* PEM; ca_file NULL: system's */
    int64_t idle_timeout_us;       /* 0: 30 s */
    int64_t backoff_first_us, backoff_max_us; /* 0: 100 ms, 10 s */
    bool reconnect;                /* false: one attempt; loss is final */
    uint32_t max_frame_bytes;      /* 0: 65536 */
    /* Instead of url: opens a stream of the caller's kind ; called for each attempt, finished like a
     * GTask of GIOStream. */
    void (*connect)(GCancellable *cancel, GAsyncReadyCallback done, gpointer user);
    void (*on_state)(AmqpClient *client, AmqpState state, const GError *why, void *user); /* why: NULL when OPEN */
    void *state_user;
} AmqpClientOptions;

/* Starts connecting in the thread-default main context. Options are copied. Never NULL. A malformed url is reported by on_state. */
AmqpClient *amqp_client_new(const AmqpClientOptions *options);
/* Sends what is queued for up to @linger_us, closes politely, then calls @done. */
void amqp_client_close(AmqpClient *client, int64_t linger_us, void (*done)(void *user), void *user);
void amqp_client_free(AmqpClient *client); /* at once; NULL is fine; pending sends complete with CANCELLED first */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AmqpClient, amqp_client_free)
AmqpState amqp_client_state(const AmqpClient *client);
const char *amqp_client_container_id(const AmqpClient *client);
/* Of the broker it is or last was connected to; NULL before the first time, product and version also when it does not say. */
const AmqpDialect *amqp_client_dialect(const AmqpClient *client);
const char *amqp_client_product(const AmqpClient *client);
const char *amqp_client_version(const AmqpClient *client);
/* When the last bytes came from the broker, monotonic; 0: never. One that is there sends at least every half of the idle time-out. */
int64_t amqp_client_heard_us(const AmqpClient *client);
const char *amqp_client_url(const AmqpClient *client); /* of the list, the one in use or tried next; NULL: a stream of the caller's */

typedef struct AmqpSenderOptions {
    const char *name;        /* link name; NULL: made up, kept across reconnects */
    const char *address;     /* NULL: anonymous terminus, each message needs ->to */
    bool literal;            /* @address is in the broker's own form */
    bool presettled;
    bool topic;              /* ask with capability "topic" */
    size_t max_pending_bytes;/* queued and unsettled; 0: 4 MiB. Over it amqp_sender_send says LIMIT */
    void (*on_ready)(AmqpSender *sender, void *user); /* room again after LIMIT, and at each attach */
    void (*on_error)(AmqpSender *sender, const GError *error, void *user); /* attach refused or link closed; retried with back-off */
    void *user;
} AmqpSenderOptions;
AmqpSender *amqp_sender_new(AmqpClient *client, const AmqpSenderOptions *options);
/* @message: copied (encoded) before return. @deadline_us: monotonic, 0 = none; passing it completes with TIMEOUT.
 * @done: once, later, error NULL = accepted (or handed to the transport if presettled); may be NULL.
 * False: AMQP_ERROR_LIMIT only; nothing was queued and @done will not run. */
bool amqp_sender_send(AmqpSender *sender, const AmqpMessage *message, int64_t deadline_us,
                      void (*done)(const GError *error, void *user), void *user, GError **error);
size_t amqp_sender_pending(const AmqpSender *sender); /* messages */
/* Pending sends complete with CANCELLED first; NULL is fine. */
void amqp_sender_free(AmqpSender *sender);

typedef struct AmqpDelivery AmqpDelivery; /* owned by the receiver until settled */

typedef struct AmqpReceiverOptions {
    const char *name;          /* link name; NULL: made up, kept across reconnects (a durable subscription needs its own) */
    const char *address;       /* NULL with dynamic */
    bool literal;              /* @address is in the broker's own form, and so is the filter */
    bool dynamic;              /* the peer makes a node; its name: amqp_receiver_address once attached */
    const char *subject_filter;/* legacy-amqp-topic-binding (or -direct- when it has no wildcard); NULL: none */
    bool browse;               /* distribution mode copy */
    bool presettled;
    bool durable;              /* terminus unsettled-state durable, expiry never: resumes after a reconnect */
    bool topic;                /* capability "topic" */
    uint32_t credit;           /* 0: 100; kept topped up as deliveries are settled */
    Value *node_properties;    /* map with symbol keys for dynamic nodes; borrowed during the call; may be NULL */
    /* Settle with amqp_delivery_*; now or later. @message is borrowed until return. */
    void (*on_message)(AmqpReceiver *receiver, AmqpDelivery *delivery, const AmqpMessage *message, void *user);
    void (*on_attached)(AmqpReceiver *receiver, void *user);
    void (*on_error)(AmqpReceiver *receiver, const GError *error, void *user); /* refused, closed, or undecodable (then rejected) */
    void *user;
} AmqpReceiverOptions;
AmqpReceiver *amqp_receiver_new(AmqpClient *client, const AmqpReceiverOptions *options);
const char *amqp_receiver_address(const AmqpReceiver *receiver); /* NULL until attached; changes with reconnects if dynamic */
void amqp_receiver_free(AmqpReceiver *receiver);                 /* unsettled deliveries go back */

/* Each exactly once per delivery; after a reconnect they are no-ops (the peer sends again). */
void amqp_delivery_accept(AmqpDelivery *delivery);
void amqp_delivery_release(AmqpDelivery *delivery);
void amqp_delivery_reject(AmqpDelivery *delivery, const char *condition, const char *description);
void amqp_delivery_modify(AmqpDelivery *delivery, bool failed, bool undeliverable_here);

#endif
