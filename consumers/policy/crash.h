/* A test aid, documented in docs/policy.md: MEND_CRASH_AT=POINT[:N] makes the process end by SIGKILL when it reaches POINT for the N-th
 * time (first, without N), as a power cut would. Costs one comparison elsewhere. */
#ifndef MEND_POLICY_CRASH_H
#define MEND_POLICY_CRASH_H

typedef enum {
    CRASH_EVENT_TAKEN,   /* an event has arrived, nothing is written */
    CRASH_JOURNALED,     /* event and decision are durable, the command has not left */
    CRASH_COMMAND_SENT,  /* the broker has accepted the command */
    CRASH_RESULT_TAKEN,  /* the answer has arrived, nothing is written */
    CRASH_RESULT_JOURNALED, /* the answer is durable, the broker does not know that it was taken */
    CRASH_N
} CrashPoint;

void crash_at(CrashPoint point);

#endif
