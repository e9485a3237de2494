/* One message inside the broker: its encoded bytes, untouched, and the few facts routing needs, found once at entry.
 *
 * Immutable after message_new() and counted, so any number of queues and threads share one. What differs per delivery (delivery
 * count, remaining ttl) is written into a fresh header section by message_header(); everything behind it goes out byte for byte
 * (AMQP 1.0 part 3, §3.2: intermediaries change header and delivery-annotations only; the latter end here). */
#ifndef MEND_EMBEDDED_MESSAGE_H
#define MEND_EMBEDDED_MESSAGE_H

#include "lib/base/base.h"

#define MESSAGE_PRIORITIES 10
#define MESSAGE_PRIORITY_DEFAULT 4
#define MESSAGE_HEADER_MAX 32 /* bytes message_header() may write */

typedef struct Span { /* a piece of a message's bytes; n_bytes 0 and at 0: absent */
    uint32_t at, n_bytes;
} Span;

typedef struct Message {
    gint refs;
    uint8_t priority;         /* 0 … 9 */
    bool durable, changed;    /* changed: the header must be rewritten even for a first delivery (annotations to strip, ttl) */
    uint32_t ttl_ms;          /* 0: none */
    uint32_t delivery_count;  /* as it came in */
    uint64_t peer;            /* sender; 0: this process */
    int64_t arrived_us;       /* monotonic; 0 unless there is a ttl */
    gint64 *held;             /* atomic counter the bytes are charged to; NULL: none */
    Span rest;                /* message-annotations to footer: what is passed on */
    Span message_id, to, subject, reply_to, correlation_id, content_type, group_id, user_id; /* as encoded values without constructor */
    uint8_t message_id_type, correlation_id_type; /* constructors */
    uint32_t properties;      /* where the properties list starts (its constructor); 0: none */
    uint32_t app_properties;  /* where the application-properties map starts; 0: none */
    uint32_t n_bytes;
    uint8_t bytes[];
} Message;

#define MESSAGE_ERROR message_error_quark()
GQuark message_error_quark(void);
typedef enum { MESSAGE_ERROR_MALFORMED, MESSAGE_ERROR_LIMIT } MessageError;

/* Room for @n_bytes to be filled by the caller, who then calls message_scan(). */
Message *message_alloc(size_t n_bytes);
/* Finds the facts. False: not a well-formed sequence of sections (bounds, order, depth). Never reads outside the bytes. */
bool message_scan(Message *message, GError **error);
Message *message_new(const void *bytes, size_t n_bytes, GError **error);
Message *message_ref(Message *message);
void message_unref(Message *message); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Message, message_unref)

static inline const char *message_text(const Message *message, Span span)
{
    return (const char *) message->bytes + span.at;
}

/* The header section for one delivery: 0 bytes when the default header says the same. @remaining_ms: 0 none. */
size_t message_header(const Message *message, uint32_t delivery_count, uint32_t remaining_ms, uint8_t out[MESSAGE_HEADER_MAX]);

/* A scalar found in the bytes. */
typedef enum { FACT_ABSENT, FACT_NULL, FACT_BOOL, FACT_INT, FACT_DOUBLE, FACT_TEXT, FACT_OTHER } FactType;
typedef struct Fact {
    FactType type;
    int64_t i64;       /* BOOL, INT (unsigned above INT64_MAX are clipped) */
    double f64;
    const char *text;  /* TEXT: string, symbol or binary; not terminated */
    size_t n_text;
} Fact;

/* Application property @key. Key and map are searched linearly: messages have few. */
Fact message_property(const Message *message, const char *key, size_t n_key);
/* Reads one scalar at @p; returns what follows it or NULL when it does not fit. */
const uint8_t *amqp_read_fact(const uint8_t *p, const uint8_t *end, Fact *ret);
/* The end of the value that starts (with its constructor) at @p, or NULL. Checks that compound values are complete inside. */
const uint8_t *amqp_value_end(const uint8_t *p, const uint8_t *end, unsigned depth);

/* A copy with one more application property (string), and without ttl: what goes to the dead letters. */
Message *message_copy_with(const Message *message, const char *key, const char *text);

#endif
