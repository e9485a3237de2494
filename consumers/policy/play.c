/* One line is said for each command, notice, and record that tells what became of an incident: what a case compares. */
#include "consumers/policy/play.h"

#include "consumers/policy/input.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/yaml.h"
#include "lib/model/entity.h"

#include <string.h>

G_DEFINE_QUARK(mend-play-error-quark, play_error)

typedef struct Play {
    const char *folder;
    const PlayOptions *options;
    Engine *engine;
    Policy *policy;
    EngineOutputs *outputs;
    GString *said;
    json_t *all;         /* what was said, as objects */
    GPtrArray *commands; /* ids */
    uint64_t sequence;
    size_t item;         /* at hand, for errors */
    GError **error;
} Play;

static bool wrong(Play *p, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool wrong(Play *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (p->error != NULL && *p->error == NULL)
        g_set_error(p->error, PLAY_ERROR, PLAY_ERROR_CASE, "%s: input %u: %s", p->folder, (unsigned) p->item + 1, text);
    return false;
}

/* JSON is YAML, and YAML tells lines. (transfer full) */
static json_t *read_story(const char *path, GError **error)
{
    static const char *const names[] = { "events.json", "events.yaml" };
    g_autofree char *file = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(names) && g_file_test(path, G_FILE_TEST_IS_DIR); i++) {
        g_autofree char *candidate = g_build_filename(path, names[i], NULL);

        if (file == NULL && g_file_test(candidate, G_FILE_TEST_EXISTS))
            file = g_steal_pointer(&candidate);
    }
    g_autoptr(YamlFile) yaml = yaml_read_file(file == NULL ? path : file, error);
    if (yaml == NULL)
        return NULL;
    json_t *story = yaml->root == NULL ? NULL : yaml_to_json(yaml->root);
    if (!json_is_array(json_object_get(story, "inputs"))) {
        json_decref(story);
        g_set_error(error, PLAY_ERROR, PLAY_ERROR_CASE, "%s: a case is a map with a list \"inputs\"", yaml->name);
        return NULL;
    }
    return story;
}

static Policy *read_policy(const char *folder, const char *name, Policy *otherwise, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return otherwise != NULL ? policy_ref(otherwise) : policy_default();
    return policy_load(path, error);
}

static void say(Play *p, int64_t now_us, json_t *json)
{
    g_autofree char *at = duration_format(now_us - PLAY_BEGIN_US);
    g_autofree char *text = json_dumps(json, JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);

    g_string_append_printf(p->said, "%s  {\"at\": \"%s\", %s", p->said->len == 2 ? "" : ",\n", strcmp(at, "0") == 0 ? "0s" : at, text + 1);
    json_object_set_new(json, "at", json_string(strcmp(at, "0") == 0 ? "0s" : at));
    json_array_append_new(p->all, json);
}

static void say_command(Play *p, const EngineOutput *output, int64_t now_us)
{
    const Command *command = output->command;
    bool again = json_bool_or(output->json, "again", false);

    const json_t *parameters = json_object_get(command->arguments, "parameters");
    const json_t *control = json_object_get(json_object_get(output->json, "data"), "control");

    if (control != NULL)
        say(p, now_us, json_pack("{s:s, s:s, s:s, s:s, s:O*, s:O*}", "command", command->action, "entity", command->entity, "agent", command->agent,
                                 "control", json_string_or(output->json, "rule", ""), "value", json_object_get(control, "value"), "arguments",
                                json_object_get(control, "arguments")));
    else
        say(p, now_us, json_pack("{s:s, s:s, s:s, s:I, s:I, s:O*, s:O*}", again ? "command again" : "command", command->action, "entity", command->entity,
                             "agent", command->agent, "attempt", (json_int_t) json_int_or(output->json, "attempt", 0), "epoch",
                             (json_int_t) command->epoch, "parameters", parameters, "definition_hash", json_object_get(command->arguments, "definition_hash")));
    if (!again)
        g_ptr_array_add(p->commands, g_strdup(command->id));
}

