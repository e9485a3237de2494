/* mend status, why, why-not, incidents, agents: questions to the plugin and to the policy engine. */
#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/cli/verbs.h"
#include "consumers/common/event_message.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

typedef struct AskOptions {
    WireOptions site;
    bool all;
    char *engine;
} AskOptions;

static const Setting rows[] = {
    { "all", SETTING_BOOL, offsetof(AskOptions, all), 0, 0, NULL, "incidents: also those that ended" },
    { "engine", SETTING_STRING, offsetof(AskOptions, engine), 0, 0, NULL, "NAME of the policy engine to ask; without it the one that acts" },
    WIRE_ROWS(AskOptions),
};

static json_t *ask_engine(Wire *wire, const AskOptions *options, const char *method, const Value *arguments, GError **error)
{
    g_autofree char *agent = wire_engine_agent(wire, options->engine, error);
    g_autoptr(Value) answer = agent == NULL ? NULL : wire_call(wire, agent, "Policy", method, arguments, error);

    return answer == NULL ? NULL : value_to_json(answer);
}

/* --- why --- */

static bool tell_why(Wire *wire, const AskOptions *options, const char *method, char **rest, GError **error)
{
    g_autoptr(Value) arguments = value_map();

    value_set(arguments, "entity", value_string(rest[0]));
    g_autoptr(json_t) answer = ask_engine(wire, options, method, arguments, error);
    if (answer == NULL)
        return false;
    if (!options->site.json) {
        show_text(json_string_or(answer, "text", ""));
        return true;
    }
    const char *text = json_string_or(answer, "json", "null");
    g_autoptr(json_t) story = json_parse(text, strlen(text), "the engine's answer", error);
    if (story == NULL)
        return false;
    show_json(story);
    return true;
}

static bool why(Wire *wire, const AskOptions *options, char **rest, GError **error)
{
    return tell_why(wire, options, "why", rest, error);
}

static bool why_not(Wire *wire, const AskOptions *options, char **rest, GError **error)
{
    return tell_why(wire, options, "why_not", rest, error);
}

/* --- incidents --- */

static json_t *incident_row(const json_t *incident)
{
    g_autofree char *attempts = g_strdup_printf("%d", (int) json_int_or(incident, "attempts", 0));
    g_autofree char *opened = show_time(json_int_or(incident, "opened_us", 0));

    return json_pack("[s, s, s, s, s, s]", opened, json_string_or(incident, "state", ""), json_string_or(incident, "entity", ""), attempts,
                     json_string_or(incident, "rule", ""), json_string_or(incident, "waits_for", ""));
}

static bool incidents(Wire *wire, const AskOptions *options, char **rest, GError **error)
{
    g_autoptr(Value) arguments = value_map();
    g_autoptr(json_t) table = json_pack("[[s, s, s, s, s, s]]", "opened", "state", "entity", "attempts", "rule", "waits for");
    size_t i;
    json_t *incident;

    value_set(arguments, "open_only", value_bool(!options->all));
    g_autoptr(json_t) answer = ask_engine(wire, options, "incidents", arguments, error);
    if (answer == NULL)
        return false;
    json_t *list = json_object_get(answer, "incidents");
    if (options->site.json) {
        show_json(list);
        return true;
    }
    json_array_foreach(list, i, incident)
        json_array_append_new(table, incident_row(incident));
    if (json_array_size(list) == 0)
        puts(options->all ? "no incidents" : "no open incidents");
    else
        show_table(table);
    return true;
}

/* --- agents --- */

/* An agent that a bridge is may be here while what it speaks for is out of its reach. */
static bool is_out_of_reach(const Value *record)
{
    return g_strcmp0(value_get_string(record, "state"), "up") == 0 && g_strcmp0(value_get_string(record, "reach"), "degraded") == 0;
}

static const char *agent_state(const Value *record) { return is_out_of_reach(record) ? "out of reach" : value_get_string(record, "state"); }

static void tell_reach(const Value *record)
{
    const char *why = value_get_string(record, "reach_text"), *hostname = value_get_string(record, "hostname");

    if (is_out_of_reach(record) && why != NULL)
        printf("%s is out of reach: %s\n", hostname != NULL ? hostname : value_get_string(record, "name"), why);
}

