#include "agents/common/command_ledger.h"

#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;

static CommandLedger *ledger_open(void)
{
    g_autoptr(GError) error = NULL;
    CommandLedger *ledger = command_ledger_open(folder, &error);

    g_assert_no_error(error);
    return ledger;
}

static void setup(void)
{
    folder = g_dir_make_tmp("mend-XXXXXX", NULL);
}

static void teardown(void)
{
    g_autofree char *path = g_build_filename(folder, "commands", NULL);

    g_unlink(path);
    g_rmdir(folder);
    g_clear_pointer(&folder, g_free);
}

#define ID_A "11111111-1111-4111-8111-111111111111"
#define ID_B "22222222-2222-4222-8222-222222222222"
#define ID_C "33333333-3333-4333-8333-333333333333"

static void test_an_id_runs_once_and_its_answer_is_given_again(void)
{
    g_autoptr(CommandLedger) ledger = ledger_open();
    g_autoptr(json_t) values = json_pack("{s:i, s:s}", "rc", 0, "state", "running");
    const LedgerAnswer done = {.state = RESULT_DONE, .values = values, .started_us = 5, .ended_us = 9};
    const LedgerAnswer *again = NULL;

    g_assert_cmpint(command_ledger_begin(ledger, ID_A, SHARD_SITE, 3, 0, 1, &again), ==, LEDGER_RUN);
    g_assert_cmpint(command_ledger_begin(ledger, ID_A, SHARD_SITE, 3, 0, 1, &again), ==, LEDGER_RUNNING);
    command_ledger_end(ledger, ID_A, &done);
    for (int restarts = 0; restarts < 2; restarts++) {
        g_assert_cmpint(command_ledger_begin(ledger, ID_A, SHARD_SITE, 3, 0, 1, &again), ==, LEDGER_ANSWERED);
        g_assert_cmpint(again->state, ==, RESULT_DONE);
        g_assert_true(json_equal(again->values, values));
        g_assert_cmpint(again->ended_us, ==, 9);
        command_ledger_close(g_steal_pointer(&ledger));
        ledger = ledger_open();
    }
}

static void test_each_shard_has_epochs_of_its_own(void)
{
    const LedgerAnswer *answer = NULL;
    CommandLedger *ledger = ledger_open();

    g_assert_cmpint(command_ledger_begin(ledger, ID_A, 2, 9, 0, 1, &answer), ==, LEDGER_RUN);
    g_assert_cmpint(command_ledger_begin(ledger, ID_B, SHARD_SITE, 3, 0, 1, &answer), ==, LEDGER_RUN);
    command_ledger_close(ledger);
    for (int i = 0; i < 2; i++) { /* from its lines, and compacted */
        ledger = ledger_open();
        g_assert_cmpuint(command_ledger_epoch(ledger, SHARD_SITE), ==, 3);
        g_assert_cmpuint(command_ledger_epoch(ledger, 1), ==, 0);
        g_assert_cmpuint(command_ledger_epoch(ledger, 2), ==, 9);
        g_assert_cmpint(command_ledger_begin(ledger, ID_C, 2, 8, 0, 1, &answer), ==, LEDGER_ANSWERED);
        g_assert_cmpstr(answer->error, ==, COMMAND_ERROR_STALE_EPOCH);
        command_ledger_close(ledger);
    }
}

