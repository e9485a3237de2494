/* Pacemaker Cloud as its consoles and its conductor see it: inside of the bridge. The applications are those the bridge has put into the policy; what
 * they do is told by the bus. Thread: the main loop's. */
#ifndef MEND_PACEMAKER_CLOUD_SITE_H
#define MEND_PACEMAKER_CLOUD_SITE_H

#include "bridges/common/bridge_agent.h"
#include "lib/model/pacemaker_cloud.h"

typedef struct PcloudSettings {
    char *id, *name, *folder, *policy, *operator_credentials;
    int64_t interval_us;
    char *listen, *token_file, *login, *certificate, *key;
    char *conductor, *conductor_user, *conductor_password_file, *conductor_ca, *hook;
} PcloudSettings;

typedef enum { PCLOUD_UNKNOWN, PCLOUD_RUNNING, PCLOUD_FAILED, PCLOUD_STOPPED, PCLOUD_RECOVERING, PCLOUD_UNRECOVERABLE } PcloudState;
const char *pcloud_state_name(PcloudState state);

/* One application that is in the policy by us. */
typedef struct PcloudApp {
    char *name, *xml, *document; /* document: of the policy, made from the XML */
    PcloudDeployable *deployable;
    bool stopped;               /* somebody stopped it, and the engine keeps it so */
    PcloudState told;
    char *said;                 /* what the conductor said of it last; NULL: nothing */
    GHashTable *states;         /* "VM" or "VM/SERVICE" → PcloudState that was told */
    GHashTable *said_of;        /* VM → text the conductor said of it last */
} PcloudApp;

typedef struct PcloudPolicy PcloudPolicy;
typedef struct PcloudWatch PcloudWatch;
typedef struct PcloudRest PcloudRest;
typedef struct PcloudHook PcloudHook;

typedef struct PcloudSite {
    Bridge *bridge;
    const PcloudSettings *settings;
    BridgeAgent *agent;
    const QmfClass *cpe, *dpe;
    QmfObject *dpe_object;
    GPtrArray *apps;            /* of PcloudApp, in the order they came */
    PcloudPolicy *policy;
    PcloudWatch *watch;
    PcloudRest *rest;           /* NULL: not asked for */
    PcloudHook *hook;           /* NULL: not asked for */
} PcloudSite;

/* ---- pcloud_apps.c: which there are, kept over a restart ------------------------------------------------------------------------------ */

PcloudApp *pcloud_app(const PcloudSite *site, const char *name); /* NULL: none of this name */
/* From FOLDER/NAME.xml. (transfer full) NULL: error, with file, line and column where there is one. */
PcloudApp *pcloud_app_read(const PcloudSite *site, const char *name, const char *uuid, GError **error);
void pcloud_app_free(PcloudApp *app); /* NULL is fine */
/* Takes it, instead of the one of that name; kept. */
void pcloud_app_take(PcloudSite *site, PcloudApp *app);
void pcloud_app_drop(PcloudSite *site, const char *name);
bool pcloud_apps_load(PcloudSite *site, GError **error);
/* The VM's id on the bus, as far as it is known from the file: a UUID; NULL: it is found by name. (transfer full) */
char *pcloud_vm_id(const PcloudAssembly *assembly);

/* ---- pcloud_policy.c: the engine, by its methods --------------------------------------------------------------------------------------- */

PcloudPolicy *pcloud_policy_new(PcloudSite *site, GError **error);
void pcloud_policy_free(PcloudPolicy *policy); /* NULL is fine; calls under way are answered by the agent's end */
AmqpClient *pcloud_policy_client(const PcloudPolicy *policy);
typedef enum { PCLOUD_START, PCLOUD_STOP, PCLOUD_RELOAD, PCLOUD_LOAD, PCLOUD_UNLOAD } PcloudVerb;
/* One after the other; answers @call, once it is done. */
void pcloud_policy_do(PcloudPolicy *policy, PcloudVerb verb, QmfCall *call);
/* What is true now of the entities, from the plugin. Its answer: pcloud_watch_entities(). */
void pcloud_policy_ask_entities(PcloudPolicy *policy);

/* ---- pcloud_watch.c: what applications, VMs and services do, told as their events -------------------------------------------------------- */

PcloudWatch *pcloud_watch_new(PcloudSite *site, AmqpClient *client);
void pcloud_watch_free(PcloudWatch *watch); /* NULL is fine */
void pcloud_watch_entities(PcloudWatch *watch, const Value *entities);
void pcloud_watch_incidents(PcloudWatch *watch, const json_t *incidents);
void pcloud_watch_judge(PcloudWatch *watch); /* something about the applications is different */
/* Of "VM" or "VM/SERVICE" of @app. */
PcloudState pcloud_watch_state(const PcloudWatch *watch, const PcloudApp *app, const PcloudAssembly *assembly, const char *service);
/* Its id on the bus; NULL: not known (yet). (transfer full) */
char *pcloud_watch_vm(const PcloudWatch *watch, const PcloudAssembly *assembly);

/* ---- pcloud_rest.c, pcloud_hook.c: the conductor ----------------------------------------------------------------------------------------- */

PcloudRest *pcloud_rest_new(PcloudSite *site, GError **error);
void pcloud_rest_close(PcloudRest *rest);
void pcloud_rest_free(PcloudRest *rest); /* NULL is fine */
const char *pcloud_rest_url(const PcloudRest *rest);
PcloudHook *pcloud_hook_new(PcloudSite *site, const char *uri, GError **error);
void pcloud_hook_close(PcloudHook *hook); /* taken out there, if time is left */
void pcloud_hook_free(PcloudHook *hook); /* NULL is fine */

#endif
