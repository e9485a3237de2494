/* SQLite in WAL mode, synchronous=FULL, one thread that writes. docs/decisions/ has the figures against a log of our own.
 *
 * Callers append operations to an arena under the lock; the thread swaps arenas, applies one in one transaction and calls the done()s.
 * While it syncs, the next batch gathers: the busier, the larger the batch, and nobody waits for a timer. A message that is put and
 * forgotten within one batch never reaches the file. */
#include "broker-plugin/hosts/embedded/store.h"

#include "broker-plugin/hosts/embedded/store_handed.h"
#include "broker-plugin/hosts/embedded/store_wal.h"
#include "lib/base/file.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <zlib.h>

G_DEFINE_QUARK(mend-store-error-quark, store_error)

#define SCHEMA_VERSION 1
#define SCHEMA_TEXT "1"

#define STATEMENTS(X)                                                                                              \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                                    \
    X(COMMIT, "COMMIT")                                                                                            \
    X(ROLLBACK, "ROLLBACK")                                                                                        \
    X(PUT, "INSERT INTO message (record, queue, sequence, crc, bytes) VALUES (?1, ?2, ?3, ?4, ?5)")                \
    X(FORGET, "DELETE FROM message WHERE record = ?1")                                                             \
    X(NODE_PUT, "INSERT INTO node (record, name, bytes) VALUES (?1, ?2, ?3) "                                      \
                "ON CONFLICT (record) DO UPDATE SET bytes = ?3")                                                   \
    X(NODE_FORGET, "DELETE FROM node WHERE record = ?1")                                                           \
    X(NODE_EMPTY, "DELETE FROM message WHERE queue = ?1")                                                          \
    X(STATE_PUT, "INSERT INTO state (key, bytes) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET bytes = ?2")      \
    X(STATE_FORGET, "DELETE FROM state WHERE key = ?1")                                                            \
    X(PAGES, "SELECT (page_count - freelist_count) * page_size "                                                   \
             "FROM pragma_page_count, pragma_freelist_count, pragma_page_size")
#define X(id, sql) STATEMENT_##id,
typedef enum { STATEMENTS(X) STATEMENT_N } Statement;
#undef X
#define X(id, sql) [STATEMENT_##id] = sql,
static const char *const statement_texts[] = { STATEMENTS(X) };
#undef X

typedef enum { OP_PUT, OP_FORGET, OP_NODE_PUT, OP_NODE_FORGET, OP_STATE_PUT, OP_NOTHING } OpKind;

typedef struct Op { /* followed by the name with its 0, then the bytes, then room to the next multiple of 8 */
    OpKind kind;
    uint32_t n_name, n_bytes;
    uint64_t record, queue, sequence;
    StoreDoneFn done;
    void *user;
} Op;

typedef struct Batch {
    GByteArray *ops;
    GArray *puts;        /* size_t places of the OP_PUTs; the first has record first_put */
    uint64_t first_put, number;
} Batch;

struct Store {
    char *folder, *file;
    int lock_fd;
    StoreOptions options;
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENT_N];
    pthread_mutex_t db_lock; /* the connection: the thread's, and store_load()'s while it reads; taken before lock */
    pthread_t thread;
    bool has_thread;
    bool exact;          /* the handed table tells all */
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t asked, done;
    Batch batches[2], *gathering;
    uint64_t next_record, next_node, safe_number; /* batches up to safe_number are through */
    bool stopping, over_limit;
    char *why_broken;    /* NULL: works */
    GHashTable *nodes;   /* name → record */
    GHashTable *state;   /* key → GBytes */
    Handed *handed;
    StoreStats stats;
};

/* pthread's and not GLib's: the thread sanitizer does not see the latter. */
static pthread_mutex_t *lock_take(pthread_mutex_t *lock)
{
    pthread_mutex_lock(lock);
    return lock;
}

