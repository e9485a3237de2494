/* Between the files of the journal only. */
#ifndef MEND_POLICY_JOURNAL_PRIVATE_H
#define MEND_POLICY_JOURNAL_PRIVATE_H

#include "consumers/policy/journal/journal.h"

#include <sqlite3.h>

struct Journal {
    JournalMode mode;
    sqlite3 *db;
    sqlite3_stmt *insert, *begin, *commit;
    char *path;
    int lock;                            /* descriptor; -1: none */
    bool old_form;                       /* READ only: a file of form 1, read as it is */
    GPtrArray *entities;                 /* id -> path, owned; holes are NULL */
    GHashTable *entity_ids;              /* path (borrowed) -> id; WRITE and BULK */
    int64_t newest;
    guint8 hash[JOURNAL_HASH_BYTES];     /* of the newest record, or the anchor's */
    int64_t anchor;
    guint8 anchor_hash[JOURNAL_HASH_BYTES];
    GChecksum *sum;
    GByteArray *head;                    /* what is hashed beside the body */
    size_t pending;
    bool failed;
};

/* The column `kind`: 0 and 1 as form 1 had them (said, input), so that its rows are taken over as they are. */
enum { ROW_OLD_SAID = 0, ROW_OLD_INPUT = 1, ROW_SAID = 2, ROW_INPUT = 3, ROW_OWN = 4 };

#define JOURNAL_COLUMNS_MAX 128
/* "number, kind, now_us, wall_us, entity, incident, body, hash", as the file's form names them. */
const char *journal_columns(const Journal *journal);
JournalRecord journal_row(const Journal *journal, sqlite3_stmt *row);

bool journal_fail(Journal *journal, JournalError code, const char *what, GError **error); /* false */
sqlite3_stmt *journal_prepare(Journal *journal, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
bool journal_run(Journal *journal, sqlite3_stmt *statement, GError **error); /* a write; resets it */
bool journal_exec(Journal *journal, const char *sql, GError **error);
bool journal_begin(Journal *journal, GError **error);

/* chain.c. @hash is that before @record, and becomes its own. */
void journal_chain(Journal *journal, guint8 hash[JOURNAL_HASH_BYTES], const JournalRecord *record);
char *journal_hex(const guint8 hash[JOURNAL_HASH_BYTES]);

/* open.c */
bool journal_load_entities(Journal *journal, GError **error);

#endif
