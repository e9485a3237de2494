/* A history is kept for a while; what is kept is proved, whatever happens to the disk, the process or the file. */
#include "tests/policy/past.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- forms --- */

static void copy_old(const char *to)
{
    g_autofree char *from = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "tests/policy/journals/form-1.journal", NULL), *bytes = NULL;
    gsize size;

    g_assert_true(g_file_get_contents(from, &bytes, &size, NULL));
    g_assert_true(g_file_set_contents(to, bytes, (gssize) size, NULL));
}

static void test_a_journal_of_form_1_is_read_and_goes_on(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = NULL, *again = g_build_filename(place->folder, "again.journal", NULL);

    copy_old(place->path);
    JournalCheck before = verified(place->path);
    g_assert_cmpint(before.records, ==, 85);
    ReplayReport report = replayed(place->path);
    g_assert_cmpint(report.inputs, ==, 40); /* other programs say it in other words: they may differ */
    replay_report_clear(&report);
    char *as_it_was = exported(place->path, 0, 0);
    g_assert_cmpint(verified(place->path).records, ==, 85); /* reading changed nothing */

    Machine *machine = machine_open(place->path, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(give(machine, 60, &command, &error) && give(machine, 63, &command, &error) && machine_commit(machine, &error));
    g_auto(GStrv) names = journal_entities(machine_journal(machine), "s3", 10, NULL);
    g_assert_cmpstr(names[0], ==, "service/web/s3");
    machine_free(machine);
    g_assert_cmpint(verified(place->path).records, >, 86);
    char *now = exported(place->path, 0, 0);
    char *end = strstr(as_it_was, "\n{\"end\"");
    const char *snapshot = strstr(as_it_was, "\n{\"snapshot\"");
    g_assert_true(strncmp(now, as_it_was, (size_t) (MIN((const char *) end, snapshot) - as_it_was)) == 0); /* the old records and hashes are as they were */
    g_assert_true(imported(now, again, &error));
    g_assert_no_error(error);
    char *and_again = exported(again, 0, 0);
    g_assert_cmpstr(and_again, ==, now);
    free(as_it_was);
    free(now);
    free(and_again);
}

static void test_what_is_no_journal_says_so(Place *place, gconstpointer unused)
{
    g_autofree char *missing = g_build_filename(place->folder, "no.journal", NULL), *text = NULL;
    const struct {
        const char *content; /* NULL: the folder itself; "": missing */
        const char *message;
    } rows[] = { { "a text that is no journal, long enough", "*is not a journal" }, { "", "*No such file*" }, { NULL, "*cannot be*" },
                 { "short", "*is not a journal" } };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const char *path = rows[i].content == NULL ? place->folder : *rows[i].content == '\0' ? missing : place->path;
        g_autoptr(GError) error = NULL, history_error = NULL;

        if (path == place->path)
            g_assert_true(g_file_set_contents(path, rows[i].content, -1, NULL));
        g_assert_null(journal_open_as(path, JOURNAL_READ, &error));
        g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN);
        g_assert_true(g_pattern_match_simple(rows[i].message, error->message));
        g_assert_nonnull(strstr(error->message, path));
        g_assert_null(history_open(path, &history_error));
        g_assert_nonnull(history_error);
    }
    sqlite3 *db;
    g_unlink(place->path);
    g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "CREATE TABLE other (a); INSERT INTO other VALUES (1)", NULL, NULL, NULL);
    sqlite3_close(db);
    for (int mode = JOURNAL_WRITE; mode <= JOURNAL_READ; mode++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(journal_open_as(place->path, (JournalMode) mode, &error)); /* somebody else's database is left alone */
        g_assert_true(g_str_has_suffix(error->message, "is not a journal"));
    }
    g_unlink(place->path);
    make(place->path, 3, 0);
    g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "UPDATE meta SET value = '3'", NULL, NULL, NULL);
    sqlite3_close(db);
    g_autoptr(GError) error = NULL;
    g_assert_null(journal_open(place->path, &error));
    g_assert_nonnull(strstr(error->message, "newer program"));
}

