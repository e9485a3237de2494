/* A stream over a serial port with sessions (serial_session.h), as a guest opens it. Thread: that of the thread-default main context. */
#ifndef MEND_AMQP_SERIAL_CONNECT_H
#define MEND_AMQP_SERIAL_CONNECT_H

#include <gio/gio.h>

/* Finished like a GTask of GIOStream (a GSocketConnection). Waits until somebody is at the host's end and grants a session; @cancel ends
 * that. Errors: G_IO_ERROR, with a text that says what to look at. When the session ends the stream does, with the reason as its object
 * data "mend-why". The port is closed when the stream is. */
void serial_connect(const char *path, GCancellable *cancel, GAsyncReadyCallback done, gpointer user);

#endif
