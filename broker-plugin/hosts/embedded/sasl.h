/* Server side of SASL for proton transports: SCRAM-SHA-256 with verifiers, PLAIN where nobody can listen, EXTERNAL for a verified
 * client certificate (CN = user), ANONYMOUS by a switch. docs/decisions/ says why not Cyrus.
 *
 * Thread: sasl_server_* any; an attached transport on its own thread. */
#ifndef MEND_EMBEDDED_SASL_H
#define MEND_EMBEDDED_SASL_H

#include "lib/base/base.h"

#include <proton/transport.h>

typedef struct SaslServer SaslServer;

#define SASL_SERVER_ERROR sasl_server_error_quark()
GQuark sasl_server_error_quark(void);
typedef enum { SASL_SERVER_ERROR_USERS /* file:line of what is wrong */, SASL_SERVER_ERROR_CRYPTO } SaslServerError;

/* @users_file: site.h; read again when it changed. NULL: no users, ANONYMOUS only. @anonymous: offer ANONYMOUS. */
SaslServer *sasl_server_new(const char *users_file, bool anonymous, GError **error);
void sasl_server_free(SaslServer *server); /* after the last transport; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SaslServer, sasl_server_free)

/* Before the first byte: makes @transport authenticate here and requires it. @address: the far end without its port, for the rate
 * limit and the log (copied). @private_stream: a UNIX socket; TLS is seen by itself, so pn_ssl() comes first. Afterwards
 * pn_transport_get_user() is the user, "anonymous" with mechanism ANONYMOUS (pn_sasl_get_mech()). */
void sasl_server_attach(SaslServer *server, pn_transport_t *transport, const char *address, bool private_stream);

/* Is there such a user? For access_set_users(). */
bool sasl_server_has_user(void *server, const char *user);

typedef struct SaslStats { uint64_t succeeded, failed, limited; } SaslStats;
SaslStats sasl_server_stats(const SaslServer *server);

/* The verifier of @password with a new salt: what the users file keeps. (transfer full) NULL: error. */
char *sasl_verifier_new(const char *password, GError **error);

#endif
