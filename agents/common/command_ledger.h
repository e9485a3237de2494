/* Which commands ran here, on disk: so that a command id runs at most once, also across a kill -9 or a power cut at any moment.
 * Recorded before it runs, its result after; bounded. Thread: the owner's. */
#ifndef MEND_AGENTS_COMMAND_LEDGER_H
#define MEND_AGENTS_COMMAND_LEDGER_H

#include "lib/model/command.h"
#include "lib/model/shard.h"

typedef struct CommandLedger CommandLedger;

typedef struct LedgerAnswer { /* what was, or is to be, answered */
    ResultState state;
    const char *error;        /* COMMAND_ERROR_… or NULL */
    const char *text;         /* for people; may be NULL */
    bool exception;           /* answered as _exception */
    json_t *values;           /* object: outputs, or further values of the exception; may be NULL */
    int64_t started_us, ended_us; /* wall clock; 0: never started */
} LedgerAnswer;

typedef enum {
    LEDGER_RUN,      /* recorded: run it, then command_ledger_end */
    LEDGER_RUNNING,  /* this process runs it now */
    LEDGER_ANSWERED, /* *@ret_answer: refused now, or answered before; never NULL */
} LedgerVerdict;

/* Reads @folder's "commands" (made when missing); a torn last line, as a crash leaves it, is dropped. Commands begun and never ended
 * are from now on answered with COMMAND_ERROR_INTERRUPTED. NULL: error (unreadable, not writable). */
CommandLedger *command_ledger_open(const char *folder, GError **error);
void command_ledger_close(CommandLedger *ledger); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CommandLedger, command_ledger_close)

/* @shard: of whose engine it comes, each has epochs of its own; at most SHARDS_MAX. @epoch 0: none given, not checked. @deadline_ms: wall clock, 0 = none. RUN is said only after the record is on the disk; when it cannot
 * be, the command is refused. @ret_answer: borrowed until the next call. */
LedgerVerdict command_ledger_begin(CommandLedger *ledger, const char *id, unsigned shard, uint64_t epoch, int64_t deadline_ms, int64_t wall_us,
                                   const LedgerAnswer **ret_answer);
/* The result of a command that was begun; kept for repeats of it. @answer: copied. */
void command_ledger_end(CommandLedger *ledger, const char *id, const LedgerAnswer *answer);
uint64_t command_ledger_epoch(const CommandLedger *ledger, unsigned shard); /* the highest seen; durable */

/* How many ids are known, and how many of them with their whole result. */
#define LEDGER_IDS_MAX     1024
#define LEDGER_RESULTS_MAX 128

#endif
