/* One AMQP 1.0 message, decoded (sections of OASIS AMQP 1.0 part 3, §3.2). Plain data: fill it, encode it. */
#ifndef MEND_AMQP_MESSAGE_H
#define MEND_AMQP_MESSAGE_H

#include "lib/amqp/value.h"

typedef enum { AMQP_BODY_NONE, AMQP_BODY_DATA, AMQP_BODY_VALUE, AMQP_BODY_SEQUENCE } AmqpBodyKind;

#define AMQP_PRIORITY_DEFAULT 4

typedef struct AmqpMessage {
    /* header */
    bool durable;
    uint8_t priority;           /* AMQP_PRIORITY_DEFAULT unless set */
    uint32_t ttl_ms;            /* 0: none */
    uint32_t delivery_count;
    /* properties; all strings owned, NULL: absent. Ids that are not strings arrive as their text. */
    char *message_id, *user_id, *to, *subject, *reply_to, *correlation_id, *content_type;
    int64_t created_ms, expires_ms; /* 0: absent */
    char *group_id;
    uint32_t group_sequence;
    Value *annotations;         /* message-annotations map or NULL */
    Value *properties;          /* application-properties map or NULL */
    AmqpBodyKind body_kind;
    GBytes *data;               /* DATA (several sections joined) */
    Value *body;                /* VALUE; SEQUENCE as one list */
} AmqpMessage;

#define AMQP_MESSAGE_ERROR amqp_message_error_quark()
GQuark amqp_message_error_quark(void);
typedef enum { AMQP_MESSAGE_ERROR_MALFORMED, AMQP_MESSAGE_ERROR_LIMIT } AmqpMessageError;

AmqpMessage *amqp_message_new(void);
void amqp_message_free(AmqpMessage *message); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AmqpMessage, amqp_message_free)

void amqp_message_set_property(AmqpMessage *message, const char *key, Value *value /* (transfer full) */);
const char *amqp_message_property(const AmqpMessage *message, const char *key); /* as text or NULL */

/* A whole message as it goes into transfers. (transfer full) Never fails on a well-formed struct. */
GBytes *amqp_message_encode(const AmqpMessage *message);
/* Strict about bounds, liberal about types. Depth and item counts are limited (LIMIT). NULL: error. */
AmqpMessage *amqp_message_decode(const void *bytes, size_t n_bytes, GError **error);

/* One AMQP 1.0 encoded value, as the body of an amqp-value section. */
GByteArray *amqp_value_encode(const Value *value);
Value *amqp_value_decode(const void *bytes, size_t n_bytes, GError **error);

#endif
