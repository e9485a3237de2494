#include "tests/policy/play.h"

#include "consumers/policy/input.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <string.h>

typedef struct Play {
    const char *folder;
    Engine *engine;
    Policy *policy;
    EngineOutputs *outputs;
    GString *said;
    GPtrArray *commands; /* ids */
    uint64_t sequence;
    bool restore_each;
} Play;

static json_t *read_json(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize length;

    g_file_get_contents(path, &text, &length, &error);
    g_assert_no_error(error);
    json_t *json = json_parse(text, length, path, &error);
    g_assert_no_error(error);
    return json;
}

static Policy *read_policy(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return policy_default();
    Policy *policy = policy_load(path, &error);
    g_assert_no_error(error);
    return policy;
}

static void say(Play *p, int64_t now_us, json_t *json)
{
    g_autofree char *at = duration_format(now_us - PLAY_BEGIN_US);
    g_autofree char *text = json_dumps(json, JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);

    g_string_append_printf(p->said, "%s  {\"at\": \"%s\", %s", p->said->len == 2 ? "" : ",\n", strcmp(at, "0") == 0 ? "0s" : at, text + 1);
    json_decref(json);
}

static void say_command(Play *p, const EngineOutput *output, int64_t now_us)
{
    const Command *command = output->command;
    bool again = json_bool_or(output->json, "again", false);

    say(p, now_us, json_pack("{s:s, s:s, s:s, s:I, s:I}", again ? "command again" : "command", command->action, "entity", command->entity,
                             "agent", command->agent, "attempt", (json_int_t) json_int_or(output->json, "attempt", 0), "epoch",
                             (json_int_t) command->epoch));
    if (!again)
        g_ptr_array_add(p->commands, g_strdup(command->id));
}

/* Commands, notices, and of the records those that tell what became of an incident. */
static void say_output(Play *p, const EngineOutput *output, int64_t now_us)
{
    const char *record = json_string_or(output->json, "record", "");
    static const char *const told[] = { "incident.open", "incident.waits", "incident.needs-human", "attempt.failed", "not-a-failure",
                                        "rule.passed-over", "step.used-up", "step.skipped", "hold", "hold.released", "operator.refused",
                                        "result.late", "numbering", "verdict", "proof", "copies", "hosts.fault", "hosts.well", NULL };

    if (output->kind == OUTPUT_COMMAND)
        say_command(p, output, now_us);
    else if (output->kind == OUTPUT_NOTICE)
        say(p, now_us, json_pack("{s:s, s:s, s:s}", "notice", json_string_or(output->json, "notice", ""), "to",
                                 json_string_or(output->json, "to", ""), "text", json_string_or(output->json, "text", "")));
    else if (output->kind == OUTPUT_RECORD && strcmp(record, "incident.closed") == 0)
        say(p, now_us, json_pack("{s:s, s:s}", "closed", json_string_or(output->json, "text", ""), "entity",
                                 json_string_or(output->json, "entity", "")));
    else if (output->kind == OUTPUT_RECORD && g_strv_contains(told, record))
        say(p, now_us, json_pack("{s:s, s:s}", "note", record, "text", json_string_or(output->json, "text", "")));
}

static void restore(Play *p)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) snapshot = engine_snapshot(p->engine);
    Engine *again = engine_restore(snapshot, (Policy *) engine_policy(p->engine), &error);

    g_assert_no_error(error);
    g_autoptr(json_t) snapshot_again = engine_snapshot(again);
    g_assert_true(json_equal(snapshot, snapshot_again));
    engine_free(p->engine);
    p->engine = again;
}

static void step(Play *p, const EngineInput *input, int64_t now_us)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) json = input_to_json(input);
    EngineInput again = { 0 };

    g_assert_true(input_from_json(json, &again, &error)); /* every input goes through its journal form */
    g_assert_no_error(error);
    g_ptr_array_set_size(p->outputs, 0);
    engine_step(p->engine, &again, now_us, p->outputs);
    for (guint i = 0; i < p->outputs->len; i++)
        say_output(p, p->outputs->pdata[i], now_us);
    input_clear(&again);
    if (p->restore_each)
        restore(p);
}

static void run_timers(Play *p, int64_t until_us)
{
    const EngineInput timer = { .kind = INPUT_TIMER };

    for (int64_t due_us; (due_us = engine_due_us(p->engine)) <= until_us;)
        step(p, &timer, due_us);
}

static int64_t moment(const json_t *item)
{
    int64_t at_us = 0;
    const char *at = json_string_or(item, "at", "0s");

    g_assert_true(duration_parse(at, &at_us));
    return PLAY_BEGIN_US + at_us;
}

