/* The journal: every input of the engine and everything it said to it, in the order it happened, in one SQLite file.
 *
 * Nothing leaves the process before journal_commit() came back: then it is on the disk (WAL, synchronous=FULL). One commit covers
 * everything put since the last (group commit). Each record carries the SHA-256 of the record before it and of itself, so that a
 * record changed or taken out later is found. One process at a time has a journal open.
 * Thread: one at a time. Errors: JOURNAL_ERROR; after a failed put or commit nothing more is written and the owner must stop acting:
 * its state is ahead of the journal. */
#ifndef MEND_POLICY_JOURNAL_H
#define MEND_POLICY_JOURNAL_H

#include "lib/base/base.h"

typedef struct Journal Journal;

#define JOURNAL_ERROR journal_error_quark()
GQuark journal_error_quark(void);
typedef enum {
    JOURNAL_ERROR_OPEN,   /* cannot be opened or made; also: another process has it */
    JOURNAL_ERROR_WRITE,
    JOURNAL_ERROR_READ,
    JOURNAL_ERROR_BROKEN, /* the chain of hashes does not hold: where it breaks is in the message */
} JournalError;

Journal *journal_open(const char *path, GError **error);
void journal_free(Journal *journal); /* what was not committed is lost */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_free)

typedef struct JournalRecord { /* strings and body borrowed */
    int64_t number;            /* reading: from 1, without gaps; writing: ignored */
    bool input;                /* else: what the engine said to the input before it */
    int64_t now_us, wall_us;   /* the engine's time, the wall clock */
    const char *entity, *incident; /* may be NULL */
    const char *body;          /* JSON, one line */
} JournalRecord;

bool journal_put(Journal *journal, const JournalRecord *record, GError **error);
bool journal_commit(Journal *journal, GError **error);
size_t journal_pending(const Journal *journal); /* records put and not committed */
int64_t journal_newest(const Journal *journal); /* number of the newest record; 0: none */

/* A snapshot stands for all records up to the newest; what is put since the last commit belongs to it, and is committed with it. */
bool journal_put_snapshot(Journal *journal, const char *body, GError **error);
/* False with no error: there is none. */
bool journal_get_snapshot(Journal *journal, int64_t *ret_number, char **ret_body, GError **error);

/* @each returns false to end early. Records with a number above @after, in order. */
typedef bool (*JournalEach)(const JournalRecord *record, void *user);
bool journal_read(Journal *journal, int64_t after, JournalEach each, void *user, GError **error);
/* The newest @limit records of @entity, oldest first. */
bool journal_story(Journal *journal, const char *entity, unsigned limit, JournalEach each, void *user, GError **error);
/* Entities with a story that have @part in their path, at most @limit. (transfer full) */
GStrv journal_entities(Journal *journal, const char *part, unsigned limit, GError **error);
/* Walks the whole chain. */
bool journal_verify(Journal *journal, int64_t *ret_records, GError **error);

#endif