/* Commands, notices, and of the records those that tell what became of an incident. */
static void say_output(Play *p, const EngineOutput *output, int64_t now_us)
{
    const char *record = json_string_or(output->json, "record", "");
    static const char *const told[] = { "incident.open", "incident.waits", "incident.needs-human", "attempt.failed", "not-a-failure",
                                        "rule.passed-over", "step.used-up", "step.skipped", "hold", "hold.released", "operator.refused",
                                        "result.late", "control.none", "control.would", "control.result", "suppressed", "quiet.begun", "quiet.ended", "job.overdue",
                                        "quarantine", "quarantine.refused", "quarantine.ended", "approval", "flapping", "flapping.ended", "numbering", "verdict", "proof", "copies", "old-copy", "hosts.fault", "hosts.well", NULL };

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

static bool restore(Play *p)
{
    g_autoptr(json_t) snapshot = engine_snapshot(p->engine);
    Engine *again = engine_restore(snapshot, (Policy *) engine_policy(p->engine), p->error);

    if (again == NULL)
        return false;
    g_autoptr(json_t) snapshot_again = engine_snapshot(again);
    engine_free(p->engine);
    p->engine = again;
    return json_equal(snapshot, snapshot_again) || wrong(p, "the engine is not what its snapshot says");
}

static bool step(Play *p, const EngineInput *input, int64_t now_us)
{
    g_autoptr(json_t) json = input_to_json(input);
    EngineInput again = { 0 };

    if (!input_from_json(json, &again, p->error)) /* every input goes through its journal form */
        return false;
    g_ptr_array_set_size(p->outputs, 0);
    engine_step(p->engine, &again, now_us, p->outputs);
    for (guint i = 0; i < p->outputs->len; i++)
        say_output(p, p->outputs->pdata[i], now_us);
    if (p->options->heard != NULL)
        p->options->heard(json, p->outputs, now_us, p->options->user);
    input_clear(&again);
    return !p->options->restore_each || restore(p);
}

static bool run_timers(Play *p, int64_t until_us)
{
    const EngineInput timer = { .kind = INPUT_TIMER };

    for (int64_t due_us; (due_us = engine_due_us(p->engine)) <= until_us;)
        if (!step(p, &timer, due_us))
            return false;
    return true;
}

static bool moment(Play *p, const json_t *item, int64_t *ret_us)
{
    const char *at = json_string_or(item, "at", "0s");
    int64_t at_us = 0;

    if (!duration_parse(at, &at_us))
        return wrong(p, "\"at\": \"%s\" is no duration: 90s, 2m30s is wanted", at);
    *ret_us = PLAY_BEGIN_US + at_us;
    return true;
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

static bool play_event(Play *p, const json_t *item, int64_t now_us)
{
    const char *path = json_string_or(item, "entity", ""), *boot = json_string_or(item, "boot", "boot-1");
    g_autoptr(Entity) entity = entity_parse(path, NULL);
    g_autoptr(json_t) data = json_object_get(item, "data") == NULL ? json_object() : json_copy(json_object_get(item, "data"));
    uint64_t sequence = (uint64_t) json_int_or(item, "sequence", (json_int_t) p->sequence + 1);
    g_autofree char *id = g_strdup_printf("event-%" G_GUINT64_FORMAT, sequence), *agent = NULL;
    g_auto(GStrv) words = g_strsplit(path, "/", 3);

    const char *occurred = json_string_or(item, "occurred", NULL);
    int64_t occurred_us = now_us - PLAY_BEGIN_US;
    if (occurred != NULL && !duration_parse(occurred, &occurred_us))
        return wrong(p, "\"occurred\": \"%s\" is no duration: 90s, 2m30s is wanted", occurred);
    if (entity == NULL)
        return wrong(p, "\"entity\": \"%s\" is none: service/VM/NAME, vm/ID, host/ID, agent/NAME, storage/ID is wanted", path);
    p->sequence = MAX(p->sequence, sequence);
    agent = agent_of(item, words);
    if (json_string_or(item, "intent", NULL) != NULL)
        json_object_set(data, "intent", json_object_get(item, "intent"));
    const EventFields fields = { .id = json_string_or(item, "id", id), .kind = json_string_or(item, "event", ""), .source = agent,
                                 .entity = path, .time_us = PLAY_BEGIN_US + occurred_us, .sequence = sequence, .severity = 3, .boot_id = boot,
                                 .confidence = 1, .data = data };
    g_autoptr(Event) event = event_new(&fields);
    return step(p, &(EngineInput){ .kind = json_bool_or(item, "asked", false) ? INPUT_ENTITY : INPUT_EVENT, .event = event }, now_us);
}

static bool play_result(Play *p, const json_t *item, int64_t now_us)
{
    int64_t of = json_int_or(item, "of", p->commands->len);
    Result result = { .error = (char *) json_string_or(item, "error", NULL), .text = (char *) json_string_or(item, "text", NULL) };

    if (!result_state_parse(json_string_or(item, "result", ""), &result.state))
        return wrong(p, "\"result\": done, failed, refused or progress is wanted");
    result.command_id = of >= 1 && of <= p->commands->len ? p->commands->pdata[of - 1] : (char *) "00000000-0000-0000-0000-000000000000";
    if (json_string_or(item, "state", NULL) != NULL)
        result.values = json_pack("{s:s}", "state", json_string_or(item, "state", NULL));
    bool fine = step(p, &(EngineInput){ .kind = INPUT_RESULT, .result = &result }, now_us);
    json_decref(result.values);
    return fine;
}

static bool play_policy(Play *p, const char *name, int64_t now_us)
{
    g_autoptr(Policy) policy = read_policy(p->folder, name, NULL, p->error);

    return policy != NULL && step(p, &(EngineInput){ .kind = INPUT_POLICY, .policy = policy }, now_us);
}

/* "for": "2h" of an operator's request is its end in the engine's own form. */
static bool play_operator(Play *p, const json_t *item, int64_t now_us)
{
    g_autoptr(json_t) arguments = json_object_get(item, "arguments") == NULL ? json_object() : json_copy(json_object_get(item, "arguments"));
    const char *lasts = json_string_or(item, "for", NULL);
    int64_t for_us = 0;

    if (lasts != NULL && !duration_parse(lasts, &for_us))
        return wrong(p, "\"for\": \"%s\" is no duration", lasts);
    if (lasts != NULL)
        json_object_set_new(arguments, "until_us", json_integer(now_us + for_us));
    return step(p, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = json_string_or(item, "operator", ""),
                                   .target = json_string_or(item, "entity", NULL), .who = json_string_or(item, "who", "anna"),
                                   .arguments = arguments },
                now_us);
}

static bool play_item(Play *p, const json_t *item)
{
    int64_t now_us = 0;

    if (!moment(p, item, &now_us) || !run_timers(p, now_us))
        return false;
    if (json_object_get(item, "event") != NULL)
        return play_event(p, item, now_us);
    if (json_object_get(item, "result") != NULL)
        return play_result(p, item, now_us);
    if (json_object_get(item, "acting") != NULL)
        return step(p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = (uint64_t) json_int_or(item, "acting", 0),
                                          .shard = (unsigned) json_int_or(item, "shard", 0), .shards = (unsigned) json_int_or(item, "shards", 0) }, now_us);
    if (json_object_get(item, "start") != NULL)
        return step(p, &(EngineInput){ .kind = INPUT_START }, now_us);
    if (json_object_get(item, "policy") != NULL)
        return play_policy(p, json_string_or(item, "policy", ""), now_us);
    if (json_object_get(item, "operator") != NULL)
        return play_operator(p, item, now_us);
    return json_object_get(item, "nothing") != NULL || wrong(p, "one of event, result, operator, policy, acting, start, nothing is wanted");
}

