/* Retention: whole prefixes go, a piece at a time so that nobody waits long, and what stays can still be proved and replayed.
 *
 * Each piece is one transaction: the records go, the anchor moves to the last of them, and a record of the journal's own, chained like
 * all others, says so. Who cuts a journal by hand has to forge that record too, and with it everything after it. */
#include "consumers/policy/journal/journal_private.h"

#include "consumers/policy/crash.h"
#include "lib/base/json.h"

#include <string.h>

bool journal_size(Journal *journal, int64_t *ret_bytes, GError **error)
{
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count(),"
                                                        " pragma_freelist_count(), pragma_page_size()");
    bool fine = row != NULL && sqlite3_step(row) == SQLITE_ROW;

    if (fine)
        *ret_bytes = sqlite3_column_int64(row, 0);
    else if (row != NULL)
        journal_fail(journal, JOURNAL_ERROR_READ, "cannot be read", error);
    sqlite3_finalize(row);
    return fine;
}

int64_t journal_anchor(const Journal *journal, guint8 ret_hash[JOURNAL_HASH_BYTES])
{
    if (ret_hash != NULL)
        memcpy(ret_hash, journal->anchor_hash, JOURNAL_HASH_BYTES);
    return journal->anchor;
}

static bool put_anchor(Journal *journal, int64_t number, const guint8 *hash, GError **error)
{
    sqlite3_stmt *s = journal_prepare(journal, error, "INSERT OR REPLACE INTO anchor VALUES (1, ?, ?)");

    if (s == NULL)
        return false;
    sqlite3_bind_int64(s, 1, number);
    sqlite3_bind_blob(s, 2, hash, JOURNAL_HASH_BYTES, SQLITE_STATIC);
    bool fine = journal_run(journal, s, error);
    sqlite3_finalize(s);
    return fine;
}

bool journal_set_anchor(Journal *journal, int64_t number, const guint8 hash[JOURNAL_HASH_BYTES], GError **error)
{
    if (journal->newest != 0 || number < 0) {
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_WRITE, "journal %s: an anchor goes into an empty journal only", journal->path);
        return false;
    }
    if (!journal_begin(journal, error))
        return false;
    journal->pending++;
    if (!put_anchor(journal, number, hash, error))
        return false;
    journal->anchor = journal->newest = number;
    memcpy(journal->anchor_hash, hash, JOURNAL_HASH_BYTES);
    memcpy(journal->hash, hash, JOURNAL_HASH_BYTES);
    return true;
}

static bool hash_of(Journal *journal, int64_t number, guint8 *ret_hash, GError **error)
{
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT hash FROM record WHERE number = %" G_GINT64_FORMAT, number);
    bool found = row != NULL && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 0) == JOURNAL_HASH_BYTES;

    if (found)
        memcpy(ret_hash, sqlite3_column_blob(row, 0), JOURNAL_HASH_BYTES);
    else if (row != NULL)
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN, "journal %s: record %" G_GINT64_FORMAT " is missing", journal->path, number);
    sqlite3_finalize(row);
    return found;
}

static bool put_own(Journal *journal, int64_t number, const guint8 *hash, const char *why, int64_t wall_us, GError **error)
{
    g_autofree char *hex = journal_hex(hash);
    g_autofree char *text = g_strdup_printf("records up to %" G_GINT64_FORMAT " were removed: %s", number, why);
    g_autoptr(json_t) json = json_pack("{s:s, s:I, s:s, s:s}", "record", "retention", "cut", (json_int_t) number, "hash", hex, "text", text);
    g_autofree char *body = json_text(json);
    int64_t newest_us = wall_us;
    sqlite3_stmt *row = journal_prepare(journal, error, "SELECT now_us FROM record WHERE number = %" G_GINT64_FORMAT, journal->newest);

    if (row == NULL)
        return false;
    if (sqlite3_step(row) == SQLITE_ROW) /* times never fall from record to record */
        newest_us = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return journal_put(journal, &(JournalRecord){ .kind = JOURNAL_OWN, .now_us = newest_us, .wall_us = wall_us, .body = body }, error);
}

static bool remove_piece(Journal *journal, int64_t upto, const char *why, int64_t wall_us, GError **error)
{
    guint8 hash[JOURNAL_HASH_BYTES];
    g_autofree char *sql = g_strdup_printf("DELETE FROM record WHERE number <= %" G_GINT64_FORMAT
                                           "; DELETE FROM snapshot WHERE number < %" G_GINT64_FORMAT, upto, upto);

    if (!hash_of(journal, upto, hash, error) || !journal_begin(journal, error))
        return false;
    journal->pending++;
    if (!journal_exec(journal, sql, error) || !put_anchor(journal, upto, hash, error) ||
        !put_own(journal, upto, hash, why, wall_us, error))
        return false;
    crash_at(CRASH_CUT);
    if (!journal_commit(journal, error))
        return false;
    journal->anchor = upto;
    memcpy(journal->anchor_hash, hash, JOURNAL_HASH_BYTES);
    return true;
}

/* Paths nobody names any more; only when all is done, for it looks at every path. */
static bool remove_paths(Journal *journal, GError **error)
{
    return journal_exec(journal, "DELETE FROM entity WHERE NOT EXISTS (SELECT 1 FROM record WHERE record.entity = entity.id)", error) &&
           journal_load_entities(journal, error);
}

bool journal_cut(Journal *journal, int64_t number, unsigned limit, const char *why, int64_t wall_us, bool *ret_more, GError **error)
{
    int64_t at = 0, upto = MIN(number, journal->anchor + limit);
    g_autofree char *unused = NULL;
    g_autoptr(GError) local = NULL;

    if (!journal_get_snapshot(journal, number, &at, &unused, &local) || at != number || number > journal->newest) {
        if (local == NULL)
            g_set_error(&local, JOURNAL_ERROR, JOURNAL_ERROR_WRITE, "journal %s: there is no snapshot at record %" G_GINT64_FORMAT " to cut at",
                        journal->path, number);
        g_propagate_error(error, g_steal_pointer(&local));
        return false;
    }
    if (!journal_commit(journal, error))
        return false;
    if (upto > journal->anchor && !remove_piece(journal, upto, why, wall_us, error))
        return false;
    *ret_more = upto < number;
    return *ret_more || remove_paths(journal, error);
}
