/* A token for Masakari: a fixed one of a file, or one that Keystone gives (POST /v3/auth/tokens). Thread: the main loop's. */
#ifndef MEND_MASAKARI_LOGIN_H
#define MEND_MASAKARI_LOGIN_H

#include "lib/base/base.h"

typedef struct MasakariLogin MasakariLogin;

/* One of the files, each for its owner only (http_secret_read). @login_file is YAML:
 *   keystone: https://keystone.example.org:5000/v3
 *   user: mend, password: …, project: service; user-domain, project-domain: Default       or
 *   application-credential: ID, secret: …
 * NULL: error. */
MasakariLogin *masakari_login_new(const char *token_file, const char *login_file, const char *ca_file, GError **error);
void masakari_login_free(MasakariLogin *login); /* what is asked is dropped; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MasakariLogin, masakari_login_free)

/* @token NULL: @why. Borrowed. May run inside masakari_login_ask(). One at a time. A login that Keystone refused is not sent again for 10 s … 10 min, or
 * until the file says something else: accounts are locked for that. */
typedef void (*MasakariTokenFn)(const char *token, const char *why, void *user);
void masakari_login_ask(MasakariLogin *login, MasakariTokenFn done, void *user);
/* Masakari did not take it. */
void masakari_login_refused(MasakariLogin *login);

#endif
