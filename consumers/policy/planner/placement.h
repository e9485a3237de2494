/* Where VMs run: which host one may be given, who goes where when many have to, and whether they still would after more failures.
 *
 * Everything is computed from a Cluster, plain data the caller fills and keeps; nothing of it is changed. Strings in answers are
 * the cluster's own. The same cluster gives the same answers: ties go to the host, VM and rule that stands first.
 * Thread: any. Nothing fails: what cannot be placed is an answer with its reasons.
 *
 * Never, in any answer: a host over capacity, a hard rule broken, an unusable host, a host that does not reach the VM's storage.
 * (A VM that already runs where it should not stays there and counts; only those asked for are placed.) */
#ifndef MEND_POLICY_PLANNER_PLACEMENT_H
#define MEND_POLICY_PLANNER_PLACEMENT_H

#include "lib/base/base.h"

#define CLUSTER_DOMAINS(X) X(HOST, "host") X(RACK, "rack") X(POWER, "power") X(SWITCH, "switch")
#define X(id, text) CLUSTER_##id,
typedef enum { CLUSTER_DOMAINS(X) CLUSTER_DOMAIN_N } ClusterDomain;
#undef X

#define CLUSTER_NONE G_MAXUINT

typedef const char *const *ClusterNames; /* NULL at the end; NULL itself: none */

typedef struct ClusterHost {
    const char *id;
    const char *name;        /* for people; NULL: the id */
    uint64_t memory_bytes;   /* 0: not known, then nothing fits; above 64 TiB counts as that */
    unsigned vcpus;          /* 0: not known, then it is no limit */
    bool usable;             /* takes VMs: alive, with an agent, not in maintenance or quarantine */
    const char *why_not;     /* of an unusable one: "in quarantine" */
    unsigned penalty;        /* 0 to 100: how much it is to be avoided while usable */
    ClusterNames labels, storage;   /* storage: ids it reaches */
    const char *domains[CLUSTER_DOMAIN_N]; /* [CLUSTER_RACK] …; NULL: not known; [CLUSTER_HOST] is not read */
} ClusterHost;

typedef struct ClusterVm {
    const char *id;
    const char *name;        /* for people; NULL: the id */
    guint host;              /* number of the host it runs on (or whose room it may still hold); CLUSTER_NONE: nowhere */
    guint prefers;           /* where it would best be again; CLUSTER_NONE: no matter */
    int priority;            /* 0 to 100; higher is served first */
    int64_t since_us;        /* has waited since; 0: does not wait */
    int64_t deadline_us;     /* should have its place by then; 0: none */
    uint64_t memory_bytes;
    unsigned vcpus;
    bool ha;                 /* has to have a place after hosts failed; with host CLUSTER_NONE: is waiting for one now */
    bool movable;            /* may leave the host it runs on (migration, or stop and start) */
    ClusterNames storage;           /* ids of what it needs */
} ClusterVm;

/* Two hosts whose rack is not known are not proven apart, nor together (unless they are one). */
typedef enum {
    CLUSTER_APART,    /* at most @at_most of @vms in one domain */
    CLUSTER_TOGETHER, /* all of @vms in one domain */
    CLUSTER_ON,       /* only on hosts with the label, or of the name or id @label */
    CLUSTER_NEVER_ON
} ClusterRuleKind;

typedef struct ClusterRule {
    const char *name;
    ClusterRuleKind kind;
    bool hard;               /* soft: a broken one costs CLUSTER_SOFT_COST */
    const guint *vms;        /* numbers */
    guint n_vms;
    ClusterDomain by;        /* APART, TOGETHER */
    unsigned at_most;        /* APART; 0 is 1 */
    const char *label;       /* ON, NEVER_ON */
} ClusterRule;

typedef struct Cluster {
    const ClusterHost *hosts;
    guint n_hosts;
    const ClusterVm *vms;    /* all that have a place or shall get one */
    guint n_vms;
    const ClusterRule *rules;
    guint n_rules;
    double overcommit_memory, overcommit_vcpus; /* a host holds so many times what it has; 0 is 1 */
    unsigned reserve_hosts;  /* room for the failure of any so many hosts is to be kept */
    unsigned reserve_percent;/* of the usable hosts' memory and vcpus is to stay free */
    int64_t now_us;          /* for since_us and deadline_us */
    int64_t ageing_us;       /* waiting so long counts as one more priority; 0: CLUSTER_AGEING_US */
    guint search_max;        /* host tries before a search is given up (the answer says so); 0: CLUSTER_SEARCH_MAX */
} Cluster;

#define CLUSTER_AGEING_US  (10 * US_PER_S)
#define CLUSTER_SEARCH_MAX 400000
#define CLUSTER_RESERVE_SEARCHES 25 /* a reserve takes no more than so many times search_max, over all sets of failing hosts */

/* The score of a host: 1000 × what would be free after (the scarcer of memory and vcpus, as a part of what it holds)
 *                    − 10 × penalty − CLUSTER_SOFT_COST for each soft rule broken + CLUSTER_PREFER_GAIN if preferred. */
#define CLUSTER_SOFT_COST   2000
#define CLUSTER_PREFER_GAIN 100

typedef struct PlacementView { /* how one host looks to one VM */
    guint host;
    bool fits;
    int score;
    char *text;              /* "free 61 %, penalty 20" or why not: "memory 2.0 GiB short" "rule web-apart forbids it" "in quarantine" */
} PlacementView;

