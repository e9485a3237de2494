/* Matahari's DBusBridge: calls D-Bus services of this machine, and shows their objects as objects of QMF. Thread: the owner's main loop. */
#ifndef MEND_GUEST_DBUS_BRIDGE_H
#define MEND_GUEST_DBUS_BRIDGE_H

#include "agents/guest/classes.h"

typedef struct DbusBridge DbusBridge;

typedef struct DbusBridgeOptions { /* borrowed, outlives the bridge */
    const char *address;  /* of the bus; NULL: the system bus */
    char *const *allowed; /* dbus_rules.h */
} DbusBridgeOptions;

/* NULL: error, a rule is wrong. */
DbusBridge *dbus_bridge_new(const ClassContext *context, const DbusBridgeOptions *options, GError **error);
void dbus_bridge_set_online(DbusBridge *bridge, bool online); /* offline: signals are dropped. NULL is fine */
void dbus_bridge_free(DbusBridge *bridge); /* NULL is fine; what is open is answered as interrupted */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DbusBridge, dbus_bridge_free)

#endif