static void test_a_journal_in_use_can_be_read(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = NULL;
    Machine *machine = machine_with(place->path, 50, 0);
    g_autoptr(Journal) reader = journal_open_as(place->path, JOURNAL_READ, &error);

    g_assert_no_error(error);
    int64_t newest = journal_newest(reader);
    g_assert_cmpint(newest, ==, journal_newest(machine_journal(machine)));
    for (unsigned n = 50; n < 80; n++)
        g_assert_true(give(machine, n, &command, NULL));
    g_assert_true(machine_commit(machine, NULL));
    JournalCheck check;
    g_assert_true(journal_verify(reader, NULL, NULL, &check, &error)); /* what it saw when it was opened */
    g_assert_cmpint(check.last, ==, newest);
    g_assert_cmpint(replayed(place->path).inputs, ==, 80);
    g_assert_null(journal_open(place->path, &error)); /* but nobody else writes */
    g_assert_nonnull(strstr(error->message, "another process has it open"));
    machine_free(machine);
}

/* --- damage --- */

typedef struct Bytes {
    char *data;
    gsize size;
} Bytes;

/* Whatever is flipped, what can be read afterwards is what was written, or somebody is told. */
static void test_a_flipped_byte_anywhere_is_found_or_harmless(Place *place, gconstpointer unused)
{
    g_autofree char *copy = g_build_filename(place->folder, "copy.journal", NULL);
    Bytes whole;
    unsigned found = 0;

    make(place->path, 60, 25);
    char *before = exported(place->path, 0, 0);
    g_assert_true(g_file_get_contents(place->path, &whole.data, &whole.size, NULL));
    for (int i = 0; i < 500; i++) {
        gsize at = (gsize) g_test_rand_int_range(0, (gint32) whole.size);
        char bit = (char) (1 << g_test_rand_int_range(0, 8));
        g_autoptr(GError) error = NULL;

        whole.data[at] ^= bit;
        g_assert_true(g_file_set_contents_full(copy, whole.data, (gssize) whole.size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
        whole.data[at] ^= bit;
        g_autoptr(Journal) journal = journal_open_as(copy, JOURNAL_READ, &error);
        if (journal == NULL || !journal_verify(journal, NULL, NULL, NULL, &error)) {
            g_assert_error(error, JOURNAL_ERROR, error->code);
            found++;
            continue;
        }
        g_clear_pointer(&journal, journal_free);
        char *after = exported(copy, 0, 0);
        g_assert_cmpstr(after, ==, before);
        free(after);
    }
    g_test_message("%u of 500 flips were found, the others changed nothing", found);
    g_assert_cmpuint(found, >, 100);
    free(before);
    g_free(whole.data);
}

static void flip(sqlite3 *db, const char *table, const char *column, int number, int at)
{
    g_autofree char *read = g_strdup_printf("SELECT CAST(%s AS BLOB), typeof(%s) FROM %s WHERE number = %d", column, column, table, number);
    g_autofree char *write = g_strdup_printf("UPDATE %s SET %s = ? WHERE number = %d", table, column, number);
    sqlite3_stmt *row, *update;

    g_assert_cmpint(sqlite3_prepare_v2(db, read, -1, &row, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_step(row), ==, SQLITE_ROW);
    int size = sqlite3_column_bytes(row, 0);
    g_autofree char *bytes = g_memdup2(sqlite3_column_blob(row, 0), (gsize) size);
    bool text = strcmp((const char *) sqlite3_column_text(row, 1), "text") == 0;
    sqlite3_finalize(row);
    bytes[at % size] ^= 0x01; /* ASCII stays ASCII */
    g_assert_cmpint(sqlite3_prepare_v2(db, write, -1, &update, NULL), ==, SQLITE_OK);
    if (text)
        sqlite3_bind_text(update, 1, bytes, size, SQLITE_STATIC);
    else
        sqlite3_bind_blob(update, 1, bytes, size, SQLITE_STATIC);
    g_assert_cmpint(sqlite3_step(update), ==, SQLITE_DONE);
    sqlite3_finalize(update);
}

static void test_the_flipped_record_is_named(Place *place, gconstpointer unused)
{
    static const char *const columns[] = { "body", "hash", "body", "hash", "body", "incident" };
    Bytes whole;

    make(place->path, 60, 25);
    int records = (int) verified(place->path).records;
    g_assert_true(g_file_get_contents(place->path, &whole.data, &whole.size, NULL));
    for (int i = 0; i < 200; i++) {
        int number = g_test_rand_int_range(1, records + 1), at = g_test_rand_int_range(0, 4096);
        const char *column = columns[i % (int) G_N_ELEMENTS(columns)];
        g_autofree char *wanted = g_strdup_printf("*: record %d was changed after it was written", number);
        g_autofree char *incident = g_strdup_printf("UPDATE record SET incident = 'x' WHERE number = %d AND incident IS NULL", number);
        g_autoptr(GError) error = NULL;
        sqlite3 *db;

        g_assert_true(g_file_set_contents_full(place->path, whole.data, (gssize) whole.size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
        g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
        if (strcmp(column, "incident") == 0)
            sqlite3_exec(db, incident, NULL, NULL, NULL);
        if (strcmp(column, "incident") != 0 || sqlite3_changes(db) == 0)
            flip(db, "record", column, number, at);
        sqlite3_close(db);
        g_autoptr(Journal) journal = journal_open_as(place->path, JOURNAL_READ, &error);
        g_assert_no_error(error);
        g_assert_false(journal_verify(journal, NULL, NULL, NULL, &error));
        g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN);
        if (!g_pattern_match_simple(wanted, error->message))
            g_error("%s of %d: %s", column, number, error->message);
    }
    g_free(whole.data);
}

static void test_snapshots_and_paths_are_proved_too(Place *place, gconstpointer unused)
{
    static const struct {
        const char *sql, *message;
    } rows[] = { { "UPDATE snapshot SET body = replace(body, '\"epoch\":1', '\"epoch\":2')", "*the snapshot at record * was changed*" },
                 { "UPDATE entity SET path = 'service/web/x' WHERE path = 'service/web/s1'", "*record * was changed*" },
                 { "DELETE FROM record WHERE number = (SELECT max(number) FROM record)", "*" },
                 { "INSERT INTO anchor VALUES (1, 3, zeroblob(32))", "*record 4 *" } };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        sqlite3 *db;

        make(place->path, 30, 25);
        g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_exec(db, rows[i].sql, NULL, NULL, NULL), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_changes(db), >, 0);
        sqlite3_close(db);
        g_autoptr(Journal) journal = journal_open_as(place->path, JOURNAL_READ, &error);
        bool fine = journal_verify(journal, NULL, NULL, NULL, &error);
        if (i != 2) { /* a shorter history is a history: only an end kept elsewhere can tell */
            g_assert_false(fine);
            g_assert_true(g_pattern_match_simple(rows[i].message, error->message));
        }
        g_clear_pointer(&journal, journal_free);
        g_unlink(place->path);
    }
}

static void test_a_full_disk_stops_and_loses_nothing_committed(Place *place, gconstpointer unused)
{
    struct rlimit old, small;
    g_autoptr(GError) error = NULL;
    g_autofree char *command = NULL;
    Machine *machine = machine_with(place->path, 20, 0);
    int64_t committed = journal_newest(machine_journal(machine));

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 256 * 1024;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    for (unsigned n = 20; n < 20000; n++) {
        if (!give(machine, n, &command, &error) || !machine_commit(machine, &error))
            break;
        committed = journal_newest(machine_journal(machine));
    }
    g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_WRITE);
    g_assert_nonnull(strstr(error->message, "cannot be written"));
    g_clear_error(&error);
    g_assert_false(give(machine, 20001, &command, &error)); /* for good: the engine is ahead of the journal */
    g_assert_nonnull(strstr(error->message, "an earlier write failed"));
    setrlimit(RLIMIT_FSIZE, &old);
    machine_free(machine);
    g_assert_cmpint(verified(place->path).last, ==, committed);
    MachineReport report;
    machine = machine_open(place->path, &report, NULL);
    g_assert_nonnull(machine);
    g_assert_cmpint(report.differed, ==, 0);
    machine_free(machine);
}

/* --- retention --- */

static int64_t retain_all(Machine *machine, const Retention *keep, int64_t wall_us)
{
    g_autoptr(GError) error = NULL;
    bool more = true;

    while (more) {
        g_assert_true(machine_retain(machine, keep, wall_us, &more, &error));
        g_assert_no_error(error);
    }
    return journal_anchor(machine_journal(machine), NULL);
}

/* All services run and all incidents are closed in the end. */
static unsigned settle(Machine *machine, unsigned n)
{
    g_autoptr(GPtrArray) outputs = engine_outputs_new();

    for (unsigned i = 0; i < 5; i++, n++) {
        g_autoptr(Event) event = event_at(n, i, "running");
        g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_EVENT, .event = event }, BEGIN_US + (int64_t) n * STEP_US, outputs, NULL));
    }
    for (unsigned i = 0; i < 200; i++, n++)
        g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_TIMER }, BEGIN_US + (int64_t) n * STEP_US, outputs, NULL));
    g_autoptr(json_t) open = engine_incidents(machine_engine(machine));
    g_assert_cmpuint(json_array_size(open), ==, 0);
    return n;
}

