/* mend-history FILE [EVENTS] [FAILURES-PER-10000]: what a replay out of the journal costs, part by part, on one core.
 *
 * Makes FILE unless it is there: a day of a site of 1,000 VMs with 10 services each, EVENTS (1,000,000) of them from mend.events: 20 in 100
 * repeated (delivered twice), 1 in 100 a failure that the default policy heals (result 30 ms, running 40 ms after the command), agents
 * late, lost and up again, the rest states that come and go. The clock is the day's, so the file is the same every time.
 * Called again it reads it, each time with one part more: rows; inputs unpacked; the engine; what it says compared with what it said. */
#include "consumers/policy/machine.h"
#include "consumers/policy/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BEGIN_US (INT64_C(1767225600) * US_PER_S)
#define DAY_US (24 * US_PER_HOUR)
#define VMS 1000
#define SERVICES 10

typedef struct Due {
    int64_t at_us;
    char *entity, *command; /* command: its answer; NULL: the service runs again */
} Due;

typedef struct Day {
    Recording *recording;
    Engine *engine;
    EngineOutputs *outputs;
    GRand *dice;
    GQueue answers, running; /* of Due, each in the order of time */
    uint64_t sequence;
    int64_t now_us, inputs;
} Day;

static void stop(const GError *error)
{
    fprintf(stderr, "mend-history: %s\n", error->message);
    exit(1);
}

static void due_later(GQueue *queue, int64_t at_us, const Command *command, bool answer)
{
    Due *due = g_new0(Due, 1);

    due->at_us = at_us;
    due->entity = g_strdup(command->entity);
    due->command = answer ? g_strdup(command->id) : NULL;
    g_queue_push_tail(queue, due);
}

static void give(Day *d, const EngineInput *input)
{
    g_autoptr(GError) error = NULL;

    g_ptr_array_set_size(d->outputs, 0);
    engine_step(d->engine, input, d->now_us, d->outputs);
    if (!recording_put(d->recording, input, d->now_us, d->now_us, d->outputs, 0, &error))
        stop(error);
    d->inputs++;
    for (guint i = 0; i < d->outputs->len; i++) {
        const EngineOutput *output = d->outputs->pdata[i];

        if (output->kind == OUTPUT_COMMAND) {
            due_later(&d->answers, d->now_us + 30 * US_PER_MS, output->command, true);
            due_later(&d->running, d->now_us + 40 * US_PER_MS, output->command, false);
        }
    }
}

static void give_event(Day *d, const char *entity, unsigned vm, const char *state, const char *intent, bool twice)
{
    bool agent = g_str_has_prefix(entity, "agent/");
    const char *dot = strrchr(entity, '/') + 1;
    g_autofree char *source = g_strdup_printf("matahariproject.org:mend-guest:%08x-9d1c-4e0b-8a55-%012x", vm * 2654435761u, vm);
    g_autofree char *id = g_strdup_printf("%08x-%04x-4000-8000-%012" G_GINT64_MODIFIER "x", g_rand_int(d->dice), g_rand_int(d->dice) & 0xffff, d->sequence);
    g_autofree char *boot = g_strdup_printf("%08x-77aa-4b1b-9c3c-%012x", vm * 40503u + 7, vm), *host = g_strdup_printf("web-%u", vm);
    g_autofree char *vm_id = g_strdup_printf("%08x-5be1-4d8a-b0f4-%012x", vm * 2246822519u, vm), *kind = g_strdup_printf("%s.%s", agent ? "agent" : "service", state);
    g_autoptr(json_t) data = agent ? json_pack("{s:s, s:s, s:s, s:s}", "agent", source, "vm", vm_id, "hostname", host, "state", state)
                                   : json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:i, s:s}", "agent", source, "vm", vm_id, "hostname", host,
                                               "name", dot, "state", state, "intent", intent, "reason", strcmp(state, "failed") == 0 ? "signal 9" : "",
                                               "occurred_us", (json_int_t) (d->now_us - 1500), "pid", 1000 + (int) vm, "boot_id", boot);
    const EventFields fields = { .id = id, .kind = kind, .source = source, .entity = entity, .time_us = d->now_us, .sequence = ++d->sequence,
                                 .severity = 6, .boot_id = boot, .confidence = 1, .data = data };
    g_autoptr(Event) event = event_new(&fields);

    for (int i = 0; i <= twice; i++)
        give(d, &(EngineInput){ .kind = INPUT_EVENT, .event = event });
}

