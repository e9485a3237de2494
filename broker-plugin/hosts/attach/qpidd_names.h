/* Which agent's name is received under by which connection of a qpidd, told to the host by way->peer_opened and way->peer_named.
 * Thread: the host's. Between dialect_qpidd.c and qpidd_names.c only. */
#ifndef MEND_QPIDD_NAMES_H
#define MEND_QPIDD_NAMES_H

#include "broker-plugin/hosts/attach/dialect.h"
#include "lib/qmf/console.h"

typedef struct QpiddNames QpiddNames;

/* @console: borrowed; its session is freed between the two calls of the end, which completes what is open. */
QpiddNames *qpidd_names_new(const AttachWay *way, QmfConsole *console);
void qpidd_names_close(QpiddNames *names);
void qpidd_names_free(QpiddNames *names); /* NULL is fine */

/* An event of org.apache.qpid.broker: its class and its _values. */
void qpidd_names_event(QpiddNames *names, const char *class, const Value *values);
/* Looks soon at all that are there: at the start, and after each time in which events were not heard. */
void qpidd_names_look(QpiddNames *names);

/* What the objects of a look say, for tests as well. Lists of objects; NULL: that class was not answered. */
typedef struct QpiddObjects { const Value *bindings, *outgoing, *subscriptions, *sessions, *connections; } QpiddObjects;
/* @ended: set of keys of connections that have ended since the look began; they are passed over. */
void qpidd_names_read(const AttachWay *way, const QpiddObjects *objects, GHashTable *ended);

#endif
