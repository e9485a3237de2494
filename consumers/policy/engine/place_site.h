/* What the engine knows of hosts and VMs, as the planner wants it: a Cluster, made anew when it is asked for. VM number i is
 * engine->vms[i], host number i engine->hosts[i]; after the VMs come further copies, which only hold room. */
#ifndef MEND_POLICY_PLACE_SITE_H
#define MEND_POLICY_PLACE_SITE_H

#include "consumers/policy/engine/facts.h"
#include "consumers/policy/planner/placement.h"

typedef struct PlaceSite {
    Cluster cluster;
    Engine *engine;          /* borrowed; the cluster's texts are its own: the site does not outlive a change of it */
    ClusterHost *hosts;
    GArray *vms, *rules;     /* of ClusterVm, ClusterRule */
    GPtrArray *owned;        /* memory the cluster points to */
} PlaceSite;

PlaceSite *place_site_new(Engine *engine);
void place_site_free(PlaceSite *site);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlaceSite, place_site_free)

guint place_site_vm(const PlaceSite *site, const EntityState *vm);
guint place_site_host(const PlaceSite *site, const EntityState *host); /* CLUSTER_NONE: NULL or not there */
/* It takes nothing new from now on. @why is borrowed. */
void place_site_close(PlaceSite *site, const EntityState *host, const char *why);

#endif
