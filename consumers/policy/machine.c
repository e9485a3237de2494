#include "consumers/policy/machine.h"

#include "consumers/policy/crash.h"
#include "consumers/policy/replay.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#define SNAPSHOT_EVERY 100000 /* inputs: about a quarter of a second of replay */
#define SNAPSHOTS_KEPT 8      /* over the time that is kept, at least */
#define CUT_PIECE 4000        /* records: about 20 ms */

struct Machine {
    Journal *journal;
    Engine *engine;
    GByteArray *packed;
    Versions *versions;
    int64_t now_us;
    int64_t since_snapshot, snapshot_us; /* inputs; the newest one's time */
    bool command_waits; /* for its commit */
};

typedef struct Taking {
    Replay *replay;
    Versions *versions;
    GError *error;
} Taking;

static void note_version(Versions *versions, const JournalRecord *record, const Policy *policy)
{
    g_autoptr(json_t) json = machine_record_json(record, NULL);

    versions_add(versions, policy, record->now_us, json_string_or(json_object_get(json, "arguments"), "from", NULL),
                 json_string_or(json, "who", NULL));
}

static bool take_record(const JournalRecord *record, void *user)
{
    Taking *taking = user;
    const Policy *before = engine_policy(replay_engine(taking->replay));

    if (!replay_take(taking->replay, record, &taking->error))
        return false;
    if (engine_policy(replay_engine(taking->replay)) != before)
        note_version(taking->versions, record, engine_policy(replay_engine(taking->replay)));
    return true;
}

/* The engine as the newest snapshot has it; without one, as it begins. */
static bool restore(Machine *machine, int64_t *ret_after, GError **error)
{
    g_autofree char *body = NULL;
    g_autoptr(GError) local = NULL;
    g_autoptr(Policy) policy = policy_default();

    if (journal_get_snapshot(machine->journal, INT64_MAX, ret_after, &body, &local)) {
        machine->engine = replay_restore(body, &machine->now_us, &local);
        machine->snapshot_us = machine->now_us;
        machine->versions = replay_versions(body);
        g_prefix_error(&local, "journal %s: ", journal_path(machine->journal));
    } else if (local == NULL) {
        machine->engine = engine_new(policy);
    }
    if (machine->versions == NULL)
        machine->versions = versions_new();
    if (machine->engine != NULL && versions_size(machine->versions) == 0)
        versions_add(machine->versions, engine_policy(machine->engine), machine->now_us, "start", NULL);
    if (local != NULL)
        g_propagate_error(error, g_steal_pointer(&local));
    return machine->engine != NULL;
}

static bool replay_rest(Machine *machine, int64_t after, MachineReport *ret_report, GError **error)
{
    g_autoptr(Replay) replay = replay_new(g_steal_pointer(&machine->engine));
    Taking taking = { .replay = replay, .versions = machine->versions };
    ReplayReport report;

    if (!journal_read(machine->journal, after, take_record, &taking, error))
        return false;
    if (taking.error != NULL) {
        g_propagate_prefixed_error(error, taking.error, "journal %s: ", journal_path(machine->journal));
        return false;
    }
    machine->now_us = MAX(machine->now_us, replay_now_us(replay));
    machine->engine = replay_end(replay, &report);
    machine->since_snapshot = report.inputs;
    if (ret_report != NULL)
        *ret_report = (MachineReport){ report.inputs, report.differed, report.first_difference };
    replay_report_clear(&report);
    return true;
}

Machine *machine_open(const char *path, MachineReport *ret_report, GError **error)
{
    g_autoptr(Machine) machine = g_new0(Machine, 1);
    int64_t after = 0;

    machine->packed = g_byte_array_new();
    machine->journal = journal_open(path, error);
    if (machine->journal == NULL || !restore(machine, &after, error) || !replay_rest(machine, after, ret_report, error))
        return NULL;
    return g_steal_pointer(&machine);
}

