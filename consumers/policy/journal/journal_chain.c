/* The chain of hashes, and walking it. What is hashed is what is stored: every column of a record is in its hash, or (the number a path is
 * stored under) leads to something that is. */
#include "consumers/policy/journal/journal_private.h"

#include "lib/base/json.h"

#include <string.h>

#define PROGRESS_EVERY 4096

static void digest(Journal *journal, guint8 *ret_hash)
{
    gsize size = JOURNAL_HASH_BYTES;

    g_checksum_get_digest(journal->sum, ret_hash, &size);
    g_checksum_reset(journal->sum);
}

static void put_64(GByteArray *to, int64_t number)
{
    guint64 bytes = GUINT64_TO_LE((guint64) number);

    g_byte_array_append(to, (const guint8 *) &bytes, sizeof bytes);
}

static void put_length(GByteArray *to, const char *text, size_t length)
{
    guint32 bytes = GUINT32_TO_LE(text == NULL ? UINT32_MAX : (guint32) length);

    g_byte_array_append(to, (const guint8 *) &bytes, sizeof bytes);
}

static void chain_old(Journal *journal, const guint8 *hash, const JournalRecord *r)
{
    char head[96];

    g_snprintf(head, sizeof head, "%" G_GINT64_FORMAT " %d %" G_GINT64_FORMAT " %" G_GINT64_FORMAT "\n", r->number, r->kind == JOURNAL_INPUT,
               r->now_us, r->wall_us);
    g_checksum_update(journal->sum, hash, JOURNAL_HASH_BYTES);
    g_checksum_update(journal->sum, (const guchar *) head, -1);
}

static void chain_new(Journal *journal, const guint8 *hash, const JournalRecord *r)
{
    GByteArray *head = journal->head;
    const guint8 kind = (guint8) r->kind;
    size_t entity = r->entity == NULL ? 0 : strlen(r->entity), incident = r->incident == NULL ? 0 : strlen(r->incident);

    g_byte_array_set_size(head, 0);
    g_byte_array_append(head, hash, JOURNAL_HASH_BYTES);
    put_64(head, r->number);
    put_64(head, r->now_us);
    put_64(head, r->wall_us);
    g_byte_array_append(head, &kind, 1);
    put_length(head, r->entity, entity);
    put_length(head, r->incident, incident);
    put_length(head, r->body, r->body_bytes);
    g_byte_array_append(head, (const guint8 *) r->entity, (guint) entity);
    g_byte_array_append(head, (const guint8 *) r->incident, (guint) incident);
    g_checksum_update(journal->sum, head->data, head->len);
}

void journal_chain(Journal *journal, guint8 hash[JOURNAL_HASH_BYTES], const JournalRecord *record)
{
    (record->old ? chain_old : chain_new)(journal, hash, record);
    g_checksum_update(journal->sum, (const guchar *) record->body, (gssize) record->body_bytes);
    digest(journal, hash);
}

void journal_snapshot_chain(Journal *journal, const guint8 at[JOURNAL_HASH_BYTES], const char *body, size_t size,
                           guint8 ret_hash[JOURNAL_HASH_BYTES])
{
    g_checksum_update(journal->sum, at, JOURNAL_HASH_BYTES);
    g_checksum_update(journal->sum, (const guchar *) body, (gssize) size);
    digest(journal, ret_hash);
}

char *journal_hex(const guint8 hash[JOURNAL_HASH_BYTES])
{
    GString *text = g_string_new(NULL);

    for (int i = 0; i < JOURNAL_HASH_BYTES; i++)
        g_string_append_printf(text, "%02x", hash[i]);
    return g_string_free(text, FALSE);
}

static bool broken(const Journal *journal, GError **error, const char *what, int64_t number, const char *how)
{
    g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN, "journal %s: %s %" G_GINT64_FORMAT " %s", journal->path, what, number, how);
    return false;
}

/* What the newest of the journal's own records says of the last cut. */
typedef struct CutSaid {
    int64_t number;
    char *hash;
} CutSaid;

static void note_own(const JournalRecord *record, CutSaid *said)
{
    g_autoptr(json_t) json = json_parse(record->body, record->body_bytes, "record", NULL);

    if (json_string_or(json, "hash", NULL) == NULL)
        return;
    g_free(said->hash);
    said->hash = g_strdup(json_string_or(json, "hash", NULL));
    said->number = json_int_or(json, "cut", 0);
}

typedef struct Walk {
    Journal *journal;
    JournalProgress progress;
    void *user;
    JournalCheck check;
    guint8 hash[JOURNAL_HASH_BYTES];
    GHashTable *hashes; /* number -> hash: where snapshots stand */
    CutSaid cut;
} Walk;

static bool walk_record(Walk *w, sqlite3_stmt *row, int64_t expected, GError **error)
{
    JournalRecord r = journal_row(w->journal, row);

    if (r.number != expected)
        return broken(w->journal, error, "record", expected, "is missing");
    if (r.body == NULL || r.hash == NULL)
        return broken(w->journal, error, "record", expected, "was changed after it was written");
    journal_chain(w->journal, w->hash, &r);
    if (memcmp(w->hash, r.hash, JOURNAL_HASH_BYTES) != 0)
        return broken(w->journal, error, "record", expected, "was changed after it was written");
    if (r.kind == JOURNAL_OWN)
        note_own(&r, &w->cut);
    if (w->check.records++ == 0)
        w->check.first_us = r.wall_us;
    w->check.last_us = r.wall_us;
    guint8 *kept = g_hash_table_lookup(w->hashes, &r.number);
    if (kept != NULL)
        memcpy(kept, w->hash, JOURNAL_HASH_BYTES);
    if (w->progress != NULL && w->check.records % PROGRESS_EVERY == 0)
        w->progress(r.number - w->journal->anchor, w->journal->newest - w->journal->anchor, w->user);
    return true;
}

