/* The site: what the first start makes and every later one finds in the data folder.
 *
 *   DIR                   0750 root:mend (the group only if it exists)
 *   DIR/site              its UUID                          0644
 *   DIR/machine-id        this machine's ID, only where it has none of its own (lib/base/machine.h)   0644
 *   DIR/secret            32 random bytes in hex            0640
 *   DIR/users             USER:SCRAM-SHA-256:…  verifiers, no passwords (RFC 5803); read by the broker only   0600
 *   DIR/credentials/USER  password of a local user          0640
 *   DIR/tls/ca.pem ca.key server.pem server.key             0644 0600 0644 0600
 *   DIR/run/broker.url    where the broker listens now      0644
 *   DIR/store             store.h                           0700
 *
 * Users of the first start: engine, operator, observer, and agent-ID of this machine. Thread: one at a time. */
#ifndef MEND_EMBEDDED_SITE_H
#define MEND_EMBEDDED_SITE_H

#include "lib/base/base.h"

#define SITE_MACHINE_FILE "machine-id"

typedef struct Site Site;

#define SITE_ERROR site_error_quark()
GQuark site_error_quark(void);
typedef enum { SITE_ERROR_IO, SITE_ERROR_DAMAGED, SITE_ERROR_CRYPTO, SITE_ERROR_NAME } SiteError;

/* Makes what is missing, leaves what is there. @folder NULL: $MEND_DATA or /var/lib/mend. */
Site *site_open(const char *folder, GError **error);
void site_free(Site *site); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Site, site_free)

/* Valid as long as the site. */
const char *site_folder(const Site *site);
const char *site_id(const Site *site);
const char *site_users_file(const Site *site);
const char *site_store_folder(const Site *site);
const char *site_ca_file(const Site *site);
const char *site_cert_file(const Site *site);
const char *site_key_file(const Site *site);

/* The server's certificate names all of @names (host names and addresses, NULL-terminated); a new one is made when it does not. */
bool site_answer_to(const Site *site, const char *const *names, GError **error);

/* New password for agent-@id (an old one ends), @id in the form a UUID has. Returns the credentials file for that machine, YAML with
 * `user`, `password`, `url` (of this broker as far as known) and `ca` (PEM): what `mend enrol ID` prints. A running broker takes it in
 * at once (sasl.h reads the file when it changed). (transfer full) NULL: error. */
char *site_enrol(Site *site, const char *id, bool host /* its host agent, not its guest agent */, GError **error);
/* As site_enrol() for any user of docs/wire.md ("operator" …). */
char *site_user_new(Site *site, const char *user, GError **error);
/* A certificate for @user signed by the site CA (CN = user), for EXTERNAL: both PEM, (transfer full). */
bool site_certificate(Site *site, const char *user, char **ret_cert_pem, char **ret_key_pem, GError **error);
/* The user can no longer authenticate; its credentials file goes. False also when there was none. */
bool site_revoke(Site *site, const char *user, GError **error);

/* Both as in lib/amqp/client.h: @url for programs here, @elsewhere (may be NULL) for those on other machines. @lab: it knows no users, so
 * programs here come without a name. Written at the start of the broker, removed at its end (NULL, false). */
bool site_announce(Site *site, const char *url, const char *elsewhere, bool lab, GError **error);

#endif