static void lock_drop(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

#define HOLD(lock) __attribute__((cleanup(lock_drop), unused)) pthread_mutex_t *held_here = lock_take(lock)

/* ---- SQLite ------------------------------------------------------------------------------------------------------------ */

static bool sql_fail(Store *store, int code, GError **error)
{
    bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;

    g_set_error(error, STORE_ERROR, damaged ? STORE_ERROR_DAMAGED : STORE_ERROR_IO, "%s: %s%s", store->file,
                store->db != NULL ? sqlite3_errmsg(store->db) : sqlite3_errstr(code),
                damaged ? "; restore it from a copy, or move it away to start empty" : "");
    return false;
}

static bool sql_run(Store *store, const char *sql, GError **error)
{
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK || sql_fail(store, code, error);
}

static int step(Store *store, Statement statement)
{
    sqlite3_stmt *s = store->statements[statement];
    int code = sqlite3_step(s);

    sqlite3_reset(s);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

static int op_apply(Store *store, const Op *op)
{
    const char *name = (const char *) (op + 1), *bytes = name + op->n_name + 1;
    static const Statement statements[] = { [OP_PUT] = STATEMENT_PUT, [OP_FORGET] = STATEMENT_FORGET,
        [OP_NODE_PUT] = STATEMENT_NODE_PUT, [OP_NODE_FORGET] = STATEMENT_NODE_FORGET, [OP_STATE_PUT] = STATEMENT_STATE_PUT };
    Statement statement;
    sqlite3_stmt *s;

    if (op->kind == OP_NOTHING)
        return SQLITE_OK;
    statement = op->kind == OP_STATE_PUT && op->n_bytes == 0 ? STATEMENT_STATE_FORGET : statements[op->kind];
    s = store->statements[statement];
    switch (op->kind) {
    case OP_PUT:
        sqlite3_bind_int64(s, 1, (sqlite3_int64) op->record);
        sqlite3_bind_int64(s, 2, (sqlite3_int64) op->queue);
        sqlite3_bind_int64(s, 3, (sqlite3_int64) op->sequence);
        sqlite3_bind_int64(s, 4, (sqlite3_int64) crc32(0, (const Bytef *) bytes, op->n_bytes));
        sqlite3_bind_blob(s, 5, bytes, (int) op->n_bytes, SQLITE_STATIC);
        break;
    case OP_NODE_PUT:
        sqlite3_bind_text(s, 2, name, (int) op->n_name, SQLITE_STATIC);
        sqlite3_bind_blob(s, 3, bytes, (int) op->n_bytes, SQLITE_STATIC);
        sqlite3_bind_int64(s, 1, (sqlite3_int64) op->record);
        break;
    case OP_STATE_PUT:
        sqlite3_bind_text(s, 1, name, (int) op->n_name, SQLITE_STATIC);
        if (op->n_bytes > 0)
            sqlite3_bind_blob(s, 2, bytes, (int) op->n_bytes, SQLITE_STATIC);
        break;
    case OP_NODE_FORGET:
        sqlite3_bind_int64(store->statements[STATEMENT_NODE_EMPTY], 1, (sqlite3_int64) op->record);
        if (step(store, STATEMENT_NODE_EMPTY) != SQLITE_OK)
            return sqlite3_errcode(store->db);
        sqlite3_bind_int64(s, 1, (sqlite3_int64) op->record);
        break;
    case OP_FORGET:
        sqlite3_bind_int64(s, 1, (sqlite3_int64) op->record);
        break;
    case OP_NOTHING:
        return SQLITE_OK;
    }
    return step(store, statement);
}

/* ---- Operations in the arena -------------------------------------------------------------------------------------------- */

static size_t op_size(const Op *op)
{
    return (sizeof *op + op->n_name + 1 + op->n_bytes + 7) & ~(size_t) 7;
}

static Op *batch_at(const Batch *batch, size_t place)
{
    return (Op *) (void *) (batch->ops->data + place);
}

/* Lock held. Returns its place. */
static size_t batch_add(Store *store, Op op, const char *name, const void *bytes)
{
    Batch *batch = store->gathering;
    size_t place = batch->ops->len;

    op.n_name = (uint32_t) strlen(name);
    g_byte_array_set_size(batch->ops, (guint) (place + op_size(&op)));
    Op *there = batch_at(batch, place);
    *there = op;
    memcpy(there + 1, name, op.n_name + 1);
    if (op.n_bytes > 0)
        memcpy((char *) (there + 1) + op.n_name + 1, bytes, op.n_bytes);
    pthread_cond_signal(&store->asked);
    return place;
}

static void batch_init(Batch *batch)
{
    batch->ops = g_byte_array_sized_new(65536);
    batch->puts = g_array_new(FALSE, FALSE, sizeof(size_t));
}

static void batch_clear(Batch *batch)
{
    g_byte_array_set_size(batch->ops, 0);
    g_array_set_size(batch->puts, 0);
    batch->first_put = 0;
}

/* @puts: also the new messages. Without them what remains frees space, or is small. */
static int batch_commit(Store *store, const Batch *batch, bool puts)
{
    int code = step(store, STATEMENT_BEGIN);

    for (size_t at = 0; code == SQLITE_OK && at < batch->ops->len; at += op_size(batch_at(batch, at)))
        if (puts || batch_at(batch, at)->kind != OP_PUT)
            code = op_apply(store, batch_at(batch, at));
    if (code == SQLITE_OK)
        code = step(store, STATEMENT_COMMIT);
    if (code != SQLITE_OK && !sqlite3_get_autocommit(store->db))
        step(store, STATEMENT_ROLLBACK);
    return code;
}

static void batch_tell(const Batch *batch, bool ok, bool puts_ok)
{
    for (size_t at = 0; at < batch->ops->len; at += op_size(batch_at(batch, at))) {
        const Op *op = batch_at(batch, at);

        if (op->done != NULL)
            op->done(op->user, op->kind == OP_PUT ? puts_ok : ok);
    }
}

static int64_t kept_bytes(Store *store)
{
    sqlite3_stmt *s = store->statements[STATEMENT_PAGES];
    int64_t n_bytes = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;

    sqlite3_reset(s);
    return n_bytes;
}

/* Not before: a message whose settlement is lost comes back, and must come back with its count. */
static void counts_drop(Store *store, const Batch *batch)
{
    for (size_t at = 0; at < batch->ops->len; at += op_size(batch_at(batch, at)))
        if (batch_at(batch, at)->kind == OP_FORGET)
            handed_set(store->handed, batch_at(batch, at)->record, 0);
}

static void batch_write(Store *store, Batch *batch, bool *ret_ok, bool *ret_puts_ok)
{
    bool works = store->why_broken == NULL; /* only this thread writes it */
    int code = works ? batch_commit(store, batch, true) : SQLITE_ERROR;
    bool ok = code == SQLITE_OK, puts_ok = ok;

    if (works && (code & 0xff) == SQLITE_FULL) {
        log_warning("store %s: the disk is full; new messages are refused until there is room", store->file);
        ok = (code = batch_commit(store, batch, false)) == SQLITE_OK;
        puts_ok = ok && batch->puts->len == 0;
    }
    g_autofree char *why = works && !ok ? g_strdup(sqlite3_errstr(code)) : NULL;
    int64_t kept = ok ? kept_bytes(store) : 0;
    if (why != NULL)
        log_error("store %s: cannot write: %s; nothing durable is taken any more, restart after mending the disk", store->file, why);

    pthread_mutex_lock(&store->lock);
    if (why != NULL) {
        store->why_broken = g_steal_pointer(&why);
        store->stats.broken = true;
    }
    if (ok) {
        counts_drop(store, batch);
        store->stats.commits++;
        store->stats.kept_bytes = (uint64_t) kept;
        store->over_limit = store->options.max_bytes > 0 && kept >= store->options.max_bytes;
    }
    pthread_mutex_unlock(&store->lock);
    *ret_ok = ok;
    *ret_puts_ok = puts_ok;
}

static void *store_thread(void *data)
{
    Store *store = data;

    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (store->gathering->ops->len == 0 && !store->stopping)
            pthread_cond_wait(&store->asked, &store->lock);
        if (store->gathering->ops->len == 0)
            break;
        Batch *batch = store->gathering;
        store->gathering = batch == &store->batches[0] ? &store->batches[1] : &store->batches[0];
        store->gathering->number = batch->number + 1;
        pthread_mutex_unlock(&store->lock);
        pthread_mutex_lock(&store->db_lock);
        bool ok, puts_ok;
        batch_write(store, batch, &ok, &puts_ok);
        pthread_mutex_unlock(&store->db_lock);
        batch_tell(batch, ok, puts_ok);
        pthread_mutex_lock(&store->lock);
        store->stats.bytes_written += batch->ops->len;
        store->safe_number = batch->number;
        batch_clear(batch);
        pthread_cond_broadcast(&store->done);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

/* ---- Open, close -------------------------------------------------------------------------------------------------------- */

static bool folder_take(Store *store, GError **error)
{
    g_autofree char *path = g_build_filename(store->folder, "lock", NULL);

    if (!folder_make(store->folder, 0700, error))
        return false;
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (store->lock_fd >= 0 && flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    int code = errno;
    g_set_error(error, STORE_ERROR, code == EWOULDBLOCK ? STORE_ERROR_BUSY : STORE_ERROR_IO, "%s: %s", store->folder,
                code == EWOULDBLOCK ? "another broker is using this data folder" : g_strerror(code));
    return false;
}

static bool tail_check(Store *store, GError **error)
{
    g_autofree char *path = g_strconcat(store->file, "-wal", NULL);
    WalReport report;

    if (!wal_check(path, &report, error))
        return false;
    if (report.state == WAL_DAMAGED) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_DAMAGED,
                    "%s: damaged at offset %" G_GUINT64_FORMAT ", and what follows had been acknowledged; restore the folder from a copy, "
                    "or move this file away to go on with what was there before", path, report.bad_at);
        return false;
    }
    if (report.state == WAL_TORN)
        log_notice("store %s: a commit that was being written when the last run ended is dropped (offset %" G_GUINT64_FORMAT
                   "); nobody had been told it was safe", path, report.bad_at);
    if (report.commits > 0)
        log_info("store %s: %" G_GUINT64_FORMAT " commits brought back from the log", path, report.commits);
    return true;
}

static bool version_check(Store *store, GError **error)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &s, NULL);
    int version = code == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;

    sqlite3_finalize(s);
    if (code != SQLITE_OK)
        return sql_fail(store, code, error);
    if (version <= SCHEMA_VERSION)
        return true;
    g_set_error(error, STORE_ERROR, STORE_ERROR_VERSION, "%s: written by a newer program (form %d, this one knows %d)", store->file, version,
                SCHEMA_VERSION);
    return false;
}