static void test_old_records_go_and_the_rest_is_proved(Place *place, gconstpointer unused)
{
    Machine *machine = machine_with(place->path, 3000, 100);
    unsigned n = settle(machine, 3000);
    const Retention keep = { .keep_us = 500 * STEP_US };

    g_assert_true(machine_snapshot(machine, NULL));
    g_autofree char *before = state_text(machine);
    int64_t newest = journal_newest(machine_journal(machine));
    int64_t cut = retain_all(machine, &keep, BEGIN_US + (int64_t) n * STEP_US);
    g_assert_cmpint(cut, >, 0);
    g_assert_cmpint(cut, <, newest);
    machine_free(machine);
    JournalCheck check = verified(place->path);
    g_assert_cmpint(check.anchor, ==, cut);
    g_assert_false(check.excerpt);
    g_assert_cmpint(check.first, ==, cut + 1);
    g_assert_cmpint(check.last_us - check.first_us, >=, 500 * STEP_US); /* at least so long */
    ReplayReport report = replayed(place->path);
    g_assert_cmpint(report.inputs, >, 400);
    g_assert_cmpint(report.differed, ==, 0);
    machine = machine_open(place->path, NULL, NULL);
    g_autofree char *after = state_text(machine);
    g_assert_cmpstr(after, ==, before);
    g_assert_cmpint(retain_all(machine, &keep, BEGIN_US + (int64_t) n * STEP_US), ==, cut); /* nothing more is old */
    g_autofree char *command = NULL;
    g_assert_true(give(machine, n + 3, &command, NULL) && machine_commit(machine, NULL));
    machine_free(machine);
    verified(place->path);
    /* Who cuts by hand leaves the journal's own record behind. */
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "UPDATE anchor SET hash = (SELECT hash FROM record ORDER BY number LIMIT 1), number = number + 1;"
                     "DELETE FROM record WHERE number = (SELECT min(number) FROM record);"
                     "DELETE FROM snapshot WHERE number < (SELECT number FROM anchor)", NULL, NULL, NULL);
    sqlite3_close(db);
    g_assert_true(verified(place->path).excerpt);
}

