/* Sockets to listen on, from the settings' texts. */
#ifndef MEND_EMBEDDED_LISTENER_H
#define MEND_EMBEDDED_LISTENER_H

#include "broker-plugin/hosts/embedded/internal.h"

#include <sys/socket.h>

/* "HOST:PORT", "[V6]:PORT", ":PORT" (all). Adds one Listener per address of HOST that is ours. @tls: peers off loopback are possible. */
bool listener_open(GPtrArray *listeners, const char *where, bool lab, bool tls, GError **error);
/* Replaces a socket nobody listens on any more. */
bool listener_open_unix(GPtrArray *listeners, const char *path, GError **error);
bool address_is_loopback(const struct sockaddr *sa);
void listener_free(void *listener);
uint16_t listener_port(const Listener *listener); /* 0: not TCP */

#endif