static bool db_open(Store *store, GError **error)
{
    int code = sqlite3_open_v2(store->file, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (code != SQLITE_OK)
        return sql_fail(store, code, error);
    sqlite3_extended_result_codes(store->db, 1);
    if (!sql_run(store, "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        "PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864; PRAGMA cell_size_check=ON", error)
        || !version_check(store, error)
        || !sql_run(store, "BEGIN; CREATE TABLE IF NOT EXISTS node (record INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, bytes BLOB NOT NULL);"
                           "CREATE TABLE IF NOT EXISTS message (record INTEGER PRIMARY KEY, queue INTEGER NOT NULL,"
                           " sequence INTEGER NOT NULL, crc INTEGER NOT NULL, bytes BLOB NOT NULL);"
                           "CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;"
                           "PRAGMA user_version=" SCHEMA_TEXT "; COMMIT", error))
        return false;
    for (int i = 0; i < STATEMENT_N; i++) {
        code = sqlite3_prepare_v3(store->db, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
        if (code != SQLITE_OK)
            return sql_fail(store, code, error);
    }
    return true;
}

/* Names and state are held in memory: they are few and asked for often. */
static bool names_read(Store *store, GError **error)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(store->db, "SELECT record, name, NULL FROM node UNION ALL SELECT 0, key, bytes FROM state UNION ALL "
                                             "SELECT -1, '', ifnull((SELECT max(record) FROM message), 0)", -1, &s, NULL);

    while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        int64_t record = sqlite3_column_int64(s, 0);
        const char *name = (const char *) sqlite3_column_text(s, 1);

        code = SQLITE_OK;
        if (record > 0) {
            g_hash_table_insert(store->nodes, g_strdup(name), GSIZE_TO_POINTER(record));
            store->next_node = MAX(store->next_node, (uint64_t) record + 1);
        } else if (record == 0) {
            const void *bytes = sqlite3_column_blob(s, 2);

            g_hash_table_insert(store->state, g_strdup(name), g_bytes_new(bytes, (gsize) sqlite3_column_bytes(s, 2)));
        } else {
            store->next_record = (uint64_t) sqlite3_column_int64(s, 2) + 1;
        }
    }
    sqlite3_finalize(s);
    return code == SQLITE_DONE || sql_fail(store, code, error);
}

static Store *store_alloc(const char *folder, const StoreOptions *options)
{
    Store *store = g_new0(Store, 1);

    store->folder = g_strdup(folder);
    store->file = g_build_filename(folder, "bus.db", NULL);
    store->lock_fd = -1;
    store->options = options != NULL ? *options : (StoreOptions) { 0 };
    store->next_record = store->next_node = 1;
    store->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    store->state = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
    batch_init(&store->batches[0]);
    batch_init(&store->batches[1]);
    store->gathering = &store->batches[0];
    store->gathering->number = 1;
    pthread_mutex_init(&store->db_lock, NULL);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->asked, NULL);
    pthread_cond_init(&store->done, NULL);
    return store;
}

