/* An oVirt engine as Mend sees it: its hosts, each an agent on the bus, and its VMs. Inside of the bridge: its parts share this and nobody
 * else does. Thread: the main loop's. */
#ifndef MEND_OVIRT_SITE_H
#define MEND_OVIRT_SITE_H

#include "agents/host/host_private.h"
#include "bridges/common/bridge_agent.h"
#include "bridges/ovirt/ovirt_api.h"
#include "bridges/ovirt/ovirt_model.h"
#include "bridges/ovirt/ovirt_word.h"

typedef struct OvirtSite OvirtSite;
typedef struct SiteHost SiteHost;
typedef struct SiteVm SiteVm;
typedef struct OvirtWatch OvirtWatch;
typedef struct OvirtSaid OvirtSaid;

typedef struct OvirtSettings {
    char *url, *ca_file, *user, *password_file, *ha, *fence, *tell_credentials;
    bool basic, tell;
    int64_t timeout_us, poll_us, inventory_us, per_s, tell_per_minute;
} OvirtSettings;

struct OvirtSite {
    Bridge *bridge;
    const OvirtSettings *settings;
    OvirtApi *api;
    GHashTable *hosts;   /* id → SiteHost */
    GHashTable *vms;     /* id → SiteVm */
    GHashTable *deeds;   /* commands at work: ovirt_commands.c */
    GPtrArray *fencings; /* the same of ovirt_fence.c */
    GHashTable *boots;   /* host's id → seconds since 1970 of its boot, as text: kept over restarts */
    char *away;          /* why the engine is not reached; NULL: it is */
    bool changed;        /* something that is kept over a restart */
    OvirtWatch *watch;
    OvirtSaid *said;
};

struct SiteHost {
    OvirtSite *site;
    OvirtHost *now;      /* as it was last listed */
    BridgeAgent *agent;  /* NULL: it is not heard; then host is NULL as well */
    Host *host;
    OvirtCall *boot_call;
    Value *told_up;      /* the last host.up */
    char *refusal;       /* why it could not join the bus, as logged */
};

struct SiteVm {
    OvirtSite *site;
    char *id;
    OvirtVm *now;        /* as it was last listed; NULL: an event named it before any list did */
    OvirtPast past;
    uint64_t hint_event; /* the oldest event in past that no state told has answered; 0: none */
    char *text;          /* of the last event that said something of its end */
    char *state, *intent, *reason, *host, *to; /* as told; state NULL: never. host: where it runs or last ran */
    int64_t unsure_us;   /* since when it is down without a reason; 0: it is not */
    bool stale;          /* something about it is to be told as soon as anybody can */
    bool is_here;        /* in the list just read */
};

/* ---- ovirt_hosts.c: hosts come and go ------------------------------------------------------------------------------------------------- */

/* Of GET /hosts. */
void site_take_hosts(OvirtSite *site, GPtrArray *hosts /* of OvirtHost; emptied */);
/* host.up of each host whose inventory changed. */
void site_tell_hosts(OvirtSite *site);
SiteHost *site_host(const OvirtSite *site, const char *id); /* NULL: not listed; @id may be NULL */
/* The first, by id, that is on the bus; @not: but this one; may be NULL. NULL: none is. */
SiteHost *site_any_host(const OvirtSite *site, const SiteHost *not);
/* @why: for people; NULL: it is reached. */
void site_set_reach(OvirtSite *site, const char *why);
void site_host_free(SiteHost *host);
/* oVirt starts a VM only on hosts of its own cluster. Mend places a VM only where its storage is: so the cluster is told as a storage domain
 * of both. (transfer full) */
Value *site_reach_list(const char *cluster);

/* ---- ovirt_vms.c: what becomes of VMs --------------------------------------------------------------------------------------------------- */

/* Of GET /vms. */
void site_take_vms(OvirtSite *site, GPtrArray *vms /* of OvirtVm; emptied */);
/* True: it is about something of ours, so that the lists are to be read. */
bool site_take_event(OvirtSite *site, const OvirtEvent *event);
/* Tells what changed, once lists and the events after them are in. */
void site_tell_vms(OvirtSite *site);
/* Again all that @host is the one to tell. */
void site_tell_again(OvirtSite *site, SiteHost *host);
SiteVm *site_vm(const OvirtSite *site, const char *id); /* NULL: not known */
void site_vm_free(SiteVm *vm);
/* VMs that run, or may run, on @host: UUIDs, sorted. (transfer full) */
Value *site_vms_on(const OvirtSite *site, const char *host);
/* {"ID": {state, intent, …}}; and back. */
json_t *site_vms_to_json(const OvirtSite *site);
void site_vms_from_json(OvirtSite *site, const json_t *json);

/* ---- ovirt_watch.c: asking, again and again ----------------------------------------------------------------------------------------------- */

/* Reads what was kept in @folder. Begins at once. NULL: error. */
OvirtWatch *ovirt_watch_new(OvirtSite *site, const char *folder, GError **error);
void ovirt_watch_free(OvirtWatch *watch); /* NULL is fine */
void ovirt_watch_soon(OvirtWatch *watch); /* something was done: look at the lists at once */

/* ---- ovirt_said.c: what Mend did, as oVirt's events --------------------------------------------------------------------------------------- */

/* Subscribes mend.events as an observer. NULL: error (no credentials, which is no reason not to run). */
OvirtSaid *ovirt_said_new(OvirtSite *site, GError **error);
void ovirt_said_free(OvirtSaid *said); /* NULL is fine */

/* ---- ovirt_commands.c, ovirt_fence.c: methods of Hypervisor -------------------------------------------------------------------------------- */

void ovirt_commands_offer(SiteHost *host);
/* Ends what is at work for @host; NULL: everything. */
void ovirt_commands_end(OvirtSite *site, const SiteHost *host, const char *why);
void ovirt_fence_offer(SiteHost *host);
void ovirt_fence_end(OvirtSite *site, const SiteHost *host, const char *why);

#endif
