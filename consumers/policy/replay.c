#include "consumers/policy/replay.h"

#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"

#include <string.h>

struct Replay {
    Engine *engine;
    EngineOutputs *outputs;
    guint next;                /* output to compare */
    int64_t input, now_us;     /* of the last input: its number, its time */
    GString *text;             /* of the output that is compared */
    bool differs;
    ReplayReport report;
};

void replay_report_clear(ReplayReport *report)
{
    g_clear_pointer(&report->then, g_free);
    g_clear_pointer(&report->now, g_free);
}

Replay *replay_new(Engine *engine)
{
    Replay *replay = g_new0(Replay, 1);

    replay->engine = engine;
    replay->outputs = engine_outputs_new();
    replay->text = g_string_sized_new(4096);
    return replay;
}

void replay_free(Replay *replay)
{
    if (replay == NULL)
        return;
    engine_free(replay->engine);
    g_ptr_array_unref(replay->outputs);
    g_string_free(replay->text, TRUE);
    replay_report_clear(&replay->report);
    g_free(replay);
}

/* The next output that is kept in a journal; NULL: none is left. */
static const EngineOutput *next_said(Replay *r)
{
    while (r->next < r->outputs->len && ((EngineOutput *) r->outputs->pdata[r->next])->kind == OUTPUT_TIMER)
        r->next++;
    return r->next < r->outputs->len ? r->outputs->pdata[r->next++] : NULL;
}

static void difference(Replay *r, const char *then, const char *now)
{
    if (r->differs)
        return;
    r->differs = true;
    if (r->report.differed++ > 0)
        return;
    r->report.first_difference = r->input;
    r->report.then = g_strdup(then);
    r->report.now = g_strdup(now);
}

/* Whether the engine now says more to the last input than it said then. */
static void finish_input(Replay *r)
{
    const EngineOutput *more = next_said(r);

    if (more == NULL)
        return;
    g_autofree char *now = json_text(more->json);
    difference(r, NULL, now);
}

static void compare(Replay *r, const JournalRecord *record)
{
    const EngineOutput *output = next_said(r);

    g_string_truncate(r->text, 0);
    if (output != NULL)
        json_write(r->text, output->json);
    r->report.said++;
    if (output == NULL || r->text->len != record->body_bytes || memcmp(r->text->str, record->body, record->body_bytes) != 0)
        difference(r, record->body, output == NULL ? NULL : r->text->str);
}

bool replay_take(Replay *r, const JournalRecord *record, GError **error)
{
    EngineInput input = { 0 };

    if (record->kind == JOURNAL_OWN)
        return true;
    if (record->kind == JOURNAL_SAID) {
        compare(r, record);
        return true;
    }
    if (r->outputs->len > 0)
        finish_input(r);
    if (!input_unpack(record->body, record->body_bytes, &input, error)) {
        g_prefix_error(error, "record %" G_GINT64_FORMAT ": ", record->number);
        return false;
    }
    g_ptr_array_set_size(r->outputs, 0);
    r->next = 0;
    r->differs = false;
    r->input = record->number;
    r->now_us = record->now_us;
    engine_step(r->engine, &input, record->now_us, r->outputs);
    r->report.inputs++;
    input_clear(&input);
    return true;
}

Engine *replay_end(Replay *r, ReplayReport *ret_report)
{
    finish_input(r);
    if (ret_report != NULL) {
        *ret_report = r->report;
        r->report = (ReplayReport){ 0 };
    }
    return g_steal_pointer(&r->engine);
}

const Engine *replay_engine(const Replay *replay)
{
    return replay->engine;
}

int64_t replay_now_us(const Replay *replay)
{
    return replay->now_us;
}

const EngineOutputs *replay_outputs(const Replay *replay)
{
    return replay->outputs;
}

char *replay_snapshot(const Engine *engine, int64_t now_us)
{
    return replay_snapshot_with(engine, now_us, NULL);
}

char *replay_snapshot_with(const Engine *engine, int64_t now_us, const Versions *versions)
{
    const Policy *policy = engine_policy(engine);
    g_autoptr(json_t) json = json_pack("{s:I, s:o, s:{s:s, s:s}}", "now_us", (json_int_t) now_us, "engine", engine_snapshot(engine), "policy",
                                       "name", policy->name, "text", policy->text);

    if (versions != NULL)
        json_object_set_new(json, "versions", versions_to_json(versions));
    return json_text(json);
}

Versions *replay_versions(const char *snapshot)
{
    g_autoptr(json_t) json = json_parse(snapshot, strlen(snapshot), "snapshot", NULL);

    return versions_from_json(json_object_get(json, "versions"));
}

Engine *replay_restore(const char *snapshot, int64_t *ret_now_us, GError **error)
{
    g_autoptr(json_t) json = json_parse(snapshot, strlen(snapshot), "snapshot", error);
    const json_t *policy_json = json_object_get(json, "policy");
    const char *name, *text;

    if (json == NULL || !json_get_string(policy_json, "name", &name, error) || !json_get_string(policy_json, "text", &text, error))
        return NULL;
    g_autoptr(Policy) policy = policy_read(name, text, &(PolicyReading){ .trusted = true }, error);
    Engine *engine = policy == NULL ? NULL : engine_restore(json_object_get(json, "engine"), policy, error);
    if (engine != NULL)
        *ret_now_us = json_int_or(json, "now_us", 0);
    return engine;
}
