/* mend replay, mend policy diff: a recorded history through the engine, as it was or under another policy. Needs no broker. */
#include "consumers/cli/progress.h"
#include "consumers/cli/show.h"
#include "consumers/cli/verbs.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/history.h"
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/language/policy_show.h"
#include "consumers/policy/text_diff.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

#define TOLD 40 /* incidents, unless --all */

typedef struct ReplayOptions {
    char *policy, *history;
    bool all, json, help;
} ReplayOptions;

#define COMMON_ROWS                                                                                                                   \
    { "all", SETTING_BOOL, offsetof(ReplayOptions, all), 0, 0, NULL, "tell every incident that goes otherwise, not only the first 40" }, \
    { "json", SETTING_BOOL, offsetof(ReplayOptions, json), 0, 0, NULL, "print JSON" },                                                \
    { "help", SETTING_BOOL, offsetof(ReplayOptions, help), 0, 0, NULL, "explain this verb" }

static void on_progress(int64_t done, int64_t total, void *user)
{
    progress_set_total(user, done, total);
}

/* A file, or "default". */
static Policy *policy_named(const char *name, GError **error)
{
    return strcmp(name, "default") == 0 ? policy_default() : policy_load(name, error);
}

static char *rate_text(int64_t inputs, int64_t took_us)
{
    g_autofree char *count = count_format(inputs), *rate = count_format((int64_t) ((double) inputs * US_PER_S / (double) MAX(took_us, 1)));

    return g_strdup_printf("%s inputs in %.2f s, %s inputs/s", count, (double) took_us / US_PER_S, rate);
}

/* --- as it was --- */

static char *said_pretty(const char *text)
{
    g_autoptr(json_t) json = text == NULL ? NULL : json_parse(text, strlen(text), "said", NULL);

    return json == NULL ? g_strdup(text == NULL ? "" : text) : json_pretty(json);
}

static void print_difference(const ReplayReport *r)
{
    g_autofree char *differed = count_format(r->differed);

    printf("%s inputs are decided otherwise now; the first is record %" G_GINT64_FORMAT "%s\n", differed, r->first_difference,
           r->then == NULL ? ", to which more is said now" : r->now == NULL ? ", to which less is said now" : "");
    g_autofree char *then = said_pretty(r->then), *now = said_pretty(r->now), *text = text_diff(then, now);
    puts("--- then\n+++ now");
    show_text(text);
}

static int replay_as_it_was(const char *path, const ReplayOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(History) history = history_open(path, &error);
    g_autoptr(Progress) progress = progress_new("replay", 0);
    ReplayReport report = { 0 };
    int64_t begin_us = clock_now_us();
    bool fine = history != NULL && history_replay(history, on_progress, progress, &report, &error);
    int64_t took_us = clock_now_us() - begin_us;

    g_clear_pointer(&progress, progress_free);
    if (!fine)
        return verb_fail("replay", error);
    if (options->json) {
        g_autoptr(json_t) json = json_pack("{s:I, s:I, s:b, s:I, s:f, s:f}", "inputs", (json_int_t) report.inputs, "said", (json_int_t) report.said,
                                           "identical", report.differed == 0, "differed", (json_int_t) report.differed, "seconds",
                                           (double) took_us / US_PER_S, "inputs_per_s", (double) report.inputs * US_PER_S / (double) MAX(took_us, 1));
        if (report.differed > 0)
            json_object_set_new(json, "first_difference", json_pack("{s:I, s:s?, s:s?}", "record", (json_int_t) report.first_difference, "then",
                                                                    report.then, "now", report.now));
        show_json(json);
    } else {
        g_autofree char *rate = rate_text(report.inputs, took_us), *said = count_format(report.said);

        puts(rate);
        if (report.differed == 0)
            printf("bit-identical: all %s decisions are those that were recorded\n", said);
        else
            print_difference(&report);
    }
    int status = report.differed == 0 ? EXIT_DONE : EXIT_NO;
    replay_report_clear(&report);
    return status;
}

/* --- under another policy --- */