void machine_free(Machine *machine)
{
    if (machine == NULL)
        return;
    journal_free(machine->journal);
    engine_free(machine->engine);
    versions_free(machine->versions);
    g_byte_array_unref(machine->packed);
    g_free(machine);
}

int64_t machine_now_us(Machine *machine, int64_t wall_us)
{
    return machine->now_us = MAX(machine->now_us, wall_us);
}

static bool put_input(Journal *journal, GByteArray *packed, const EngineInput *input, int64_t now_us, int64_t wall_us, GError **error)
{
    g_byte_array_set_size(packed, 0);
    input_pack(input, packed);
    const JournalRecord record = { .kind = JOURNAL_INPUT, .now_us = now_us, .wall_us = wall_us, .entity = input_entity(input),
                                   .body = (const char *) packed->data, .body_bytes = packed->len };
    return journal_put(journal, &record, error);
}

static bool put_outputs(Journal *journal, const EngineOutputs *outputs, guint from, int64_t now_us, int64_t wall_us, GError **error)
{
    for (guint i = from; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];
        g_autofree char *body = output->kind == OUTPUT_TIMER ? NULL : json_text(output->json);

        if (body != NULL && !journal_put(journal,
                                         &(JournalRecord){ .kind = JOURNAL_SAID, .now_us = now_us, .wall_us = wall_us,
                                                           .entity = json_string_or(output->json, "entity", NULL),
                                                           .incident = json_string_or(output->json, "incident", NULL),
                                                           .body = body },
                                         error))
            return false;
        if (output->kind == OUTPUT_COMMAND)
            crash_at(CRASH_DECIDED);
    }
    return true;
}

bool machine_step(Machine *machine, const EngineInput *input, int64_t wall_us, EngineOutputs *outputs, GError **error)
{
    guint before = outputs->len;
    int64_t now_us = machine_now_us(machine, wall_us);

    if (!put_input(machine->journal, machine->packed, input, now_us, wall_us, error))
        return false;
    engine_step(machine->engine, input, now_us, outputs);
    if (input->kind == INPUT_POLICY)
        versions_add(machine->versions, input->policy, now_us, json_string_or(input->arguments, "from", NULL), input->who);
    machine->since_snapshot++;
    for (guint i = before; i < outputs->len; i++)
        machine->command_waits |= ((EngineOutput *) outputs->pdata[i])->kind == OUTPUT_COMMAND;
    return put_outputs(machine->journal, outputs, before, now_us, wall_us, error);
}

bool machine_commit(Machine *machine, GError **error)
{
    if (machine->command_waits && fault_at(FAULT_COMMIT)) {
        g_set_error(error, JOURNAL_ERROR, JOURNAL_ERROR_WRITE, "journal %s: cannot be written: MEND_FAIL_AT says so",
                    journal_path(machine->journal));
        return false;
    }
    machine->command_waits = false;
    if (!journal_commit(machine->journal, error))
        return false;
    return machine->since_snapshot < SNAPSHOT_EVERY || machine_snapshot(machine, error);
}

bool machine_snapshot(Machine *machine, GError **error)
{
    g_autofree char *body = replay_snapshot_with(machine->engine, machine->now_us, machine->versions);

    machine->since_snapshot = 0;
    machine->snapshot_us = machine->now_us;
    return journal_put_snapshot(machine->journal, body, error);
}

/* The first record that must stay, for the sake of open incidents. */
static bool first_needed(const Machine *machine, int64_t *ret_number, GError **error)
{
    g_autoptr(json_t) incidents = engine_incidents(machine->engine);
    int64_t oldest_us = INT64_MAX;
    size_t i;
    json_t *incident;

    json_array_foreach(incidents, i, incident)
        oldest_us = MIN(oldest_us, json_int_or(incident, "opened_us", 0));
    *ret_number = INT64_MAX;
    return oldest_us == INT64_MAX || journal_at(machine->journal, oldest_us, ret_number, error);
}