static bool walk_records(Walk *w, GError **error)
{
    Journal *journal = w->journal;
    int64_t expected = journal->anchor + 1;
    int code;
    sqlite3_stmt *rows = journal_prepare(journal, error, "SELECT %s FROM record ORDER BY number", journal_columns(journal));

    if (rows == NULL)
        return false;
    bool fine = true;
    for (; fine && (code = sqlite3_step(rows)) == SQLITE_ROW; expected++)
        fine = walk_record(w, rows, expected, error);
    if (fine && code != SQLITE_DONE) {
        g_autofree char *how = g_strdup_printf("cannot be read: %s", sqlite3_errmsg(journal->db));
        fine = broken(journal, error, "record", expected, how);
    }
    sqlite3_finalize(rows);
    w->check.first = journal->anchor + 1;
    w->check.last = expected - 1;
    if (fine && w->check.last != journal->newest)
        return broken(journal, error, "record", expected, "is missing");
    return fine;
}

static bool snapshots_begin(Walk *w, GError **error)
{
    sqlite3_stmt *rows = journal_prepare(w->journal, error, "SELECT number FROM snapshot");

    if (rows == NULL)
        return false;
    while (sqlite3_step(rows) == SQLITE_ROW) {
        int64_t *number = g_new(int64_t, 1);
        guint8 *hash = g_malloc0(JOURNAL_HASH_BYTES);

        *number = sqlite3_column_int64(rows, 0);
        if (*number == w->journal->anchor)
            memcpy(hash, w->journal->anchor_hash, JOURNAL_HASH_BYTES);
        g_hash_table_insert(w->hashes, number, hash);
    }
    sqlite3_finalize(rows);
    return true;
}

static bool walk_snapshots(Walk *w, GError **error)
{
    Journal *journal = w->journal;
    guint8 hash[JOURNAL_HASH_BYTES];
    bool fine = true;
    sqlite3_stmt *rows = journal_prepare(journal, error, "SELECT number, body, %s FROM snapshot ORDER BY number", journal->old_form ? "NULL" : "hash");

    if (rows == NULL)
        return false;
    while (fine && sqlite3_step(rows) == SQLITE_ROW) {
        int64_t number = sqlite3_column_int64(rows, 0);
        const guint8 *at = g_hash_table_lookup(w->hashes, &number);
        const char *body = (const char *) sqlite3_column_text(rows, 1);

        w->check.snapshots++;
        if (at == NULL || body == NULL || number > journal->newest)
            fine = broken(journal, error, "the snapshot at record", number, "was changed after it was written");
        else if (sqlite3_column_type(rows, 2) == SQLITE_NULL) /* taken over from form 1 */
            continue;
        else {
            journal_snapshot_chain(journal, at, body, (size_t) sqlite3_column_bytes(rows, 1), hash);
            if (sqlite3_column_bytes(rows, 2) != sizeof hash || memcmp(hash, sqlite3_column_blob(rows, 2), sizeof hash) != 0)
                fine = broken(journal, error, "the snapshot at record", number, "was changed after it was written");
        }
    }
    sqlite3_finalize(rows);
    return fine;
}

static bool check_anchor(Walk *w, GError **error)
{
    g_autofree char *hash = journal_hex(w->journal->anchor_hash);

    w->check.excerpt = w->journal->anchor > w->cut.number;
    if (w->check.excerpt || w->cut.hash == NULL || (w->cut.number == w->journal->anchor && strcmp(hash, w->cut.hash) == 0))
        return true;
    return broken(w->journal, error, "the anchor at record", w->journal->anchor, "is not the one the last cut left");
}

static bool check_structure(Journal *journal, GError **error)
{
    sqlite3_stmt *row = journal_prepare(journal, error, "PRAGMA integrity_check(1)");

    if (row == NULL)
        return false;
    const char *says = sqlite3_step(row) == SQLITE_ROW ? (const char *) sqlite3_column_text(row, 0) : NULL;
    bool fine = g_strcmp0(says, "ok") == 0;
    if (!fine)
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN, "journal %s: its records are whole, but the file around them is damaged: %s",
                    journal->path, says == NULL ? sqlite3_errmsg(journal->db) : says);
    sqlite3_finalize(row);
    return fine;
}

bool journal_verify(Journal *journal, JournalProgress progress, void *user, JournalCheck *ret_check, GError **error)
{
    g_autoptr(GHashTable) hashes = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    Walk w = { .journal = journal, .progress = progress, .user = user, .hashes = hashes };

    w.check.anchor = journal->anchor;
    memcpy(w.hash, journal->anchor_hash, JOURNAL_HASH_BYTES);
    bool fine = snapshots_begin(&w, error) && walk_records(&w, error) && walk_snapshots(&w, error) && check_anchor(&w, error) &&
                check_structure(journal, error);
    g_free(w.cut.hash);
    if (fine && ret_check != NULL)
        *ret_check = w.check;
    return fine;
}
