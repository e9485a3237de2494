/* Sockets between a virtual machine and its host, which GLib does not know. Thread: that of the thread-default main context. */
#ifndef MEND_AMQP_VSOCK_H
#define MEND_AMQP_VSOCK_H

#include "lib/base/base.h"

#include <gio/gio.h>

bool vsock_cid_parse(const char *text, uint32_t *ret_cid); /* a decimal number; @ret_cid may be NULL */
/* Finished like a GTask of GIOStream (a GSocketConnection). Errors: G_IO_ERROR. */
void vsock_connect(const char *cid, uint16_t port, GCancellable *cancel, GAsyncReadyCallback done, gpointer user);
/* A listening, non-blocking socket on @port (0: any) for connections from guests; -1: @error says why. */
int vsock_listen(uint32_t port, uint32_t *ret_port, GError **error);
/* The next connection, non-blocking; -1: none now. @ret_cid: whose. */
int vsock_accept(int listener, uint32_t *ret_cid);

#endif
