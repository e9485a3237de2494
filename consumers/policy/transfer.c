#include "consumers/policy/transfer.h"

#include "consumers/policy/machine.h"
#include "consumers/policy/replay.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

G_DEFINE_QUARK(mend-transfer-error-quark, transfer_error)

#define FORM 2
#define PROGRESS_EVERY 1024

static const char *const kinds[] = { [JOURNAL_SAID] = "said", [JOURNAL_INPUT] = "input", [JOURNAL_OWN] = "own" };

static char *hex_of(const guint8 *hash)
{
    GString *text = g_string_new(NULL);

    for (int i = 0; i < JOURNAL_HASH_BYTES; i++)
        g_string_append_printf(text, "%02x", hash[i]);
    return g_string_free(text, FALSE);
}

static bool hex_parse(const char *text, guint8 *ret_hash)
{
    if (text == NULL || strlen(text) != 2 * JOURNAL_HASH_BYTES)
        return false;
    for (int i = 0; i < JOURNAL_HASH_BYTES; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]), low = g_ascii_xdigit_value(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        ret_hash[i] = (guint8) (high << 4 | low);
    }
    return true;
}

/* --- out --- */

typedef struct Export {
    FILE *to;
    JournalProgress progress;
    void *user;
    int64_t until_us, first, last, done;
    Journal *journal;
    int64_t snapshot; /* the next to write; 0: none any more */
    guint8 hash[JOURNAL_HASH_BYTES];
    GError *error;
} Export;

static bool put_line(Export *x, const json_t *line)
{
    if (json_dumpf(line, x->to, JSON_COMPACT) == 0 && putc('\n', x->to) != EOF)
        return true;
    g_set_error(&x->error, TRANSFER_ERROR, TRANSFER_ERROR_IO, "cannot be written: %s", g_strerror(errno));
    return false;
}

/* The bytes that the body's JSON leads back to. */
static GByteArray *bytes_from(JournalKind kind, bool old, const json_t *body, GError **error)
{
    GByteArray *bytes = g_byte_array_new();
    EngineInput input = { 0 };

    if (kind != JOURNAL_INPUT || old) {
        g_autofree char *text = json_text(body);

        g_byte_array_append(bytes, (const guint8 *) text, (guint) strlen(text));
    } else if (input_from_json(body, &input, error)) {
        input_pack(&input, bytes);
        input_clear(&input);
    } else {
        g_byte_array_unref(bytes);
        return NULL;
    }
    return bytes;
}

static bool put_record(Export *x, const JournalRecord *r)
{
    json_t *body = machine_record_json(r, NULL);
    g_autoptr(GByteArray) again = body == NULL ? NULL : bytes_from(r->kind, r->old, body, NULL);
    g_autofree char *hash = hex_of(r->hash), *time = time_format(r->wall_us);
    bool same = again != NULL && again->len == r->body_bytes && memcmp(again->data, r->body, again->len) == 0;
    g_autofree char *bytes = same ? NULL : g_base64_encode((const guchar *) r->body, r->body_bytes);
    g_autoptr(json_t) line = json_pack("{s:I, s:s, s:I, s:I, s:s, s:s*, s:s*, s:s, s:o*, s:s*, s:o*}", "number", (json_int_t) r->number, "kind",
                                       kinds[r->kind], "now_us", (json_int_t) r->now_us, "wall_us", (json_int_t) r->wall_us, "time", time,
                                       "entity", r->entity, "incident", r->incident, "hash", hash, "old", r->old ? json_true() : NULL, "bytes",
                                       bytes, "body", body);
    return put_line(x, line);
}

static bool put_snapshot(Export *x, int64_t number, const guint8 *at, const char *text)
{
    guint8 hash[JOURNAL_HASH_BYTES];
    json_t *body = json_parse(text, strlen(text), "snapshot", NULL);

    journal_snapshot_chain(x->journal, at, text, strlen(text), hash);
    g_autofree char *hex = hex_of(hash);
    g_autoptr(json_t) line = json_pack("{s:I, s:s, s:o*}", "snapshot", (json_int_t) number, "hash", hex, "body", body);
    return put_line(x, line);
}