Store *store_open(const char *folder, const StoreOptions *options, GError **error)
{
    g_autoptr(Store) store = store_alloc(folder, options);
    g_autofree char *handed = g_build_filename(folder, "handed", NULL);

    if (!folder_take(store, error) || !tail_check(store, error) || !db_open(store, error) || !names_read(store, error))
        return NULL;
    store->handed = handed_open(handed, &store->exact, error);
    if (store->handed == NULL)
        return NULL;
    store->exact |= store->next_record == 1;
    if (!store->exact)
        log_notice("store %s: the machine went down while it was open: every message counts as tried once", store->file);
    if (pthread_create(&store->thread, NULL, store_thread, store) != 0) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_IO, "%s: cannot start a thread", store->file);
        return NULL;
    }
    store->has_thread = true;
    return g_steal_pointer(&store);
}

void store_close(Store *store)
{
    if (store == NULL)
        return;
    if (store->has_thread) {
        pthread_mutex_lock(&store->lock);
        store->stopping = true;
        pthread_cond_signal(&store->asked);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->thread, NULL);
    }
    handed_close(store->handed);
    for (int i = 0; i < STATEMENT_N; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    for (int i = 0; i < 2; i++) {
        g_byte_array_unref(store->batches[i].ops);
        g_array_unref(store->batches[i].puts);
    }
    g_hash_table_unref(store->nodes);
    g_hash_table_unref(store->state);
    pthread_mutex_destroy(&store->db_lock);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->asked);
    pthread_cond_destroy(&store->done);
    g_free(store->why_broken);
    g_free(store->folder);
    g_free(store->file);
    g_free(store);
}

