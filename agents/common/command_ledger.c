/* An append-only file of JSON lines:
 *
 *   {"begin": ID, "epoch": N}          before the command runs; fdatasync'ed
 *   {"end": ID, "state": …, …}         after; not synced: lost, the command counts as interrupted, never as not run
 *   {"epoch": N}                       first line of a compacted file; with "shard": K, as "begin" may have it, of that shard's engine
 *
 * One file and not SQLite: it is a few kilobytes in every guest. Space is reserved ahead, so that a full disk (of which a dead service
 * may be the consequence) does not refuse the command that would help. When the file has four times the lines it needs, it is
 * written anew beside and renamed over. */
#include "agents/common/command_ledger.h"

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DATA_MODE      0711 /* as identity.c makes it */
#define RESERVED_BYTES (256 * 1024)
#define FILE_MAX_BYTES (8 * 1024 * 1024)
#define VALUES_MAX_BYTES 16384 /* longer outputs of a command are not kept for its repeats */

typedef struct Entry {
    char *id;
    json_t *end;        /* the "end" line; NULL: begun only */
    bool running;       /* in this process */
} Entry;

struct CommandLedger {
    char *path;
    int fd;
    uint64_t epoch[SHARDS_MAX + 1]; /* by shard; 0: the site's */
    GHashTable *by_id;  /* of Entry */
    GQueue order;       /* of Entry, oldest first */
    unsigned results, lines;
    bool torn;          /* the last append left half a line behind */
    char *refusal;      /* text of the last refusal */
    LedgerAnswer answer;
};

static void entry_free(void *data)
{
    Entry *entry = data;

    g_free(entry->id);
    json_decref(entry->end);
    g_free(entry);
}

static bool has_result(const Entry *entry)
{
    return entry->end != NULL && json_object_get(entry->end, "state") != NULL;
}

/* The oldest give way: first their results, then their ids. A deadline has passed long before. */
static void forget_oldest(CommandLedger *ledger)
{
    for (GList *i = ledger->order.head; i != NULL && ledger->results > LEDGER_RESULTS_MAX; i = i->next) {
        Entry *entry = i->data;

        if (!has_result(entry))
            continue;
        json_decref(entry->end);
        entry->end = json_object();
        ledger->results--;
    }
    while (ledger->order.length > LEDGER_IDS_MAX) {
        Entry *oldest = g_queue_peek_head(&ledger->order);

        if (oldest->running)
            return;
        ledger->results -= has_result(oldest);
        g_queue_pop_head(&ledger->order);
        g_hash_table_remove(ledger->by_id, oldest->id);
    }
}

static Entry *entry_add(CommandLedger *ledger, const char *id)
{
    Entry *entry = g_new0(Entry, 1);

    entry->id = g_strdup(id);
    g_hash_table_insert(ledger->by_id, entry->id, entry);
    g_queue_push_tail(&ledger->order, entry);
    forget_oldest(ledger);
    return entry;
}

static void entry_end(CommandLedger *ledger, Entry *entry, json_t *end)
{
    ledger->results -= has_result(entry);
    json_decref(entry->end);
    entry->end = end;
    entry->running = false;
    ledger->results += has_result(entry);
    forget_oldest(ledger);
}

static void take_line(CommandLedger *ledger, json_t *line)
{
    const char *begun = json_string_or(line, "begin", NULL), *ended = json_string_or(line, "end", NULL);
    const char *id = begun != NULL ? begun : ended;
    int64_t shard = json_int_or(line, "shard", SHARD_SITE);
    Entry *entry;

    if (shard >= 0 && shard <= SHARDS_MAX)
        ledger->epoch[shard] = MAX(ledger->epoch[shard], (uint64_t) json_int_or(line, "epoch", 0));
    ledger->lines++;
    if (id == NULL)
        return;
    entry = g_hash_table_lookup(ledger->by_id, id);
    if (entry == NULL)
        entry = entry_add(ledger, id);
    if (ended != NULL)
        entry_end(ledger, entry, json_incref(line));
}

