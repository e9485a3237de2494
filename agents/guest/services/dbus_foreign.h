/* The message bus of another machine, over a socket that was brought here. Thread: the main loop's. */
#ifndef MEND_GUEST_DBUS_FOREIGN_H
#define MEND_GUEST_DBUS_FOREIGN_H

#include "lib/base/base.h"

#include <gio/gio.h>

/* As g_dbus_connection_new_for_address(): a connection with its name, or an error. */
void dbus_foreign_open(const char *address, GCancellable *cancel, GAsyncReadyCallback done, void *user);
GDBusConnection *dbus_foreign_open_finish(GAsyncResult *result, GError **error); /* (transfer full) */

#endif
