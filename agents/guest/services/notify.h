/* The sd_notify protocol for programs the agent runs itself: one datagram socket, unchanged protocol (READY=1, STATUS=, STOPPING=1,
 * RELOADING=1, WATCHDOG=1, WATCHDOG=trigger, WATCHDOG_USEC=), so any program that knows systemd is watched without a change. The
 * kernel tells which process sent (SO_PASSCRED); a message counts for the service whose session (setsid) the sender is in.
 * Thread: the owner's main loop. */
#ifndef MEND_GUEST_NOTIFY_H
#define MEND_GUEST_NOTIFY_H

#include "agents/guest/services/backend.h"

/* @path: of the socket, at most 107 bytes; an old one is replaced. NULL: error. */
NotifySocket *notify_socket_new(const char *path, GError **error);
void notify_socket_free(NotifySocket *socket); /* every listener must be gone; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NotifySocket, notify_socket_free)
const char *notify_socket_path(const NotifySocket *socket);

/* @fields: "KEY=VALUE" lines as sent, at most 4096 bytes; borrowed. */
typedef void (*NotifyFn)(char *const *fields, void *user);
typedef struct NotifyListener NotifyListener;
/* Messages of processes in the session of @leader. */
NotifyListener *notify_listen(NotifySocket *socket, int64_t leader, NotifyFn heard, void *user);
void notify_listener_free(NotifyListener *listener); /* NULL is fine */

#endif