static void test_a_quiet_journal_is_cut_too(Place *place, gconstpointer unused)
{
    Machine *machine = machine_open(place->path, NULL, NULL);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    const Retention keep = { .keep_us = 100 * STEP_US };

    for (unsigned n = 1; n < 1000; n++) {
        g_autoptr(Event) event = event_at(n, n % 5, "running");
        bool more;

        g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_EVENT, .event = event }, BEGIN_US + n * STEP_US, outputs, NULL));
        g_assert_true(machine_retain(machine, &keep, BEGIN_US + n * STEP_US, &more, NULL));
    }
    machine_free(machine);
    JournalCheck check = verified(place->path);
    g_assert_cmpint(check.last_us - check.first_us, >=, 98 * STEP_US);
    g_assert_cmpint(check.last_us - check.first_us, <, 150 * STEP_US);
    g_assert_cmpint(replayed(place->path).differed, ==, 0);
}

static void test_open_incidents_keep_their_stories(Place *place, gconstpointer unused)
{
    Machine *machine = machine_open(place->path, NULL, NULL);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autofree char *command = NULL;

    for (unsigned n = 0; n < 10; n++)
        g_assert_true(give(machine, n, &command, NULL));
    settle(machine, 10);
    g_assert_true(machine_snapshot(machine, NULL));
    g_autoptr(Event) failed = event_at(400, 9, "failed"); /* nobody will ever bring it back */
    g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_EVENT, .event = failed }, BEGIN_US + 400 * STEP_US, outputs, NULL));
    int64_t story = 0;
    for (unsigned n = 401; n < 2000; n++) {
        g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_TIMER }, BEGIN_US + (int64_t) n * STEP_US, outputs, NULL));
        if (n % 100 == 0)
            g_assert_true(machine_snapshot(machine, NULL));
    }
    g_assert_true(journal_at(machine_journal(machine), BEGIN_US + 400 * STEP_US, &story, NULL));
    int64_t cut = retain_all(machine, &(Retention){ .keep_us = US_PER_S, .keep_bytes = 4096 }, BEGIN_US + 2000 * STEP_US);
    g_assert_cmpint(cut, >, 0); /* what was before it did go */
    g_assert_cmpint(cut, <, story);
    machine_free(machine);
    verified(place->path);
}