/* Those the journal has, each behind its record. */
static bool put_due_snapshot(Export *x, int64_t number)
{
    g_autofree char *text = NULL;
    int64_t at;

    if (x->snapshot != number)
        return true;
    if (journal_get_snapshot(x->journal, number, &at, &text, &x->error) && at == number && !put_snapshot(x, number, x->hash, text))
        return false;
    return x->error == NULL && journal_snapshot_at(x->journal, number + 1, true, &x->snapshot, &x->error);
}

static bool export_record(const JournalRecord *record, void *user)
{
    Export *x = user;

    if (x->until_us != 0 && record->now_us >= x->until_us)
        return false;
    if (record->hash == NULL) {
        g_set_error(&x->error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN, "record %" G_GINT64_FORMAT " has no hash", record->number);
        return false;
    }
    if (!put_record(x, record))
        return false;
    memcpy(x->hash, record->hash, JOURNAL_HASH_BYTES);
    x->last = record->number;
    if (++x->done % PROGRESS_EVERY == 0 && x->progress != NULL)
        x->progress(x->done, journal_newest(x->journal) - x->first + 1, x->user);
    return put_due_snapshot(x, record->number);
}

typedef struct Until {
    Replay *replay;
    int64_t after, number;
    guint8 hash[JOURNAL_HASH_BYTES];
    GError *error;
} Until;

static bool replay_until(const JournalRecord *record, void *user)
{
    Until *until = user;

    if (record->number > until->number || (record->number > until->after && !replay_take(until->replay, record, &until->error)))
        return false;
    if (record->hash != NULL)
        memcpy(until->hash, record->hash, JOURNAL_HASH_BYTES);
    return true;
}

/* The engine's state behind record @number, as a snapshot, and the hash there. (transfer full) */
static char *state_at(Journal *journal, int64_t number, guint8 *ret_hash, GError **error)
{
    g_autofree char *body = NULL;
    g_autoptr(GError) local = NULL;
    g_autoptr(Policy) policy = policy_default();
    int64_t after = 0, now_us = 0;
    bool found = journal_get_snapshot(journal, number, &after, &body, &local);
    Engine *engine = found ? replay_restore(body, &now_us, &local) : local == NULL ? engine_new(policy) : NULL;
    g_autoptr(Replay) replay = engine == NULL ? NULL : replay_new(engine);
    Until until = { .replay = replay, .after = after, .number = number };

    if (replay == NULL || !journal_read(journal, MIN(after, number - 1), replay_until, &until, &local) || until.error != NULL) {
        g_propagate_error(error, until.error != NULL ? until.error : g_steal_pointer(&local));
        return NULL;
    }
    memcpy(ret_hash, until.hash, JOURNAL_HASH_BYTES);
    return replay_snapshot(replay_engine(replay), MAX(now_us, replay_now_us(replay)));
}

static bool put_head(Export *x, int64_t since_us)
{
    int64_t anchor = journal_anchor(x->journal, x->hash), number = anchor + 1;
    g_autofree char *state = NULL;

    if (since_us != 0 && !journal_at(x->journal, since_us, &number, &x->error))
        return false;
    bool excerpt = number > anchor + 1;
    if (excerpt && (state = state_at(x->journal, number - 1, x->hash, &x->error)) == NULL)
        return false;
    x->first = number;
    x->last = number - 1;
    g_autofree char *hex = hex_of(x->hash);
    g_autoptr(json_t) head = json_pack("{s:i, s:I, s:s}", "mend-journal", FORM, "anchor", (json_int_t) x->last, "hash", hex);
    if (!put_line(x, head) || (excerpt && !put_snapshot(x, x->last, x->hash, state)))
        return false;
    return journal_snapshot_at(x->journal, number - 1 + excerpt, true, &x->snapshot, &x->error) && put_due_snapshot(x, number - 1);
}