static bool load(CommandLedger *ledger, GError **error)
{
    g_autofree char *text = NULL;
    gsize length;
    const char *at, *end;

    if (!g_file_test(ledger->path, G_FILE_TEST_EXISTS))
        return true;
    if (!g_file_get_contents(ledger->path, &text, &length, error))
        return false;
    if (length > FILE_MAX_BYTES) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s is larger than it can be; move it away", ledger->path);
        return false;
    }
    for (at = text; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        if (end == at)
            continue;
        g_autoptr(json_t) line = json_parse(at, (size_t) (end - at), ledger->path, NULL);

        if (json_is_object(line))
            take_line(ledger, line);
        else
            log_warning("%s: a line that is not readable is left out", ledger->path);
    }
    return true;
}

static void write_line(GString *text, json_t *line /* (transfer full) */)
{
    g_autofree char *json = json_text(line);

    g_string_append(text, json);
    g_string_append_c(text, '\n');
    json_decref(line);
}

static bool compact(CommandLedger *ledger, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    int fd;

    ledger->lines = 1;
    write_line(text, json_pack("{s:I}", "epoch", (json_int_t) ledger->epoch[SHARD_SITE]));
    for (unsigned shard = 1; shard <= SHARDS_MAX; shard++)
        if (ledger->epoch[shard] != 0) {
            write_line(text, json_pack("{s:I, s:i}", "epoch", (json_int_t) ledger->epoch[shard], "shard", (int) shard));
            ledger->lines++;
        }
    for (GList *i = ledger->order.head; i != NULL; i = i->next) {
        const Entry *entry = i->data;

        if (entry->end == NULL)
            write_line(text, json_pack("{s:s}", "begin", entry->id));
        else if (has_result(entry))
            write_line(text, json_incref(entry->end));
        else
            write_line(text, json_pack("{s:s}", "end", entry->id));
        ledger->lines++;
    }
    if (!file_write(ledger->path, text->str, text->len, 0600, error))
        return false;
    fd = open(ledger->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno), "%s: %s", ledger->path, g_strerror(errno));
        return false;
    }
    if (ledger->fd >= 0)
        close(ledger->fd);
    ledger->fd = fd;
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, RESERVED_BYTES) != 0)
        log_debug("%s: no space reserved: %s", ledger->path, g_strerror(errno));
    return true;
}

static bool append(CommandLedger *ledger, json_t *line /* (transfer full) */, bool sync, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) local = NULL;
    ssize_t n;
    int code = 0;

    if (ledger->torn)
        g_string_append_c(text, '\n');
    write_line(text, line);
    n = write(ledger->fd, text->str, text->len);
    if (n < 0)
        code = errno;
    else if (n != (ssize_t) text->len)
        code = ENOSPC;
    else if (sync && fdatasync(ledger->fd) != 0)
        code = errno;
    ledger->torn = n > 0 ? n != (ssize_t) text->len : ledger->torn;
    if (code != 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(code), "%s: %s", ledger->path, g_strerror(code));
        return false;
    }
    ledger->lines++;
    if (ledger->lines > 4 * LEDGER_IDS_MAX && ledger->lines > 4 * ledger->order.length && !compact(ledger, &local))
        log_warning("commands: not compacted: %s", local->message);
    return true;
}

static json_t *interrupted(const char *id)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:b}", "end", id, "state", result_state_name(RESULT_FAILED), "error",
                     COMMAND_ERROR_INTERRUPTED, "text", "the agent stopped while the command ran", "exception", 1);
}

CommandLedger *command_ledger_open(const char *folder, GError **error)
{
    g_autoptr(CommandLedger) ledger = g_new0(CommandLedger, 1);

    ledger->fd = -1;
    ledger->path = g_build_filename(folder, "commands", NULL);
    ledger->by_id = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, entry_free);
    g_queue_init(&ledger->order);
    if (!folder_make(folder, DATA_MODE, error) || !load(ledger, error))
        return NULL;
    for (GList *i = ledger->order.head; i != NULL; i = i->next) {
        Entry *entry = i->data;

        if (entry->end == NULL)
            entry_end(ledger, entry, interrupted(entry->id));
    }
    return compact(ledger, error) ? g_steal_pointer(&ledger) : NULL;
}

void command_ledger_close(CommandLedger *ledger)
{
    if (ledger == NULL)
        return;
    if (ledger->fd >= 0)
        close(ledger->fd);
    g_queue_clear(&ledger->order);
    g_hash_table_unref(ledger->by_id);
    g_free(ledger->refusal);
    g_free(ledger->path);
    g_free(ledger);
}

