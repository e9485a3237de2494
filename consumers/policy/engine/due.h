/* What falls due when: one heap for everything the engine waits for. Pure, and a total order: what falls due first, of that the more
 * important, of that the older, so that no two machines serve it differently. */
#ifndef MEND_POLICY_DUE_H
#define MEND_POLICY_DUE_H

#include "lib/base/base.h"

#include <stddef.h>

/* Whose it is; of the same time they are served in this order: what ends a wait comes before what waits. */
typedef enum { DUE_HOST, DUE_JOB, DUE_QUIET, DUE_QUARANTINE, DUE_FLAP, DUE_BUDGET, DUE_WATCH, DUE_INCIDENT, DUE_PARENT, DUE_CONTROL, DUE_MOM } DueKind;

typedef struct DueTime {       /* lives in what waits; zero and due_init() */
    int64_t at_us;         /* NEVER_US: not in the heap; written by due_set() only */
    DueKind kind;
    int priority;          /* higher is served first at the same time */
    uint64_t order;        /* then the lower */
    const char *name;      /* then by name; NULL: none. Borrowed */
    guint place;           /* in the heap */
} DueTime;

typedef struct DueHeap {
    GPtrArray *all;        /* of DueTime, borrowed */
} DueHeap;

/* The @type whose @member a DueTime is. */
#define DUE_OWNER(due, type, member) ((type *) (void *) ((char *) (due) - offsetof(type, member)))

void due_init(DueTime *due, DueKind kind);
void due_heap_init(DueHeap *heap);
void due_heap_clear(DueHeap *heap);
/* NEVER_US (INT64_MAX) takes it out. What decides the order may change only while it is out. */
void due_set(DueHeap *heap, DueTime *due, int64_t at_us);
DueTime *due_first(const DueHeap *heap); /* NULL: nothing waits */

#endif
