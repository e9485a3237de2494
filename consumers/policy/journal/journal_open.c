/* Opening: what the file is, who has it, and what form it has.
 *
 * The writer holds FILE.lock (flock): SQLite's own locks would let a second engine in between two commits, or, held exclusively, keep
 * readers out; and `mend why`, `mend replay` and `mend journal verify` shall work on a journal that is in use.
 *
 * Form 1 had entity paths in every row and in the index, twice 50 bytes for each event; form 2 has a number. A writer turns form 1
 * into form 2 in one transaction; a reader leaves it as it is. */
#include "consumers/policy/journal/journal_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FORM "2"

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS entity (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);"
    "CREATE TABLE IF NOT EXISTS record (number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, now_us INTEGER NOT NULL,"
    " wall_us INTEGER NOT NULL, entity INTEGER, incident TEXT, body BLOB NOT NULL, hash BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS snapshot (number INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB);"
    "CREATE TABLE IF NOT EXISTS anchor (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, hash BLOB NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES ('form', '" FORM "');";
static const char schema_index[] = "CREATE INDEX IF NOT EXISTS record_entity ON record (entity, number) WHERE entity IS NOT NULL;";

static const char from_form_1[] =
    "ALTER TABLE record RENAME TO record_1; ALTER TABLE snapshot RENAME TO snapshot_1; DROP INDEX IF EXISTS record_entity;"
    "UPDATE meta SET value = '" FORM "' WHERE key = 'form';";
static const char from_form_1_rows[] =
    "INSERT INTO entity (path) SELECT DISTINCT entity FROM record_1 WHERE entity IS NOT NULL ORDER BY 1;"
    "INSERT INTO record SELECT number, input, now_us, wall_us, (SELECT id FROM entity WHERE path = r.entity), incident, body, hash"
    " FROM record_1 r ORDER BY number;"
    "INSERT INTO snapshot (number, body) SELECT number, body FROM snapshot_1;"
    "DROP TABLE record_1; DROP TABLE snapshot_1;";

static bool refuse(const Journal *journal, GError **error, const char *why)
{
    g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN, "journal %s: %s", journal->path, why);
    return false;
}

static bool take_lock(Journal *journal, GError **error)
{
    g_autofree char *path = g_strconcat(journal->path, ".lock", NULL);

    journal->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (journal->lock < 0) {
        g_autofree char *why = g_strdup_printf("cannot be opened: %s", g_strerror(errno));
        return refuse(journal, error, why);
    }
    return flock(journal->lock, LOCK_EX | LOCK_NB) == 0 || refuse(journal, error, "another process has it open");
}

/* A file that cannot be made or read says so itself; SQLite would only say that it could not open it. */
static bool look_at_file(const Journal *journal, GError **error)
{
    char head[16] = "";
    int fd = open(journal->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && journal->mode != JOURNAL_READ)
        return true;
    if (fd < 0) {
        g_autofree char *why = g_strdup_printf("cannot be opened: %s", g_strerror(errno));
        return refuse(journal, error, why);
    }
    ssize_t size = read(fd, head, sizeof head);
    close(fd);
    if (size < 0)
        return refuse(journal, error, "cannot be read");
    if (size > 0 && journal->mode == JOURNAL_BULK)
        return refuse(journal, error, "is there already; a new file is wanted");
    if ((size > 0 || journal->mode == JOURNAL_READ) && (size < 16 || memcmp(head, "SQLite format 3", 16) != 0))
        return refuse(journal, error, "is not a journal");
    return true;
}