static LedgerVerdict refuse(CommandLedger *ledger, const char *error, char *text /* (transfer full) */, const LedgerAnswer **ret_answer)
{
    g_free(ledger->refusal);
    ledger->refusal = text;
    ledger->answer = (LedgerAnswer){.state = RESULT_REFUSED, .error = error, .text = text, .exception = true};
    *ret_answer = &ledger->answer;
    return LEDGER_ANSWERED;
}

static LedgerVerdict answer_again(CommandLedger *ledger, const Entry *entry, const LedgerAnswer **ret_answer)
{
    const json_t *end = entry->end;
    LedgerAnswer *answer = &ledger->answer;

    if (!has_result(entry))
        return refuse(ledger, COMMAND_ERROR_DUPLICATE, g_strdup("this command ran before; its result is no longer known"), ret_answer);
    *answer = (LedgerAnswer){.error = json_string_or(end, "error", NULL), .text = json_string_or(end, "text", NULL),
                             .exception = json_bool_or(end, "exception", false), .values = json_object_get(end, "values"),
                             .started_us = json_int_or(end, "started_us", 0), .ended_us = json_int_or(end, "ended_us", 0)};
    if (!result_state_parse(json_string_or(end, "state", ""), &answer->state))
        answer->state = RESULT_FAILED;
    *ret_answer = answer;
    return LEDGER_ANSWERED;
}

LedgerVerdict command_ledger_begin(CommandLedger *ledger, const char *id, unsigned shard, uint64_t epoch, int64_t deadline_ms, int64_t wall_us,
                                   const LedgerAnswer **ret_answer)
{
    const Entry *known = g_hash_table_lookup(ledger->by_id, id);
    g_autoptr(GError) error = NULL;
    Entry *entry;

    if (known != NULL)
        return known->running ? LEDGER_RUNNING : answer_again(ledger, known, ret_answer);
    if (epoch != 0 && epoch < ledger->epoch[shard])
        return refuse(ledger, COMMAND_ERROR_STALE_EPOCH,
                      g_strdup_printf("epoch %" G_GUINT64_FORMAT " is over: %" G_GUINT64_FORMAT " was seen", epoch, ledger->epoch[shard]),
                      ret_answer);
    if (deadline_ms != 0 && wall_us / US_PER_MS > deadline_ms)
        return refuse(ledger, COMMAND_ERROR_DEADLINE,
                      g_strdup_printf("its deadline passed %" G_GINT64_FORMAT " ms ago", wall_us / US_PER_MS - deadline_ms), ret_answer);
    json_t *line = json_pack("{s:s, s:I}", "begin", id, "epoch", (json_int_t) epoch);
    if (shard != SHARD_SITE)
        json_object_set_new(line, "shard", json_integer(shard));
    if (!append(ledger, line, true, &error))
        return refuse(ledger, COMMAND_ERROR_FAILED, g_strdup_printf("cannot be recorded, so it is not run: %s", error->message),
                      ret_answer);
    ledger->epoch[shard] = MAX(ledger->epoch[shard], epoch);
    entry = entry_add(ledger, id);
    entry->running = true;
    return LEDGER_RUN;
}

void command_ledger_end(CommandLedger *ledger, const char *id, const LedgerAnswer *answer)
{
    Entry *entry = g_hash_table_lookup(ledger->by_id, id);
    json_t *end = json_object();
    g_autofree char *values = answer->values != NULL ? json_text(answer->values) : NULL;
    g_autoptr(GError) error = NULL;

    g_assert(entry != NULL && entry->running);
    json_object_set_new(end, "end", json_string(id));
    json_object_set_new(end, "state", json_string(result_state_name(answer->state)));
    if (answer->error != NULL)
        json_object_set_new(end, "error", json_string(answer->error));
    if (answer->text != NULL)
        json_object_set_new(end, "text", json_string(answer->text));
    if (answer->exception)
        json_object_set_new(end, "exception", json_true());
    if (values != NULL && strlen(values) <= VALUES_MAX_BYTES)
        json_object_set(end, "values", answer->values);
    json_object_set_new(end, "started_us", json_integer(answer->started_us));
    json_object_set_new(end, "ended_us", json_integer(answer->ended_us));
    entry_end(ledger, entry, json_incref(end));
    if (!append(ledger, end, false, &error))
        log_warning("the result of command %s is not kept: %s", id, error->message);
}

uint64_t command_ledger_epoch(const CommandLedger *ledger, unsigned shard)
{
    return ledger->epoch[shard];
}
