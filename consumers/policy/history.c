#include "consumers/policy/history.h"

#include "consumers/policy/transfer.h"
#include "lib/base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PROGRESS_EVERY 4096

struct History {
    char *path;
    Journal *journal; /* or */
    FILE *lines;
};

History *history_open(const char *path, GError **error)
{
    g_autoptr(History) history = g_new0(History, 1);
    int first = EOF;

    history->path = g_strdup(path);
    history->lines = fopen(path, "re");
    if (history->lines != NULL)
        first = getc(history->lines);
    if (first == '{') {
        rewind(history->lines);
        return g_steal_pointer(&history);
    }
    g_clear_pointer(&history->lines, fclose);
    history->journal = journal_open_as(path, JOURNAL_READ, error); /* says what is wrong when it is none */
    return history->journal == NULL ? NULL : g_steal_pointer(&history);
}

void history_free(History *history)
{
    if (history == NULL)
        return;
    journal_free(history->journal);
    g_clear_pointer(&history->lines, fclose);
    g_free(history->path);
    g_free(history);
}

/* What is done with a history: @begin once, then @take for each record. */
typedef struct Reading {
    bool (*begin)(struct Reading *reading, Engine *engine, GError **error); /* takes the engine: the state before the first record */
    bool (*take)(struct Reading *reading, const JournalRecord *record, GError **error);
    JournalProgress progress;
    void *user;
    int64_t records, total;
    GError *error;
} Reading;

static bool take_one(const JournalRecord *record, void *user)
{
    Reading *r = user;

    if (++r->records % PROGRESS_EVERY == 0 && r->progress != NULL)
        r->progress(r->records, r->total, r->user);
    return r->take(r, record, &r->error);
}

static Engine *engine_at_first(void)
{
    g_autoptr(Policy) policy = policy_default();

    return engine_new(policy);
}

static bool read_journal(const History *history, Reading *r, GError **error)
{
    g_autofree char *body = NULL;
    g_autoptr(GError) local = NULL;
    int64_t oldest = journal_oldest(history->journal), after = oldest - 1, now_us;
    Engine *engine = NULL;

    if (journal_snapshot_at(history->journal, oldest - 1, true, &after, &local) && (after == oldest - 1 || oldest > 1) &&
        journal_get_snapshot(history->journal, after, &after, &body, &local)) {
        engine = replay_restore(body, &now_us, &local);
    } else if (local == NULL) { /* it begins with its first record */
        after = oldest - 1;
        engine = engine_at_first();
    }
    r->total = journal_newest(history->journal) - after;
    if (local == NULL && r->begin(r, engine, &local) && journal_read(history->journal, after, take_one, r, &local) && r->error == NULL)
        return true;
    g_propagate_error(error, r->error != NULL ? g_steal_pointer(&r->error) : g_steal_pointer(&local));
    return false;
}

typedef struct Lines {
    Reading *reading;
    bool begun, anchored;
} Lines;

static bool take_line(Lines *l, const TransferLine *line, GError **error)
{
    Reading *r = l->reading;
    int64_t now_us;

    if (line->kind == LINE_HEAD) {
        l->anchored = line->record.number > 0;
    } else if (line->kind == LINE_SNAPSHOT && !l->begun) {
        Engine *engine = replay_restore(line->record.body, &now_us, error);

        l->begun = true;
        return engine != NULL && r->begin(r, engine, error);
    } else if (line->kind == LINE_RECORD && (l->begun || !l->anchored)) {
        if (!l->begun && !r->begin(r, engine_at_first(), error))
            return false;
        l->begun = true;
        if (!take_one(&line->record, r)) {
            g_propagate_error(error, g_steal_pointer(&r->error));
            return false;
        }
    }
    return true;
}

static bool read_lines(const History *history, Reading *r, GError **error)
{
    g_autoptr(TransferReader) reader = transfer_reader_new(history->lines, history->path);
    Lines lines = { .reading = r };
    bool end = false;

    rewind(history->lines);
    while (!end) {
        TransferLine line;

        if (!transfer_next(reader, &line, &end, error) || (!end && !take_line(&lines, &line, error)))
            return false;
    }
    return lines.begun || r->begin(r, engine_at_first(), error);
}

static bool read_history(const History *history, Reading *r, GError **error)
{
    bool fine = history->journal != NULL ? read_journal(history, r, error) : read_lines(history, r, error);

    if (!fine && error != NULL && *error != NULL && strstr((*error)->message, history->path) == NULL)
        g_prefix_error(error, "%s: ", history->path);
    return fine;
}

/* --- as it was --- */

typedef struct Again {
    Reading reading;
    Replay *replay;
} Again;

static bool again_begin(Reading *reading, Engine *engine, GError **error)
{
    ((Again *) reading)->replay = replay_new(engine);
    return true;
}

static bool again_take(Reading *reading, const JournalRecord *record, GError **error)
{
    return replay_take(((Again *) reading)->replay, record, error);
}

