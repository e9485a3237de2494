/* A journal as JSON lines, for people, other programs and other machines; and back, byte for byte: the chain of hashes proves it.
 *
 *   {"mend-journal": 2, "anchor": N, "hash": HEX}         first: what stands for the records before (0 and zeros: nothing was before)
 *   {"number", "kind": "input" | "said" | "own", "now_us", "wall_us", "time", "entity", "incident", "hash", "body": {…}}
 *        entity and incident only where there are any; "old": true when the hash is by form 1's rule. What would not come back from
 *        its JSON to the same bytes has them as "bytes" (base64) beside it.
 *   {"snapshot": N, "hash", "body": {…}}                  behind the record it stands at
 *   {"end": N, "hash": HEX}                               last: a file that was cut off is noticed
 *
 * Thread: one. Errors: TRANSFER_ERROR with the line's number, JOURNAL_ERROR. */
#ifndef MEND_POLICY_TRANSFER_H
#define MEND_POLICY_TRANSFER_H

#include "consumers/policy/journal/journal.h"

#include <stdio.h>

#define TRANSFER_ERROR transfer_error_quark()
GQuark transfer_error_quark(void);
typedef enum { TRANSFER_ERROR_FORM, TRANSFER_ERROR_IO } TransferError;

/* Records whose engine time is in [since, until); 0: no bound. An excerpt that begins later than the journal begins with a snapshot of the
 * state there, which is made by a replay. */
bool transfer_export(Journal *journal, FILE *to, int64_t since_us, int64_t until_us, JournalProgress progress, void *user, GError **error);

/* Makes the journal @path, which must not exist; on failure nothing is left of it. @name: as errors show the source. */
bool transfer_import(FILE *from, const char *name, const char *path, JournalProgress progress, void *user, int64_t *ret_records,
                     GError **error);

/* Reading line by line, for whoever needs no journal file. */
typedef enum { LINE_HEAD, LINE_RECORD, LINE_SNAPSHOT, LINE_END } LineKind;

typedef struct TransferLine { /* what it points to belongs to the reader, until the next line */
    LineKind kind;
    JournalRecord record;      /* RECORD; HEAD, SNAPSHOT and END: its number and hash (NULL: none) and body (SNAPSHOT) */
} TransferLine;

typedef struct TransferReader TransferReader;

TransferReader *transfer_reader_new(FILE *from, const char *name); /* @from stays the caller's */
void transfer_reader_free(TransferReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TransferReader, transfer_reader_free)
/* False: error. It begins with a HEAD, and after the END there is nothing: *ret_end. */
bool transfer_next(TransferReader *reader, TransferLine *ret_line, bool *ret_end, GError **error);

#endif