/* @json: an object the comparison is put into. */
static bool compare(const char *path, Policy *old, Policy *policy, const ReplayOptions *options, json_t *json, GError **error)
{
    g_autoptr(History) history = history_open(path, error);
    g_autoptr(Progress) progress = progress_new("replay", 0);
    int64_t inputs = 0, begin_us = clock_now_us();
    g_autoptr(json_t) comparison = history == NULL ? NULL : history_compare(history, old, policy, on_progress, progress, &inputs, error);
    int64_t took_us = clock_now_us() - begin_us;

    g_clear_pointer(&progress, progress_free);
    if (comparison == NULL)
        return false;
    json_object_update(json, comparison);
    json_object_set_new(json, "inputs", json_integer(inputs));
    json_object_set_new(json, "seconds", json_real((double) took_us / US_PER_S));
    if (!options->json) {
        g_autofree char *rate = rate_text(inputs, took_us);
        g_autofree char *text = deeds_compare_text(comparison, old == NULL ? "then" : "old", old == NULL ? "now" : "new", options->all ? 0 : TOLD);

        show_text(text);
        puts(rate);
    }
    return true;
}

static int replay_under(const char *path, const ReplayOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_named(options->policy, &error);
    g_autoptr(json_t) json = json_object();

    if (policy == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return EXIT_NO;
    }
    if (!compare(path, NULL, policy, options, json, &error))
        return verb_fail("replay", error);
    if (options->json)
        show_json(json);
    return EXIT_DONE;
}

static const Setting replay_rows[] = {
    { "policy", SETTING_STRING, offsetof(ReplayOptions, policy), 0, 0, NULL, "FILE (or default) that would have been in force: what would have been otherwise" },
    COMMON_ROWS,
};

int verb_replay(char **argv)
{
    ReplayOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin("replay JOURNAL | EXPORT [--policy FILE] [--json]", replay_rows, G_N_ELEMENTS(replay_rows), &options, &options.help, argv, &rest,
                   &status)) {
        if (g_strv_length(rest) != 1) {
            fprintf(stderr, "usage: mend replay JOURNAL | EXPORT [--policy FILE] [--json]\n");
            status = EXIT_WRONG;
        } else {
            status = (ExitStatus) (options.policy == NULL ? replay_as_it_was(rest[0], &options) : replay_under(rest[0], &options));
        }
    }
    settings_done(replay_rows, G_N_ELEMENTS(replay_rows), &options);
    return status;
}

/* --- two policies --- */

/* As `mend policy show` prints it, without its first line: name and version differ always and say nothing. */
static char *effective_text(const Policy *policy)
{
    g_autoptr(json_t) json = policy_to_json(policy);
    g_autofree char *text = policy_to_text(policy, json, NULL);
    const char *end = *text == '#' ? strchr(text, '\n') : NULL;

    return g_strdup(end == NULL ? text : end + 1);
}

static int diff(char **names, const ReplayOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) old = policy_named(names[0], &error), new = old == NULL ? NULL : policy_named(names[1], &error);
    g_autoptr(json_t) json = json_object();

    if (new == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return EXIT_NO;
    }
    g_autofree char *old_text = effective_text(old), *new_text = effective_text(new), *text = text_diff(old_text, new_text);
    json_object_set_new(json, "effective", json_string(text));
    if (!options->json) {
        if (*text != '\0')
            printf("--- %s\n+++ %s\n", names[0], names[1]);
        show_text(*text == '\0' ? "the policies mean the same\n" : text);
        if (options->history != NULL)
            putchar('\n');
    }
    if (options->history != NULL && !compare(options->history, old, new, options, json, &error))
        return verb_fail("policy diff", error);
    if (options->json)
        show_json(json);
    return EXIT_DONE;
}

static const Setting diff_rows[] = {
    { "history", SETTING_STRING, offsetof(ReplayOptions, history), 0, 0, NULL, "FILE, a journal or its export: what each would have done" },
    COMMON_ROWS,
};

int verb_policy_diff(char **argv)
{
    ReplayOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    argv[0] = (char *) "policy diff"; /* as errors name it */
    if (verb_begin("policy diff OLD NEW [--history FILE] [--json]      OLD and NEW: files, or default", diff_rows, G_N_ELEMENTS(diff_rows), &options,
                   &options.help, argv, &rest, &status)) {
        if (g_strv_length(rest) == 2) {
            status = (ExitStatus) diff(rest, &options);
        } else {
            fprintf(stderr, "usage: mend policy diff OLD NEW [--history FILE] [--json]\n");
            status = EXIT_WRONG;
        }
    }
    settings_done(diff_rows, G_N_ELEMENTS(diff_rows), &options);
    return status;
}