/* ---- Load --------------------------------------------------------------------------------------------------------------- */

static bool nodes_load(Store *store, StoreNodeFn on_node, void *user, GError **error)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(store->db, "SELECT record, name, bytes FROM node ORDER BY record", -1, &s, NULL);

    while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(s, 2);

        on_node(user, (uint64_t) sqlite3_column_int64(s, 0), (const char *) sqlite3_column_text(s, 1), bytes,
                (size_t) sqlite3_column_bytes(s, 2));
        code = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return code == SQLITE_DONE || sql_fail(store, code, error);
}

static bool row_load(Store *store, sqlite3_stmt *s, StoreMessageFn on_message, void *user, GError **error)
{
    StoreMessage message = { .record = (uint64_t) sqlite3_column_int64(s, 0), .queue = (uint64_t) sqlite3_column_int64(s, 1),
                             .sequence = (uint64_t) sqlite3_column_int64(s, 2), .bytes = sqlite3_column_blob(s, 4),
                             .n_bytes = (size_t) sqlite3_column_bytes(s, 4) };

    if (crc32(0, message.bytes, (uInt) message.n_bytes) != (uLong) sqlite3_column_int64(s, 3)) {
        g_set_error(error, STORE_ERROR, STORE_ERROR_DAMAGED, "%s: message record %" G_GUINT64_FORMAT " is damaged (checksum); restore the "
                    "folder from a copy, or remove it: sqlite3 FILE 'DELETE FROM message WHERE record = %" G_GUINT64_FORMAT "'",
                    store->file, message.record, message.record);
        return false;
    }
    message.delivery_count = handed_get(store->handed, message.record);
    if (!store->exact && message.delivery_count == 0)
        message.delivery_count = 1;
    on_message(user, &message);
    return true;
}

static bool message_is_kept(void *user, uint64_t record)
{
    return g_hash_table_contains(user, GSIZE_TO_POINTER(record));
}

/* Takes db_lock: what its callbacks put is written when it is done. */
bool store_load(Store *store, StoreNodeFn on_node, StoreMessageFn on_message, void *user, GError **error)
{
    HOLD(&store->db_lock);
    g_autoptr(GHashTable) kept = g_hash_table_new(NULL, NULL);
    sqlite3_stmt *s = NULL;

    if (!nodes_load(store, on_node, user, error)
        || !sql_run(store, "DELETE FROM message WHERE queue NOT IN (SELECT record FROM node)", error))
        return false;
    int code = sqlite3_prepare_v2(store->db, "SELECT record, queue, sequence, crc, bytes FROM message ORDER BY queue, sequence", -1, &s, NULL);
    bool ok = true;
    while (ok && code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        g_hash_table_add(kept, GSIZE_TO_POINTER((uint64_t) sqlite3_column_int64(s, 0)));
        ok = row_load(store, s, on_message, user, error);
        code = SQLITE_OK;
    }
    if (ok && code != SQLITE_DONE)
        ok = sql_fail(store, code, error);
    sqlite3_finalize(s);
    if (ok) {
        pthread_mutex_lock(&store->lock);
        handed_sweep(store->handed, message_is_kept, kept);
        pthread_mutex_unlock(&store->lock);
    }
    return ok;
}

