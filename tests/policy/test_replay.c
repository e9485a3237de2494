/* A history is taken elsewhere and back, replayed, and asked what another policy would have done. */
#include "tests/policy/past.h"

#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/text_diff.h"
#include "lib/base/json.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

/* --- export, import --- */

static void test_there_and_back_is_the_same_to_the_byte(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *again = g_build_filename(place->folder, "again.journal", NULL);

    make(place->path, 300, 90);
    char *text = exported(place->path, 0, 0);
    g_assert_null(strstr(text, "\"bytes\"")); /* all of it comes back from its JSON */
    g_assert_true(imported(text, again, &error));
    g_assert_no_error(error);
    JournalCheck before = verified(place->path), after = verified(again);
    g_assert_cmpint(before.records, ==, after.records);
    g_assert_cmpint(before.snapshots, ==, after.snapshots);
    char *text_again = exported(again, 0, 0);
    g_assert_cmpstr(text_again, ==, text);
    Machine *one = machine_open(place->path, NULL, NULL), *other = machine_open(again, NULL, NULL);
    g_autofree char *state = state_text(one), *state_again = state_text(other);
    g_assert_cmpstr(state, ==, state_again);
    machine_free(one);
    machine_free(other);
    g_assert_false(imported(text, again, &error)); /* nothing is written over */
    g_assert_nonnull(strstr(error->message, "is there already"));
    free(text);
    free(text_again);
}

static void test_an_excerpt_can_be_proved_and_replayed(Place *place, gconstpointer unused)
{
    g_autofree char *again = g_build_filename(place->folder, "again.journal", NULL);

    make(place->path, 300, 90);
    for (unsigned since = 1; since < 300; since += 23) {
        g_autoptr(GError) error = NULL;
        char *text = exported(place->path, BEGIN_US + since * STEP_US, BEGIN_US + 280 * STEP_US);

        g_assert_true(imported(text, again, &error));
        g_assert_no_error(error);
        g_assert_true(verified(again).excerpt);
        g_assert_true(g_file_set_contents(place->lines, text, -1, NULL));
        ReplayReport from_journal = replayed(again), from_lines = replayed(place->lines);
        g_assert_cmpint(from_journal.inputs, ==, since < 280 ? 280 - since : 0);
        g_assert_cmpint(from_journal.differed, ==, 0);
        g_assert_cmpint(from_lines.inputs, ==, from_journal.inputs);
        g_assert_cmpint(from_lines.differed, ==, 0);
        g_unlink(again);
        free(text);
    }
}

static void test_a_wrong_line_is_named(Place *place, gconstpointer unused)
{
    static const struct {
        const char *find, *put, *message;
    } rows[] = { { "guest:web", "guest:wab", "*record * is not what its hash says" },
                 { "\n{\"number\":5,", "\n{\"number\":6,", "lines:6: records are missing before it" },
                 { "\n{\"end\"", "\n", "lines:*: it is no*" },
                 { "\"mend-journal\":2", "\"mend-journal\":7", "lines:1: *its form is not 2" },
                 { "{\"mend-journal\"", "{\"something\"", "lines:1: it does not begin as a journal's export does" },
                 { "\"kind\":\"input\"", "\"kind\":\"inpud\"", "lines:*\"kind\" is input, said or own" } };

    make(place->path, 40, 0);
    char *text = exported(place->path, 0, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *again = g_build_filename(place->folder, "again.journal", NULL);
        char *at = strstr(text, rows[i].find);
        g_autofree char *before = g_strndup(text, (gsize) (at - text)), *changed = g_strconcat(before, rows[i].put, at + strlen(rows[i].find), NULL);

        g_assert_false(imported(changed, again, &error));
        if (!g_pattern_match_simple(rows[i].message, error->message))
            g_error("%s: %s", rows[i].find, error->message);
        g_assert_false(g_file_test(again, G_FILE_TEST_EXISTS)); /* nothing half is left */
    }
    g_autoptr(GError) error = NULL;
    g_autofree char *again = g_build_filename(place->folder, "again.journal", NULL);
    text[strlen(text) / 2] = '\0';
    strrchr(text, '\n')[1] = '\0';
    g_assert_false(imported(text, again, &error));
    g_assert_nonnull(strstr(error->message, "it ends too early"));
    free(text);
}

/* --- replay --- */

static void test_a_recording_replays_as_it_was(Place *place, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autoptr(Policy) policy = policy_parse("p", "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.start}]}\n", &error);
    g_autoptr(Engine) engine = engine_new(policy);
    g_autoptr(Recording) recording = recording_new(place->path, engine, &error);

    g_assert_no_error(error);
    engine_step(engine, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 }, BEGIN_US, outputs);
    g_assert_true(recording_put(recording, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 }, BEGIN_US, BEGIN_US, outputs, 0, &error));
    for (unsigned n = 1; n < 100; n++) {
        g_autoptr(Event) event = event_at(n, n % 5, n % 2 ? "failed" : "running");
        const EngineInput input = { .kind = INPUT_EVENT, .event = event };
        guint from = outputs->len;

        engine_step(engine, &input, BEGIN_US + n, outputs);
        g_assert_true(recording_put(recording, &input, BEGIN_US + n, BEGIN_US + n, outputs, from, &error));
    }
    g_assert_true(recording_end(recording, &error));
    g_clear_pointer(&recording, recording_free);
    g_assert_cmpint(verified(place->path).records, >, 100);
    ReplayReport report = replayed(place->path);
    g_assert_cmpint(report.inputs, ==, 100);
    g_assert_cmpint(report.said, >, 5);
    g_assert_cmpint(report.differed, ==, 0);
    g_assert_null(recording_new(place->path, engine, &error)); /* a recording is never written over */
}