/* Records up to here are too old, or too many: *ret_old is a bound to stay below, *ret_many one to reach. */
static bool bounds(const Machine *machine, const Retention *keep, int64_t wall_us, int64_t *ret_old, int64_t *ret_many, GError **error)
{
    int64_t oldest = journal_oldest(machine->journal), newest = journal_newest(machine->journal), size = 0, at = oldest;

    if (!journal_size(machine->journal, &size, error) ||
        (keep->keep_us > 0 && !journal_at(machine->journal, wall_us - keep->keep_us, &at, error)))
        return false;
    *ret_old = at - 1;
    *ret_many = oldest - 1;
    if (keep->keep_bytes > 0 && size > keep->keep_bytes)
        *ret_many += (int64_t) ((double) (newest - oldest + 1) * (1 - (double) keep->keep_bytes / (double) size));
    return true;
}

bool machine_retain(Machine *machine, const Retention *keep, int64_t wall_us, bool *ret_more, GError **error)
{
    int64_t needed, old, many, at = 0, newest = 0;

    *ret_more = false;
    /* Where nothing much happens, too, there are places to cut at. */
    if (keep->keep_us > 0 && machine->since_snapshot > 0 && wall_us - machine->snapshot_us >= keep->keep_us / SNAPSHOTS_KEPT &&
        !machine_snapshot(machine, error))
        return false;
    if (!machine_commit(machine, error) || !first_needed(machine, &needed, error) || !bounds(machine, keep, wall_us, &old, &many, error))
        return false;
    if (MAX(old, many) < journal_oldest(machine->journal))
        return true;
    if (!journal_snapshot_at(machine->journal, needed - 1, false, &newest, error))
        return false;
    /* Age asks to keep so long at least, size to keep so much at most. */
    if (!journal_snapshot_at(machine->journal, old, false, &at, error))
        return false;
    if (at < many && !journal_snapshot_at(machine->journal, many, true, &at, error))
        return false;
    if (at < many)
        at = newest;
    at = MIN(at, newest);
    if (at < journal_oldest(machine->journal))
        return true;
    g_autofree char *age = duration_format(keep->keep_us);
    g_autofree char *why = at <= old ? g_strdup_printf("older than %s", age)
                                     : g_strdup_printf("more than %" G_GINT64_FORMAT " bytes", keep->keep_bytes);
    return journal_cut(machine->journal, at, CUT_PIECE, why, wall_us, ret_more, error);
}

json_t *machine_record_json(const JournalRecord *record, GError **error)
{
    return record->kind == JOURNAL_INPUT ? input_unpack_json(record->body, record->body_bytes, error)
                                         : json_parse(record->body, record->body_bytes, "journal", error);
}

const Engine *machine_engine(const Machine *machine)
{
    return machine->engine;
}

const Versions *machine_versions(const Machine *machine)
{
    return machine->versions;
}

Journal *machine_journal(Machine *machine)
{
    return machine->journal;
}

struct Recording {
    Journal *journal;
    GByteArray *packed;
};

Recording *recording_new(const char *path, const Engine *engine, GError **error)
{
    Journal *journal = journal_open_as(path, JOURNAL_BULK, error);
    g_autofree char *body = journal == NULL ? NULL : replay_snapshot(engine, 0);

    if (journal == NULL || !journal_put_snapshot(journal, body, error)) {
        journal_free(journal);
        return NULL;
    }
    Recording *recording = g_new0(Recording, 1);
    recording->journal = journal;
    recording->packed = g_byte_array_new();
    return recording;
}

bool recording_put(Recording *recording, const EngineInput *input, int64_t now_us, int64_t wall_us, const EngineOutputs *outputs, guint from,
                   GError **error)
{
    return put_input(recording->journal, recording->packed, input, now_us, wall_us, error) &&
           put_outputs(recording->journal, outputs, from, now_us, wall_us, error);
}

bool recording_end(Recording *recording, GError **error)
{
    return journal_bulk_end(recording->journal, error);
}

void recording_free(Recording *recording)
{
    if (recording == NULL)
        return;
    journal_free(recording->journal);
    g_byte_array_unref(recording->packed);
    g_free(recording);
}