/* 0: an empty file; -1: it holds something else. */
static int form_of(Journal *journal, GError **error)
{
    sqlite3_stmt *row = NULL;
    int form = -1;

    int code = sqlite3_prepare_v2(journal->db, "SELECT value FROM meta WHERE key = 'form'", -1, &row, NULL);
    if (code == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW) {
        form = sqlite3_column_int(row, 0);
    } else if (code == SQLITE_ERROR) { /* no such table */
        sqlite3_finalize(row);
        row = NULL;
        if (sqlite3_prepare_v2(journal->db, "SELECT count(*) FROM sqlite_schema", -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW &&
            sqlite3_column_int(row, 0) == 0)
            form = 0;
    } else {
        journal_fail(journal, JOURNAL_ERROR_OPEN, "cannot be read", error);
        sqlite3_finalize(row);
        return -1;
    }
    sqlite3_finalize(row);
    if (form > 2)
        refuse(journal, error, "was written by a newer program: its form is not 1 or " FORM);
    else if (form < 0 || (form == 0 && journal->mode == JOURNAL_READ))
        refuse(journal, error, "is not a journal");
    return form > 2 || (form == 0 && journal->mode == JOURNAL_READ) ? -1 : form;
}

static bool prepare_for_writing(Journal *journal, GError **error)
{
    if (!journal_exec(journal, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;", error))
        return false;
    int form = form_of(journal, error);
    if (form < 0 || !journal_exec(journal, "BEGIN IMMEDIATE", error) || (form == 1 && !journal_exec(journal, from_form_1, error)) ||
        !journal_exec(journal, schema, error) || (form == 1 && !journal_exec(journal, from_form_1_rows, error)))
        return false;
    return journal_exec(journal, schema_index, error) && journal_exec(journal, "COMMIT", error);
}

static bool prepare_for_reading(Journal *journal, GError **error)
{
    if (!journal_exec(journal, "PRAGMA mmap_size=8589934592; BEGIN", error))
        return false;
    int form = form_of(journal, error);
    journal->old_form = form == 1;
    return form > 0;
}

bool journal_load_entities(Journal *journal, GError **error)
{
    g_ptr_array_set_size(journal->entities, 1); /* ids begin with 1 */
    g_hash_table_remove_all(journal->entity_ids);
    if (journal->old_form)
        return true;
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT id, path FROM entity ORDER BY id");
    if (row == NULL)
        return false;
    int code;
    while ((code = sqlite3_step(row)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(row, 0);
        const char *path = (const char *) sqlite3_column_text(row, 1);

        if (id <= 0 || id > G_MAXINT || path == NULL || (guint) id > journal->entities->len + (1u << 24))
            continue; /* damaged: rows that name it have no entity, and verify tells */
        if ((guint) id >= journal->entities->len)
            g_ptr_array_set_size(journal->entities, (gint) id + 1);
        g_free(journal->entities->pdata[id]);
        journal->entities->pdata[id] = g_strdup(path);
        g_hash_table_insert(journal->entity_ids, journal->entities->pdata[id], GINT_TO_POINTER((int) id));
    }
    sqlite3_finalize(row);
    return code == SQLITE_DONE || journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
}

static bool read_hash(sqlite3_stmt *row, int column, guint8 *ret_hash)
{
    if (sqlite3_column_bytes(row, column) != JOURNAL_HASH_BYTES)
        return false;
    memcpy(ret_hash, sqlite3_column_blob(row, column), JOURNAL_HASH_BYTES);
    return true;
}

static bool read_ends(Journal *journal, GError **error)
{
    sqlite3_stmt *row = journal->old_form ? NULL : journal_prepare(journal, error, "SELECT number, hash FROM anchor");

    if (row == NULL && !journal->old_form)
        return false;
    if (row != NULL && sqlite3_step(row) == SQLITE_ROW && read_hash(row, 1, journal->anchor_hash))
        journal->anchor = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    journal->newest = journal->anchor;
    memcpy(journal->hash, journal->anchor_hash, JOURNAL_HASH_BYTES);
    row = journal_prepare(journal, error, "SELECT number, hash FROM record ORDER BY number DESC LIMIT 1");
    if (row == NULL)
        return false;
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW && read_hash(row, 1, journal->hash))
        journal->newest = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return code == SQLITE_ROW || code == SQLITE_DONE || journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
}

static bool open_db(Journal *journal, bool alone, GError **error)
{
    g_autofree char *escaped = g_uri_escape_string(journal->path, "/", TRUE);
    g_autofree char *uri = g_strdup_printf("file:%s%s", escaped, alone ? "?immutable=1" : "");
    int flags = journal->mode == JOURNAL_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

    if (sqlite3_open_v2(uri, &journal->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
        return journal_fail(journal, JOURNAL_ERROR_OPEN, "cannot be opened", error);
    sqlite3_busy_timeout(journal->db, 2000);
    return true;
}

/* A reader of a folder it may not write into cannot take part in the WAL; when none is left over, the file alone is everything. */
static bool open_to_read(Journal *journal, GError **error)
{
    g_autofree char *wal = g_strconcat(journal->path, "-wal", NULL);

    if (!open_db(journal, false, error))
        return false;
    if (sqlite3_exec(journal->db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_CANTOPEN || access(wal, F_OK) == 0)
        return true;
    sqlite3_close(g_steal_pointer(&journal->db));
    return open_db(journal, true, error);
}

static bool open_as(Journal *journal, GError **error)
{
    bool fine = look_at_file(journal, error) &&
                (journal->mode == JOURNAL_READ ? open_to_read(journal, error) : take_lock(journal, error) && open_db(journal, false, error));

    if (fine && journal->mode == JOURNAL_BULK)
        fine = journal_exec(journal, "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF; PRAGMA cache_size=-65536;", error) &&
               journal_exec(journal, schema, error);
    else if (fine)
        fine = journal->mode == JOURNAL_READ ? prepare_for_reading(journal, error) : prepare_for_writing(journal, error);
    if (!fine || !journal_load_entities(journal, error) || !read_ends(journal, error))
        return false;
    return journal->mode == JOURNAL_READ ||
           ((journal->insert = journal_prepare(journal, error, "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?)")) != NULL &&
            (journal->begin = journal_prepare(journal, error, "BEGIN IMMEDIATE")) != NULL &&
            (journal->commit = journal_prepare(journal, error, "COMMIT")) != NULL);
}

Journal *journal_open_as(const char *path, JournalMode mode, GError **error)
{
    g_autoptr(Journal) journal = g_new0(Journal, 1);
    g_autoptr(GError) local = NULL;

    journal->path = g_strdup(path);
    journal->mode = mode;
    journal->lock = -1;
    journal->entities = g_ptr_array_new_with_free_func(g_free);
    journal->entity_ids = g_hash_table_new(g_str_hash, g_str_equal);
    journal->sum = g_checksum_new(G_CHECKSUM_SHA256);
    journal->head = g_byte_array_new();
    if (open_as(journal, &local))
        return g_steal_pointer(&journal);
    local->code = JOURNAL_ERROR_OPEN; /* whatever went wrong */
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
}

Journal *journal_open(const char *path, GError **error)
{
    return journal_open_as(path, JOURNAL_WRITE, error);
}

bool journal_bulk_end(Journal *journal, GError **error)
{
    return journal_commit(journal, error) && journal_exec(journal, schema_index, error);
}

void journal_free(Journal *journal)
{
    if (journal == NULL)
        return;
    sqlite3_finalize(journal->insert);
    sqlite3_finalize(journal->begin);
    sqlite3_finalize(journal->commit);
    sqlite3_close(journal->db);
    if (journal->lock >= 0)
        close(journal->lock); /* lets go of it; the file stays, or two could hold different ones */
    g_hash_table_unref(journal->entity_ids);
    g_ptr_array_unref(journal->entities);
    g_checksum_free(journal->sum);
    g_byte_array_unref(journal->head);
    g_free(journal->path);
    g_free(journal);
}
