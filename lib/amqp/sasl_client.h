/* Client side of SASL for proton transports: SCRAM-SHA-256, PLAIN, EXTERNAL, ANONYMOUS. Proton's own client has SCRAM only when it was
 * built with Cyrus, which Debian's is not; this one does not depend on how proton was built.
 *
 * Thread: the transport's. */
#ifndef MEND_AMQP_SASL_CLIENT_H
#define MEND_AMQP_SASL_CLIENT_H

#include "lib/base/base.h"

#include <proton/transport.h>

/* On a new client transport, before it is bound, and after pn_ssl_init() where there is TLS. Takes the place of pn_connection_set_user()
 * and _password(). Copies both.
 *
 * Chooses, of what the peer offers and pn_sasl_allowed_mechs() leaves: with a user SCRAM-SHA-256, else PLAIN (only when the stream is
 * encrypted or @private_stream, a UNIX socket, or pn_sasl_set_allow_insecure_mechs() was called); without a user EXTERNAL (encrypted
 * streams only), else ANONYMOUS. Nothing fits, wrong password, or a server that does not know the password either: the transport fails
 * with amqp:unauthorized-access. */
void sasl_client_attach(pn_transport_t *transport, const char *user, const char *password, bool private_stream);

#endif
