/* The journal: every input of the engine and everything it said to it, in the order it happened, in one SQLite file.
 *
 * Nothing leaves the process before journal_commit() came back: then it is on the disk (WAL, synchronous=FULL). One commit covers
 * everything put since the last (group commit). Each record carries the SHA-256 of the record before it and of itself, so that a
 * record changed or taken out later is found. One process at a time writes a journal (FILE.lock); others may read it meanwhile.
 *
 * The chain: hash(n) = SHA-256(hash(n - 1), number, now_us, wall_us (8 bytes each, least first), kind (1 byte), lengths of entity,
 * incident and body (4 bytes each; all ones: NULL), entity, incident, body). hash(0) is 32 zeros. When old records are cut away the
 * anchor (number and hash of the last one cut) stands for them, and a record of the journal's own (JOURNAL_OWN) repeats it within the chain.
 * A snapshot's hash = SHA-256(hash of the record it stands at, its body).
 * Records of form 1 (JSON inputs) keep their chain: number, input, now_us, wall_us as text, and the body.
 *
 * Thread: one at a time. Errors: JOURNAL_ERROR; after a failed put or commit nothing more is written and the owner must stop acting:
 * its state is ahead of the journal. */
#ifndef MEND_POLICY_JOURNAL_H
#define MEND_POLICY_JOURNAL_H

#include "lib/base/base.h"

typedef struct Journal Journal;

#define JOURNAL_HASH_BYTES 32

#define JOURNAL_ERROR journal_error_quark()
GQuark journal_error_quark(void);
typedef enum {
    JOURNAL_ERROR_OPEN,   /* cannot be opened or made, is none; also: another process writes it */
    JOURNAL_ERROR_WRITE,
    JOURNAL_ERROR_READ,
    JOURNAL_ERROR_BROKEN, /* the chain of hashes does not hold: where it breaks is in the message */
} JournalError;

typedef enum {
    JOURNAL_WRITE, /* made when missing; a journal of form 1 becomes one of form 2, its records and their hashes stay */
    JOURNAL_READ,  /* must be there; sees what was committed when it was opened; of any form; nothing is ever changed */
    JOURNAL_BULK,  /* made, must not be there: no fsync, commits are cheap; good only after journal_bulk_end() */
} JournalMode;

Journal *journal_open(const char *path, GError **error); /* JOURNAL_WRITE */
Journal *journal_open_as(const char *path, JournalMode mode, GError **error);
void journal_free(Journal *journal); /* what was not committed is lost */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_free)

typedef enum {
    JOURNAL_SAID,  /* what the engine said to the input before it: JSON text */
    JOURNAL_INPUT, /* consumers/policy/input.h; in form 1 JSON text */
    JOURNAL_OWN,   /* the journal about itself: JSON text; no business of the engine's */
} JournalKind;

typedef struct JournalRecord { /* strings and body borrowed */
    int64_t number;            /* reading: from 1, without gaps; writing: ignored */
    JournalKind kind;
    int64_t now_us, wall_us;   /* the engine's time, the wall clock */
    const char *entity, *incident; /* may be NULL */
    const char *body;          /* SAID and OWN: one line, ends with a 0 */
    size_t body_bytes;         /* writing: 0 stands for strlen(body) */
    const guint8 *hash;        /* reading, JOURNAL_HASH_BYTES; writing: NULL, or what it must come out as (else BROKEN) */
    bool old;                  /* reading: its hash is by the rule of form 1; writing: shall be (import) */
} JournalRecord;

bool journal_put(Journal *journal, const JournalRecord *record, GError **error);
bool journal_commit(Journal *journal, GError **error);
size_t journal_pending(const Journal *journal); /* records put and not committed */
int64_t journal_newest(const Journal *journal); /* number of the newest record; 0: none */
int64_t journal_oldest(const Journal *journal); /* number of the oldest one that is still there, or would be */
void journal_hash(const Journal *journal, guint8 ret_hash[JOURNAL_HASH_BYTES]); /* of the newest record */
const char *journal_path(const Journal *journal);
bool journal_bulk_end(Journal *journal, GError **error); /* commits, makes it a journal like others */

/* A snapshot stands for all records up to the newest; what is put since the last commit belongs to it, and is committed with it. A few
 * old ones are kept, evenly spread: the history can be cut at them. */
bool journal_put_snapshot(Journal *journal, const char *body, GError **error);
/* The newest at or below @at_most (INT64_MAX: of all), or the oldest of all (0). False with no error: there is none. */
bool journal_get_snapshot(Journal *journal, int64_t at_most, int64_t *ret_number, char **ret_body, GError **error);

/* What a snapshot's hash is, where the record's is @at. */
void journal_snapshot_chain(Journal *journal, const guint8 at[JOURNAL_HASH_BYTES], const char *body, size_t size,
                            guint8 ret_hash[JOURNAL_HASH_BYTES]);
/* Number of the newest snapshot at or below @number, or (@above) of the oldest at or above it; 0: none. */
bool journal_snapshot_at(Journal *journal, int64_t number, bool above, int64_t *ret_number, GError **error);

/* @each returns false to end early. Records with a number above @after, in order. */
typedef bool (*JournalEach)(const JournalRecord *record, void *user);
bool journal_read(Journal *journal, int64_t after, JournalEach each, void *user, GError **error);
/* The newest @limit records of @entity, oldest first. */
bool journal_story(Journal *journal, const char *entity, unsigned limit, JournalEach each, void *user, GError **error);
/* Entities with a story that have @part in their path, at most @limit. (transfer full) */
GStrv journal_entities(Journal *journal, const char *part, unsigned limit, GError **error);
/* Number of the first record whose now_us is not below @now_us; above the newest: none. Times do not fall from record to record. */
bool journal_at(Journal *journal, int64_t now_us, int64_t *ret_number, GError **error);

typedef struct JournalCheck {
    int64_t first, last, records, snapshots;
    int64_t anchor;            /* records up to here were cut away; 0: none */
    int64_t first_us, last_us; /* wall clock; 0: no records */
    bool excerpt;              /* records were left out, or cut away by something else than journal_cut(): no record says so */
} JournalCheck;
typedef void (*JournalProgress)(int64_t done, int64_t total, void *user);
/* Walks the whole chain, the snapshots and SQLite's own structure. @progress may be NULL. */
bool journal_verify(Journal *journal, JournalProgress progress, void *user, JournalCheck *ret_check, GError **error);

/* Retention. Bytes in use, whatever size the file has grown to. */
bool journal_size(Journal *journal, int64_t *ret_bytes, GError **error);
/* Removes the oldest records up to @number, at most @limit of them, and the snapshots before @number. Commits. *ret_more: not all yet.
 * @number must be one of a snapshot, so that what stays can be replayed; @why goes into the journal's own record. */
bool journal_cut(Journal *journal, int64_t number, unsigned limit, const char *why, int64_t wall_us, bool *ret_more, GError **error);
/* The anchor: number and hash of the last record cut away (0 and zeros: none). Setting it: an empty journal only (import). */
int64_t journal_anchor(const Journal *journal, guint8 ret_hash[JOURNAL_HASH_BYTES]);
bool journal_set_anchor(Journal *journal, int64_t number, const guint8 hash[JOURNAL_HASH_BYTES], GError **error);

#endif
