#include "consumers/policy/journal/journal.h"

#include <sqlite3.h>
#include <string.h>

G_DEFINE_QUARK(mend-journal-error-quark, journal_error)

#define HASH_BYTES 32
#define FORM "1"

struct Journal {
    sqlite3 *db;
    sqlite3_stmt *insert, *begin, *commit;
    char *path;
    int64_t newest;
    guint8 hash[HASH_BYTES]; /* of the newest record; zeros before the first */
    size_t pending;
    bool failed;
};

static const char schema[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;"
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS record (number INTEGER PRIMARY KEY, input INTEGER NOT NULL, now_us INTEGER NOT NULL,"
    " wall_us INTEGER NOT NULL, entity TEXT, incident TEXT, body TEXT NOT NULL, hash BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS record_entity ON record (entity, number) WHERE entity IS NOT NULL;"
    "CREATE TABLE IF NOT EXISTS snapshot (number INTEGER PRIMARY KEY, body TEXT NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES ('form', '" FORM "');";

static bool fail(Journal *journal, int code, const char *what, GError **error)
{
    g_set_error(error, JOURNAL_ERROR, code, "journal %s: %s: %s", journal->path, what, sqlite3_errmsg(journal->db));
    if (code == JOURNAL_ERROR_WRITE)
        journal->failed = true;
    return false;
}

static sqlite3_stmt *prepare(Journal *journal, const char *sql, GError **error)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(journal->db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    return statement;
}

/* number, input, now_us, wall_us, entity, incident, body */
static JournalRecord record_from_row(sqlite3_stmt *row)
{
    return (JournalRecord){ .number = sqlite3_column_int64(row, 0),
                            .input = sqlite3_column_int(row, 1) != 0,
                            .now_us = sqlite3_column_int64(row, 2),
                            .wall_us = sqlite3_column_int64(row, 3),
                            .entity = (const char *) sqlite3_column_text(row, 4),
                            .incident = (const char *) sqlite3_column_text(row, 5),
                            .body = (const char *) sqlite3_column_text(row, 6) };
}
#define COLUMNS "number, input, now_us, wall_us, entity, incident, body"

static void chain(guint8 hash[HASH_BYTES], const JournalRecord *record)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize size = HASH_BYTES;
    char head[96];

    g_snprintf(head, sizeof head, "%" G_GINT64_FORMAT " %d %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n", record->number, record->input,
               record->now_us, record->wall_us);
    g_checksum_update(sum, hash, HASH_BYTES);
    g_checksum_update(sum, (const guchar *) head, -1);
    g_checksum_update(sum, (const guchar *) record->body, -1);
    g_checksum_get_digest(sum, hash, &size);
}

static bool read_newest(Journal *journal, GError **error)
{
    sqlite3_stmt *row = prepare(journal, "SELECT number, hash FROM record ORDER BY number DESC LIMIT 1", error);

    if (row == NULL)
        return false;
    if (sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 1) == HASH_BYTES) {
        journal->newest = sqlite3_column_int64(row, 0);
        memcpy(journal->hash, sqlite3_column_blob(row, 1), HASH_BYTES);
    }
    sqlite3_finalize(row);
    return true;
}

static bool check_form(Journal *journal, GError **error)
{
    sqlite3_stmt *row = prepare(journal, "SELECT value FROM meta WHERE key = 'form'", error);
    bool fine = row != NULL && sqlite3_step(row) == SQLITE_ROW && g_strcmp0((const char *) sqlite3_column_text(row, 0), FORM) == 0;

    if (row != NULL && !fine)
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN, "journal %s: is not of form " FORM ", which this program reads", journal->path);
    sqlite3_finalize(row);
    return fine;
}