static void test_old_epochs_and_late_commands_do_nothing(void)
{
    g_autoptr(CommandLedger) ledger = ledger_open();
    const LedgerAnswer *answer = NULL;

    g_assert_cmpint(command_ledger_begin(ledger, ID_A, SHARD_SITE, 7, 0, 1, &answer), ==, LEDGER_RUN);
    command_ledger_close(g_steal_pointer(&ledger));
    ledger = ledger_open();
    g_assert_cmpuint(command_ledger_epoch(ledger, SHARD_SITE), ==, 7);
    g_assert_cmpint(command_ledger_begin(ledger, ID_B, SHARD_SITE, 6, 0, 1, &answer), ==, LEDGER_ANSWERED);
    g_assert_cmpstr(answer->error, ==, COMMAND_ERROR_STALE_EPOCH);
    g_assert_cmpint(answer->state, ==, RESULT_REFUSED);
    g_assert_cmpint(command_ledger_begin(ledger, ID_B, SHARD_SITE, 8, 1000, 2000 * US_PER_MS, &answer), ==, LEDGER_ANSWERED);
    g_assert_cmpstr(answer->error, ==, COMMAND_ERROR_DEADLINE);
    g_assert_cmpuint(command_ledger_epoch(ledger, SHARD_SITE), ==, 7);
    g_assert_cmpint(command_ledger_begin(ledger, ID_B, SHARD_SITE, 8, 3000, 2000 * US_PER_MS, &answer), ==, LEDGER_RUN);
    g_assert_cmpuint(command_ledger_epoch(ledger, SHARD_SITE), ==, 8);
}