bool transfer_export(Journal *journal, FILE *to, int64_t since_us, int64_t until_us, JournalProgress progress, void *user, GError **error)
{
    Export x = { .to = to, .progress = progress, .user = user, .until_us = until_us, .journal = journal };
    bool fine = put_head(&x, since_us) && journal_read(journal, x.last, export_record, &x, &x.error) && x.error == NULL;

    if (fine) {
        g_autofree char *hex = hex_of(x.hash);
        g_autoptr(json_t) end = json_pack("{s:I, s:s}", "end", (json_int_t) x.last, "hash", hex);

        fine = put_line(&x, end) && fflush(to) == 0;
        if (!fine && x.error == NULL)
            g_set_error(&x.error, TRANSFER_ERROR, TRANSFER_ERROR_IO, "cannot be written: %s", g_strerror(errno));
    }
    if (!fine)
        g_propagate_error(error, x.error);
    return fine;
}

/* --- in --- */

struct TransferReader {
    FILE *from;
    char *name, *line;
    size_t size;
    int64_t number;            /* of the line */
    json_t *json;
    GByteArray *body;
    guint8 hash[JOURNAL_HASH_BYTES];
    bool begun, ended;
};

TransferReader *transfer_reader_new(FILE *from, const char *name)
{
    TransferReader *reader = g_new0(TransferReader, 1);

    reader->from = from;
    reader->name = g_strdup(name);
    return reader;
}

void transfer_reader_free(TransferReader *reader)
{
    if (reader == NULL)
        return;
    g_free(reader->name);
    free(reader->line); /* getline's */
    json_decref(reader->json);
    g_clear_pointer(&reader->body, g_byte_array_unref);
    g_free(reader);
}

static bool wrong(const TransferReader *r, GError **error, const char *what)
{
    g_set_error(error, TRANSFER_ERROR, TRANSFER_ERROR_FORM, "%s:%" G_GINT64_FORMAT ": %s", r->name, r->number, what);
    return false;
}

static bool read_bytes(TransferReader *r, JournalRecord *record, GError **error)
{
    const char *bytes = json_string_or(r->json, "bytes", NULL);
    const json_t *body = json_object_get(r->json, "body");
    g_autoptr(GError) local = NULL;
    gsize size = 0;

    if (bytes != NULL) {
        guchar *raw = g_base64_decode(bytes, &size);

        r->body = g_byte_array_new_take(raw, size);
    } else if (!json_is_object(body)) {
        return wrong(r, error, "\"body\" is missing");
    } else {
        r->body = bytes_from(record->kind, record->old, body, &local);
    }
    if (r->body == NULL)
        return wrong(r, error, local->message);
    record->body_bytes = r->body->len;
    g_byte_array_append(r->body, (const guint8 *) "", 1); /* texts end with a 0 */
    record->body = (const char *) r->body->data;
    return record->body_bytes > 0 || wrong(r, error, "its body is empty");
}

static bool read_record(TransferReader *r, JournalRecord *record, GError **error)
{
    const char *kind = json_string_or(r->json, "kind", "");
    size_t k = 0;

    while (k < G_N_ELEMENTS(kinds) && strcmp(kinds[k], kind) != 0)
        k++;
    if (k == G_N_ELEMENTS(kinds))
        return wrong(r, error, "\"kind\" is input, said or own");
    record->kind = (JournalKind) k;
    if (record->hash == NULL || !json_get_int(r->json, "now_us", &record->now_us, NULL) || !json_get_int(r->json, "wall_us", &record->wall_us, NULL))
        return wrong(r, error, "a record has now_us, wall_us and hash");
    record->entity = json_string_or(r->json, "entity", NULL);
    record->incident = json_string_or(r->json, "incident", NULL);
    record->old = json_bool_or(r->json, "old", false);
    return read_bytes(r, record, error);
}

