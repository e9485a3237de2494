/* What this agent watches, on the bus: one QMF object per service, an event for each change, the digest of all, and the list of what
 * was added by Guest.monitor, kept in the data folder. Thread: the owner's main loop. */
#ifndef MEND_GUEST_WATCH_LIST_H
#define MEND_GUEST_WATCH_LIST_H

#include "agents/common/identity.h"
#include "agents/guest/services/service.h"
#include "lib/qmf/agent.h"

typedef struct WatchList WatchList;

#define WATCH_ERROR watch_error_quark()
GQuark watch_error_quark(void);
typedef enum { WATCH_ERROR_REFUSED } WatchError; /* the text tells */

typedef struct WatchListOptions { /* borrowed, outlive the list */
    QmfAgent *agent;
    const ServiceHost *host;
    Lanes *lanes;
    const char *data;    /* folder */
    const Identity *identity; /* its boot_id, once it is known */
} WatchListOptions;

WatchList *watch_list_new(const WatchListOptions *options);
void watch_list_free(WatchList *list); /* open operations end with OCF_CANCELLED; services are left as they are; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WatchList, watch_list_free)

/* Watches @spec (transfer full, also on failure) from now on. @kept: survives a restart of the agent (came by Guest.monitor). A service of
 * the same name that was kept is replaced; one of the settings is an error. */
bool watch_list_add(WatchList *list, ServiceSpec *spec, bool kept, GError **error);
/* False: error (no such service, or one of the settings). */
bool watch_list_remove(WatchList *list, const char *name, GError **error);
/* Adds what was kept. What cannot be read is logged and left alone. */
void watch_list_load(WatchList *list);

Service *watch_list_find(const WatchList *list, const char *name);                             /* or NULL */
Service *watch_list_find_agent(const WatchList *list, const char *standard, const char *agent); /* unit or script; or NULL */
GPtrArray *watch_list_all_names(const WatchList *list); /* of char *. (transfer full) */
char *watch_list_names(const WatchList *list); /* "a, b, c" for errors; caller frees */

/* While the bus is away events are not raised; the latest of each service is when it is back. */
void watch_list_set_online(WatchList *list, bool online);
Value *watch_list_digest(const WatchList *list);       /* NAME → state. (transfer full) */
Value *watch_list_values(const WatchList *list);       /* list of maps, as the properties of Service. (transfer full) */
uint64_t watch_list_event_sequence(const WatchList *list);

#endif
