/* The agent role: answers locate, schema and object queries (with predicates), methods and exceptions; sends heartbeats and events.
 * Knows no transport: it is fed messages and gives messages to its bus, so it serves an AMQP client and the broker plugin alike.
 * Thread: one, the owner's. Callbacks never run inside the call that asked. */
#ifndef MEND_QMF_AGENT_H
#define MEND_QMF_AGENT_H

#include "lib/qmf/schema.h"

typedef struct QmfBus { /* how a role reaches the world; must outlive the role */
    /* @message: borrowed. Fire and forget: the bus retries or drops by its own rules. @node: QMF_TOPIC, QMF_DIRECT or a reply node */
    void (*send)(void *user, const char *node, const QmfMessage *message);
    int64_t (*wall_us)(void *user);
    void *user;
} QmfBus;

typedef struct QmfAgent QmfAgent;
typedef struct QmfObject QmfObject;
typedef struct QmfCall QmfCall;

typedef struct QmfAgentOptions {
    const char *vendor, *product, *instance; /* name = vendor:product:instance, no '/' */
    uint32_t epoch;                          /* grows with every start of this agent; at least 1 */
    uint32_t heartbeat_interval_s;
} QmfAgentOptions;

QmfAgent *qmf_agent_new(const QmfBus *bus, const QmfAgentOptions *options);
void qmf_agent_free(QmfAgent *agent); /* calls not yet answered raise an exception */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmfAgent, qmf_agent_free)
const char *qmf_agent_name(const QmfAgent *agent);
/* What to receive: pairs of node and subject filter, NULL-terminated by node; borrowed. The first three are those of libqmf2. */
typedef struct QmfBinding { const char *node, *key; } QmfBinding;
const QmfBinding *qmf_agent_bindings(const QmfAgent *agent);

void qmf_agent_set_attribute(QmfAgent *agent, const char *name, Value *value /* (transfer full) */);
void qmf_agent_add_class(QmfAgent *agent, const QmfClass *class); /* borrowed: must outlive the agent */

/* @object_name must be new. @values (transfer full): map; checked against the class by name only. */
QmfObject *qmf_agent_add_object(QmfAgent *agent, const QmfClass *class, const char *object_name, Value *values);
void qmf_agent_remove_object(QmfAgent *agent, QmfObject *object); /* freed; subscribers hear of it at their next interval */
QmfObject *qmf_agent_object(const QmfAgent *agent, const char *object_name);
void qmf_object_set(QmfObject *object, const char *property, Value *value /* (transfer full) */);
const Value *qmf_object_values(const QmfObject *object); /* borrowed until the object goes; follows what is set */
const char *qmf_object_name(const QmfObject *object);
const QmfClass *qmf_object_class(const QmfObject *object);
/* Object id map, as requests name an object. (transfer full) */
Value *qmf_object_id(const char *agent, const char *object_name, uint32_t epoch /* 0: left out */);

/* One handler for all methods of a class. @call is answered by return or raise, exactly once, at once or later, and is gone then.
 * Arguments were checked against the schema and are in its widths (undeclared, of the wrong kind or out of range: the agent raises
 * "Invalid argument: NAME…" itself, as it does for an unknown object or method). Calls whose agent is freed are answered by it. */
typedef void (*QmfMethodFn)(QmfCall *call, void *user);
void qmf_agent_on_method(QmfAgent *agent, const QmfClass *class, QmfMethodFn handler, void *user);
const char *qmf_call_method(const QmfCall *call);
const QmfObject *qmf_call_object(const QmfCall *call); /* NULL: unknown (in a filter), or removed since */
const Value *qmf_call_arguments(const QmfCall *call);
const QmfMessage *qmf_call_request(const QmfCall *call); /* subject, reply_to, extra (mend.command-id …) */
void qmf_call_return(QmfCall *call, Value *outputs /* (transfer full), map or NULL */);
void qmf_call_raise(QmfCall *call, const char *error_text, Value *more /* (transfer full), further _values or NULL */);
/* As Matahari's RPC agent does it: the exception is an object of @class and no error text. @text: the same in words, for the hook on_answer. */
void qmf_call_raise_object(QmfCall *call, const QmfClass *class, Value *values /* (transfer full) */, const char *text);
/* Adds an application property to the answer (mend.state …). */
void qmf_call_set_extra(QmfCall *call, const char *key, Value *value /* (transfer full) */);

/* Every method request passes here first when set, before object and arguments are checked; false: the filter took the call and
 * answers it itself. For the command gate (id, epoch, deadline). What it sets with qmf_call_set_extra is on every later answer. */
void qmf_agent_set_filter(QmfAgent *agent, bool (*filter)(QmfCall *call, void *user), void *user);
/* Runs just before each answer to a method request leaves, the agent's own refusals included, as long as extras can still be set.
 * @error_text: NULL when the method returned. */
void qmf_agent_on_answer(QmfAgent *agent, void (*hook)(QmfCall *call, const char *error_text, void *user), void *user);

/* What the owner of the machine keeps to himself: a denied method is answered by @text, a denied property is never set. Before objects are
 * added. */
void qmf_agent_deny(QmfAgent *agent, bool (*denied)(const QmfClass *class, const char *member, void *user), const char *text, void *user);

void qmf_agent_receive(QmfAgent *agent, const QmfMessage *message);
void qmf_agent_heartbeat(QmfAgent *agent); /* sends one now; the owner has the timer */
/* To be called about once a second: serves subscriptions (pushes what changed, forgets the expired). @now_us: monotonic. */
void qmf_agent_tick(QmfAgent *agent, int64_t now_us);
void qmf_agent_raise_event(QmfAgent *agent, const QmfClass *class, int severity /* -1: the class's */, Value *values /* (transfer full) */);

#endif