/* A child begins a command and is killed where the command would run: it is not run again, and said to be interrupted. */
static void test_killed_between_record_and_run(void)
{
    int ready[2], status;
    char byte;
    pid_t pid;
    const LedgerAnswer *answer = NULL;

    g_assert_cmpint(pipe(ready), ==, 0);
    pid = fork();
    if (pid == 0) {
        CommandLedger *mine = command_ledger_open(folder, NULL);

        if (mine == NULL || command_ledger_begin(mine, ID_A, SHARD_SITE, 1, 0, 1, &answer) != LEDGER_RUN || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(1);
    }
    g_assert_cmpint(read(ready[0], &byte, 1), ==, 1);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    g_assert_true(WIFSIGNALED(status));
    for (int i = 0; i < 2; i++) { /* the next agent, and the one after it */
        g_autoptr(CommandLedger) ledger = ledger_open();

        g_assert_cmpint(command_ledger_begin(ledger, ID_A, SHARD_SITE, 1, 0, 1, &answer), ==, LEDGER_ANSWERED);
        g_assert_cmpstr(answer->error, ==, COMMAND_ERROR_INTERRUPTED);
        g_assert_cmpint(answer->state, ==, RESULT_FAILED);
    }
    close(ready[0]);
    close(ready[1]);
}

static bool holds_enough(const char *path)
{
    GStatBuf status;

    return g_stat(path, &status) == 0 && status.st_size > 12 * UUID_TEXT_SIZE;
}

/* Children begin and end commands as fast as they can and are killed at any moment; no id ever gets LEDGER_RUN twice. */
static void test_killed_anywhere_no_id_runs_twice(void)
{
    g_autofree char *runs = g_build_filename(folder, "runs", NULL), *text = NULL;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) lines = NULL;
    GRand *dice = g_rand_new_with_seed(7);

    for (int round = 0; round < 20 || (round < 2000 && !holds_enough(runs)); round++) { /* a busy machine gets little done in a round */
        pid_t pid = fork();

        if (pid == 0) {
            CommandLedger *mine = command_ledger_open(folder, NULL);
            const LedgerAnswer done = {.state = RESULT_DONE}, *answer;
            FILE *out = fopen(runs, "a");

            for (unsigned n = 0; mine != NULL && n < LEDGER_IDS_MAX / 2; n++) { /* every round asks for the same ids again */
                char id[UUID_TEXT_SIZE];

                g_snprintf(id, sizeof id, "%08x-0000-4000-8000-000000000000", n);
                if (command_ledger_begin(mine, id, SHARD_SITE, 1, 0, 1, &answer) != LEDGER_RUN)
                    continue;
                fprintf(out, "%s\n", id);
                fflush(out);
                command_ledger_end(mine, id, &done);
            }
            _exit(1);
        }
        g_usleep((gulong) g_rand_int_range(dice, 500, 15000));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    g_rand_free(dice);
    g_assert_true(g_file_get_contents(runs, &text, NULL, NULL));
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (strlen(*line) == UUID_TEXT_SIZE - 1)
            g_assert_true(g_hash_table_add(seen, g_strdup(*line)));
    g_assert_cmpuint(g_hash_table_size(seen), >, 10);
    g_assert_cmpuint(g_hash_table_size(seen), <, LEDGER_IDS_MAX); /* else ids were forgotten rightly and the test says nothing */
    g_unlink(runs);
}

static void test_a_torn_or_foreign_line_is_left_out(void)
{
    g_autofree char *path = g_build_filename(folder, "commands", NULL);
    g_autoptr(CommandLedger) ledger = NULL;
    const LedgerAnswer *answer = NULL;

    g_assert_true(g_file_set_contents(path,
                                      "{\"epoch\": 4}\nnonsense\n[1]\n{\"begin\": \"" ID_A "\"}\n{\"end\": \"" ID_A
                                      "\", \"state\": \"done\"}\n{\"begin\": \"" ID_B,
                                      -1, NULL));
    ledger = ledger_open();
    g_assert_cmpuint(command_ledger_epoch(ledger, SHARD_SITE), ==, 4);
    g_assert_cmpint(command_ledger_begin(ledger, ID_A, SHARD_SITE, 4, 0, 1, &answer), ==, LEDGER_ANSWERED);
    g_assert_cmpint(answer->state, ==, RESULT_DONE);
    g_assert_cmpint(command_ledger_begin(ledger, ID_B, SHARD_SITE, 4, 0, 1, &answer), ==, LEDGER_RUN);
}

static void test_it_stays_small(void)
{
    g_autofree char *path = g_build_filename(folder, "commands", NULL);
    g_autoptr(CommandLedger) ledger = ledger_open();
    const LedgerAnswer done = {.state = RESULT_DONE, .text = "a text of some length, as an agent would give it"}, *answer = NULL;
    GStatBuf st;

    for (unsigned n = 0; n < 4 * LEDGER_IDS_MAX; n++) {
        char id[UUID_TEXT_SIZE];

        g_snprintf(id, sizeof id, "%08x-0000-4000-8000-000000000000", n);
        g_assert_cmpint(command_ledger_begin(ledger, id, SHARD_SITE, 1, 0, 1, &answer), ==, LEDGER_RUN);
        command_ledger_end(ledger, id, &done);
    }
    g_assert_cmpint(g_stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, <, 2 * 1024 * 1024);
    g_assert_cmpint(command_ledger_begin(ledger, "00000fff-0000-4000-8000-000000000000", SHARD_SITE, 1, 0, 1, &answer), ==, LEDGER_ANSWERED);
    g_assert_cmpint(answer->state, ==, RESULT_DONE);
    g_assert_cmpint(command_ledger_begin(ledger, "00000e00-0000-4000-8000-000000000000", SHARD_SITE, 1, 0, 1, &answer), ==, LEDGER_ANSWERED);
    g_assert_cmpstr(answer->error, ==, COMMAND_ERROR_DUPLICATE);
}

static void add(const char *path, void (*test)(void))
{
    g_test_add_vtable(path, 0, NULL, (GTestFixtureFunc) (void (*)(void)) setup, (GTestFixtureFunc) (void (*)(void)) test,
                      (GTestFixtureFunc) (void (*)(void)) teardown);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/ledger/an id runs once and is answered again", test_an_id_runs_once_and_its_answer_is_given_again);
    add("/ledger/each shard has epochs of its own", test_each_shard_has_epochs_of_its_own);
    add("/ledger/old epochs and late commands do nothing", test_old_epochs_and_late_commands_do_nothing);
    add("/ledger/killed between record and run", test_killed_between_record_and_run);
    add("/ledger/killed anywhere, no id runs twice", test_killed_anywhere_no_id_runs_twice);
    add("/ledger/a torn or foreign line is left out", test_a_torn_or_foreign_line_is_left_out);
    add("/ledger/it stays small", test_it_stays_small);
    return g_test_run();
}