static void test_the_first_difference_is_shown(Place *place, gconstpointer unused)
{
    sqlite3 *db;

    make(place->path, 60, 0);
    g_assert_cmpint(sqlite3_open(place->path, &db), ==, SQLITE_OK);
    sqlite3_exec(db, "UPDATE record SET body = replace(body, 'attempt', 'essay') WHERE number = (SELECT min(number) FROM record WHERE"
                     " body LIKE '%attempt%' AND kind = 2)", NULL, NULL, NULL);
    g_assert_cmpint(sqlite3_changes(db), ==, 1);
    sqlite3_close(db);
    ReplayReport report = replayed(place->path);
    g_assert_cmpint(report.differed, ==, 1);
    g_assert_cmpint(report.first_difference, >, 0);
    g_assert_nonnull(strstr(report.then, "essay"));
    g_assert_nonnull(strstr(report.now, "attempt"));
    replay_report_clear(&report);
}

static json_t *compared(const char *path, const char *old, const char *new)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(History) history = history_open(path, &error);
    g_autoptr(Policy) old_policy = old == NULL ? NULL : policy_parse("old", old, &error), policy = policy_parse("new", new, &error);

    g_assert_no_error(error);
    json_t *comparison = history_compare(history, old_policy, policy, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return comparison;
}

#define HEALS "mend: 1\nstartup_guard: 0\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, attempts: 2}, {do: notify, to: log}]}\n"
#define WATCHES "mend: 1\nstartup_guard: 0\nrules:\n  - {name: r, on: service.failed, observe_only: true, ladder: [{do: service.restart}]}\n"
#define STARTS "mend: 1\nstartup_guard: 0\nrules:\n  - {name: s, on: service.failed, ladder: [{do: service.start, attempts: 2}, {do: notify, to: log}]}\n"

/* A story under the policy HEALS: s1 fails, is restarted, answers, runs; s2 fails and never comes back. */
static void record_story(const char *path)
{
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autoptr(Policy) policy = policy_parse("heals", HEALS, NULL);
    g_autoptr(Event) one = event_at(2, 1, "failed"), well = event_at(3, 1, "running"), two = event_at(4, 2, "failed");
    Machine *machine = machine_open(path, NULL, NULL);
    Result result = { .state = RESULT_DONE };
    const EngineInput inputs[] = { { .kind = INPUT_POLICY, .policy = policy }, { .kind = INPUT_START }, { .kind = INPUT_ACTING, .epoch = 1 },
                                   { .kind = INPUT_EVENT, .event = one },     { .kind = INPUT_RESULT, .result = &result },
                                   { .kind = INPUT_EVENT, .event = well },    { .kind = INPUT_EVENT, .event = two } };

    for (unsigned i = 0; i < G_N_ELEMENTS(inputs); i++) {
        for (guint k = 0; k < outputs->len; k++)
            if (((EngineOutput *) outputs->pdata[k])->kind == OUTPUT_COMMAND)
                result.command_id = ((EngineOutput *) outputs->pdata[k])->command->id;
        g_assert_true(machine_step(machine, &inputs[i], BEGIN_US + i * STEP_US, outputs, NULL));
    }
    for (int64_t due_us; (due_us = engine_due_us(machine_engine(machine))) < BEGIN_US + US_PER_HOUR;)
        g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_TIMER }, due_us, outputs, NULL));
    g_assert_true(machine_step(machine, &(EngineInput){ .kind = INPUT_TIMER }, BEGIN_US + US_PER_HOUR, outputs, NULL) && machine_commit(machine, NULL));
    machine_free(machine);
}

static void test_the_same_policy_would_have_done_the_same(Place *place, gconstpointer unused)
{
    record_story(place->path);
    g_autoptr(json_t) same = compared(place->path, NULL, HEALS), both = compared(place->path, STARTS, STARTS);

    g_assert_cmpint(json_int_or(json_object_get(same, "incidents"), "then", 0), ==, 2);
    g_assert_cmpint(json_int_or(json_object_get(same, "commands"), "then", 0), ==, 3);
    g_assert_cmpuint(json_array_size(json_object_get(same, "differences")), ==, 0);
    g_assert_cmpuint(json_array_size(json_object_get(both, "differences")), ==, 0);
}

