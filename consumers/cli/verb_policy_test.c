/* Each case is played in virtual time, so a day of back-offs takes no time. What the cases never reached is told at the end: a rule
 * that nothing tests is a guess. */
#include "consumers/cli/verb_policy_test.h"

#include "consumers/cli/show.h"
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/play.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>

typedef struct Coverage {
    GHashTable *reached;  /* "rule" and "rule\tstep" */
    json_t *results;
    unsigned passed, failed, wrong;
} Coverage;

static void reach(Coverage *coverage, const char *rule, int64_t step)
{
    g_hash_table_add(coverage->reached, step == 0 ? g_strdup(rule) : g_strdup_printf("%s\t%d", rule, (int) step));
}

static void heard(const json_t *input, const EngineOutputs *outputs, int64_t now_us, void *user)
{
    for (guint i = 0; i < outputs->len; i++) {
        const EngineOutput *output = outputs->pdata[i];
        const char *record = json_string_or(output->json, "record", ""), *rule = json_string_or(output->json, "rule", NULL);

        if (strcmp(record, "incident.open") == 0)
            reach(user, json_string_or(json_object_get(output->json, "data"), "rule", ""), 0);
        else if (rule != NULL)
            reach(user, rule, json_int_or(output->json, "step", 0));
    }
}

static void print_lines(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (size_t i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0')
            printf("        %s\n", lines[i]);
}

static void run_case(Coverage *coverage, const PolicyTestOptions *options, Policy *policy, const char *path)
{
    g_autofree char *difference = NULL, *story = play_story(path), *name = g_path_get_basename(path);
    g_autoptr(GError) error = NULL;
    g_autofree char *own = g_build_filename(path, "policy.yaml", NULL); /* a case with its own policy says nothing about this one */
    const PlayOptions play = { .policy = policy, .heard = g_file_test(own, G_FILE_TEST_EXISTS) ? NULL : heard, .user = coverage };
    bool fine = play_check(path, &play, options->accept, &difference, &error);
    const char *end = !fine ? "wrong" : difference != NULL ? "failed" : options->accept ? "accepted" : "passed";

    coverage->wrong += !fine;
    coverage->failed += fine && difference != NULL;
    coverage->passed += fine && difference == NULL;
    json_array_append_new(coverage->results, json_pack("{s:s, s:s, s:s*, s:s*}", "case", name, "result", end, "story", story, "difference",
                                                       !fine ? error->message : difference));
    if (options->json)
        return;
    printf("%-9s%s\n", end, name);
    if (story != NULL && (!fine || difference != NULL))
        print_lines(story);
    if (!fine || difference != NULL)
        print_lines(!fine ? error->message : difference);
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static GPtrArray *find_cases(const char *folder, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, error);

    if (dir == NULL)
        return NULL;
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_DIR) || g_str_has_suffix(name, ".yaml") || g_str_has_suffix(name, ".json"))
            g_ptr_array_add(paths, g_steal_pointer(&path));
    }
    g_ptr_array_sort(paths, by_name);
    return g_steal_pointer(&paths);
}

/* What the file says and no case reached. Notify steps are reached with the end of their ladder, and are not counted. */
static json_t *not_reached(const Coverage *coverage, const Policy *policy, unsigned *ret_all)
{
    json_t *missing = json_array();

    *ret_all = 0;
    for (guint i = 0; i < policy->rules->len; i++) {
        const Rule *rule = policy->rules->pdata[i];

        ++*ret_all;
        if (!g_hash_table_contains(coverage->reached, rule->name)) {
            g_autofree char *text = g_strdup_printf("rule %s never applies", rule->name);
            json_array_append_new(missing, json_string(text));
        }
        for (guint k = 0; k < rule->ladder->len; k++) {
            const Step *step = rule->ladder->pdata[k];
            g_autofree char *key = g_strdup_printf("%s\t%u", rule->name, k + 1);
            g_autofree char *text = g_strdup_printf("rule %s: step %u, %s, is never taken", rule->name, k + 1, step->action);

            if (action_kind(step->action) == NULL || rule->observe_only)
                continue;
            ++*ret_all;
            if (!g_hash_table_contains(coverage->reached, key))
                json_array_append_new(missing, json_string(text));
        }
    }
    return missing;
}

static int report(const Coverage *coverage, const PolicyTestOptions *options, const Policy *policy)
{
    unsigned all;
    g_autoptr(json_t) missing = not_reached(coverage, policy, &all);
    size_t n_missing = json_array_size(missing), i;
    json_t *item;

    if (options->json) {
        g_autoptr(json_t) json = json_pack("{s:O, s:i, s:i, s:i, s:{s:i, s:i, s:O}}", "cases", coverage->results, "passed",
                                           (int) coverage->passed, "failed", (int) coverage->failed, "wrong", (int) coverage->wrong, "coverage",
                                           "reached", (int) (all - n_missing), "of", (int) all, "missing", missing);
        show_json(json);
    } else {
        printf("\n%u passed, %u failed, %u could not be played; coverage: %u of %u rules and steps\n", coverage->passed, coverage->failed,
               coverage->wrong, (unsigned) (all - n_missing), all);
        json_array_foreach(missing, i, item)
            printf("  %s\n", json_string_value(item));
    }
    return coverage->wrong > 0 ? 2 : coverage->failed > 0 ? 1 : 0;
}

int policy_test(const PolicyTestOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *beside = options->policy == NULL ? g_strdup(".") : g_path_get_dirname(options->policy);
    g_autofree char *folder = options->cases != NULL ? g_strdup(options->cases) : g_build_filename(beside, "cases", NULL);
    g_autoptr(Policy) policy = options->policy == NULL ? policy_default() : policy_load(options->policy, &error);
    g_autoptr(GPtrArray) cases = policy == NULL ? NULL : find_cases(folder, &error);

    if (cases == NULL) {
        fprintf(stderr, "mend policy test: %s%s\n", error->message, policy == NULL ? "" : " (--cases names the folder with the cases)");
        return 2;
    }
    if (cases->len == 0) {
        fprintf(stderr, "mend policy test: %s: no cases there (docs/policy.md shows how one looks)\n", folder);
        return 2;
    }
    Coverage coverage = { .reached = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL), .results = json_array() };
    for (guint i = 0; i < cases->len; i++)
        run_case(&coverage, options, policy, cases->pdata[i]);
    int status = report(&coverage, options, policy);
    g_hash_table_unref(coverage.reached);
    json_decref(coverage.results);
    return status;
}
