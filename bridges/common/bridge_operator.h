/* A bridge that asks the policy engine for something, or tells it what to do, does so as the broker's user "operator": a connection of its own beside that of its
 * agent. Thread: the main loop's. */
#ifndef MEND_BRIDGE_OPERATOR_H
#define MEND_BRIDGE_OPERATOR_H

#include "bridges/common/bridge.h"
#include "lib/amqp/client.h"
#include "lib/qmf/console.h"

#define BRIDGE_OPERATOR_ASK_US (10 * US_PER_S)

typedef struct BridgeOperator BridgeOperator;

typedef struct BridgeOperatorOptions { /* borrowed; what @broker_found is, and @user, outlive it */
    const char *credentials;           /* file; NULL: those of the site's "operator" */
    const char *engine;                /* its name; NULL: whichever acts */
    void (*broker_found)(void *user);  /* the plugin answers, for the first time or after its restart; may be NULL */
    void *user;
} BridgeOperatorOptions;

/* NULL: the credentials are wrong. The broker is found later. */
BridgeOperator *bridge_operator_new(Bridge *bridge, const BridgeOperatorOptions *options, GError **error);
/* Whoever waits for an answer gets QMF_ERROR_BUS. NULL is fine. */
void bridge_operator_free(BridgeOperator *op);
AmqpClient *bridge_operator_client(const BridgeOperator *op);

/* False: the plugin is not known (yet); it is asked for. */
bool bridge_operator_is_ready(BridgeOperator *op);
/* Which engine acts now? @done gets the answer, to be passed over, when that is known; where options name one, at once. */
void bridge_operator_find_engine(BridgeOperator *op, QmfAnswerFn done, void *user);
const char *bridge_operator_engine(const BridgeOperator *op); /* its name; NULL: none has acted yet */
/* A method of that engine's Policy, which must be known. @arguments (transfer full). */
void bridge_operator_call(BridgeOperator *op, const char *method, Value *arguments, QmfAnswerFn done, void *user);
/* Objects of the plugin's: all of a class of ours, or one by its name. bridge_operator_is_ready() first. */
void bridge_operator_query(BridgeOperator *op, const char *class, QmfAnswerFn done, void *user);
void bridge_operator_query_object(BridgeOperator *op, const char *object, QmfAnswerFn done, void *user);

#endif