static bool read_line(TransferReader *r, TransferLine *line, GError **error)
{
    static const struct {
        const char *key, *number;
        LineKind kind;
    } rows[] = { { "mend-journal", "anchor", LINE_HEAD }, { "number", "number", LINE_RECORD }, { "snapshot", "snapshot", LINE_SNAPSHOT },
                 { "end", "end", LINE_END } };
    size_t i = 0;

    while (i < G_N_ELEMENTS(rows) && json_object_get(r->json, rows[i].key) == NULL)
        i++;
    if (i == G_N_ELEMENTS(rows) || (rows[i].kind == LINE_HEAD) == r->begun)
        return wrong(r, error, r->begun ? "it is no line of a journal's export" : "it does not begin as a journal's export does");
    if (rows[i].kind == LINE_HEAD && json_int_or(r->json, rows[i].key, 0) != FORM)
        return wrong(r, error, "it was written by another version: its form is not 2");
    r->begun = true;
    *line = (TransferLine){ .kind = rows[i].kind };
    line->record.number = json_int_or(r->json, rows[i].number, -1);
    line->record.wall_us = json_int_or(r->json, "wall_us", 0);
    if (line->record.number < 0)
        return wrong(r, error, "its number is missing");
    if (hex_parse(json_string_or(r->json, "hash", NULL), r->hash))
        line->record.hash = r->hash;
    else if (line->kind != LINE_SNAPSHOT)
        return wrong(r, error, "\"hash\" is 64 hexadecimal digits");
    r->ended = line->kind == LINE_END;
    return line->kind == LINE_RECORD ? read_record(r, &line->record, error) : line->kind != LINE_SNAPSHOT || read_bytes(r, &line->record, error);
}

bool transfer_next(TransferReader *r, TransferLine *ret_line, bool *ret_end, GError **error)
{
    g_autoptr(GError) local = NULL;

    g_clear_pointer(&r->json, json_decref);
    g_clear_pointer(&r->body, g_byte_array_unref);
    ssize_t length = getline(&r->line, &r->size, r->from);
    r->number++;
    *ret_end = length < 0;
    if (length < 0 && !r->ended)
        return wrong(r, error, r->begun ? "it ends too early: the last line says \"end\"" : "it is empty");
    if (length < 0)
        return true;
    if (r->ended)
        return wrong(r, error, "there is more behind its end");
    r->json = json_parse(r->line, (size_t) length, "line", &local);
    if (!json_is_object(r->json))
        return wrong(r, error, "it is not a line of JSON");
    return read_line(r, ret_line, error);
}

static bool import_line(Journal *journal, const TransferReader *r, const TransferLine *line, GError **error)
{
    const JournalRecord *record = &line->record;
    int64_t newest = journal_newest(journal);
    guint8 hash[JOURNAL_HASH_BYTES];

    switch (line->kind) {
    case LINE_HEAD:
        return record->number == 0 || journal_set_anchor(journal, record->number, record->hash, error);
    case LINE_RECORD:
        if (record->number != newest + 1)
            return wrong(r, error, "records are missing before it");
        return journal_put(journal, record, error);
    case LINE_SNAPSHOT:
        if (record->number != newest)
            return wrong(r, error, "it is not behind its record");
        return journal_put_snapshot(journal, record->body, error);
    default:
        journal_hash(journal, hash);
        return (record->number == newest && memcmp(hash, record->hash, sizeof hash) == 0) || wrong(r, error, "records are missing before it");
    }
}

static bool import_lines(Journal *journal, TransferReader *reader, FILE *from, JournalProgress progress, void *user, GError **error)
{
    TransferLine line;
    bool end = false;
    struct stat file;
    int64_t total = fstat(fileno(from), &file) == 0 && S_ISREG(file.st_mode) ? file.st_size : 0;

    while (!end) {
        if (!transfer_next(reader, &line, &end, error) || (!end && !import_line(journal, reader, &line, error)))
            return false;
        if (progress != NULL && reader->number % PROGRESS_EVERY == 0)
            progress(total > 0 ? ftello(from) : reader->number, total, user);
    }
    return journal_bulk_end(journal, error);
}

bool transfer_import(FILE *from, const char *name, const char *path, JournalProgress progress, void *user, int64_t *ret_records, GError **error)
{
    g_autoptr(TransferReader) reader = transfer_reader_new(from, name);
    Journal *journal = journal_open_as(path, JOURNAL_BULK, error);

    if (journal == NULL)
        return false;
    bool fine = import_lines(journal, reader, from, progress, user, error);
    *ret_records = journal_newest(journal) - journal_anchor(journal, NULL);
    journal_free(journal);
    if (!fine) {
        g_autofree char *lock = g_strconcat(path, ".lock", NULL);

        g_unlink(path);
        g_unlink(lock);
    }
    return fine;
}
