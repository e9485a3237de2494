#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/language/policy_show.h"
#include "lib/base/json.h"

#include <string.h>

/* tests/policy/bad: NAME.yaml is refused with exactly what is in NAME.err. MEND_ACCEPT_GOLDEN=1 writes the .err; review the difference. */
static void check_bad(gconstpointer data)
{
    const char *path = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *wanted = NULL, *name = g_path_get_basename(path);
    g_autofree char *stem = g_strndup(path, strlen(path) - strlen(".yaml")), *golden = g_strconcat(stem, ".err", NULL);

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_null(policy_parse(name, text, &error));
    g_autofree char *told = g_strconcat(error->message, "\n", NULL);
    if (g_getenv("MEND_ACCEPT_GOLDEN") != NULL)
        g_assert_true(g_file_set_contents(golden, told, -1, NULL));
    g_assert_true(g_file_get_contents(golden, &wanted, NULL, NULL));
    g_assert_cmpstr(told, ==, wanted);
}

static void add_bad(void)
{
    g_autofree char *folder = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "tests", "policy", "bad", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    unsigned n = 0;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *test = g_strconcat("/policy/bad/", name, NULL);

        if (!g_str_has_suffix(name, ".yaml"))
            continue;
        g_test_add_data_func_full(test, g_build_filename(folder, name, NULL), check_bad, g_free);
        n++;
    }
    g_assert_cmpuint(n, >=, 60);
}

static void check_golden(const char *path, const char *actual)
{
    g_autofree char *wanted = NULL;

    if (g_getenv("MEND_ACCEPT_GOLDEN") != NULL)
        g_assert_true(g_file_set_contents(path, actual, -1, NULL));
    g_assert_true(g_file_get_contents(path, &wanted, NULL, NULL));
    g_assert_cmpstr(actual, ==, wanted);
}

/* docs/examples/policy/NAME.yaml is accepted; tests/policy/show/NAME.txt is what it means; read again that means the same. */
static void check_example(gconstpointer data)
{
    const char *path = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL, *name = g_path_get_basename(path), *stem = g_strndup(name, strlen(name) - strlen(".yaml"));
    g_autofree char *file = g_strconcat(stem, ".txt", NULL);
    g_autofree char *golden = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "tests", "policy", "show", file, NULL);
    PolicyReport report = { 0 };

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_autoptr(Policy) policy = policy_read(name, text, &(PolicyReading){ .report = &report }, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(report.warnings, ==, NULL);
    g_autoptr(json_t) json = policy_to_json(policy);
    g_autofree char *shown = policy_to_text(policy, json, report.origins);
    check_golden(golden, shown);
    g_autoptr(Policy) again = policy_parse(name, shown, &error);
    g_assert_no_error(error);
    g_autoptr(json_t) json_again = policy_to_json(again);
    g_assert_true(json_equal(json, json_again));
    policy_report_clear(&report);
}

static void add_examples(void)
{
    g_autofree char *folder = g_build_filename(g_getenv("MEND_SOURCE_DIR"), "docs", "examples", "policy", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    g_assert_nonnull(dir);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *test = g_strconcat("/policy/example/", name, NULL);

        if (g_str_has_suffix(name, ".yaml"))
            g_test_add_data_func_full(test, g_build_filename(folder, name, NULL), check_example, g_free);
    }
}

static void test_the_default_policy_can_be_written_as_a_file(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) fallback = policy_default();
    g_autoptr(json_t) json = policy_to_json(fallback);
    g_autofree char *text = policy_to_text(fallback, json, NULL);
    g_autoptr(Policy) again = policy_parse("default", text, &error);

    g_assert_no_error(error);
    g_autoptr(json_t) json_again = policy_to_json(again);
    json_object_del(json_again, "notify"); /* "log" is there in every file */
    json_object_del(json, "notify");
    g_assert_true(json_equal(json, json_again));
}

