/* What survives the broker: durable messages, durable nodes and subscriptions, small state. One folder, one process at a time.
 *
 * Changes are taken in order, from any thread, and made safe together by the store's own thread (group commit: one fdatasync for all
 * that came while the one before ran). What a done() said true for is there after kill -9 and after a power loss.
 *
 * Records are numbered from 1 and not reused while it is open, so forgetting twice is harmless. Nodes and state are last-value documents by name.
 *
 * Delivery counts: store_handed() writes to a shared memory map, which costs nothing and survives the process but not the machine.
 * After the machine itself went down every message that had a consumer's chance comes back with a count of at least 1. */
#ifndef MEND_EMBEDDED_STORE_H
#define MEND_EMBEDDED_STORE_H

#include "lib/base/base.h"

typedef struct Store Store;

#define STORE_ERROR store_error_quark()
GQuark store_error_quark(void);
typedef enum {
    STORE_ERROR_IO,      /* folder or file cannot be made, read or written */
    STORE_ERROR_BUSY,    /* another process has it open */
    STORE_ERROR_DAMAGED, /* what was safe cannot be read any more: file and offset in the text */
    STORE_ERROR_VERSION, /* written by a newer program */
    STORE_ERROR_LIMIT,   /* over the size limit of the folder */
} StoreError;

typedef struct StoreOptions {
    int64_t max_bytes; /* of what is kept; 0: no limit. At it store_put() is refused, forgetting goes on */
} StoreOptions;

/* Runs once, on the store's thread, without its lock: true when the change is on disk, false when it is not and will not be. May call
 * the store, but not store_flush() and store_close(). */
typedef void (*StoreDoneFn)(void *user, bool ok);

/* Makes @folder (0700) if needed; repairs a tail that was being written when the last run ended, with one log line. @options may be
 * NULL. Starts the thread. NULL: error. */
Store *store_open(const char *folder, const StoreOptions *options, GError **error);
/* Writes what is pending (its done()s run), marks the end as clean, frees. NULL is fine. */
void store_close(Store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_close)

typedef struct StoreMessage { /* borrowed for the call */
    uint64_t queue;          /* the node it is in: record of store_node_put() */
    uint64_t record;
    uint64_t sequence;       /* as given to store_put() */
    const void *bytes;
    size_t n_bytes;
    uint32_t delivery_count; /* attempts known of, counting the one a crash cut off */
} StoreMessage;
typedef void (*StoreNodeFn)(void *user, uint64_t record, const char *name, const void *bytes, size_t n_bytes);
typedef void (*StoreMessageFn)(void *user, const StoreMessage *message);

/* Everything that was there at store_open(): first the nodes in the order they were made, then the messages by queue and sequence.
 * Messages of nodes that are no more are forgotten, not shown. Once, before store_put(); on the
 * caller's thread. The callbacks may put and forget nodes and messages, but not wait for them (store_flush()). False: a file
 * could not be read (STORE_ERROR_IO, STORE_ERROR_DAMAGED). */
bool store_load(Store *store, StoreNodeFn on_node, StoreMessageFn on_message, void *user, GError **error);

/* Node or durable subscription @name, described by @bytes (the broker's own words). The same name again changes the description and
 * keeps the record. Returns the record (the queue of store_put()); 0: the store is broken. @done may be NULL. Any thread. */
uint64_t store_node_put(Store *store, const char *name, const void *bytes, size_t n_bytes, StoreDoneFn done, void *user);
/* And every message in it. Unknown: nothing. */
void store_node_forget(Store *store, uint64_t record);

/* Copies @bytes. Returns the record at once; 0: broken or at max_bytes, and @done is not called. @done may be NULL. Any thread. */
uint64_t store_put(Store *store, uint64_t queue, uint64_t sequence, const void *bytes, size_t n_bytes, StoreDoneFn done, void *user);
/* Settled: not needed any more. Safe a little later; a crash in between repeats the message with its count. Any thread. */
void store_forget(Store *store, uint64_t record);
/* Attempt @count (1: the first) is about to leave to a consumer that may not settle it; before the bytes go out. Also when it came
 * back: with the failed attempts so far, 0 when there were none. Any thread. */
void store_handed(Store *store, uint64_t record, uint32_t count);

/* Small named documents. An empty value deletes. store_state_put returns false when broken (and @done is not called). Any thread. */
bool store_state_put(Store *store, const char *key, const void *bytes, size_t n_bytes, StoreDoneFn done, void *user);
GBytes *store_state_get(Store *store, const char *key); /* what was put last, safe or not yet; NULL: nothing. (transfer full) */

/* Waits until all that was asked before is safe. False: it is not (STORE_ERROR_IO). Not from a done(). */
bool store_flush(Store *store, GError **error);

typedef struct StoreStats {
    uint64_t puts, forgets, commits, bytes_written;
    uint64_t kept_bytes;     /* of the database, free pages not counted; measured now and then */
    bool broken;             /* a write failed; nothing is taken any more */
} StoreStats;
StoreStats store_stats(Store *store);

#endif
