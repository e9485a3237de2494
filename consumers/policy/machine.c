#include "consumers/policy/machine.h"

#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"

#include <string.h>

#define SNAPSHOT_EVERY 20000 /* inputs: about a quarter of a second of replay */

struct Machine {
    Journal *journal;
    Engine *engine;
    int64_t now_us;
    int64_t since_snapshot;
};

/* While reading back: the outputs of the input at hand against those that were written. */
typedef struct Replay {
    Machine *machine;
    MachineReport *report;
    EngineOutputs *outputs;
    guint next; /* output to compare */
    int64_t input_number;
    bool differs;
    GError *error;
} Replay;

static guint next_said(const EngineOutputs *outputs, guint i)
{
    while (i < outputs->len && ((EngineOutput *) outputs->pdata[i])->kind == OUTPUT_TIMER)
        i++;
    return i;
}

static void note_difference(Replay *r)
{
    r->next = next_said(r->outputs, r->next);
    if (!r->differs && r->next >= r->outputs->len)
        return;
    if (r->report->differed++ == 0)
        r->report->first_difference = r->input_number;
}

static bool replay_input(Replay *r, const JournalRecord *record)
{
    EngineInput input = { 0 };
    g_autoptr(json_t) json = json_parse(record->body, strlen(record->body), "journal", &r->error);

    note_difference(r);
    if (json == NULL || !input_from_json(json, &input, &r->error)) {
        g_prefix_error(&r->error, "record %" G_GINT64_FORMAT ": ", record->number);
        return false;
    }
    g_ptr_array_set_size(r->outputs, 0);
    r->next = 0;
    r->differs = false;
    r->input_number = record->number;
    engine_step(r->machine->engine, &input, record->now_us, r->outputs);
    r->machine->now_us = record->now_us;
    r->machine->since_snapshot++;
    r->report->replayed++;
    input_clear(&input);
    return true;
}

static bool replay_record(const JournalRecord *record, void *user)
{
    Replay *r = user;

    if (record->input)
        return replay_input(r, record);
    r->next = next_said(r->outputs, r->next);
    g_autofree char *now = r->next < r->outputs->len ? json_text(((EngineOutput *) r->outputs->pdata[r->next])->json) : NULL;
    if (g_strcmp0(now, record->body) != 0)
        r->differs = true;
    r->next++;
    return true;
}

static bool restore(Machine *machine, int64_t *ret_after, GError **error)
{
    g_autofree char *body = NULL;
    g_autoptr(GError) local = NULL;

    if (!journal_get_snapshot(machine->journal, ret_after, &body, &local)) {
        if (local != NULL)
            g_propagate_error(error, g_steal_pointer(&local));
        return local == NULL && (error == NULL || *error == NULL);
    }
    g_autoptr(json_t) json = json_parse(body, strlen(body), "snapshot", error);
    const json_t *policy_json = json_object_get(json, "policy");
    const char *name, *text;
    if (json == NULL || !json_get_string(policy_json, "name", &name, error) || !json_get_string(policy_json, "text", &text, error))
        return false;
    g_autoptr(Policy) policy = policy_parse(name, text, error);
    Engine *engine = policy == NULL ? NULL : engine_restore(json_object_get(json, "engine"), policy, error);
    if (engine == NULL)
        return false;
    engine_free(machine->engine);
    machine->engine = engine;
    machine->now_us = json_int_or(json, "now_us", 0);
    return true;
}

Machine *machine_open(const char *path, MachineReport *ret_report, GError **error)
{
    g_autoptr(Machine) machine = g_new0(Machine, 1);
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    g_autoptr(Policy) policy = policy_default();
    MachineReport report = { 0 };
    Replay replay = { .machine = machine, .report = &report, .outputs = outputs };
    int64_t after = 0;

    machine->engine = engine_new(policy);
    machine->journal = journal_open(path, error);
    if (machine->journal == NULL || !restore(machine, &after, error) ||
        !journal_read(machine->journal, after, replay_record, &replay, error))
        return NULL;
    if (replay.error != NULL) {
        g_propagate_error(error, replay.error);
        return NULL;
    }
    note_difference(&replay);
    if (ret_report != NULL)
        *ret_report = report;
    return g_steal_pointer(&machine);
}

void machine_free(Machine *machine)
{
    if (machine == NULL)
        return;
    journal_free(machine->journal);
    engine_free(machine->engine);
    g_free(machine);
}

int64_t machine_now_us(Machine *machine, int64_t wall_us)
{
    return machine->now_us = MAX(machine->now_us, wall_us);
}

static bool put_outputs(Machine *machine, EngineOutputs *outputs, guint from, int64_t wall_us, GError **error)
{
    for (guint i = from; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];
        g_autofree char *body = output->kind == OUTPUT_TIMER ? NULL : json_text(output->json);

        if (body != NULL &&
            !journal_put(machine->journal,
                         &(JournalRecord){ .now_us = machine->now_us,
                                           .wall_us = wall_us,
                                           .entity = json_string_or(output->json, "entity", NULL),
                                           .incident = json_string_or(output->json, "incident", NULL),
                                           .body = body },
                         error))
            return false;
    }
    return true;
}

bool machine_step(Machine *machine, const EngineInput *input, int64_t wall_us, EngineOutputs *outputs, GError **error)
{
    g_autoptr(json_t) json = input_to_json(input);
    g_autofree char *body = json_text(json);
    guint before = outputs->len;
    JournalRecord record = { .input = true, .now_us = machine_now_us(machine, wall_us), .wall_us = wall_us,
                             .entity = input_entity(input), .body = body };

    if (!journal_put(machine->journal, &record, error))
        return false;
    engine_step(machine->engine, input, machine->now_us, outputs);
    machine->since_snapshot++;
    return put_outputs(machine, outputs, before, wall_us, error);
}

bool machine_commit(Machine *machine, GError **error)
{
    if (!journal_commit(machine->journal, error))
        return false;
    return machine->since_snapshot < SNAPSHOT_EVERY || machine_snapshot(machine, error);
}

bool machine_snapshot(Machine *machine, GError **error)
{
    const Policy *policy = engine_policy(machine->engine);
    g_autoptr(json_t) json = json_pack("{s:I, s:o, s:{s:s, s:s}}", "now_us", (json_int_t) machine->now_us, "engine",
                                       engine_snapshot(machine->engine), "policy", "name", policy->name, "text", policy->text);
    g_autofree char *body = json_text(json);

    machine->since_snapshot = 0;
    return journal_put_snapshot(machine->journal, body, error);
}

json_t *machine_record_json(const JournalRecord *record, GError **error)
{
    return json_parse(record->body, strlen(record->body), "journal", error);
}

const Engine *machine_engine(const Machine *machine)
{
    return machine->engine;
}

Journal *machine_journal(Machine *machine)
{
    return machine->journal;
}
