/* A compound action (restart an application, relocate a VM, empty a host) as plain data: items with prerequisites, worked off by whoever
 * holds it. It sends nothing and knows no time: the owner asks what is ready, does it, and says what became of it.
 *
 *   WAITING ──▶ RUNNING ──▶ DONE        ready for those behind it
 *      │           └──────▶ FAILED      what needs it is SKIPPED; what only comes after it goes on
 *      └──▶ SKIPPED
 *
 * Whatever can go on does: siblings run side by side, so all takes as long as its longest chain. Thread: the owner's. */
#ifndef MEND_POLICY_PLANNER_SEQUENCE_H
#define MEND_POLICY_PLANNER_SEQUENCE_H

#include "consumers/policy/planner/graph.h"
#include "consumers/policy/planner/placement.h"

#define SEQUENCE_ERROR sequence_error_quark()
GQuark sequence_error_quark(void);
typedef enum { SEQUENCE_ERROR_MALFORMED } SequenceError;

#define SEQUENCE_ITEMS_MAX 10000

#define ITEM_STATES(X) X(WAITING, "waiting") X(RUNNING, "running") X(DONE, "done") X(FAILED, "failed") X(SKIPPED, "skipped")
#define X(id, text) ITEM_##id,
typedef enum { ITEM_STATES(X) ITEM_STATE_N } ItemState;
#undef X

/* Not sent to anybody: the item is done when @target is in @ready. */
#define SEQUENCE_AWAIT "await"
/* @ready of an await: a proof that no copy of the VM runs (on @host, when given). */
#define SEQUENCE_GONE "gone"

typedef struct SequenceItem {
    guint number;          /* from 0, its place in Sequence.items */
    char *action;          /* "vm.stop" … or SEQUENCE_AWAIT */
    char *target;          /* entity path */
    char *host;            /* id of the host it is about: where to start, where to go, where to stop; NULL: goes without */
    char *ready;           /* state to wait for after the answer: "running"; NULL: the answer is enough */
    int64_t timeout_us;    /* from the start of the item to @ready */
    bool late_goes_on;     /* at the timeout it counts as done, else as failed */
    GArray *needs, *after; /* of guint: numbers, ascending, all smaller than its own */
    guint group;           /* number of the first item of those that count as one in Sequence.at_once; its own unless set */
    ItemState state;
    char *reason;          /* of FAILED and SKIPPED, for people; else NULL */
} SequenceItem;

typedef struct Sequence {
    char *name;            /* "app.restart app/shop" */
    GPtrArray *items;      /* of SequenceItem */
    guint at_once;         /* so many groups are begun and not ended; 0: any */
} Sequence;

Sequence *sequence_new(const char *name);
void sequence_free(Sequence *sequence);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sequence, sequence_free)

/* A new item at the end, to be filled (strings are its own: g_strdup). */
SequenceItem *sequence_add(Sequence *sequence, const char *action, const char *target, int64_t timeout_us);
void sequence_item_after(SequenceItem *item, guint number);
void sequence_item_needs(SequenceItem *item, guint number);

SequenceItem *sequence_item(const Sequence *sequence, guint number); /* NULL: no such number */
/* Numbers of the items that may start now, all of them: WAITING, all of needs DONE, all of after ended, and within at_once. Ascending.
 * (transfer full) */
GArray *sequence_next_ready(const Sequence *sequence);
/* Moves. Any number and any state may be handed in (answers come late and twice): false and nothing happens when the item is not in a
 * state to move from (started: WAITING and ready; done, failed, late: RUNNING). */
bool sequence_started(Sequence *sequence, guint number);
bool sequence_done(Sequence *sequence, guint number);
/* Skips, with the reason, everything that needs it. */
bool sequence_failed(Sequence *sequence, guint number, const char *reason);
/* Its timeout has passed: done or failed, as the item says. */
bool sequence_late(Sequence *sequence, guint number);
/* Ends it: all WAITING items are skipped; RUNNING ones are left to end. */
void sequence_cancel(Sequence *sequence, const char *reason);
bool sequence_is_complete(const Sequence *sequence);  /* nothing waits, nothing runs */
bool sequence_succeeded(const Sequence *sequence);    /* complete, and every item done */

/* {"name", "at_once", "items": [{"number", "action", "target", "host", "ready", "timeout_us", "late_goes_on", "needs", "after", "group", "state",
 * "reason"}]}; absent: NULL, 0, false, none, own number, waiting.
 * Error: SEQUENCE_ERROR_MALFORMED, naming the item and what is wrong. (transfer full) */
json_t *sequence_to_json(const Sequence *sequence);
Sequence *sequence_from_json(const json_t *json, GError **error);
/* One line for each item: "2 vm.start vm/db on h2 after 1: waiting". Caller frees. */
char *sequence_text(const Sequence *sequence);

/* How one node of an application's graph is stopped and started. Borrowed. NULL action: that half is left out. */
typedef struct SequenceNode {
    guint node;            /* of the graph */
    const char *entity;
    const char *stop, *start;   /* "service.stop" "vm.shutdown"; "service.start" "vm.start" */
    const char *host;           /* for start; NULL: goes without */
    const char *stopped, *ready;/* states to wait for; NULL: the answer is enough */
    int64_t stop_timeout_us, start_timeout_us;
    bool late_goes_on;          /* of the start: the readiness gate opens by itself at the timeout */
} SequenceNode;

/* @nodes stop in reverse order and start in order; each start needs its own stop, and needs or comes after what the graph says. A stop that
 * fails does not keep what stands below it from stopping. There is no common barrier: a chain that has stopped starts again at once. */
Sequence *sequence_app_restart(const char *name, const Graph *graph, const SequenceNode *nodes, guint n_nodes);
/* Only the starts, or only the stops, of the same. */
Sequence *sequence_app_start(const char *name, const Graph *graph, const SequenceNode *nodes, guint n_nodes);
Sequence *sequence_app_stop(const char *name, const Graph *graph, const SequenceNode *nodes, guint n_nodes);

typedef struct SequenceRelocate {
    const char *vm;        /* entity path */
    const char *from, *to; /* host ids; from NULL: not known */
    bool answers;          /* its host's agent still answers: it is told to stop first */
    bool gentle;           /* shut down, and only then stop */
    int64_t stop_timeout_us, proof_timeout_us, start_timeout_us;
} SequenceRelocate;

/* Stop if it still answers; wait for the proof that it is gone; start elsewhere, which needs the proof. A failed stop is not the end: the
 * proof may come another way (the host is fenced, the lease runs out). Appends to @sequence; the number of the start. */
guint sequence_add_relocate(Sequence *sequence, const SequenceRelocate *relocate);
Sequence *sequence_vm_relocate(const SequenceRelocate *relocate);

typedef struct SequenceEvacuate {
    const char *host;      /* entity path, for the name */
    bool migrate;          /* live, with vm.migrate; false: each is relocated */
    unsigned at_once;      /* 0: no limit */
    int64_t migrate_timeout_us, stop_timeout_us, proof_timeout_us, start_timeout_us;
} SequenceEvacuate;

/* Every move of @plan in its order, at most at_once at a time; one that fails holds up nobody. VM ids become "vm/ID". */
Sequence *sequence_host_evacuate(const SequenceEvacuate *evacuate, const Cluster *cluster, const PlacementPlan *plan);

#endif