static void give_due(Day *d, GQueue *queue)
{
    Due *due = g_queue_pop_head(queue);
    unsigned vm = 0;

    d->now_us = MAX(d->now_us, due->at_us);
    sscanf(due->entity, "service/vm-%u", &vm);
    if (due->command != NULL) {
        g_autoptr(json_t) values = json_pack("{s:i, s:s, s:i}", "rc", 0, "state", "running", "pid", 4711);
        Result result = { .command_id = due->command, .state = RESULT_DONE, .values = values };

        give(d, &(EngineInput){ .kind = INPUT_RESULT, .result = &result });
    } else {
        give_event(d, due->entity, vm, "running", "command", false);
    }
    g_free(due->entity);
    g_free(due->command);
    g_free(due);
}

/* What falls due before @until_us: answers, services that run again, the engine's timer; the earliest first. */
static void run_until(Day *d, int64_t until_us)
{
    for (;;) {
        const Due *answer = g_queue_peek_head(&d->answers), *running = g_queue_peek_head(&d->running);
        int64_t answer_us = answer == NULL ? INT64_MAX : answer->at_us, running_us = running == NULL ? INT64_MAX : running->at_us;
        int64_t timer_us = engine_due_us(d->engine), first_us = MIN(timer_us, MIN(answer_us, running_us));

        if (first_us > until_us)
            return;
        if (first_us == answer_us) {
            give_due(d, &d->answers);
        } else if (first_us == running_us) {
            give_due(d, &d->running);
        } else {
            d->now_us = MAX(d->now_us, timer_us);
            give(d, &(EngineInput){ .kind = INPUT_TIMER });
        }
    }
}

static void one_event(Day *d, unsigned failures)
{
    static const char *const quiet[] = { "running", "running", "running", "starting", "stopping", "degraded" };
    unsigned vm = g_rand_int_range(d->dice, 0, VMS), what = g_rand_int_range(d->dice, 0, 10000);
    bool twice = g_rand_int_range(d->dice, 0, 5) == 0;
    g_autofree char *agent = g_strdup_printf("agent/matahariproject.org:mend-guest:%08x-9d1c-4e0b-8a55-%012x", vm * 2654435761u, vm);
    g_autofree char *service = g_strdup_printf("service/vm-%u/app-%d", vm, g_rand_int_range(d->dice, 0, SERVICES));

    if (what < failures)
        give_event(d, service, vm, "failed", g_rand_int_range(d->dice, 0, 10) == 0 ? "admin" : "none", twice);
    else if (what < failures + 200)
        give_event(d, agent, vm, what % 3 == 0 ? "late" : "up", "", twice);
    else
        give_event(d, service, vm, quiet[what % G_N_ELEMENTS(quiet)], "none", twice);
}

static void make(const char *path, int64_t events, unsigned failures)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_default();
    Day d = { .engine = engine_new(policy), .outputs = engine_outputs_new(), .dice = g_rand_new_with_seed(7), .now_us = BEGIN_US };

    d.recording = recording_new(path, d.engine, &error);
    if (d.recording == NULL)
        stop(error);
    give(&d, &(EngineInput){ .kind = INPUT_START });
    give(&d, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 });
    for (int64_t i = 0; i < events; i = (int64_t) d.inputs) {
        int64_t at_us = BEGIN_US + (int64_t) ((double) i / (double) events * (double) DAY_US);

        run_until(&d, at_us);
        d.now_us = MAX(d.now_us, at_us);
        one_event(&d, failures);
    }
    if (!recording_end(d.recording, &error))
        stop(error);
    recording_free(d.recording);
    engine_free(d.engine);
    g_ptr_array_unref(d.outputs);
    g_rand_free(d.dice);
}

