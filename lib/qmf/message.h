/* QMFv2 messages: what the opcodes mean on AMQP 1.0 (docs/qmf.md has the facts and where they were measured).
 * Strict in what is sent: body one data section in the AMQP 0-10 map or list encoding, the only form every peer reads; an amqp-value
 * only in answers to who asked for it.
 * Liberal in what is read: that and amqp-value, strings as binary or symbol, integers of any width, missing app-id. */
#ifndef MEND_QMF_MESSAGE_H
#define MEND_QMF_MESSAGE_H

#include "lib/amqp/message.h"
#include "lib/qmf/codec.h"

#define QMF_TOPIC  "qmf.default.topic"
#define QMF_DIRECT "qmf.default.direct"
/* A request with this property wants its answers in plain AMQP 1.0: for programs that know no 0-10 encoding. */
#define QMF_BODY_KEY   "mend.body"
#define QMF_BODY_PLAIN "amqp-value"

#define QMF_OPCODES(X)                                                  \
    X(AGENT_LOCATE_REQUEST, "_agent_locate_request")                    \
    X(AGENT_LOCATE_RESPONSE, "_agent_locate_response")                  \
    X(AGENT_HEARTBEAT_INDICATION, "_agent_heartbeat_indication")        \
    X(QUERY_REQUEST, "_query_request")                                  \
    X(QUERY_RESPONSE, "_query_response")                                \
    X(SUBSCRIBE_REQUEST, "_subscribe_request")                          \
    X(SUBSCRIBE_RESPONSE, "_subscribe_response")                        \
    X(SUBSCRIBE_CANCEL_INDICATION, "_subscribe_cancel_indication")      \
    X(SUBSCRIBE_REFRESH_INDICATION, "_subscribe_refresh_indication")    \
    X(DATA_INDICATION, "_data_indication")                              \
    X(METHOD_REQUEST, "_method_request")                                \
    X(METHOD_RESPONSE, "_method_response")                              \
    X(EXCEPTION, "_exception")                                          \
    X(V1_SCHEMA_REQUEST, "AM2S")                                        \
    X(V1_SCHEMA_RESPONSE, "AM2s") /* no qmf.opcode: the whole content as binary body, qmf1.h */
#define X(id, text) QMF_##id,
typedef enum { QMF_OPCODES(X) QMF_OPCODE_N } QmfOpcode;
#undef X

typedef struct QmfMessage { /* strings owned */
    QmfOpcode opcode;
    char *subject;        /* routing key */
    char *reply_to;       /* "node/key" or a queue's name */
    char *correlation_id;
    char *agent;          /* qmf.agent; NULL on requests */
    char *content;        /* qmf.content: "_schema_id" "_schema" "_data" "_event"; NULL */
    bool partial;         /* more of this answer follows */
    bool plain;           /* sent with an amqp-value as body; what arrives may have either */
    Value *body;          /* MAP or LIST, of QMFv1 BINARY; NULL: none (a locate request may have none) */
    Value *extra;         /* further application properties (mend.command-id …); map or NULL */
} QmfMessage;

#define QMF_ERROR qmf_error_quark()
GQuark qmf_error_quark(void);
typedef enum {
    QMF_ERROR_MALFORMED,   /* where and what is in the message */
    QMF_ERROR_LIMIT,
    QMF_ERROR_SCHEMA,      /* schema file or schema map is wrong */
    QMF_ERROR_EXCEPTION,   /* the agent answered _exception; its text is the message */
    QMF_ERROR_TIMEOUT,
    QMF_ERROR_UNKNOWN,     /* no such agent, object, class, method */
    QMF_ERROR_ARGUMENT,    /* wrong or undeclared argument */
    QMF_ERROR_BUS,         /* could not be sent */
} QmfErrorCode;

QmfMessage *qmf_message_new(QmfOpcode opcode);
QmfMessage *qmf_message_copy(const QmfMessage *message); /* shares body and extra */
void qmf_message_free(QmfMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmfMessage, qmf_message_free)
const char *qmf_opcode_name(QmfOpcode opcode);

/* (transfer full) */
AmqpMessage *qmf_message_to_amqp(const QmfMessage *message);
/* The same with its body in the form every broker carries, if it was plain. */
void qmf_amqp_as_data(AmqpMessage *message);
/* NULL: no QMFv2 message or broken; error says which. */
QmfMessage *qmf_message_from_amqp(const AmqpMessage *message, GError **error);

#endif
