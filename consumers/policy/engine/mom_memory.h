/* What the rule files of MOM need to remember of one host or VM between cycles: what its samples said last, the rows of earlier cycles, the variables its
 * rules keep. Plain data; all of it is in the snapshot. */
#ifndef MEND_POLICY_MOM_MEMORY_H
#define MEND_POLICY_MOM_MEMORY_H

#include "consumers/policy/engine/mom_section.h"
#include "lib/model/event.h"

#define MOM_DISKS_MAX 32

typedef struct MomDiskNow {   /* limits in force, as its host agent says */
    char *disk;
    MomValue limits[MOM_LIMIT_N];
} MomDiskNow;

typedef struct MomMemory {
    guint of;                 /* MOM_OF_HOST, MOM_OF_GUEST */
    MomRow last;              /* of each field what was said last */
    int64_t said_us[MOM_ROW_N];
    int64_t sampled_us;       /* the newest sample; 0: none */
    int64_t set_us;           /* when something was set; 0: never */
    GArray *rows;             /* of MomRow, oldest first */
    GPtrArray *disks;         /* of MomDiskNow; by name */
    json_t *variables;        /* object: SetVar */
    int64_t available_bytes;  /* a host's MemAvailable; -1: not said */
    int64_t utc_offset_s;
    char *told;               /* what was last recorded of it, so that it is recorded once; NULL: nothing */
    int64_t short_since_us;   /* of a host below the floor; 0: it is not */
    int64_t eject_after_us;   /* nothing more is ejected from it before */
} MomMemory;

MomMemory *mom_memory_new(guint of);
void mom_memory_free(MomMemory *memory);
/* @event: vm.sample, host.sample; at @at_us. */
void mom_memory_sample(MomMemory *memory, const Event *event, int64_t at_us);
/* What was said and is not older than @stale_us. False: there is no such sample. */
bool mom_memory_row(const MomMemory *memory, int64_t now_us, int64_t stale_us, MomRow *ret);
/* Of the rows the last @history are kept. */
void mom_memory_push(MomMemory *memory, guint history, const MomRow *row);

json_t *mom_memory_to_json(const MomMemory *memory); /* (transfer full) */
MomMemory *mom_memory_from_json(guint of, const json_t *json);

#endif