/* A host's agent speaks of the host and its VMs, a guest's of its services, and an agent of itself; "by" names another. */
static char *agent_of(const json_t *item, char **words)
{
    const char *by = json_string_or(item, "by", NULL), *host = json_string_or(json_object_get(item, "data"), "host", NULL);

    if (by != NULL || strcmp(words[0], "agent") == 0)
        return g_strdup(by != NULL ? by : words[1]);
    if (strcmp(words[0], "host") == 0 || (strcmp(words[0], "vm") == 0 && host != NULL))
        return g_strdup_printf("host:%s", strcmp(words[0], "host") == 0 ? words[1] : host);
    return g_strdup_printf("guest:%s", words[1]);
}

static void play_event(Play *p, const json_t *item, int64_t now_us)
{
    const char *entity = json_string_or(item, "entity", NULL), *boot = json_string_or(item, "boot", "boot-1");
    g_autoptr(json_t) data = json_object_get(item, "data") == NULL ? json_object() : json_copy(json_object_get(item, "data"));
    uint64_t sequence = (uint64_t) json_int_or(item, "sequence", (json_int_t) p->sequence + 1);
    g_autofree char *id = g_strdup_printf("event-%" G_GUINT64_FORMAT, sequence), *agent = NULL;
    g_auto(GStrv) words = g_strsplit(entity, "/", 3);

    p->sequence = MAX(p->sequence, sequence);
    agent = agent_of(item, words);
    if (json_string_or(item, "intent", NULL) != NULL)
        json_object_set(data, "intent", json_object_get(item, "intent"));
    const EventFields fields = { .id = json_string_or(item, "id", id), .kind = json_string_or(item, "event", NULL), .source = agent,
                                 .entity = entity, .time_us = now_us, .sequence = sequence, .severity = 3, .boot_id = boot,
                                 .confidence = 1, .data = data };
    g_autoptr(Event) event = event_new(&fields);
    step(p, &(EngineInput){ .kind = json_bool_or(item, "asked", false) ? INPUT_ENTITY : INPUT_EVENT, .event = event }, now_us);
}

static void play_result(Play *p, const json_t *item, int64_t now_us)
{
    int64_t of = json_int_or(item, "of", p->commands->len);
    Result result = { .error = (char *) json_string_or(item, "error", NULL), .text = (char *) json_string_or(item, "text", NULL) };

    g_assert_true(result_state_parse(json_string_or(item, "result", NULL), &result.state));
    result.command_id = of >= 1 && of <= p->commands->len ? p->commands->pdata[of - 1] : (char *) "00000000-0000-0000-0000-000000000000";
    if (json_string_or(item, "state", NULL) != NULL)
        result.values = json_pack("{s:s}", "state", json_string_or(item, "state", NULL));
    step(p, &(EngineInput){ .kind = INPUT_RESULT, .result = &result }, now_us);
    json_decref(result.values);
}

static void play_policy(Play *p, const char *name, int64_t now_us)
{
    g_autoptr(Policy) policy = read_policy(p->folder, name);

    step(p, &(EngineInput){ .kind = INPUT_POLICY, .policy = policy }, now_us);
}

static void play_item(Play *p, const json_t *item)
{
    int64_t now_us = moment(item);

    run_timers(p, now_us);
    if (json_object_get(item, "event") != NULL)
        play_event(p, item, now_us);
    else if (json_object_get(item, "result") != NULL)
        play_result(p, item, now_us);
    else if (json_object_get(item, "acting") != NULL)
        step(p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = (uint64_t) json_int_or(item, "acting", 0) }, now_us);
    else if (json_object_get(item, "start") != NULL)
        step(p, &(EngineInput){ .kind = INPUT_START }, now_us);
    else if (json_object_get(item, "policy") != NULL)
        play_policy(p, json_string_or(item, "policy", ""), now_us);
    else if (json_object_get(item, "operator") != NULL)
        step(p, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = json_string_or(item, "operator", ""),
                                .target = json_string_or(item, "entity", NULL), .who = "anna" },
             now_us);
    else
        g_assert_true(json_object_get(item, "nothing") != NULL); /* time passes */
}

char *play_case(const char *folder, bool restore_each)
{
    g_autoptr(json_t) story = read_json(folder, "events.json");
    g_autoptr(Policy) policy = read_policy(folder, "policy.yaml");
    Play p = { .folder = folder, .policy = policy, .engine = engine_new(policy), .outputs = engine_outputs_new(),
               .said = g_string_new("[\n"), .commands = g_ptr_array_new_with_free_func(g_free), .restore_each = restore_each };
    size_t i;
    json_t *item;

    if (!json_bool_or(story, "from_the_start", false)) { /* else the story begins with an engine that has been acting for long */
        step(&p, &(EngineInput){ .kind = INPUT_START }, PLAY_BEGIN_US - US_PER_HOUR);
        step(&p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 }, PLAY_BEGIN_US - US_PER_HOUR);
    }
    json_array_foreach(json_object_get(story, "inputs"), i, item)
        play_item(&p, item);
    g_string_append(p.said, p.said->len == 2 ? "]\n" : "\n]\n");
    engine_free(p.engine);
    g_ptr_array_unref(p.outputs);
    g_ptr_array_unref(p.commands);
    return g_string_free(p.said, FALSE);
}
