/* An engine on its journal: what goes in is written with what comes out, and after a crash the engine stands where it stood. The one
 * place where the pure engine and the durable journal meet; knows no bus, so it is tested without one. Thread: one, the owner's. */
#ifndef MEND_POLICY_MACHINE_H
#define MEND_POLICY_MACHINE_H

#include "consumers/policy/input.h"
#include "consumers/policy/journal/journal.h"
#include "consumers/policy/versions.h"

typedef struct Machine Machine;

typedef struct MachineReport { /* what opening found */
    int64_t replayed;          /* inputs */
    int64_t differed;          /* inputs to which the engine now says something else than then: another version of the program */
    int64_t first_difference;  /* record number */
} MachineReport;

/* Rebuilds the engine from the newest snapshot and the inputs after it; an empty journal begins with the default policy. */
Machine *machine_open(const char *journal_path, MachineReport *ret_report, GError **error);
void machine_free(Machine *machine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

/* Steps the engine at @wall_us and puts input and outputs into the journal; appends the outputs to @outputs. They may leave when
 * machine_commit() came back. False: the journal cannot be written; stop acting. */
bool machine_step(Machine *machine, const EngineInput *input, int64_t wall_us, EngineOutputs *outputs, GError **error);
bool machine_commit(Machine *machine, GError **error);
bool machine_snapshot(Machine *machine, GError **error);

/* How long history is kept. Never removed: what is after the newest snapshot, and the stories of open incidents, whatever this says. */
typedef struct Retention {
    int64_t keep_us;    /* records older than this go, 0: age does not matter */
    int64_t keep_bytes; /* the oldest go while the journal is larger, 0: size does not matter */
} Retention;
#define RETENTION_MAX_US (INT64_C(100) * 365 * 24 * US_PER_HOUR)
/* Removes one piece of what may go, in about 20 ms; when *ret_more, call it again soon, else in a minute. Commits. */
bool machine_retain(Machine *machine, const Retention *retention, int64_t wall_us, bool *ret_more, GError **error);

/* What a record says, as JSON: inputs as input_to_json() has them, whatever form they are stored in. NULL: error. (transfer full) */
json_t *machine_record_json(const JournalRecord *record, GError **error);

const Engine *machine_engine(const Machine *machine);
/* The policies that were in force; the last one is. */
const Versions *machine_versions(const Machine *machine);
Journal *machine_journal(Machine *machine);
/* The engine's time for @wall_us now: never goes back, also not over a restart or a clock that was set back. */
int64_t machine_now_us(Machine *machine, int64_t wall_us);

/* A history written down by somebody else's hand (the simulator's): a journal file like any other, made fast. */
typedef struct Recording Recording;
/* A new file at @path; @engine as it is before the first input: its state is the file's first snapshot. */
Recording *recording_new(const char *path, const Engine *engine, GError **error);
/* @input went in at @now_us (never falling) and @outputs from index @from on came out. */
bool recording_put(Recording *recording, const EngineInput *input, int64_t now_us, int64_t wall_us, const EngineOutputs *outputs, guint from,
                   GError **error);
/* Only after this the file is good. */
bool recording_end(Recording *recording, GError **error);
void recording_free(Recording *recording);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Recording, recording_free)

#endif
