/* oVirt's REST API, version 4, as JSON: login at its single sign-on, a login again when a token ran out, faults read. What is known of it:
 * oVirt's own API model (services, types) and its chapter on authentication. Thread: the owner's main loop. */
#ifndef MEND_OVIRT_API_H
#define MEND_OVIRT_API_H

#include "lib/base/base.h"

typedef struct OvirtApi OvirtApi;
typedef struct OvirtCall OvirtCall;

typedef struct OvirtApiOptions {  /* borrowed during ovirt_api_new() */
    const char *url;              /* "https://engine.example.org/ovirt-engine" */
    const char *ca_file;          /* PEM; NULL: whom this machine trusts */
    const char *user;             /* "admin@internal" */
    const char *password_file;    /* read at each login, so that a new password needs no restart */
    bool basic;                   /* name and password with each request, for engines without single sign-on */
    int64_t timeout_us;           /* of one request; 0: 30 s */
    unsigned per_s;               /* 0: 20 */
} OvirtApiOptions;

/* NULL: error (URL, CA file, password file). Nothing is sent yet. */
OvirtApi *ovirt_api_new(const OvirtApiOptions *options, GError **error);
/* Calls at work are dropped. NULL is fine. */
void ovirt_api_free(OvirtApi *api);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OvirtApi, ovirt_api_free)

typedef struct OvirtAnswer {  /* borrowed during the completion */
    const char *error;        /* COMMAND_ERROR_…; NULL: it is done (2xx and well-formed) */
    bool uncertain;           /* with an error: it may have been done all the same (answer lost, late, malformed; 5xx) */
    bool unreachable;         /* with an error: it says something about the way there or the engine as a whole, not about what was asked:
                                 no connection, no answer, no login, 5xx, malformed */
    unsigned status;          /* of HTTP; 0: none came */
    const json_t *body;       /* object; NULL with an error but for well-formed faults */
    const char *text;         /* with an error: for people; a fault's reason and detail among it */
} OvirtAnswer;
/* Runs exactly once, never inside the call that began it, unless that is dropped before. */
typedef void (*OvirtDone)(const OvirtAnswer *answer, void *user);

/* @path: below the API: "/vms/ID"; escaped. @deadline_us: monotonic, login included; 0: by timeout_us. */
OvirtCall *ovirt_api_get(OvirtApi *api, const char *path, int64_t deadline_us, OvirtDone done, void *user);
/* @body: (transfer full) object. @repeatable: doing it twice is as doing it once. A request that was answered 401 is sent again after a
 * new login, once: it was not done. */
OvirtCall *ovirt_api_post(OvirtApi *api, const char *path, json_t *body, bool repeatable, int64_t deadline_us, OvirtDone done, void *user);
void ovirt_call_drop(OvirtCall *call); /* NULL is fine */

/* After a refused login the next one waits, longer each time, so that the account is not locked: from and to. A changed password file
 * ends the wait. */
#define OVIRT_LOGIN_WAITS_US     (10 * US_PER_S)
#define OVIRT_LOGIN_WAITS_MAX_US (10 * US_PER_MINUTE)

#endif
