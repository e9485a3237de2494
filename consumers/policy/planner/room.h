/* The planner's own working state: how much room each host has, how many members of each rule are where, and who may go where. Made from a
 * Cluster in one pass, then changed by putting and taking VMs. Inside of the planner only. */
#ifndef MEND_POLICY_PLANNER_ROOM_H
#define MEND_POLICY_PLANNER_ROOM_H

#include "consumers/policy/planner/placement.h"

typedef struct RoomRule {
    const ClusterRule *rule;
    bool off;              /* left out, to see whether it matters */
    bool *matches;         /* ON, NEVER_ON: by host */
    guint *count;          /* APART, TOGETHER: members by value of the domain */
    guint total, unknown;  /* members in all; on hosts whose domain is not known */
} RoomRule;

typedef struct Room {
    const Cluster *cluster;
    int64_t *memory_free, *vcpus_free;   /* by host; below 0: over already */
    int64_t *memory_holds, *vcpus_holds; /* with overcommitment; vcpus INT64_MAX: no limit */
    bool *failed;                        /* by host: assumed to be down */
    guint *value[CLUSTER_DOMAIN_N];      /* by host: number of its rack, …; one of its own when not known */
    bool *known[CLUSTER_DOMAIN_N];
    RoomRule *rules;
    guint *rules_first, *rules_of;       /* by VM: rules_of[rules_first[vm]] up to rules_first[vm + 1] */
    guint *at;                           /* by VM: the host it counts on; CLUSTER_NONE */
    uint8_t **allowed;                   /* by VM, by host, made when first asked: see room_allowed */
    guint tries;                         /* left for all searches in it */
} Room;

Room *room_new(const Cluster *cluster);
void room_free(Room *room);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Room, room_free)

/* @vm counts on @host from now on; it counted on none. And back. */
void room_put(Room *room, guint vm, guint host);
void room_take(Room *room, guint vm);
/* @vm leaves its host, but its room there stays taken. */
void room_lift(Room *room, guint vm);
/* What is needed, limited as memory is. */
int64_t room_memory(const Room *room, guint vm);

typedef enum {
    ROOM_FITS,
    ROOM_UNUSABLE, ROOM_SAME, ROOM_STORAGE, ROOM_PIN,              /* never, however empty it is */
    ROOM_FAILED, ROOM_RULE, ROOM_MEMORY_UNKNOWN, ROOM_MEMORY, ROOM_VCPUS /* as things are */
} RoomVerdict;

/* By host: 1 where no reason of the first kind stands against @vm. */
const uint8_t *room_allowed(Room *room, guint vm);
void room_rule_off(Room *room, guint rule, bool off);
bool room_fits(const Room *room, guint vm, guint host, const uint8_t *allowed);
/* The first reason, *ret_detail the rule, or what is short, or the place of the storage in the VM's list. */
RoomVerdict room_verdict(const Room *room, guint vm, guint host, int64_t *ret_detail);
/* Would it break the rule? */
bool room_breaks(const Room *room, guint rule, guint host);
/* Of a host that fits; the parts may be NULL. */
int room_score(const Room *room, guint vm, guint host, int *ret_free, int *ret_soft);
/* Where it fits best; CLUSTER_NONE: nowhere. */
guint room_best(Room *room, guint vm);
/* How every host looks to @vm, and that @host is chosen. Counting somewhere means that it has to stay. */
PlacementChoice *room_choice(Room *room, guint vm, guint host);

typedef enum { SEARCH_FOUND, SEARCH_NONE, SEARCH_CUT } SearchResult;

/* A host for each of @vms, none of which counts anywhere; @ret_hosts (may be NULL) by place in @vms. Exact: NONE is a proof. After @tries
 * CUT; what it took is taken from room->tries. The room is left as it was. */
SearchResult room_search(Room *room, const guint *vms, guint n_vms, guint tries, guint *ret_hosts);
/* placement_plan() in @room. Of @vms those that count somewhere have to stay there and are left; the others are put where they go. */
void room_plan(Room *room, const guint *vms, guint n_vms, PlacementPlan *plan);
PlacementPlan *placement_plan_new(void);
/* Fills in the conflict of @vm with those of @beside (which can be had together); none of them counts anywhere. */
void room_conflict(Room *room, guint vm, const guint *beside, guint n_beside, PlacementPlan *plan);
#define VM_NAME(cluster, vm) ((cluster)->vms[vm].name != NULL ? (cluster)->vms[vm].name : (cluster)->vms[vm].id)
#define HOST_NAME(cluster, host) ((cluster)->hosts[host].name != NULL ? (cluster)->hosts[host].name : (cluster)->hosts[host].id)

#endif