Journal *journal_open(const char *path, GError **error)
{
    g_autoptr(Journal) journal = g_new0(Journal, 1);

    journal->path = g_strdup(path);
    if (sqlite3_open_v2(path, &journal->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        fail(journal, JOURNAL_ERROR_OPEN, "cannot be opened", error);
        return NULL;
    }
    sqlite3_busy_timeout(journal->db, 500);
    int code = sqlite3_exec(journal->db, schema, NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        fail(journal, JOURNAL_ERROR_OPEN, code == SQLITE_BUSY ? "another process has it open" : "cannot be opened", error);
        return NULL;
    }
    if (!check_form(journal, error) || !read_newest(journal, error) ||
        (journal->insert = prepare(journal, "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)", error)) == NULL ||
        (journal->begin = prepare(journal, "BEGIN IMMEDIATE", error)) == NULL ||
        (journal->commit = prepare(journal, "COMMIT", error)) == NULL)
        return NULL;
    return g_steal_pointer(&journal);
}

void journal_free(Journal *journal)
{
    if (journal == NULL)
        return;
    sqlite3_finalize(journal->insert);
    sqlite3_finalize(journal->begin);
    sqlite3_finalize(journal->commit);
    sqlite3_close(journal->db);
    g_free(journal->path);
    g_free(journal);
}

static bool run(Journal *journal, sqlite3_stmt *statement, GError **error)
{
    int code = sqlite3_step(statement);

    sqlite3_reset(statement);
    return code == SQLITE_DONE || fail(journal, JOURNAL_ERROR_WRITE, "cannot be written", error);
}

static bool begin(Journal *journal, GError **error)
{
    if (journal->failed) {
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_WRITE, "journal %s: an earlier write failed", journal->path);
        return false;
    }
    return journal->pending > 0 || run(journal, journal->begin, error);
}

bool journal_put(Journal *journal, const JournalRecord *record, GError **error)
{
    JournalRecord r = *record;
    sqlite3_stmt *s = journal->insert;

    if (!begin(journal, error))
        return false;
    r.number = journal->newest + 1;
    chain(journal->hash, &r);
    sqlite3_bind_int64(s, 1, r.number);
    sqlite3_bind_int(s, 2, r.input);
    sqlite3_bind_int64(s, 3, r.now_us);
    sqlite3_bind_int64(s, 4, r.wall_us);
    sqlite3_bind_text(s, 5, r.entity, -1, SQLITE_STATIC); /* NULL binds NULL */
    sqlite3_bind_text(s, 6, r.incident, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 7, r.body, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 8, journal->hash, HASH_BYTES, SQLITE_STATIC);
    journal->newest++;
    journal->pending++;
    return run(journal, s, error);
}

bool journal_commit(Journal *journal, GError **error)
{
    if (journal->pending == 0)
        return true;
    if (!begin(journal, error) || !run(journal, journal->commit, error))
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

bool journal_put_snapshot(Journal *journal, const char *body, GError **error)
{
    if (!begin(journal, error))
        return false;
    sqlite3_stmt *s = prepare(journal, "INSERT OR REPLACE INTO snapshot VALUES (?, ?)", error);
    if (s == NULL)
        return false;
    sqlite3_bind_int64(s, 1, journal->newest);
    sqlite3_bind_text(s, 2, body, -1, SQLITE_STATIC);
    bool fine = run(journal, s, error);
    sqlite3_finalize(s);
    journal->pending++;
    if (fine && sqlite3_exec(journal->db, "DELETE FROM snapshot WHERE number < (SELECT max(number) FROM snapshot)", NULL, NULL, NULL) !=
                    SQLITE_OK)
        fine = fail(journal, JOURNAL_ERROR_WRITE, "cannot be written", error);
    return fine && journal_commit(journal, error);
}

bool journal_get_snapshot(Journal *journal, int64_t *ret_number, char **ret_body, GError **error)
{
    sqlite3_stmt *row = prepare(journal, "SELECT number, body FROM snapshot ORDER BY number DESC LIMIT 1", error);
    bool found = row != NULL && sqlite3_step(row) == SQLITE_ROW;

    if (found) {
        *ret_number = sqlite3_column_int64(row, 0);
        *ret_body = g_strdup((const char *) sqlite3_column_text(row, 1));
    }
    sqlite3_finalize(row);
    return found;
}

static bool each_row(Journal *journal, sqlite3_stmt *rows, JournalEach each, void *user, GError **error)
{
    int code;

    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        JournalRecord record = record_from_row(rows);

        if (!each(&record, user)) {
            code = SQLITE_DONE;
            break;
        }
    }
    bool fine = code == SQLITE_DONE || fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    sqlite3_finalize(rows);
    return fine;
}

