/* Small random clusters, and a brute force that knows nothing of how the planner works: what it says is right by its plainness. */
#ifndef MEND_TESTS_POLICY_SMALL_CLUSTER_H
#define MEND_TESTS_POLICY_SMALL_CLUSTER_H

#include "consumers/policy/planner/placement.h"

#define SMALL_HOSTS 5
#define SMALL_VMS   10
#define SMALL_RULES 4

typedef struct SmallCluster {
    Cluster cluster; /* points into the rest */
    ClusterHost hosts[SMALL_HOSTS];
    ClusterVm vms[SMALL_VMS];
    ClusterRule rules[SMALL_RULES];
    guint members[SMALL_RULES][SMALL_VMS];
    char host_ids[SMALL_HOSTS][8], vm_ids[SMALL_VMS][8], rule_names[SMALL_RULES][8];
} SmallCluster;

/* In @ret; it must not be moved after. @running: of ten VMs so many already run, where they fit. */
void small_cluster_random(SmallCluster *ret, GRand *dice, int running);

/* The same with few sizes, so that hosts and VMs are often alike, and nothing runs. */
void small_cluster_alike(SmallCluster *ret, GRand *dice);

/* Nothing runs, every host can be filled to the last byte, and the rules hold when it is: there is a way to place all, and few are. */
#define PACKED_HOSTS 5
#define PACKED_VMS   18
#define PACKED_RULES 3
typedef struct PackedCluster {
    Cluster cluster;
    ClusterHost hosts[PACKED_HOSTS];
    ClusterVm vms[PACKED_VMS];
    ClusterRule rules[PACKED_RULES];
    guint members[PACKED_RULES][PACKED_VMS];
} PackedCluster;
void packed_cluster_random(PackedCluster *ret, GRand *dice);

/* hosts[i] for vms[i], CLUSTER_NONE: not placed. Is that right, VM by VM placed, capacity and hard rules counted after all of them? */
bool brute_is_right(const Cluster *cluster, const guint *vms, const guint *hosts, guint n);
/* Is there any right way to place all of them? */
bool brute_can_place(const Cluster *cluster, const guint *vms, guint n);
/* Are all HA VMs placeable after every failure of up to reserve_hosts hosts? */
bool brute_survives(const Cluster *cluster, unsigned hosts);

#endif
