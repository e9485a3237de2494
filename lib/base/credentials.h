/* How a local program finds the broker of its site and proves who it is: files in the data folder, made by the broker's first start
 * and readable by root and the group mend (docs/security.md). On other machines one file, as `mend enrol` printed it. */
#ifndef MEND_BASE_CREDENTIALS_H
#define MEND_BASE_CREDENTIALS_H

#include "lib/base/base.h"

#define CREDENTIALS_FOLDER "/var/lib/mend" /* unless --data or MEND_DATA say otherwise */

#define CREDENTIALS_ERROR credentials_error_quark()
GQuark credentials_error_quark(void);
typedef enum {
    CREDENTIALS_ERROR_NONE,     /* no such folder or user: the text says how to get one */
    CREDENTIALS_ERROR_DENIED,   /* there, but not readable for us: the text says which group */
    CREDENTIALS_ERROR_INVALID,  /* file:line:column of what is wrong */
} CredentialsError;

#define CREDENTIALS_LAB "lab" /* in the folder's run/: the broker that runs there is a laboratory */

typedef struct Credentials {
    char *user, *password;  /* NULL: the broker knows no users (--lab), so nobody has a name there */
    char *url;      /* of the broker; NULL: it is not running or never said */
    char *ca_file;  /* PEM of the site's CA; NULL: none. For a credentials file: the file itself may hold it, see below */
} Credentials;
void credentials_free(Credentials *credentials); /* NULL is fine; wipes the password */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Credentials, credentials_free)

/* @folder NULL: $MEND_DATA or CREDENTIALS_FOLDER. @user: "operator", "engine", "agent-ID" … (transfer full) NULL: error. */
Credentials *credentials_find(const char *user, const char *folder, GError **error);
/* A file printed by `mend enrol`: user, password, url, ca (PEM; written to FILE.ca beside it when needed). */
Credentials *credentials_read(const char *file, GError **error);
/* Where the data folder is: @folder, else $MEND_DATA, else CREDENTIALS_FOLDER. Borrowed. */
const char *credentials_folder(const char *folder);

#endif