bool history_replay(History *history, JournalProgress progress, void *user, ReplayReport *ret_report, GError **error)
{
    Again again = { .reading = { .begin = again_begin, .take = again_take, .progress = progress, .user = user } };
    bool fine = read_history(history, &again.reading, error);

    if (fine)
        engine_free(replay_end(again.replay, ret_report));
    replay_free(again.replay);
    return fine;
}

/* --- under another policy --- */

typedef struct World {
    Policy *policy;
    Engine *engine;
    EngineOutputs *outputs;
    Deeds *deeds;
} World;

typedef struct Compare {
    Reading reading;
    Deeds *recorded;
    World worlds[2];
    unsigned n_worlds;
    int64_t inputs, first_us;
} Compare;

static void world_give(World *w, const EngineInput *input, int64_t now_us)
{
    engine_step(w->engine, input, now_us, w->outputs);
    for (guint i = 0; i < w->outputs->len; i++) {
        const EngineOutput *output = w->outputs->pdata[i];

        if (output->json != NULL)
            deeds_hear(w->deeds, output->json, now_us);
    }
    g_ptr_array_set_size(w->outputs, 0);
}

/* Timers that fall due before @until_us; one that falls due at once again and again would be the engine's mistake, not ours to hang on. */
static void world_run(World *w, int64_t until_us)
{
    int64_t due_us, last_us = -1;

    for (unsigned same = 0; (due_us = engine_due_us(w->engine)) <= until_us && same < 1000; last_us = due_us) {
        same = due_us == last_us ? same + 1 : 0;
        world_give(w, &(EngineInput){ .kind = INPUT_TIMER }, due_us);
    }
}

static void world_take(World *w, const Deeds *recorded, EngineInput *input, int64_t now_us)
{
    const char *id = input->kind == INPUT_RESULT ? deeds_counterpart(w->deeds, recorded, input->result->command_id) : NULL;

    world_run(w, now_us);
    if (input->kind == INPUT_POLICY || input->kind == INPUT_TIMER)
        return;
    if (id == NULL) {
        world_give(w, input, now_us);
        return;
    }
    Result result = *input->result; /* borrows the rest */
    EngineInput answer = { .kind = INPUT_RESULT, .result = &result };
    result.command_id = (char *) id;
    world_give(w, &answer, now_us);
}

static bool compare_begin(Reading *reading, Engine *engine, GError **error)
{
    Compare *c = (Compare *) reading;
    g_autoptr(json_t) state = engine_snapshot(engine);
    bool fine = true;

    for (unsigned i = 0; i < c->n_worlds && fine; i++) {
        World *w = &c->worlds[i];

        w->engine = engine_restore(state, (Policy *) engine_policy(engine), error);
        fine = w->engine != NULL;
    }
    engine_free(engine);
    return fine;
}

static bool compare_take(Reading *reading, const JournalRecord *record, GError **error)
{
    Compare *c = (Compare *) reading;
    EngineInput input = { 0 };

    if (record->kind == JOURNAL_SAID) {
        g_autoptr(json_t) said = json_parse(record->body, record->body_bytes, "record", error);

        if (said == NULL)
            g_prefix_error(error, "record %" G_GINT64_FORMAT ": ", record->number);
        else
            deeds_hear(c->recorded, said, record->now_us);
        return said != NULL;
    }
    if (record->kind == JOURNAL_OWN)
        return true;
    if (!input_unpack(record->body, record->body_bytes, &input, error)) {
        g_prefix_error(error, "record %" G_GINT64_FORMAT ": ", record->number);
        return false;
    }
    for (unsigned i = 0; i < c->n_worlds; i++) {
        World *w = &c->worlds[i];

        if (c->inputs == 0)
            world_give(w, &(EngineInput){ .kind = INPUT_POLICY, .policy = w->policy }, record->now_us);
        world_take(w, c->recorded, &input, record->now_us);
    }
    c->inputs++;
    input_clear(&input);
    return true;
}

static void world_begin(World *w, Policy *policy, const Deeds *recorded)
{
    w->policy = policy;
    w->outputs = engine_outputs_new();
    w->deeds = deeds_new();
    deeds_set_recorded(w->deeds, recorded);
}

json_t *history_compare(History *history, Policy *old, Policy *policy, JournalProgress progress, void *user, int64_t *ret_inputs,
                        GError **error)
{
    Compare c = { .reading = { .begin = compare_begin, .take = compare_take, .progress = progress, .user = user } };
    json_t *comparison = NULL;

    c.recorded = deeds_new();
    c.n_worlds = old == NULL ? 1 : 2;
    world_begin(&c.worlds[0], policy, c.recorded);
    if (old != NULL)
        world_begin(&c.worlds[1], old, c.recorded);
    if (read_history(history, &c.reading, error))
        comparison = deeds_compare(old == NULL ? c.recorded : c.worlds[1].deeds, c.worlds[0].deeds);
    for (unsigned i = 0; i < c.n_worlds; i++) {
        engine_free(c.worlds[i].engine);
        g_ptr_array_unref(c.worlds[i].outputs);
        deeds_free(c.worlds[i].deeds);
    }
    deeds_free(c.recorded);
    if (ret_inputs != NULL)
        *ret_inputs = c.inputs;
    return comparison;
}