static bool agents(Wire *wire, const AskOptions *options, char **rest, GError **error)
{
    g_autofree char *broker = wire_broker_agent(wire, error);
    g_autoptr(Value) objects = broker == NULL ? NULL : wire_objects(wire, broker, "AgentRecord", error);
    g_autoptr(json_t) table = json_pack("[[s, s, s, s, s]]", "agent", "state", "hostname", "seen", "user");

    if (objects == NULL)
        return false;
    if (options->site.json) {
        g_autoptr(json_t) json = value_to_json(objects);
        show_json(json);
        return true;
    }
    for (size_t i = 0; i < value_size(objects); i++) {
        const Value *values = value_get(value_at(objects, i), "_values");
        g_autofree char *seen = show_since(value_get_int(values, "last_seen_us", 0));
        const char *name = value_get_string(values, "name"), *state = value_get_string(values, "state");
        const char *hostname = value_get_string(values, "hostname"), *user = value_get_string(values, "user");

        if (name != NULL && state != NULL)
            json_array_append_new(table, json_pack("[s, s, s, s, s]", name, agent_state(values), hostname == NULL ? "" : hostname, seen,
                                                   user == NULL ? "" : user));
    }
    show_table(table);
    for (size_t i = 0; i < value_size(objects); i++)
        tell_reach(value_get(value_at(objects, i), "_values"));
    return true;
}

/* --- status --- */

static json_t *count_states(const Value *objects, const char *kind)
{
    json_t *counts = json_object();

    for (size_t i = 0; i < value_size(objects); i++) {
        const Value *values = value_get(value_at(objects, i), "_values");
        const char *state = kind == NULL ? agent_state(values) : value_get_string(values, "state");

        if (state != NULL && (kind == NULL || g_strcmp0(value_get_string(values, "kind"), kind) == 0))
            json_object_set_new(counts, state, json_integer(json_int_or(counts, state, 0) + 1));
    }
    return counts;
}

static void print_counts(const char *what, json_t *counts)
{
    const char *state;
    json_t *count;
    bool any = false;

    printf("%-10s", what);
    json_object_foreach(counts, state, count) {
        printf("%s%d %s", any ? ", " : "", (int) json_integer_value(count), state);
        any = true;
    }
    puts(any ? "" : "none");
}

static void print_counts_if_any(const char *what, json_t *counts)
{
    if (json_object_size(counts) > 0)
        print_counts(what, counts);
}

/* What keeps the engine from acting or speaking. */
static void print_quiets(const json_t *engine)
{
    g_autofree char *since = show_time(json_int_or(engine, "paused_since_us", 0));
    size_t i;
    json_t *item;

    if (json_bool_or(engine, "paused", false))
        printf("%-10sby %s%s%s, since %s\n", "paused", json_string_or(engine, "paused_by", "an operator"),
               json_string_or(engine, "paused_why", NULL) == NULL ? "" : ": ", json_string_or(engine, "paused_why", ""),
               since);
    json_array_foreach(json_object_get(engine, "quiets"), i, item) {
        int64_t until_us = json_int_or(item, "until_us", INT64_MAX);
        g_autofree char *until = until_us == INT64_MAX ? g_strdup("without end") : show_time(until_us);

        printf("%-10s%s%s%s%s%s, until %s; kept back %d actions, %d notices\n", json_string_or(item, "kind", ""), json_string_or(item, "name", ""),
               json_string_or(item, "author", NULL) == NULL ? "" : " by ", json_string_or(item, "author", ""),
               json_string_or(item, "comment", NULL) == NULL ? "" : ": ", json_string_or(item, "comment", ""), until,
               (int) json_int_or(item, "actions_kept", 0), (int) json_int_or(item, "notices_kept", 0));
    }
    json_array_foreach(json_object_get(engine, "jobs"), i, item) {
        g_autofree char *until = show_time(json_int_or(item, "until_us", 0));

        printf("%-10s%s of %s, at most until %s\n", "job", json_string_or(item, "job", ""), json_string_or(item, "vm", ""), until);
    }
    json_array_foreach(json_object_get(engine, "quarantine"), i, item) {
        g_autofree char *until = show_time(json_int_or(item, "until_us", 0));

        if (json_int_or(item, "until_us", 0) != 0)
            printf("%-10s%s, until %s\n", "quarantine", json_string_or(item, "host", ""), until);
    }
}

static void print_shards(const json_t *shards)
{
    size_t i;
    json_t *shard;

    json_array_foreach(shards, i, shard) {
        const char *engine = json_string_or(shard, "engine", "");

        printf("%-10s%d: ", i == 0 ? "shards" : "", (int) json_int_or(shard, "shard", 0));
        if (*engine == '\0')
            printf("nobody acts\n");
        else
            printf("%s acts, epoch %" G_GINT64_FORMAT "\n", engine, json_int_or(shard, "epoch", 0));
    }
}

