/* A D-Bus connection for the bridge: opened when first needed, again when it broke; calls that can be forgotten, signals that come again
 * after a new connection. Thread: the owner's main loop. */
#ifndef MEND_GUEST_DBUS_LINK_H
#define MEND_GUEST_DBUS_LINK_H

#include "lib/base/base.h"

#include <gio/gio.h>

typedef struct DbusLink DbusLink;

DbusLink *dbus_link_new(const char *address); /* NULL: the system bus */
void dbus_link_free(DbusLink *link); /* its calls and signals must be gone; NULL is fine */

typedef struct DbusRequest { /* borrowed during the call */
    const char *bus, *path, *interface, *method;
    GVariant *parameters;   /* floating; NULL: none */
    const char *reply_type; /* "(as)"; NULL: any. Another answer is an error */
    int64_t timeout_us;
} DbusRequest;

typedef struct DbusAsk DbusAsk;
/* Exactly once unless forgotten before, never inside dbus_ask; @reply is borrowed, NULL: @error. The ask is gone when it runs. */
typedef void (*DbusReply)(GVariant *reply, const GError *error, void *user);
DbusAsk *dbus_ask(DbusLink *link, const DbusRequest *request, DbusReply done, void *user);
void dbus_ask_forget(DbusAsk *ask); /* NULL is fine */

typedef struct DbusSignals DbusSignals;
/* Signals of one interface of one object of one service. @argument0: only those whose first argument is this text; NULL: all. */
typedef void (*DbusSignal)(const char *member, GVariant *arguments, void *user);
DbusSignals *dbus_signals(DbusLink *link, const char *bus, const char *path, const char *interface, const char *argument0, DbusSignal on_signal,
                          void *user);
void dbus_signals_free(DbusSignals *signals); /* NULL is fine */

#endif
