#include "consumers/cli/verb_policy_live.h"

#include "consumers/cli/show.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct LiveOptions {
    WireOptions site;
    char *engine;
} LiveOptions;

static const Setting rows[] = {
    { "engine", SETTING_STRING, offsetof(LiveOptions, engine), 0, 0, NULL, "NAME of the policy engine; without it the one that acts" },
    WIRE_ROWS(LiveOptions),
};

/* @arguments (transfer full). NULL: told, and *ret_status is set. */
static json_t *ask(const LiveOptions *options, const char *method, Value *arguments, int *ret_status)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Value) owned = arguments;
    g_autoptr(Wire) wire = wire_open(&options->site, &error);
    g_autofree char *agent = wire == NULL ? NULL : wire_engine_agent(wire, options->engine, &error);
    g_autoptr(Value) answer = agent == NULL ? NULL : wire_call(wire, agent, "Policy", method, owned, &error);

    *ret_status = answer == NULL ? (int) verb_fail("policy", error) : EXIT_DONE;
    return answer == NULL ? NULL : value_to_json(answer);
}

static bool number_read(const char *text, int64_t *ret)
{
    char *end = NULL;

    *ret = 0;
    if (text == NULL)
        return true;
    errno = 0;
    *ret = g_ascii_strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0' && *ret > 0)
        return true;
    fprintf(stderr, "mend policy: \"%s\" is no version: a number of \"mend policy versions\" is wanted\n", text);
    return false;
}

static int tell_text(json_t *answer, int status)
{
    if (answer != NULL)
        show_text(json_string_or(answer, "text", ""));
    json_decref(answer);
    return status;
}

/* Read here first: what is wrong with it is told without a site, too. */
static int live_load(const LiveOptions *options, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = policy_file_text(path, &error);
    PolicyReading reading = { .now_us = clock_wall_us() };
    g_autoptr(Policy) policy = text == NULL ? NULL : policy_read(path, text, &reading, &error);
    int status;

    if (policy == NULL) {
        fprintf(stderr, "%s\nnot loaded: the running policy stays\n", error->message);
        return EXIT_NO;
    }
    Value *arguments = value_map();
    value_set(arguments, "name", value_string(path));
    value_set(arguments, "policy", value_string(text));
    value_set(arguments, "who", value_string(g_get_user_name()));
    json_t *answer = ask(options, "load", arguments, &status);
    return tell_text(answer, status);
}

static json_t *version_row(const json_t *version)
{
    g_autofree char *number = g_strdup_printf("%s%" G_GINT64_FORMAT, json_bool_or(version, "in_force", false) ? "* " : "  ",
                                              json_int_or(version, "number", 0));
    g_autofree char *since = show_time(json_int_or(version, "at_us", 0));
    g_autofree char *id = g_strndup(json_string_or(version, "version", ""), 8);

    return json_pack("[s, s, s, s, s, s]", number, json_int_or(version, "at_us", 0) == 0 ? "" : since, json_string_or(version, "from", ""),
                     json_string_or(version, "who", ""), id, json_string_or(version, "name", ""));
}

static void show_versions(json_t *list)
{
    g_autoptr(json_t) table = json_pack("[[s, s, s, s, s, s]]", "  number", "since", "from", "who", "version", "name");

    for (size_t i = json_array_size(list); i > 0; i--)
        json_array_append_new(table, version_row(json_array_get(list, i - 1)));
    show_table(table);
}

static int show_version(const LiveOptions *options, int64_t number)
{
    Value *arguments = value_map();
    int status;

    value_set(arguments, "number", value_int(VALUE_INT64, number));
    g_autoptr(json_t) answer = ask(options, "version", arguments, &status);
    if (answer == NULL)
        return status;
    const char *text = json_string_or(answer, "policy", "");
    if (options->site.json)
        show_json(answer);
    else
        fputs(*text == '\0' ? "# the default policy: mend policy show\n" : text, stdout);
    return status;
}

static int live_versions(const LiveOptions *options, const char *number)
{
    int64_t wanted;
    int status;

    if (!number_read(number, &wanted))
        return EXIT_WRONG;
    if (wanted > 0)
        return show_version(options, wanted);
    g_autoptr(json_t) answer = ask(options, "versions", value_map(), &status);
    if (answer != NULL && options->site.json)
        show_json(json_object_get(answer, "versions"));
    else if (answer != NULL)
        show_versions(json_object_get(answer, "versions"));
    return status;
}

static int live_rollback(const LiveOptions *options, const char *number)
{
    int64_t wanted;
    int status;

    if (!number_read(number, &wanted))
        return EXIT_WRONG;
    Value *arguments = value_map();
    value_set(arguments, "number", value_int(VALUE_INT64, wanted));
    value_set(arguments, "who", value_string(g_get_user_name()));
    json_t *answer = ask(options, "rollback", arguments, &status);
    return tell_text(answer, status);
}

static const struct {
    const char *word, *usage;
    bool needs_argument;
    int (*run)(const LiveOptions *options, const char *argument);
} live_words[] = { { "load", "policy load FILE", true, live_load },
                   { "versions", "policy versions [N] [--json]", false, live_versions },
                   { "rollback", "policy rollback [N]", false, live_rollback } };

static size_t find_word(const char *word)
{
    size_t i = 0;

    while (i < G_N_ELEMENTS(live_words) && g_strcmp0(live_words[i].word, word) != 0)
        i++;
    return i;
}

bool policy_live_knows(const char *word)
{
    return find_word(word) < G_N_ELEMENTS(live_words);
}

int verb_policy_live(char **argv)
{
    size_t i = find_word(argv[0]);
    LiveOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin(live_words[i].usage, rows, G_N_ELEMENTS(rows), &options, &options.site.help, argv, &rest, &status)) {
        guint n = g_strv_length(rest);

        if (n > 1 || (n == 0 && live_words[i].needs_argument)) {
            fprintf(stderr, "usage: mend %s\n", live_words[i].usage);
            status = EXIT_WRONG;
        } else {
            status = (ExitStatus) live_words[i].run(&options, rest[0]);
        }
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