static void print_status(const json_t *status)
{
    const json_t *place = json_object_get(status, "site"), *engine = json_object_get(status, "engine");

    printf("%-10s%s, events so far %" G_GINT64_FORMAT "\n", "site", json_string_or(place, "site", "?"), json_int_or(place, "sequence", 0));
    print_counts("agents", json_object_get(status, "agents"));
    print_counts_if_any("hosts", json_object_get(engine, "hosts"));
    print_counts_if_any("storage", json_object_get(status, "storage"));
    print_counts_if_any("vms", json_object_get(status, "vms"));
    print_counts("services", json_object_get(status, "services"));
    if (!json_is_object(engine)) {
        printf("%-10s%s\n", "engine", json_string_or(status, "no_engine", "none acts"));
        return;
    }
    printf("%-10s%s, %s%s%s, policy %s\n", "engine", json_string_or(engine, "name", "?"),
           json_bool_or(engine, "acting", false) ? "acts" : "does not act", json_bool_or(engine, "paused", false) ? ", paused" : "",
           json_bool_or(engine, "observer_fault", false) ? ", holds what rests on silence: the observer is ill" : "",
           json_string_or(engine, "policy", "?"));
    print_shards(json_object_get(place, "shards"));
    printf("%-10s%d open; so far %d commands, %d healed, %d left to a human\n", "incidents", (int) json_int_or(engine, "incidents", 0),
           (int) json_int_or(engine, "commands", 0), (int) json_int_or(engine, "healed", 0), (int) json_int_or(engine, "needs_human", 0));
    print_quiets(engine);
}

static bool status(Wire *wire, const AskOptions *options, char **rest, GError **error)
{
    g_autofree char *broker = wire_broker_agent(wire, error);
    g_autoptr(Value) found = broker == NULL ? NULL : wire_object(wire, broker, "Site", error);
    g_autoptr(Value) records = found == NULL ? NULL : wire_objects(wire, broker, "AgentRecord", error);
    g_autoptr(Value) entities = records == NULL ? NULL : wire_objects(wire, broker, "Entity", error);
    g_autoptr(GError) silent = NULL;

    if (entities == NULL)
        return false;
    const Value *object = value_type(found) == VALUE_LIST ? value_at(found, 0) : found;
    g_autoptr(json_t) engine = ask_engine(wire, options, "status", NULL, &silent);
    g_autoptr(json_t) all = json_pack("{s:o*, s:o, s:o, s:o, s:o}", "site", value_get(object, "_values") == NULL ? NULL
                                                                       : value_to_json(value_get(object, "_values")),
                                      "agents", count_states(records, NULL), "services", count_states(entities, "service"), "vms", count_states(entities, "vm"), "storage",
                                      count_states(entities, "storage"));
    if (engine != NULL)
        json_object_set(all, "engine", json_object_get(engine, "status"));
    else
        json_object_set_new(all, "no_engine", json_string(silent->message));
    if (options->site.json)
        show_json(all);
    else
        print_status(all);
    return true;
}

static int run(const char *usage, char **argv, guint wanted, bool (*ask)(Wire *, const AskOptions *, char **, GError **))
{
    AskOptions options = { 0 };
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) rest = NULL;
    ExitStatus result;

    if (verb_begin(usage, rows, G_N_ELEMENTS(rows), &options, &options.site.help, argv, &rest, &result)) {
        if (g_strv_length(rest) != wanted) {
            fprintf(stderr, "usage: mend %s\n", usage);
            result = EXIT_WRONG;
        } else {
            g_autoptr(Wire) wire = wire_open(&options.site, &error);

            result = wire != NULL && ask(wire, &options, rest, &error) ? EXIT_DONE : verb_fail(argv[0], error);
        }
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return result;
}

int verb_status(char **argv)
{
    return run("status [--json]", argv, 0, status);
}

int verb_why_not(char **argv)
{
    return run("why-not ENTITY [--json]", argv, 1, why_not);
}

int verb_why(char **argv)
{
    return run("why ENTITY [--json]", argv, 1, why);
}

int verb_incidents(char **argv)
{
    return run("incidents [--all] [--json]", argv, 0, incidents);
}

int verb_agents(char **argv)
{
    return run("agents [--json]", argv, 0, agents);
}