static void test_what_another_policy_would_have_done(Place *place, gconstpointer unused)
{
    record_story(place->path);
    g_autoptr(json_t) watches = compared(place->path, NULL, WATCHES), starts = compared(place->path, HEALS, STARTS);
    const json_t *commands = json_object_get(watches, "commands");

    g_assert_cmpint(json_int_or(commands, "gone", 0), ==, 3);
    g_assert_cmpint(json_int_or(commands, "new", 0), ==, 0);
    commands = json_object_get(starts, "commands");
    g_assert_cmpint(json_int_or(commands, "gone", 0), ==, 3);
    g_assert_cmpint(json_int_or(commands, "new", 0), ==, 3);
    g_autofree char *text = deeds_compare_text(watches, "then", "now", 0), *short_text = deeds_compare_text(starts, "old", "new", 1);
    g_assert_true(g_str_has_prefix(text, "service/web/s1  2023-11-14T22:13:21.500000Z  incident "));
    g_assert_nonnull(strstr(text, "  then  healed, rule r, commands: 1\n  now   resolved, rule r, commands: 0\n    -  service.restart at +0.0 s\n"));
    g_assert_nonnull(strstr(text, "commands   3 then, 0 now: 3 not sent any more, 0 new, 0 at another time\n"));
    g_assert_nonnull(strstr(short_text, "    -  service.restart at +0.0 s\n    +  service.start at +0.0 s\n"));
    g_assert_nonnull(strstr(short_text, "and 1 more (--all shows them)"));
}

/* --- differences of texts --- */

static void test_texts_differ_as_diff_says(void)
{
    static const struct {
        const char *old, *new, *diff;
    } rows[] = {
        { "a\nb\n", "a\nb\n", "" },
        { "", "", "" },
        { "a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n" },
        { "", "a\n", "@@ -1,0 +1,1 @@\n+a\n" },
        { "a\n", "", "@@ -1,1 +1,0 @@\n-a\n" },
        { "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\n5\n6\n7\n8\n9\n", "@@ -2,6 +2,7 @@\n 2\n 3\n 4\n+x\n 5\n 6\n 7\n" },
        { "x\n1\n2\n3\n4\n5\n6\n7\n8\ny\n", "1\n2\n3\n4\n5\n6\n7\n8\n", "@@ -1,4 +1,3 @@\n-x\n 1\n 2\n 3\n@@ -7,4 +6,3 @@\n 6\n 7\n 8\n-y\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *diff = text_diff(rows[i].old, rows[i].new);
        g_assert_cmpstr(diff, ==, rows[i].diff);
    }
}

/* Applied to the old text it gives the new one. */
static void test_texts_differ_enough(void)
{
    for (int round = 0; round < 300; round++) {
        GString *old = g_string_new(NULL), *new = g_string_new(NULL);
        g_autoptr(GString) back = g_string_new(NULL), from = g_string_new(NULL);

        for (int i = g_test_rand_int_range(0, 30); i > 0; i--) {
            char line[3] = { (char) ('a' + g_test_rand_int_range(0, 6)), '\n', '\0' };
            if (g_test_rand_int_range(0, 4) != 0)
                g_string_append(old, line);
            if (g_test_rand_int_range(0, 4) != 0)
                g_string_append(new, line);
        }
        g_autofree char *diff = text_diff(old->str, new->str);
        g_auto(GStrv) lines = g_strsplit(diff, "\n", -1), old_lines = g_strsplit(old->str, "\n", -1);
        int at = 1;
        for (size_t i = 0; lines[i] != NULL; i++) {
            int begin;
            if (sscanf(lines[i], "@@ -%d", &begin) == 1) {
                for (; at < begin; at++) {
                    g_string_append_printf(back, "%s\n", old_lines[at - 1]);
                    g_string_append_printf(from, "%s\n", old_lines[at - 1]);
                }
            } else if (*lines[i] != '\0') {
                if (*lines[i] != '-')
                    g_string_append_printf(back, "%s\n", lines[i] + 1);
                if (*lines[i] != '+') {
                    g_string_append_printf(from, "%s\n", lines[i] + 1);
                    at++;
                }
            }
        }
        for (; old_lines[at - 1] != NULL && old_lines[at] != NULL; at++) {
            g_string_append_printf(back, "%s\n", old_lines[at - 1]);
            g_string_append_printf(from, "%s\n", old_lines[at - 1]);
        }
        g_assert_cmpstr(from->str, ==, old->str);
        g_assert_cmpstr(back->str, ==, new->str);
        g_string_free(old, TRUE);
        g_string_free(new, TRUE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name, function) g_test_add("/policy/replay/" name, Place, NULL, place_setup, function, place_teardown)
    TEST("there-and-back", test_there_and_back_is_the_same_to_the_byte);
    TEST("excerpt", test_an_excerpt_can_be_proved_and_replayed);
    TEST("wrong-line", test_a_wrong_line_is_named);
    TEST("recording", test_a_recording_replays_as_it_was);
    TEST("difference", test_the_first_difference_is_shown);
    TEST("same", test_the_same_policy_would_have_done_the_same);
    TEST("other", test_what_another_policy_would_have_done);
#undef TEST
    g_test_add_func("/policy/text-diff/rows", test_texts_differ_as_diff_says);
    g_test_add_func("/policy/text-diff/random", test_texts_differ_enough);
    return g_test_run();
}