/* ---- Changes ------------------------------------------------------------------------------------------------------------ */

uint64_t store_node_put(Store *store, const char *name, const void *bytes, size_t n_bytes, StoreDoneFn done, void *user)
{
    HOLD(&store->lock);
    uint64_t record = GPOINTER_TO_SIZE(g_hash_table_lookup(store->nodes, name));

    if (store->why_broken != NULL || n_bytes > G_MAXINT)
        return 0;
    if (record == 0) {
        record = store->next_node++;
        g_hash_table_insert(store->nodes, g_strdup(name), GSIZE_TO_POINTER(record));
    }
    batch_add(store, (Op) { .kind = OP_NODE_PUT, .n_bytes = (uint32_t) n_bytes, .record = record, .done = done, .user = user }, name, bytes);
    return record;
}

static gboolean node_is(gpointer name, gpointer record, gpointer user)
{
    return record == user;
}

void store_node_forget(Store *store, uint64_t record)
{
    HOLD(&store->lock);

    if (store->why_broken == NULL && g_hash_table_foreach_remove(store->nodes, node_is, GSIZE_TO_POINTER(record)) > 0)
        batch_add(store, (Op) { .kind = OP_NODE_FORGET, .record = record }, "", NULL);
}

uint64_t store_put(Store *store, uint64_t queue, uint64_t sequence, const void *bytes, size_t n_bytes, StoreDoneFn done, void *user)
{
    HOLD(&store->lock);
    Batch *batch = store->gathering;

    if (store->why_broken != NULL || store->over_limit || n_bytes > (size_t) G_MAXINT / 2 || batch->ops->len > (guint) G_MAXINT / 2)
        return 0;
    uint64_t record = store->next_record++;
    size_t place = batch_add(store, (Op) { .kind = OP_PUT, .n_bytes = (uint32_t) n_bytes, .record = record, .queue = queue,
                                           .sequence = sequence, .done = done, .user = user }, "", bytes);
    if (batch->puts->len == 0)
        batch->first_put = record;
    g_array_append_val(batch->puts, place);
    store->stats.puts++;
    return record;
}

void store_forget(Store *store, uint64_t record)
{
    HOLD(&store->lock);
    Batch *batch = store->gathering;

    if (record == 0 || record >= store->next_record || store->why_broken != NULL)
        return;
    store->stats.forgets++;
    if (batch->puts->len > 0 && record >= batch->first_put) {
        batch_at(batch, g_array_index(batch->puts, size_t, record - batch->first_put))->kind = OP_NOTHING;
        handed_set(store->handed, record, 0);
    } else {
        batch_add(store, (Op) { .kind = OP_FORGET, .record = record }, "", NULL);
    }
}

void store_handed(Store *store, uint64_t record, uint32_t count)
{
    HOLD(&store->lock);

    if (record != 0)
        handed_set(store->handed, record, count);
}

bool store_state_put(Store *store, const char *key, const void *bytes, size_t n_bytes, StoreDoneFn done, void *user)
{
    HOLD(&store->lock);

    if (store->why_broken != NULL || n_bytes > G_MAXINT)
        return false;
    if (n_bytes > 0)
        g_hash_table_insert(store->state, g_strdup(key), g_bytes_new(bytes, n_bytes));
    else
        g_hash_table_remove(store->state, key);
    batch_add(store, (Op) { .kind = OP_STATE_PUT, .n_bytes = (uint32_t) n_bytes, .done = done, .user = user }, key, bytes);
    return true;
}

GBytes *store_state_get(Store *store, const char *key)
{
    HOLD(&store->lock);
    GBytes *bytes = g_hash_table_lookup(store->state, key);

    return bytes != NULL ? g_bytes_ref(bytes) : NULL;
}

bool store_flush(Store *store, GError **error)
{
    HOLD(&store->lock);
    uint64_t number = store->gathering->ops->len > 0 ? store->gathering->number : store->gathering->number - 1;

    while (store->safe_number < number)
        pthread_cond_wait(&store->done, &store->lock);
    if (store->why_broken == NULL)
        return true;
    g_set_error(error, STORE_ERROR, STORE_ERROR_IO, "%s: %s", store->file, store->why_broken);
    return false;
}

StoreStats store_stats(Store *store)
{
    HOLD(&store->lock);

    return store->stats;
}
