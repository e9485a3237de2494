/* The engine on its journal: after a crash at any place it stands where it stood, and what was written cannot be changed unseen. */
#include "consumers/policy/machine.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>

#define BEGIN_US (INT64_C(1700000000) * US_PER_S)

typedef struct Place {
    char *folder, *path;
} Place;

static void place_setup(Place *place, gconstpointer unused)
{
    place->folder = g_dir_make_tmp("mend-journal-XXXXXX", NULL);
    place->path = g_build_filename(place->folder, "journal.db", NULL);
}

static void place_teardown(Place *place, gconstpointer unused)
{
    g_autoptr(GDir) folder = g_dir_open(place->folder, 0, NULL);

    for (const char *name; (name = g_dir_read_name(folder)) != NULL;) {
        g_autofree char *path = g_build_filename(place->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(place->folder);
    g_free(place->folder);
    g_free(place->path);
}

static Machine *open_machine(const Place *place, MachineReport *ret_report)
{
    g_autoptr(GError) error = NULL;
    Machine *machine = machine_open(place->path, ret_report, &error);

    g_assert_no_error(error);
    return machine;
}

/* The n-th input of a small story over several services. */
static void give(Machine *machine, unsigned n, EngineOutputs *outputs)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) data = json_pack("{s:s, s:s}", "intent", "none", "agent", "guest:web");
    g_autofree char *id = g_strdup_printf("e%u", n), *entity = g_strdup_printf("service/web/s%u", n % 5);
    const EventFields fields = { .id = id, .kind = n % 3 == 2 ? "service.running" : "service.failed", .source = "guest:web",
                                 .entity = entity, .time_us = BEGIN_US, .sequence = n, .confidence = 1, .data = data };
    g_autoptr(Event) event = event_new(&fields);
    EngineInput input = { .kind = INPUT_EVENT, .event = event };

    if (n == 0)
        input = (EngineInput){ .kind = INPUT_START };
    else if (n == 1)
        input = (EngineInput){ .kind = INPUT_ACTING, .epoch = 1 };
    else if (n % 7 == 0)
        input = (EngineInput){ .kind = INPUT_TIMER };
    g_assert_true(machine_step(machine, &input, BEGIN_US + (int64_t) n * 500 * US_PER_MS, outputs, &error));
    g_assert_no_error(error);
}

static char *state_text(Machine *machine)
{
    g_autoptr(json_t) snapshot = engine_snapshot(machine_engine(machine));

    return json_dumps(snapshot, JSON_SORT_KEYS | JSON_COMPACT);
}

static void test_after_a_crash_it_stands_where_it_stood(Place *place, gconstpointer unused)
{
    for (unsigned crash = 1; crash < 40; crash++) {
        g_autoptr(GPtrArray) outputs = engine_outputs_new();
        MachineReport report;
        Machine *machine = open_machine(place, &report);

        g_assert_cmpint(report.differed, ==, 0);
        for (unsigned n = 0; n < crash; n++)
            give(machine, n, outputs);
        g_assert_true(machine_commit(machine, NULL));
        if (crash % 4 == 0)
            g_assert_true(machine_snapshot(machine, NULL));
        g_autofree char *before = state_text(machine);
        give(machine, crash, outputs); /* not committed: never happened */
        machine_free(machine);
        machine = open_machine(place, &report);
        g_autofree char *after = state_text(machine);
        g_assert_cmpstr(before, ==, after);
        g_assert_cmpint(report.differed, ==, 0);
        g_assert_cmpint(report.replayed, ==, crash % 4 == 0 ? 0 : crash);
        machine_free(machine);
        g_assert_cmpint(g_unlink(place->path), ==, 0);
    }
}

static void test_what_was_written_cannot_be_changed_unseen(Place *place, gconstpointer unused)
{
    static const struct {
        const char *sql, *message;
    } rows[] = {
        { "UPDATE record SET body = body || x'00' WHERE number = 7", "*record 7 was changed after it was written" },
        { "UPDATE record SET wall_us = wall_us + 1 WHERE number = 3", "*record 3 was changed after it was written" },
        { "DELETE FROM record WHERE number = 5", "*record 5 is missing" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GPtrArray) outputs = engine_outputs_new();
        g_autoptr(GError) error = NULL;
        Machine *machine = open_machine(place, NULL);
        JournalCheck check;
        sqlite3 *db;

        for (unsigned n = 0; n < 10; n++)
            give(machine, n, outputs);
        g_assert_true(machine_commit(machine, NULL));
        g_assert_true(journal_verify(machine_journal(machine), NULL, NULL, &check, NULL));
        g_assert_cmpint(check.records, ==, journal_newest(machine_journal(machine)));
        machine_free(machine);
        g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_exec(db, rows[i].sql, NULL, NULL, NULL), ==, SQLITE_OK);
        g_assert_cmpint(sqlite3_changes(db), ==, 1);
        sqlite3_close(db);
        g_autoptr(Journal) journal = journal_open(place->path, NULL);
        g_assert_false(journal_verify(journal, NULL, NULL, &check, &error));
        g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_BROKEN);
        g_assert_true(g_pattern_match_simple(rows[i].message, error->message));
        g_clear_pointer(&journal, journal_free);
        g_assert_cmpint(g_unlink(place->path), ==, 0);
    }
}

static void test_one_process_at_a_time(Place *place, gconstpointer unused)
{
    g_autoptr(Machine) machine = open_machine(place, NULL);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autoptr(GError) error = NULL;

    give(machine, 0, outputs);
    g_assert_true(machine_commit(machine, NULL));
    g_assert_null(machine_open(place->path, NULL, &error));
    g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN);
    g_assert_nonnull(strstr(error->message, "another process has it open"));
}

static void test_what_is_no_journal_is_refused(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(place->path, "this is not a database, it is a text of some length", -1, NULL));
    g_assert_null(journal_open(place->path, &error));
    g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN);
    g_clear_error(&error);
    g_assert_null(journal_open("/nowhere/at/all/journal.db", &error));
    g_assert_error(error, JOURNAL_ERROR, JOURNAL_ERROR_OPEN);
}

static bool count_record(const JournalRecord *record, void *user)
{
    ++*(unsigned *) user;
    g_assert_cmpstr(record->entity, ==, "service/web/s2");
    return true;
}

static void test_an_entity_has_its_story(Place *place, gconstpointer unused)
{
    g_autoptr(Machine) machine = open_machine(place, NULL);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    unsigned told = 0;

    for (unsigned n = 0; n < 20; n++)
        give(machine, n, outputs);
    g_assert_true(machine_commit(machine, NULL));
    g_assert_true(journal_story(machine_journal(machine), "service/web/s2", 1000, count_record, &told, NULL));
    g_assert_cmpuint(told, >=, 6); /* several events, an incident, a command */
    g_auto(GStrv) names = journal_entities(machine_journal(machine), "s2", 10, NULL);
    g_assert_cmpuint(g_strv_length(names), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/policy/journal/" name, Place, NULL, place_setup, function, place_teardown)
    TEST("crash", test_after_a_crash_it_stands_where_it_stood);
    TEST("changed", test_what_was_written_cannot_be_changed_unseen);
    TEST("one-at-a-time", test_one_process_at_a_time);
    TEST("no-journal", test_what_is_no_journal_is_refused);
    TEST("story", test_an_entity_has_its_story);
    return g_test_run();
}