static bool play_all(Play *p, const json_t *story)
{
    const json_t *inputs = json_object_get(story, "inputs");

    if (!json_bool_or(story, "from_the_start", false)) /* else the story begins with an engine that has been acting for long */
        if (!step(p, &(EngineInput){ .kind = INPUT_START }, PLAY_BEGIN_US - US_PER_HOUR) ||
            !step(p, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 }, PLAY_BEGIN_US - US_PER_HOUR))
            return false;
    for (p->item = 0; p->item < json_array_size(inputs); p->item++)
        if (!play_item(p, json_array_get(inputs, p->item)))
            return false;
    return true;
}

/* *ret_said and *ret_all (transfer full). */
static bool play(const char *path, const json_t *story, const PlayOptions *options, char **ret_said, json_t **ret_all, GError **error)
{
    g_autoptr(Policy) policy = read_policy(path, "policy.yaml", options->policy, error);

    if (policy == NULL)
        return false;
    Play p = { .folder = path, .options = options, .policy = policy, .engine = engine_new(policy), .outputs = engine_outputs_new(),
               .said = g_string_new("[\n"), .all = json_array(), .commands = g_ptr_array_new_with_free_func(g_free), .error = error };
    bool fine = play_all(&p, story);
    g_string_append(p.said, p.said->len == 2 ? "]\n" : "\n]\n");
    engine_free(p.engine);
    g_ptr_array_unref(p.outputs);
    g_ptr_array_unref(p.commands);
    *ret_said = g_string_free(p.said, FALSE);
    *ret_all = p.all;
    return fine;
}

