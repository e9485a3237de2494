#include "tests/policy/past.h"

#include "consumers/policy/transfer.h"
#include "lib/base/json.h"

#include <glib/gstdio.h>
#include <string.h>

void place_setup(Place *place, gconstpointer unused)
{
    place->folder = g_dir_make_tmp("mend-history-XXXXXX", NULL);
    place->path = g_build_filename(place->folder, "a.journal", NULL);
    place->lines = g_build_filename(place->folder, "a.jsonl", NULL);
}

void place_teardown(Place *place, gconstpointer unused)
{
    g_autoptr(GDir) folder = g_dir_open(place->folder, 0, NULL);

    for (const char *name; (name = g_dir_read_name(folder)) != NULL;) {
        g_autofree char *path = g_build_filename(place->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(place->folder);
    g_free(place->folder);
    g_free(place->path);
    g_free(place->lines);
}

Event *event_at(unsigned n, unsigned service, const char *state)
{
    g_autoptr(json_t) data = json_pack("{s:s, s:s, s:i, s:f, s:[s,b]}", "intent", "none", "agent", "guest:web", "rc", (int) n, "load", n / 7.0, "more",
                                       "gr\u00fcn", 1);
    g_autofree char *id = g_strdup_printf("e%u", n), *entity = g_strdup_printf("service/web/s%u", service), *kind = g_strdup_printf("service.%s", state);
    const EventFields fields = { .id = id, .kind = kind, .source = "guest:web", .entity = entity, .time_us = BEGIN_US + n * STEP_US, .sequence = n,
                                 .severity = 3, .boot_id = "boot-1", .confidence = n % 2 ? 0.25 : 1, .data = data };

    return event_new(&fields);
}

/* The n-th input: services fail and run again, commands are answered, timers fall due. */
bool give(Machine *machine, unsigned n, char **last_command, GError **error)
{
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autoptr(Event) event = event_at(n, n / 3 % 5, n % 3 == 2 ? "running" : "failed");
    Result result = { .command_id = *last_command, .state = RESULT_DONE };
    EngineInput input = { .kind = INPUT_EVENT, .event = event };

    if (n == 0)
        input = (EngineInput){ .kind = INPUT_START };
    else if (n == 1)
        input = (EngineInput){ .kind = INPUT_ACTING, .epoch = 1 };
    else if (n % 3 == 1 && *last_command != NULL)
        input = (EngineInput){ .kind = INPUT_RESULT, .result = &result };
    else if (n % 7 == 0)
        input = (EngineInput){ .kind = INPUT_TIMER };
    if (!machine_step(machine, &input, BEGIN_US + (int64_t) n * STEP_US, outputs, error))
        return false;
    for (guint i = 0; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];

        if (output->kind == OUTPUT_COMMAND) {
            g_free(*last_command);
            *last_command = g_strdup(output->command->id);
        }
    }
    return true;
}

Machine *machine_with(const char *path, unsigned n, unsigned snapshot_every)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *command = NULL;
    Machine *machine = machine_open(path, NULL, &error);

    g_assert_no_error(error);
    for (unsigned i = 0; i < n; i++) {
        give(machine, i, &command, &error);
        g_assert_no_error(error);
        if (snapshot_every > 0 && i % snapshot_every == snapshot_every - 1)
            g_assert_true(machine_snapshot(machine, NULL));
    }
    g_assert_true(machine_commit(machine, NULL));
    return machine;
}

void make(const char *path, unsigned n, unsigned snapshot_every)
{
    machine_free(machine_with(path, n, snapshot_every));
}

JournalCheck verified(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Journal) journal = journal_open_as(path, JOURNAL_READ, &error);
    JournalCheck check = { 0 };

    g_assert_no_error(error);
    journal_verify(journal, NULL, NULL, &check, &error);
    g_assert_no_error(error);
    return check;
}

ReplayReport replayed(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(History) history = history_open(path, &error);
    ReplayReport report;

    g_assert_no_error(error);
    g_assert_true(history_replay(history, NULL, NULL, &report, &error));
    g_assert_no_error(error);
    return report;
}

char *exported(const char *path, int64_t since_us, int64_t until_us)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Journal) journal = journal_open_as(path, JOURNAL_READ, &error);
    char *text = NULL;
    size_t size = 0;

    g_assert_no_error(error);
    FILE *to = open_memstream(&text, &size);
    g_assert_true(transfer_export(journal, to, since_us, until_us, NULL, NULL, &error));
    g_assert_no_error(error);
    fclose(to);
    return text; /* malloc's */
}

bool imported(const char *text, const char *path, GError **error)
{
    FILE *from = fmemopen((char *) text, strlen(text), "r");
    int64_t records;
    bool fine = transfer_import(from, "lines", path, NULL, NULL, &records, error);

    fclose(from);
    return fine;
}

char *state_text(Machine *machine)
{
    g_autoptr(json_t) snapshot = engine_snapshot(machine_engine(machine));

    return json_text(snapshot);
}