typedef enum { ROWS, UNPACK, ENGINE, COMPARE, N_PARTS } Part;

typedef struct Reading {
    Part part;
    Engine *engine;
    Replay *replay;
    EngineOutputs *outputs;
    int64_t inputs, records, bytes;
} Reading;

static bool read_one(const JournalRecord *record, void *user)
{
    Reading *r = user;
    EngineInput input;

    r->records++;
    r->inputs += record->kind == JOURNAL_INPUT;
    r->bytes += (int64_t) record->body_bytes;
    if (r->part == COMPARE)
        return replay_take(r->replay, record, NULL);
    if (r->part == ROWS || record->kind != JOURNAL_INPUT || !input_unpack(record->body, record->body_bytes, &input, NULL))
        return true;
    if (r->part == ENGINE) {
        engine_step(r->engine, &input, record->now_us, r->outputs);
        g_ptr_array_set_size(r->outputs, 0);
    }
    input_clear(&input);
    return true;
}

static double cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static double measure(const char *path, Part part)
{
    static const char *const names[] = { "rows out of SQLite", "and inputs unpacked", "and the engine", "and outputs compared" };
    g_autoptr(GError) error = NULL;
    g_autoptr(Journal) journal = journal_open_as(path, JOURNAL_READ, &error);
    g_autoptr(Policy) policy = policy_default();
    Reading r = { .part = part, .outputs = engine_outputs_new() };
    double begin = cpu_s();

    if (journal == NULL)
        stop(error);
    r.engine = engine_new(policy);
    if (part == COMPARE)
        r.replay = replay_new(g_steal_pointer(&r.engine));
    if (!journal_read(journal, 0, read_one, &r, &error))
        stop(error);
    if (r.replay != NULL) {
        ReplayReport report;

        r.engine = replay_end(r.replay, &report);
        printf("inputs %" G_GINT64_FORMAT ", said %" G_GINT64_FORMAT ", differed %" G_GINT64_FORMAT ", body %.0f bytes each\n", report.inputs,
               report.said, report.differed, (double) r.bytes / (double) r.records);
        replay_report_clear(&report);
        replay_free(r.replay);
    }
    double took = cpu_s() - begin;
    printf("%-22s %8.0f inputs/s  %.3f us each\n", names[part], (double) r.inputs / took, took / (double) r.inputs * 1e6);
    engine_free(r.engine);
    g_ptr_array_unref(r.outputs);
    return took;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    JournalCheck check;

    if (argc < 2) {
        fprintf(stderr, "usage: mend-history FILE [EVENTS] [FAILURES-PER-10000]\n");
        return 2;
    }
    if (!g_file_test(argv[1], G_FILE_TEST_EXISTS)) {
        double begin = cpu_s();

        make(argv[1], argc > 2 ? g_ascii_strtoll(argv[2], NULL, 10) : 1000000, argc > 3 ? (unsigned) atoi(argv[3]) : 100);
        printf("made in %.1f s; run it again to measure\n", cpu_s() - begin);
        return 0;
    }
    for (int part = 0; part < N_PARTS; part++)
        measure(argv[1], (Part) part);
    g_autoptr(Journal) journal = journal_open_as(argv[1], JOURNAL_READ, &error);
    int64_t size = 0;
    double begin = cpu_s();
    if (journal == NULL || !journal_size(journal, &size, &error) || !journal_verify(journal, NULL, NULL, &check, &error))
        stop(error);
    printf("verified %" G_GINT64_FORMAT " records, %.0f/s; %.0f bytes of file a record\n", check.records,
           (double) check.records / (cpu_s() - begin), (double) size / (double) check.records);
    return 0;
}
