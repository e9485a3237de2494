/* An engine on its journal: what goes in is written with what comes out, and after a crash the engine stands where it stood. The one
 * place where the pure engine and the durable journal meet; knows no bus, so it is tested without one. Thread: one, the owner's. */
#ifndef MEND_POLICY_MACHINE_H
#define MEND_POLICY_MACHINE_H

#include "consumers/policy/input.h"
#include "consumers/policy/journal/journal.h"

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

/* What a record says, as JSON: inputs as input_to_json() has them, whatever form they are stored in. NULL: error. (transfer full) */
json_t *machine_record_json(const JournalRecord *record, GError **error);

const Engine *machine_engine(const Machine *machine);
Journal *machine_journal(Machine *machine);
/* The engine's time for @wall_us now: never goes back, also not over a restart or a clock that was set back. */
int64_t machine_now_us(Machine *machine, int64_t wall_us);

#endif
