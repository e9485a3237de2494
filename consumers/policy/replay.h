/* The records of a journal through an engine: each input steps it, what it says now is compared with what was said then, text by text.
 * No I/O: who reads the records is the owner's business. Thread: one, the owner's. */
#ifndef MEND_POLICY_REPLAY_H
#define MEND_POLICY_REPLAY_H

#include "consumers/policy/input.h"
#include "consumers/policy/journal/journal.h"
#include "consumers/policy/versions.h"

typedef struct ReplayReport {
    int64_t inputs, said;      /* records */
    int64_t differed;          /* inputs to which the engine now says something else than then */
    int64_t first_difference;  /* record number of the input; 0: none */
    char *then, *now;          /* owned: the first thing said that differs; NULL: nothing was, nothing is said */
} ReplayReport;
void replay_report_clear(ReplayReport *report);

typedef struct Replay Replay;

Replay *replay_new(Engine *engine); /* takes it */
void replay_free(Replay *replay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Replay, replay_free)

/* The next record. False: it cannot be read: the message names it. */
bool replay_take(Replay *replay, const JournalRecord *record, GError **error);
/* After the last one. (The engine: transfer full; ret_report may be NULL.) */
Engine *replay_end(Replay *replay, ReplayReport *ret_report);
const Engine *replay_engine(const Replay *replay);
int64_t replay_now_us(const Replay *replay); /* of the last input; 0: none yet */
/* What was said to the last input, now: borrowed until the next. */
const EngineOutputs *replay_outputs(const Replay *replay);

/* A machine's snapshot (docs/policy.md): engine, policy, time; and the policies before, when @versions is not NULL. */
char *replay_snapshot(const Engine *engine, int64_t now_us); /* caller frees */
char *replay_snapshot_with(const Engine *engine, int64_t now_us, const Versions *versions);
Engine *replay_restore(const char *snapshot, int64_t *ret_now_us, GError **error);
Versions *replay_versions(const char *snapshot); /* (transfer full) empty when it has none */

#endif