char *play_case(const char *path, const PlayOptions *options, GError **error)
{
    g_autoptr(json_t) story = read_story(path, error), all = NULL;
    g_autofree char *said = NULL;

    if (story == NULL || !play(path, story, options, &said, &all, error))
        return NULL;
    return g_steal_pointer(&said);
}

static bool has_keys_of(const json_t *said, const json_t *expected)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *) expected, key, value)
        if (!json_equal(json_object_get(said, key), value))
            return false;
    return true;
}

static bool is_done(const json_t *said)
{
    return json_object_get(said, "command") != NULL || json_object_get(said, "command again") != NULL || json_object_get(said, "notice") != NULL;
}

/* Commands and notices in their order; of each the keys that are given. */
static char *compare_expected(const json_t *all, const json_t *expected)
{
    size_t next = 0, i;
    json_t *said;

    json_array_foreach((json_t *) all, i, said) {
        if (!is_done(said))
            continue;
        const json_t *wanted = json_array_get(expected, next++);
        if (wanted != NULL && has_keys_of(said, wanted))
            continue;
        g_autofree char *got = json_dumps(said, 0), *want = wanted == NULL ? g_strdup("nothing more") : json_dumps(wanted, 0);
        return g_strdup_printf("expected  %s\ngot       %s\n", want, got);
    }
    if (next >= json_array_size(expected))
        return NULL;
    g_autofree char *want = json_dumps(json_array_get(expected, next), 0);
    return g_strdup_printf("expected  %s\ngot       nothing more\n", want);
}

/* The first line that differs, with the one before it. */
static char *compare_text(const char *actual, const char *expected)
{
    g_auto(GStrv) a = g_strsplit(actual, "\n", -1), e = g_strsplit(expected, "\n", -1);
    size_t i = 0;

    if (strcmp(actual, expected) == 0)
        return NULL;
    while (a[i] != NULL && g_strcmp0(a[i], e[i]) == 0)
        i++;
    return g_strdup_printf("line %u\nafter     %s\nexpected  %s\ngot       %s\n", (unsigned) i + 1, i == 0 ? "" : a[i - 1],
                           e[i] == NULL ? "nothing more" : e[i], a[i] == NULL ? "nothing more" : a[i]);
}

bool play_check(const char *path, const PlayOptions *options, bool accept, char **ret_difference, GError **error)
{
    g_autoptr(json_t) story = read_story(path, error), all = NULL;
    g_autofree char *said = NULL, *golden = g_build_filename(path, "commands.json", NULL), *expected = NULL;

    *ret_difference = NULL;
    if (story == NULL || !play(path, story, options, &said, &all, error))
        return false;
    const json_t *expect = json_object_get(story, "expect");
    if (json_is_array(expect)) {
        *ret_difference = compare_expected(all, expect);
        return true;
    }
    if (!g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, PLAY_ERROR, PLAY_ERROR_CASE, "%s: a case in one file has a list \"expect\"; expect: [] says that nothing is done", path);
        return false;
    }
    if (accept)
        return g_file_set_contents(golden, said, -1, error);
    if (!g_file_get_contents(golden, &expected, NULL, error))
        return false;
    *ret_difference = compare_text(said, expected);
    return true;
}

char *play_story(const char *path)
{
    g_autoptr(json_t) story = read_story(path, NULL);

    return g_strdup(json_string_or(story, "story", NULL));
}
