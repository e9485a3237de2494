/* A test aid, documented in docs/policy.md: MEND_CRASH_AT=POINT[:N] makes the process end by SIGKILL when it reaches POINT for the N-th
 * time (first, without N), as a power cut would. Costs one comparison elsewhere. */
#ifndef MEND_POLICY_CRASH_H
#define MEND_POLICY_CRASH_H

#include "lib/base/base.h"

typedef enum {
    CRASH_EVENT_TAKEN,   /* an event has arrived, nothing is written */
    CRASH_JOURNALED,     /* event and decision are durable, the command has not left */
    CRASH_COMMAND_SENT,  /* the broker has accepted the command */
    CRASH_RESULT_TAKEN,  /* the answer has arrived, nothing is written */
    CRASH_RESULT_JOURNALED, /* the answer is durable, the broker does not know that it was taken */
    CRASH_DECIDED,       /* a command was decided and is in the open transaction: nothing is durable, nothing may have left */
    CRASH_SNAPSHOT,      /* a snapshot is in the open transaction */
    CRASH_CUT,           /* old records are taken out, in the open transaction */
    CRASH_N
} CrashPoint;

void crash_at(CrashPoint point);

/* Likewise MEND_FAIL_AT=POINT[:N]: what is done there fails, from the N-th time on, as it would on a full disk. */
typedef enum {
    FAULT_COMMIT, /* the commit that makes a command durable */
    FAULT_N
} FaultPoint;

bool fault_at(FaultPoint point);

#endif
