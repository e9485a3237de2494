/* Writing: one statement for each record into an open transaction, one commit for many. */
#include "consumers/policy/journal/journal_private.h"

#include "consumers/policy/crash.h"

#include <string.h>

G_DEFINE_QUARK(mend-journal-error-quark, journal_error)

#define SNAPSHOTS_MAX 8
#define BULK_COMMIT 20000

bool journal_fail(Journal *journal, JournalError code, const char *what, GError **error)
{
    g_set_error(error, JOURNAL_ERROR, code, "journal %s: %s: %s", journal->path, what, sqlite3_errmsg(journal->db));
    if (code == JOURNAL_ERROR_WRITE)
        journal->failed = true;
    return false;
}

sqlite3_stmt *journal_prepare(Journal *journal, GError **error, const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list args;

    va_start(args, format);
    g_autofree char *sql = g_strdup_vprintf(format, args);
    va_end(args);
    if (sqlite3_prepare_v2(journal->db, sql, -1, &statement, NULL) != SQLITE_OK)
        journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    return statement;
}

bool journal_run(Journal *journal, sqlite3_stmt *statement, GError **error)
{
    int code = sqlite3_step(statement);

    sqlite3_reset(statement);
    return code == SQLITE_DONE || journal_fail(journal, JOURNAL_ERROR_WRITE, "cannot be written", error);
}

bool journal_exec(Journal *journal, const char *sql, GError **error)
{
    return sqlite3_exec(journal->db, sql, NULL, NULL, NULL) == SQLITE_OK ||
           journal_fail(journal, JOURNAL_ERROR_WRITE, journal->mode == JOURNAL_READ ? "cannot be read" : "cannot be written", error);
}

bool journal_begin(Journal *journal, GError **error)
{
    if (journal->failed || journal->mode == JOURNAL_READ) {
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_WRITE, "journal %s: %s", journal->path,
                    journal->failed ? "an earlier write failed" : "it is open for reading only");
        return false;
    }
    return journal->pending > 0 || journal_run(journal, journal->begin, error);
}

static bool entity_id(Journal *journal, const char *path, int *ret_id, GError **error)
{
    *ret_id = GPOINTER_TO_INT(g_hash_table_lookup(journal->entity_ids, path));
    if (*ret_id != 0)
        return true;
    sqlite3_stmt *s = journal_prepare(journal, error, "INSERT INTO entity VALUES (?, ?)");
    if (s == NULL)
        return false;
    *ret_id = (int) journal->entities->len;
    sqlite3_bind_int(s, 1, *ret_id);
    sqlite3_bind_text(s, 2, path, -1, SQLITE_STATIC);
    bool fine = journal_run(journal, s, error);
    sqlite3_finalize(s);
    if (!fine)
        return false;
    char *own = g_strdup(path);
    g_ptr_array_add(journal->entities, own);
    g_hash_table_insert(journal->entity_ids, own, GINT_TO_POINTER(*ret_id));
    return true;
}

static int row_kind(const JournalRecord *record)
{
    if (record->kind == JOURNAL_OWN)
        return ROW_OWN;
    return (record->kind == JOURNAL_INPUT ? ROW_OLD_INPUT : ROW_OLD_SAID) + (record->old ? 0 : ROW_SAID);
}

static bool insert(Journal *journal, const JournalRecord *r, int entity, GError **error)
{
    sqlite3_stmt *s = journal->insert;

    sqlite3_bind_int64(s, 1, r->number);
    sqlite3_bind_int(s, 2, row_kind(r));
    sqlite3_bind_int64(s, 3, r->now_us);
    sqlite3_bind_int64(s, 4, r->wall_us);
    if (entity == 0)
        sqlite3_bind_null(s, 5);
    else
        sqlite3_bind_int(s, 5, entity);
    sqlite3_bind_text(s, 6, r->incident, -1, SQLITE_STATIC); /* NULL binds NULL */
    if (r->kind == JOURNAL_INPUT && !r->old)
        sqlite3_bind_blob64(s, 7, r->body, r->body_bytes, SQLITE_STATIC);
    else
        sqlite3_bind_text64(s, 7, r->body, r->body_bytes, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_blob(s, 8, journal->hash, JOURNAL_HASH_BYTES, SQLITE_STATIC);
    return journal_run(journal, s, error);
}

bool journal_put(Journal *journal, const JournalRecord *record, GError **error)
{
    JournalRecord r = *record;
    int entity = 0;

    if (!journal_begin(journal, error))
        return false;
    journal->pending++; /* the transaction is open, whatever comes */
    r.number = journal->newest + 1;
    r.body_bytes = r.body_bytes == 0 ? strlen(r.body) : r.body_bytes;
    journal_chain(journal, journal->hash, &r);
    if (record->hash != NULL && memcmp(record->hash, journal->hash, JOURNAL_HASH_BYTES) != 0) {
        journal->failed = true;
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN, "journal %s: record %" G_GINT64_FORMAT " is not what its hash says",
                    journal->path, r.number);
        return false;
    }
    if ((r.entity != NULL && !entity_id(journal, r.entity, &entity, error)) || !insert(journal, &r, entity, error))
        return false;
    journal->newest++;
    return journal->mode != JOURNAL_BULK || journal->pending < BULK_COMMIT || journal_commit(journal, error);
}

bool journal_commit(Journal *journal, GError **error)
{
    if (journal->pending == 0)
        return true;
    if (!journal_begin(journal, error))
        return false;
    if (!journal_run(journal, journal->commit, error))
        return false;
    journal->pending = 0;
    return true;
}

size_t journal_pending(const Journal *journal)
{
    return journal->pending;
}

int64_t journal_newest(const Journal *journal)
{
    return journal->newest;
}

int64_t journal_oldest(const Journal *journal)
{
    return journal->anchor + 1;
}

void journal_hash(const Journal *journal, guint8 ret_hash[JOURNAL_HASH_BYTES])
{
    memcpy(ret_hash, journal->hash, JOURNAL_HASH_BYTES);
}

const char *journal_path(const Journal *journal)
{
    return journal->path;
}

/* Of the snapshots between the oldest and the newest, the one whose absence leaves the smallest gap. */
static const char thin[] =
    "DELETE FROM snapshot WHERE (SELECT count(*) FROM snapshot) > %d AND number = (SELECT number FROM"
    " (SELECT number, lead(number) OVER (ORDER BY number) - lag(number) OVER (ORDER BY number) AS gap FROM snapshot)"
    " WHERE gap IS NOT NULL ORDER BY gap, number LIMIT 1)";

bool journal_put_snapshot(Journal *journal, const char *body, GError **error)
{
    guint8 hash[JOURNAL_HASH_BYTES];
    g_autofree char *thinning = g_strdup_printf(thin, SNAPSHOTS_MAX);

    if (!journal_begin(journal, error))
        return false;
    journal->pending++;
    sqlite3_stmt *s = journal_prepare(journal, error, "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)");
    if (s == NULL)
        return false;
    journal_snapshot_chain(journal, journal->hash, body, strlen(body), hash);
    sqlite3_bind_int64(s, 1, journal->newest);
    sqlite3_bind_text(s, 2, body, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, hash, sizeof hash, SQLITE_STATIC);
    bool fine = journal_run(journal, s, error);
    sqlite3_finalize(s);
    crash_at(CRASH_SNAPSHOT);
    return fine && journal_exec(journal, thinning, error) && journal_commit(journal, error);
}