bool journal_read(Journal *journal, int64_t after, JournalEach each, void *user, GError **error)
{
    sqlite3_stmt *rows = prepare(journal, "SELECT " COLUMNS " FROM record WHERE number > ? ORDER BY number", error);

    if (rows == NULL)
        return false;
    sqlite3_bind_int64(rows, 1, after);
    return each_row(journal, rows, each, user, error);
}

bool journal_story(Journal *journal, const char *entity, unsigned limit, JournalEach each, void *user, GError **error)
{
    sqlite3_stmt *rows = prepare(journal,
                                 "SELECT * FROM (SELECT " COLUMNS " FROM record WHERE entity = ? ORDER BY number DESC LIMIT ?)"
                                 " ORDER BY number",
                                 error);

    if (rows == NULL)
        return false;
    sqlite3_bind_text(rows, 1, entity, -1, SQLITE_STATIC);
    sqlite3_bind_int64(rows, 2, limit);
    return each_row(journal, rows, each, user, error);
}

/* From one entity to the next by the index: its cost is that of the entities, not of the records. */
static const char each_entity[] =
    "WITH RECURSIVE e(name) AS (SELECT min(entity) FROM record WHERE entity IS NOT NULL"
    " UNION ALL SELECT (SELECT min(entity) FROM record WHERE entity IS NOT NULL AND entity > e.name) FROM e WHERE e.name IS NOT NULL)"
    " SELECT name FROM e WHERE name IS NOT NULL AND instr(name, ?) > 0 LIMIT ?";

GStrv journal_entities(Journal *journal, const char *part, unsigned limit, GError **error)
{
    sqlite3_stmt *rows = prepare(journal, each_entity, error);
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    if (rows == NULL)
        return NULL;
    sqlite3_bind_text(rows, 1, part, -1, SQLITE_STATIC);
    sqlite3_bind_int64(rows, 2, limit);
    while (sqlite3_step(rows) == SQLITE_ROW)
        g_ptr_array_add(names, g_strdup((const char *) sqlite3_column_text(rows, 0)));
    sqlite3_finalize(rows);
    g_ptr_array_add(names, NULL);
    return (GStrv) g_ptr_array_free(g_steal_pointer(&names), FALSE);
}

bool journal_verify(Journal *journal, int64_t *ret_records, GError **error)
{
    sqlite3_stmt *rows = prepare(journal, "SELECT " COLUMNS ", hash FROM record ORDER BY number", error);
    guint8 hash[HASH_BYTES] = { 0 };
    int64_t expected = 1;

    if (rows == NULL)
        return false;
    for (; sqlite3_step(rows) == SQLITE_ROW; expected++) {
        JournalRecord record = record_from_row(rows);

        chain(hash, &record);
        if (record.number == expected && sqlite3_column_bytes(rows, 7) == HASH_BYTES &&
            memcmp(hash, sqlite3_column_blob(rows, 7), HASH_BYTES) == 0)
            continue;
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN, "journal %s: record %" G_GINT64_FORMAT " %s", journal->path, expected,
                    record.number == expected ? "was changed after it was written" : "is missing");
        sqlite3_finalize(rows);
        return false;
    }
    sqlite3_finalize(rows);
    *ret_records = expected - 1;
    return true;
}