static void test_a_journal_too_large_shrinks(Place *place, gconstpointer unused)
{
    Machine *machine = machine_with(place->path, 6000, 200);
    unsigned n = settle(machine, 6000);
    int64_t before, after;

    g_assert_true(machine_snapshot(machine, NULL) && journal_size(machine_journal(machine), &before, NULL));
    int64_t keep = before / 2;
    g_assert_cmpint(retain_all(machine, &(Retention){ .keep_bytes = keep }, BEGIN_US + (int64_t) n * STEP_US), >, 0);
    g_assert_true(journal_size(machine_journal(machine), &after, NULL));
    g_assert_cmpint(after, <=, keep + keep / 8);
    g_assert_cmpint(after, >, keep / 4);
    machine_free(machine);
    verified(place->path);
}

static void step_and_cut(const char *path)
{
    Machine *machine = machine_with(path, 600, 100);

    settle(machine, 600);
    machine_snapshot(machine, NULL);
    retain_all(machine, &(Retention){ .keep_us = US_PER_S }, BEGIN_US + 10000 * STEP_US);
    machine_free(machine);
}

static void test_killed_while_it_cuts_or_snapshots(Place *place, gconstpointer unused)
{
    static const char *const points[] = { "cut", "snapshot:1", "snapshot:4", "decided:3" };

    for (size_t i = 0; i < G_N_ELEMENTS(points); i++) {
        int status = 0;
        pid_t child = fork();

        if (child == 0) {
            g_setenv("MEND_CRASH_AT", points[i], TRUE);
            step_and_cut(place->path);
            _exit(0);
        }
        g_assert_cmpint(waitpid(child, &status, 0), ==, child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            g_error("%s was not reached: status %d", points[i], status);
        verified(place->path);
        g_autoptr(GError) error = NULL;
        MachineReport report;
        Machine *machine = machine_open(place->path, &report, &error);
        g_assert_no_error(error);
        g_assert_cmpint(report.differed, ==, 0);
        machine_free(machine);
        g_assert_cmpint(replayed(place->path).differed, ==, 0);
        g_unlink(place->path);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/policy/history/" name, Place, NULL, place_setup, function, place_teardown)
    TEST("form-1", test_a_journal_of_form_1_is_read_and_goes_on);
    TEST("no-journal", test_what_is_no_journal_says_so);
    TEST("in-use", test_a_journal_in_use_can_be_read);
    TEST("flip", test_a_flipped_byte_anywhere_is_found_or_harmless);
    TEST("flip-named", test_the_flipped_record_is_named);
    TEST("snapshots", test_snapshots_and_paths_are_proved_too);
    TEST("full-disk", test_a_full_disk_stops_and_loses_nothing_committed);
    TEST("retention", test_old_records_go_and_the_rest_is_proved);
    TEST("quiet", test_a_quiet_journal_is_cut_too);
    TEST("open-stories", test_open_incidents_keep_their_stories);
    TEST("too-large", test_a_journal_too_large_shrinks);
    TEST("killed", test_killed_while_it_cuts_or_snapshots);
#undef TEST
    return g_test_run();
}
