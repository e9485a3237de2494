/* What a D-Bus service says of its object, when it can be believed. Pure. Thread: any. */
#ifndef MEND_GUEST_DBUS_INTROSPECTION_H
#define MEND_GUEST_DBUS_INTROSPECTION_H

#include "lib/base/base.h"

#include <gio/gio.h>

#define DBUS_XML_BYTES 1048576

/* NULL: it is no XML, too long, its elements stand where they do not belong, or names and types in it are none. g_dbus_node_info_unref. */
GDBusNodeInfo *dbus_node_parse(const char *xml);

#endif