static void test_no_rules_mean_what_the_default_rules_say_themselves(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) fallback = policy_default(), same = policy_parse("p.yaml", "mend: 1\n", &error);

    g_assert_no_error(error);
    g_autoptr(json_t) json = policy_to_json(fallback), json_same = policy_to_json(same);
    g_assert_true(json_equal(json_object_get(json, "rules"), json_object_get(json_same, "rules")));
    g_assert_true(json_equal(json_object_get(json, "budgets"), json_object_get(json_same, "budgets")));
}

static void test_defaults_are_inherited(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("p.yaml",
                                            "mend: 1\n"
                                            "startup_guard: 0\n"
                                            "defaults: {attempts: 5, backoff: {first: 2s}, healed_when: {for: 0}}\n"
                                            "ladders:\n"
                                            "  usual:\n"
                                            "    - {do: service.restart, within: 1h}\n"
                                            "    - {do: notify, to: pager}\n"
                                            "notify: {pager: {exec: /usr/local/bin/page}}\n"
                                            "rules:\n"
                                            "  - {name: r, on: service.failed, ladder: usual}\n",
                                            &error);

    g_assert_no_error(error);
    const Rule *rule = policy_rule(policy, "r");
    const Step *step = rule->ladder->pdata[0];
    g_assert_cmpuint(step->attempts, ==, 5);
    g_assert_cmpint(step->within_us, ==, US_PER_HOUR);
    g_assert_cmpint(step->backoff_first_us, ==, 2 * US_PER_S);
    g_assert_cmpint(step->healed_for_us, ==, 0);
    g_assert_cmpint(policy->startup_guard_us, ==, 0);
    g_assert_cmpint(policy_target(policy, "pager")->kind, ==, TARGET_EXEC);
}

static void test_json_is_read_too_and_no_rules_mean_the_default_ones(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("p.json", "{\"mend\": 1, \"applications\": []}", &error);

    g_assert_no_error(error);
    g_assert_nonnull(policy_rule(policy, "heal-services"));
    g_autoptr(Policy) patient = policy_parse("p.yaml", "mend: 1\ndefaults: {attempts: 9}\n", &error);
    g_assert_no_error(error);
    const Rule *rule = policy_rule(patient, "heal-services");
    g_assert_cmpuint(((Step *) rule->ladder->pdata[0])->attempts, ==, 9);
    g_assert_cmpuint(((Step *) rule->ladder->pdata[1])->attempts, ==, 1);
    g_autoptr(Policy) none = policy_parse("p.json", "{\"mend\": 1, \"rules\": []}", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(none->rules->len, ==, 0);
}

static void test_any_text_is_answered(void)
{
    static const char text[] = "mend: 1\napplications: [{name: a, vms: [{name: v, match: {name: n}, services: [x]}]}]\n"
                               "rules:\n  - {name: r, on: service.failed, where: 'event.rc in [1]', ladder: [{do: service.restart, "
                               "backoff: {first: 1s}}, {do: notify, to: log}]}\n";

    for (size_t i = 0; i < sizeof text - 1; i++) /* cut anywhere, one byte changed anywhere */
        for (int change = 0; change < 4; change++) {
            g_autofree char *broken = g_strndup(text, change == 0 ? i : sizeof text - 1);
            g_autoptr(GError) error = NULL;

            if (change > 0)
                broken[i] = "\x01:{"[change - 1];
            g_autoptr(Policy) policy = policy_parse("p.yaml", broken, &error);
            g_assert_true((policy == NULL) == (error != NULL));
        }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_bad();
    add_examples();
    g_test_add_func("/policy/file/default", test_the_default_policy_can_be_written_as_a_file);
    g_test_add_func("/policy/file/no-rules", test_no_rules_mean_what_the_default_rules_say_themselves);
    g_test_add_func("/policy/file/defaults", test_defaults_are_inherited);
    g_test_add_func("/policy/file/json", test_json_is_read_too_and_no_rules_mean_the_default_ones);
    g_test_add_func("/policy/file/any-text", test_any_text_is_answered);
    return g_test_run();
}