typedef struct PlacementChoice {
    guint vm, host;          /* host CLUSTER_NONE: none */
    GArray *views;           /* of PlacementView: those that fit, best first; then the others in the cluster's order */
} PlacementChoice;

/* The best host for @vm that is not the one it is on, all others as they are. The reserve is not looked at: see placement_admits(). */
PlacementChoice *placement_choose(const Cluster *cluster, guint vm);
void placement_choice_free(PlacementChoice *choice);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlacementChoice, placement_choice_free)
/* "h4: free 61 %; not h1: memory 2.0 GiB short; h2: rule web-apart forbids it" or "no host: h1: …". Caller frees. */
char *placement_choice_text(const Cluster *cluster, const PlacementChoice *choice);
/* {"vm", "host" or null, "considered": [{"host", "fits", "score", "text"}]} (transfer full) */
json_t *placement_choice_to_json(const Cluster *cluster, const PlacementChoice *choice);

/* Who is served first: the overdue by deadline, then priority with ageing, then who waits longer, then the cluster's order. Sorts @vms.
 * So a VM of any priority gets its turn: after (100 − priority) × ageing_us it is ahead of every newcomer, and at its deadline in any case. */
void placement_order(const Cluster *cluster, guint *vms, guint n_vms);

typedef struct PlacementMove {
    guint vm, from, to;      /* from CLUSTER_NONE: it starts */
    int score;
} PlacementMove;

typedef struct PlacementPlan {
    GArray *moves;           /* of PlacementMove, in placement_order(). They can be made in any order, and any part of them: no move counts
                              * on room that another one leaves */
    GPtrArray *left;         /* of PlacementChoice, in placement_order(): who has no place beside the moves, and why each host is none */
    /* Of the first one found to have none: VMs (numbers, that one among them) and hard rules which cannot all be had; irreducible: without
     * any one of them the rest can. Empty when nothing is left. What runs already and is not asked for counts as given. */
    GArray *conflict_vms, *conflict_rules; /* of guint */
    bool irreducible;        /* false: the search ended before that was certain */
    bool proven;             /* of everything left it is certain that it has no place beside those served before; false: search_max reached */
} PlacementPlan;

/* Places for @vms (numbers without repetition), each beside those before it in placement_order(): one is left out only when it cannot
 * be had together with all placed before it, whatever host those are given. VMs that have a host are moved off it; those not movable
 * are left, and nobody else is moved. One that should move and cannot stays where it is and counts there for the rules of all others,
 * also of those before it. The reserve is not looked at: it is for this. */
PlacementPlan *placement_plan(const Cluster *cluster, const guint *vms, guint n_vms);
void placement_plan_free(PlacementPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlacementPlan, placement_plan_free)
const PlacementMove *placement_plan_move(const PlacementPlan *plan, guint vm); /* NULL: it has none */
/* "web-1, web-2 and web-3 cannot all be had with rule web-apart" or NULL. Caller frees. */
char *placement_conflict_text(const Cluster *cluster, const PlacementPlan *plan);
/* {"moves": [{"vm", "from", "to", "score"}], "left": [choice…], "conflict": {"vms", "rules", "irreducible"}, "proven"} (transfer full) */
json_t *placement_plan_to_json(const Cluster *cluster, const PlacementPlan *plan);

/* Is the reserve kept as things are? Answered by real placement, not by slots: for every set of up to reserve_hosts hosts, could all HA VMs of
 * these, and all that wait, be placed on the others? (Smaller sets too: rules can make the loss of one worse than of two.) And is
 * reserve_percent free? A VM that is allowed on no other host, be they empty, is no matter of room and left out: @pinned. */
typedef struct PlacementReserve {
    bool kept;
    bool proven;             /* false: a search was given up; kept is then false */
    GArray *failure;         /* of guint: the first set of hosts whose failure would leave something down; empty: none, or the percentage fails */
    guint vm;                /* what would be down; CLUSTER_NONE: none, or the percentage fails */
    GArray *pinned;          /* of guint: VMs left out, in the cluster's order */
    char *text;              /* "the failure of h3 would leave db-1 down" "memory: 12 % free of 25 % to be kept" "kept" */
} PlacementReserve;

PlacementReserve *placement_reserve(const Cluster *cluster);
void placement_reserve_free(PlacementReserve *reserve);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlacementReserve, placement_reserve_free)
/* How many hosts may fail, whichever they are, so that all HA VMs have a place: 0 to @most. -1: those that wait have none even now. */
int placement_spare_hosts(const Cluster *cluster, unsigned most);

/* To be asked before anything running is killed in order to run elsewhere, and before something new is started. */
typedef struct PlacementAdmission {
    bool admitted;           /* all of them fit (elsewhere) and the reserve is kept then */
    bool fits;
    bool reserve_before, reserve_after; /* after is only looked at when they fit */
    PlacementPlan *plan;
    char *text;              /* for people, either way: "fits; with it the failure of h3 would leave db-1 down" */
} PlacementAdmission;

PlacementAdmission *placement_admits(const Cluster *cluster, const guint *vms, guint n_vms);
void placement_admission_free(PlacementAdmission *admission);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlacementAdmission, placement_admission_free)

#endif
