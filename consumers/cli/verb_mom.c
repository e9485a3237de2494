/* mend mom: rule files of MOM by hand: are they right, and what do they set for these statistics. */
#include "consumers/cli/show.h"
#include "consumers/cli/verbs.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/language/rule_files.h"
#include "consumers/policy/mom/play.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

#define USAGE "mom check FILE | FOLDER … | mom run FILE | FOLDER … --stats FILE [--set NAME=VALUE …]"

typedef struct MomOptions {
    char *stats;
    GStrv set;
    bool json, help;
} MomOptions;

static const Setting rows[] = {
    { "stats", SETTING_STRING, offsetof(MomOptions, stats), 0, 0, NULL, "FILE with one JSON object for each cycle; - is standard input" },
    { "set", SETTING_LIST, offsetof(MomOptions, set), 0, 0, NULL, "NAME=VALUE: a variable that is there before the first file, balloonEnabled=1" },
    { "json", SETTING_BOOL, offsetof(MomOptions, json), 0, 0, NULL, "one line for each cycle" },
    { "help", SETTING_BOOL, offsetof(MomOptions, help), 0, 0, NULL, "explain this verb" },
};

/* Those that can be read; *ret_bad: how many cannot. NULL: a file is not there. */
static MomRules *load(char **paths, guint *ret_bad, GError **error)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func((GDestroyNotify) rule_file_free);
    g_autoptr(MomRules) rules = mom_rules_new();

    *ret_bad = 0;
    for (; *paths != NULL; paths++)
        if (!rule_files_read(*paths, NULL, files, error))
            return NULL;
    for (guint i = 0; i < files->len; i++) {
        const RuleFile *file = files->pdata[i];
        g_autoptr(GError) problem = NULL;

        if (mom_rules_add(rules, file->name, file->text, file->length, &problem))
            continue;
        fprintf(stderr, "%s\n", problem->message);
        ++*ret_bad;
    }
    return g_steal_pointer(&rules);
}

static bool set_variables(MomRules *rules, const MomOptions *options)
{
    for (char **at = options->set; at != NULL && *at != NULL; at++) {
        const char *equal = strchr(*at, '=');
        g_autofree char *name = equal == NULL ? NULL : g_strndup(*at, (gsize) (equal - *at));
        g_autoptr(json_t) value = equal == NULL ? NULL : json_loads(equal + 1, JSON_DECODE_ANY, NULL);

        if (value == NULL && equal != NULL)
            value = json_string(equal + 1);
        if (value == NULL || json_is_object(value) || json_is_array(value) || *name == '\0') {
            fprintf(stderr, "mend mom: --set %s: NAME=VALUE is wanted, balloonEnabled=1\n", *at);
            return false;
        }
        mom_rules_set(rules, name, value);
    }
    return true;
}

static int check(const MomRules *rules, guint bad)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);

    mom_rules_check(rules, warnings);
    for (guint i = 0; i < warnings->len; i++)
        fprintf(stderr, "%s\n", (char *) warnings->pdata[i]);
    printf("%u rule file%s can be read, %u cannot; %u warning%s\n", rules->files->len, rules->files->len == 1 ? "" : "s", bad, warnings->len,
           warnings->len == 1 ? "" : "s");
    return bad > 0 || warnings->len > 0 ? EXIT_NO : EXIT_DONE;
}

static int run(MomRules *rules, const MomOptions *options)
{
    g_autoptr(MomPlay) play = mom_play_new(rules);
    g_autoptr(GError) error = NULL;
    FILE *from = strcmp(options->stats, "-") == 0 ? stdin : fopen(options->stats, "re");
    json_error_t problem;
    json_t *cycle;
    guint n = 0, failed = 0;

    if (from == NULL) {
        fprintf(stderr, "mend mom: %s cannot be read\n", options->stats);
        return EXIT_NO;
    }
    while ((cycle = json_loadf(from, JSON_DISABLE_EOF_CHECK, &problem)) != NULL) {
        g_autoptr(json_t) result = mom_play(play, cycle, &error);

        json_decref(cycle);
        n++;
        if (result == NULL)
            break;
        failed += json_array_size(json_object_get(result, "errors")) > 0;
        g_autofree char *text = options->json ? json_text(result) : json_pretty(result);
        printf("%s\n", text);
    }
    bool ended = cycle == NULL && feof(from) && (problem.position <= 0 || n > 0);
    if (from != stdin)
        fclose(from);
    if (error != NULL)
        fprintf(stderr, "mend mom: %s, cycle %u: %s\n", options->stats, n, error->message);
    else if (!ended)
        fprintf(stderr, "mend mom: %s: after %u cycles: %s\n", options->stats, n, problem.text);
    return error != NULL || !ended || failed > 0 ? EXIT_NO : EXIT_DONE;
}

int verb_mom(char **argv)
{
    MomOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(MomRules) rules = NULL;
    ExitStatus status;
    guint bad;

    if (verb_begin(USAGE, rows, G_N_ELEMENTS(rows), &options, &options.help, argv, &rest, &status)) {
        bool is_run = rest[0] != NULL && strcmp(rest[0], "run") == 0;

        status = EXIT_WRONG;
        if (rest[0] == NULL || rest[1] == NULL || (!is_run && strcmp(rest[0], "check") != 0) || (is_run && options.stats == NULL))
            fprintf(stderr, "usage: mend " USAGE "\n");
        else if ((rules = load(rest + 1, &bad, &error)) == NULL)
            status = (ExitStatus) verb_fail("mom", error);
        else if (set_variables(rules, &options))
            status = (ExitStatus) (is_run ? run(rules, &options) : check(rules, bad));
    }
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
