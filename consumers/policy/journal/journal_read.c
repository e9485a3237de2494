/* Reading, of both forms: a path is stored as text in form 1 and as a number in form 2, and the column's type says which. */
#include "consumers/policy/journal/journal_private.h"

#include <string.h>

const char *journal_columns(const Journal *journal)
{
    return journal->old_form ? "number, input, now_us, wall_us, entity, incident, body, hash"
                             : "number, kind, now_us, wall_us, entity, incident, body, hash";
}

static const char *entity_of(const Journal *journal, sqlite3_stmt *row)
{
    if (sqlite3_column_type(row, 4) != SQLITE_INTEGER)
        return (const char *) sqlite3_column_text(row, 4);
    int64_t id = sqlite3_column_int64(row, 4);
    return id > 0 && id < journal->entities->len ? journal->entities->pdata[id] : NULL;
}

JournalRecord journal_row(const Journal *journal, sqlite3_stmt *row)
{
    int kind = sqlite3_column_int(row, 1);
    JournalRecord r = { .number = sqlite3_column_int64(row, 0),
                        .now_us = sqlite3_column_int64(row, 2),
                        .wall_us = sqlite3_column_int64(row, 3),
                        .entity = entity_of(journal, row),
                        .incident = (const char *) sqlite3_column_text(row, 5),
                        .old = kind == ROW_OLD_SAID || kind == ROW_OLD_INPUT };

    r.kind = kind == ROW_OLD_INPUT || kind == ROW_INPUT ? JOURNAL_INPUT : kind == ROW_OWN ? JOURNAL_OWN : JOURNAL_SAID;
    if (kind == ROW_INPUT)
        r.body = sqlite3_column_blob(row, 6);
    else
        r.body = (const char *) sqlite3_column_text(row, 6); /* text: ends with a 0, whatever it was stored as */
    r.body_bytes = (size_t) sqlite3_column_bytes(row, 6);
    r.hash = sqlite3_column_bytes(row, 7) == JOURNAL_HASH_BYTES ? sqlite3_column_blob(row, 7) : NULL;
    return r;
}

static bool each_row(Journal *journal, sqlite3_stmt *rows, JournalEach each, void *user, GError **error)
{
    int code;

    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        JournalRecord record = journal_row(journal, rows);

        if (record.body == NULL) {
            g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_READ, "journal %s: record %" G_GINT64_FORMAT " is empty", journal->path, record.number);
            sqlite3_finalize(rows);
            return false;
        }
        if (!each(&record, user)) {
            code = SQLITE_DONE;
            break;
        }
    }
    bool fine = code == SQLITE_DONE || journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    sqlite3_finalize(rows);
    return fine;
}

bool journal_read(Journal *journal, int64_t after, JournalEach each, void *user, GError **error)
{
    sqlite3_stmt *rows = journal_prepare(journal, error, "SELECT %s FROM record WHERE number > ? ORDER BY number", journal_columns(journal));

    if (rows == NULL)
        return false;
    sqlite3_bind_int64(rows, 1, after);
    return each_row(journal, rows, each, user, error);
}

bool journal_story(Journal *journal, const char *entity, unsigned limit, JournalEach each, void *user, GError **error)
{
    sqlite3_stmt *rows = journal_prepare(
        journal, error, "SELECT * FROM (SELECT %s FROM record WHERE entity = %s ORDER BY number DESC LIMIT ?) ORDER BY number",
        journal_columns(journal), journal->old_form ? "?" : "(SELECT id FROM entity WHERE path = ?)");

    if (rows == NULL)
        return false;
    sqlite3_bind_text(rows, 1, entity, -1, SQLITE_STATIC);
    sqlite3_bind_int64(rows, 2, limit);
    return each_row(journal, rows, each, user, error);
}

static const char each_entity[] =
    "SELECT path FROM entity e WHERE instr(path, ?) > 0 AND EXISTS (SELECT 1 FROM record WHERE entity = e.id) ORDER BY path LIMIT ?";
/* From one entity to the next by the index: its cost is that of the entities, not of the records. */
static const char each_entity_old[] =
    "WITH RECURSIVE e(name) AS (SELECT min(entity) FROM record WHERE entity IS NOT NULL"
    " UNION ALL SELECT (SELECT min(entity) FROM record WHERE entity IS NOT NULL AND entity > e.name) FROM e WHERE e.name IS NOT NULL)"
    " SELECT name FROM e WHERE name IS NOT NULL AND instr(name, ?) > 0 LIMIT ?";

GStrv journal_entities(Journal *journal, const char *part, unsigned limit, GError **error)
{
    sqlite3_stmt *rows = journal_prepare(journal, error, "%s", journal->old_form ? each_entity_old : each_entity);
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

bool journal_get_snapshot(Journal *journal, int64_t at_most, int64_t *ret_number, char **ret_body, GError **error)
{
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT number, body FROM snapshot WHERE ?1 = 0 OR number <= ?1 ORDER BY number %s LIMIT 1",
                                        at_most == 0 ? "ASC" : "DESC");
    if (row == NULL)
        return false;
    sqlite3_bind_int64(row, 1, at_most);
    int code = sqlite3_step(row);
    const char *body = code == SQLITE_ROW ? (const char *) sqlite3_column_text(row, 1) : NULL;
    if (body != NULL) {
        *ret_number = sqlite3_column_int64(row, 0);
        *ret_body = g_strdup(body);
    } else if (code != SQLITE_DONE) {
        journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    }
    sqlite3_finalize(row);
    return body != NULL;
}

bool journal_snapshot_at(Journal *journal, int64_t number, bool above, int64_t *ret_number, GError **error)
{
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT %s(number) FROM snapshot WHERE number %s ?", above ? "min" : "max", above ? ">=" : "<=");

    if (row == NULL)
        return false;
    sqlite3_bind_int64(row, 1, number);
    bool fine = sqlite3_step(row) == SQLITE_ROW || journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    if (fine)
        *ret_number = sqlite3_column_int64(row, 0); /* NULL is 0 */
    sqlite3_finalize(row);
    return fine;
}

static bool now_of(Journal *journal, sqlite3_stmt *row, int64_t number, int64_t *ret_us, GError **error)
{
    sqlite3_bind_int64(row, 1, number);
    int code = sqlite3_step(row);
    *ret_us = code == SQLITE_ROW ? sqlite3_column_int64(row, 0) : INT64_MAX;
    sqlite3_reset(row);
    return code == SQLITE_ROW || code == SQLITE_DONE || journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
}

bool journal_at(Journal *journal, int64_t now_us, int64_t *ret_number, GError **error)
{
    int64_t low = journal->anchor + 1, high = journal->newest + 1; /* the answer is in [low, high] */
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT now_us FROM record WHERE number = ?");
    bool fine = row != NULL;

    while (fine && low < high) {
        int64_t middle = low + (high - low) / 2, at_us;

        fine = now_of(journal, row, middle, &at_us, error);
        if (at_us >= now_us)
            high = middle;
        else
            low = middle + 1;
    }
    sqlite3_finalize(row);
    if (fine)
        *ret_number = low;
    return fine;
}
