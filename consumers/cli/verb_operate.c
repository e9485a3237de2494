/* mend operate VERB [TARGET]: what people ask of the policy engine. */
#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/cli/verbs.h"
#include "consumers/policy/engine/engine.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

#define USAGE "operate VERB [TARGET] [--until WHEN] [--comment TEXT] [options]"

typedef struct OperateOptions {
    WireOptions site;
    char *engine, *until, *comment, *match, *name, *who;
    bool actions;
} OperateOptions;

static const Setting rows[] = {
    { "until", SETTING_STRING, offsetof(OperateOptions, until), 0, 0, NULL, "maintain, silence, hold: WHEN it ends: 2h, 2026-11-24T20:00:00Z, never" },
    { "comment", SETTING_STRING, offsetof(OperateOptions, comment), 0, 0, NULL, "TEXT for who wonders why" },
    { "match", SETTING_STRING, offsetof(OperateOptions, match), 0, 0, NULL, "maintain, silence, hold: KEY=TEXT,… of entity kind app group vm host rack rule" },
    { "name", SETTING_STRING, offsetof(OperateOptions, name), 0, 0, NULL, "maintain, silence, hold: NAME to release it by; without it the target" },
    { "actions", SETTING_BOOL, offsetof(OperateOptions, actions), 0, 0, NULL, "silence: nothing is done either" },
    { "who", SETTING_STRING, offsetof(OperateOptions, who), 0, 0, NULL, "NAME for the journal; without it the user who runs this" },
    { "engine", SETTING_STRING, offsetof(OperateOptions, engine), 0, 0, NULL, "NAME of the policy engine; without it the one that acts" },
    WIRE_ROWS(OperateOptions),
};

static const char *const verbs[] = { OPERATOR_VERBS, NULL };

static bool read_until(const char *text, json_t *arguments)
{
    int64_t us;

    if (strcmp(text, "never") == 0)
        us = INT64_MAX;
    else if (duration_parse(text, &us))
        us += clock_wall_us();
    else if (!time_parse(text, &us))
        return false;
    json_object_set_new(arguments, "until_us", json_integer(us));
    return true;
}

static bool read_match(const char *text, json_t *arguments)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    json_t *match = json_object();

    json_object_set_new(arguments, "match", match);
    for (char **part = parts; *part != NULL; part++) {
        char *equals = strchr(*part, '=');

        if (equals == NULL || equals == *part)
            return false;
        *equals = '\0';
        json_object_set_new(match, *part, json_string(equals + 1));
    }
    return true;
}

/* NULL: told on stderr what is wrong. */
static json_t *read_arguments(const OperateOptions *options)
{
    g_autoptr(json_t) arguments = json_object();

    if (options->until != NULL && !read_until(options->until, arguments)) {
        fprintf(stderr, "mend operate: --until %s: a duration (2h), a time (2026-11-24T20:00:00Z) or never is wanted\n", options->until);
        return NULL;
    }
    if (options->match != NULL && !read_match(options->match, arguments)) {
        fprintf(stderr, "mend operate: --match %s: KEY=TEXT,KEY=TEXT is wanted\n", options->match);
        return NULL;
    }
    if (options->comment != NULL)
        json_object_set_new(arguments, "comment", json_string(options->comment));
    if (options->name != NULL)
        json_object_set_new(arguments, "name", json_string(options->name));
    if (options->actions)
        json_object_set_new(arguments, "actions", json_true());
    return json_incref(arguments);
}

static bool operate(Wire *wire, const OperateOptions *options, char **rest, const json_t *more, GError **error)
{
    g_autoptr(Value) arguments = value_map();
    g_autofree char *agent = wire_engine_agent(wire, options->engine, error);

    value_set(arguments, "verb", value_string(rest[0]));
    value_set(arguments, "entity", value_string(rest[1] == NULL ? "" : rest[1]));
    value_set(arguments, "who", value_string(options->who != NULL ? options->who : g_get_user_name()));
    value_set(arguments, "arguments", value_from_json(more));
    g_autoptr(Value) answer = agent == NULL ? NULL : wire_call(wire, agent, "Policy", "operate", arguments, error);
    if (answer == NULL)
        return false;
    g_autoptr(json_t) json = value_to_json(answer);
    if (options->site.json) {
        show_json(json);
    } else {
        show_text(json_string_or(json, "text", ""));
        putchar('\n');
    }
    return true;
}

static int run(const OperateOptions *options, char **rest)
{
    g_autoptr(GError) error = NULL;
    guint n = g_strv_length(rest);

    if (n < 1 || n > 2) {
        fprintf(stderr, "usage: mend %s\nVERB is one of %s\n", USAGE, OPERATOR_VERBS_TEXT);
        return EXIT_WRONG;
    }
    if (!g_strv_contains(verbs, rest[0])) {
        const char *near = nearest_word(rest[0], verbs);
        g_autofree char *hint = near == NULL ? g_strdup("") : g_strdup_printf(", did you mean \"%s\"?", near);

        fprintf(stderr, "mend operate: unknown verb \"%s\"%s; it is one of %s\n", rest[0], hint, OPERATOR_VERBS_TEXT);
        return EXIT_WRONG;
    }
    g_autoptr(json_t) more = read_arguments(options);
    if (more == NULL)
        return EXIT_WRONG;
    g_autoptr(Wire) wire = wire_open(&options->site, &error);
    return wire != NULL && operate(wire, options, rest, more, &error) ? EXIT_DONE : verb_fail("operate", error);
}

int verb_operate(char **argv)
{
    OperateOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin(USAGE, rows, G_N_ELEMENTS(rows), &options, &options.site.help, argv, &rest, &status))
        status = (ExitStatus) run(&options, rest);
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
