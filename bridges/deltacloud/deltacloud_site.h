/* A cloud behind a Deltacloud server as Mend sees it: one host on the bus, for who runs an instance there nobody can tell, and its
 * instances as VMs of that host. Inside of the bridge. Thread: the main loop's. */
#ifndef MEND_DELTACLOUD_SITE_H
#define MEND_DELTACLOUD_SITE_H

#include "agents/host/host_private.h"
#include "bridges/common/bridge_agent.h"
#include "bridges/common/http.h"
#include "bridges/deltacloud/deltacloud_model.h"
#include "lib/base/uuid.h"

/* More than any instance asks for. */
#define DELTACLOUD_ROOM_BYTES ((uint64_t) 64 << 40)

typedef struct DeltacloudWatch DeltacloudWatch;
typedef struct DeltacloudLogin DeltacloudLogin;

typedef struct DeltacloudSettings {
    char *url, *ca_file, *user, *password_file, *driver, *provider, *id, *name, *stopped;
    bool destroy;
    int64_t timeout_us, poll_us, per_s;
} DeltacloudSettings;

typedef struct DeltacloudSite {
    const DeltacloudSettings *settings;
    char id[UUID_TEXT_SIZE];  /* of the host the cloud is on the bus */
    char *name;
    Http *http;
    DeltacloudLogin *login;
    BridgeAgent *agent;
    Host *host;
    GHashTable *vms;          /* UUID → DeltacloudVm */
    GHashTable *deeds;        /* commands at work: deltacloud_commands.c */
    Value *told_up;           /* the last host.up */
    bool is_known;            /* the list was read since the start */
    bool changed;             /* something that is kept over a restart */
    DeltacloudWatch *watch;
} DeltacloudSite;

typedef struct DeltacloudVm {
    DeltacloudSite *site;
    char uuid[UUID_TEXT_SIZE]; /* the instance's id, where that is one; else made from the cloud's and the instance's */
    DeltacloudInstance *now;   /* as it was last listed; NULL: known from before the restart only */
    const char *state;         /* as told; NULL: never */
    char *intent, *reason;
    char *wish;                /* a command of ours is ending it, or has: the intent of that; NULL: none */
    bool ran;                  /* the last that was known for certain is that it runs */
    bool stale;                /* to be told again */
    bool is_here;              /* in the list just read */
} DeltacloudVm;

/* ---- deltacloud_watch.c: what becomes of instances ---------------------------------------------------------------------------------------- */

/* Reads what was kept in @folder. Begins at once. NULL: error. */
DeltacloudWatch *deltacloud_watch_new(DeltacloudSite *site, const char *folder, GError **error);
void deltacloud_watch_free(DeltacloudWatch *watch);  /* NULL is fine */
void deltacloud_watch_soon(DeltacloudWatch *watch);  /* something was done; NULL is fine */
void deltacloud_tell_again(DeltacloudSite *site);    /* the bus was away */
void deltacloud_vm_started(DeltacloudVm *vm);        /* a command of ours saw it run */
void deltacloud_vm_free(DeltacloudVm *vm);

/* ---- deltacloud_api.c: requests ------------------------------------------------------------------------------------------------------------- */

DeltacloudLogin *deltacloud_login_new(void);
void deltacloud_login_free(DeltacloudLogin *login); /* NULL is fine */
/* Credentials are read anew, so that a new password needs no restart. @path: below the API, escaped. NULL: nothing was sent: error of reading
 * the file, or DELTACLOUD_ERROR_LOGIN: this password was refused not long ago. */
HttpCall *deltacloud_send(DeltacloudSite *site, const char *method, const char *path, int64_t deadline_us, HttpDone done, void *user, GError **error);
/* To be told of each answer: a refused password is not sent again for 10 s … 10 min. */
void deltacloud_heard(DeltacloudSite *site, const HttpAnswer *answer);
/* What a failed answer says, the server's own message among it. @error: of reading it; NULL: the answer's. Caller frees. */
char *deltacloud_trouble(const DeltacloudSite *site, const HttpAnswer *answer, const char *what, const GError *error);

/* ---- deltacloud_commands.c: methods of Hypervisor ----------------------------------------------------------------------------------------- */

void deltacloud_commands_offer(DeltacloudSite *site);
bool deltacloud_is_ending(const DeltacloudVm *vm); /* a command that ends it is at work */
void deltacloud_commands_end(DeltacloudSite *site, const char *why);

#endif
