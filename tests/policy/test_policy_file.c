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

static void test_what_may_be_meant_is_a_warning(void)
{
    static const char text[] = "mend: 1\n"
                               "templates: {unused: {ha: true}}\n"
                               "rules:\n"
                               "  - {name: r, on: service.failed, ladder: [{do: vm.reboot}, {do: service.restart}]}\n"
                               "silences:\n"
                               "  - {name: s, match: {kind: vm}, until: 2001-01-01T00:00:00Z, author: anna, comment: long ago}\n"
                               "holds:\n"
                               "  - {name: h, match: {kind: host}, author: anna, comment: for ever}\n"
                               "budgets: none\n";
    static const char *const wanted[] = { "p.yaml:2:13: template unused is used by nothing",
                                          "p.yaml:4:66: rule r: service.restart after something larger",
                                          "p.yaml:6:41: until: silence s has expired",
                                          "p.yaml:8:5: hold h has no end",
                                          "p.yaml:9:10: budgets: none" };
    PolicyReport report = { 0 };
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_read("p.yaml", text, &(PolicyReading){ .now_us = INT64_C(1700000000) * US_PER_S, .report = &report }, &error);
    const char *at = report.warnings;

    g_assert_no_error(error);
    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) { /* in the order of the file */
        at = at == NULL ? NULL : strstr(at, wanted[i]);
        if (at == NULL)
            g_error("\"%s\" is not where it belongs in\n%s", wanted[i], report.warnings);
    }
    policy_report_clear(&report);
}

static void test_what_was_in_force_once_is_read(void)
{
    static const char text[] = "mend: 1\nrules:\n  - {name: r, on: service.unknown, ladder: [{do: service.restart}]}\n";
    PolicyReport report = { 0 };
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_read("p.yaml", text, &(PolicyReading){ .trusted = true, .report = &report }, &error);

    g_assert_no_error(error);
    g_assert_nonnull(strstr(report.warnings, "unknown is not a failure"));
    policy_report_clear(&report);
    g_assert_null(policy_parse("p.yaml", text, &error));
}

static void test_no_more_than_twenty_are_told(void)
{
    g_autoptr(GString) text = g_string_new("mend: 1\nrules:\n");
    g_autoptr(GError) error = NULL;

    for (int i = 0; i < 30; i++)
        g_string_append_printf(text, "  - {name: r%d, on: nothing.at-all, ladder: [{do: service.restart}]}\n", i);
    g_assert_null(policy_parse("p.yaml", text->str, &error));
    g_assert_nonnull(strstr(error->message, "p.yaml:22:"));
    g_assert_null(strstr(error->message, "p.yaml:23:"));
    g_assert_true(g_str_has_suffix(error->message, "\nand 10 more"));
}

static void test_what_grows_without_bound_is_refused(void)
{
    g_autoptr(GString) text = g_string_new("mend: 1\nvariables:\n  v0: \"0123456789\"\n");
    g_autoptr(GError) error = NULL;

    for (int i = 1; i < 30; i++) /* a text of 10 GiB */
        g_string_append_printf(text, "  v%d: \"${v%d}${v%d}\"\n", i, i - 1, i - 1);
    g_assert_null(policy_parse("p.yaml", text->str, &error));
    g_assert_nonnull(strstr(error->message, "longer than 64 KiB"));
    g_clear_error(&error);
    g_string_assign(text, "mend: 1\ntemplates:\n  t0: {a: 1}\n");
    for (int i = 1; i < 30; i++) /* a tree of 2^30 nodes */
        g_string_append_printf(text, "  t%d: {a: {template: t%d}, b: {template: t%d}}\n", i, i - 1, i - 1);
    g_string_append(text, "topology: {template: t29}\n");
    g_assert_null(policy_parse("p.yaml", text->str, &error));
    g_assert_nonnull(strstr(error->message, "make more than 100000 values"));
}

static void test_templates_and_variables_are_put_in(void)
{
    static const char text[] = "mend: 1\n"
                               "variables: {tries: 7, who: \"on${suffix}\", suffix: call, step: {do: service.restart, attempts: 2}}\n"
                               "templates:\n"
                               "  base: {backoff: {first: 3s, max: 9s}, within: 1h}\n"
                               "  patient: {template: base, attempts: \"${tries}\", backoff: {first: 4s}}\n"
                               "rules:\n"
                               "  - name: r\n"
                               "    on: service.failed\n"
                               "    ladder:\n"
                               "      - {do: service.restart, template: patient, within: 2h}\n"
                               "      - {do: vm.reboot, template: [patient, base]}\n"
                               "      - {do: notify, to: \"${who}\"}\n"
                               "  - name: s\n"
                               "    on: service.stopped\n"
                               "    ladder: [\"${step}\"]\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("p.yaml", text, &error);

    g_assert_no_error(error);
    const Rule *r = policy_rule(policy, "r"), *s = policy_rule(policy, "s");
    const Step *first = r->ladder->pdata[0], *second = r->ladder->pdata[1];
    g_assert_cmpuint(first->attempts, ==, 7);
    g_assert_cmpint(first->within_us, ==, 2 * US_PER_HOUR);
    g_assert_cmpint(first->backoff_first_us, ==, 4 * US_PER_S); /* the template's own over its template's */
    g_assert_cmpint(first->backoff_max_us, ==, 9 * US_PER_S);
    g_assert_cmpint(second->backoff_first_us, ==, 3 * US_PER_S); /* the later name over the earlier */
    g_assert_cmpstr(((Step *) r->ladder->pdata[2])->to, ==, "oncall");
    g_assert_cmpuint(((Step *) s->ladder->pdata[0])->attempts, ==, 2);
    g_assert_cmpstr(((Step *) s->ladder->pdata[1])->action, ==, ACTION_NOTIFY); /* added */
}

static void test_nodes_are_kept_whole(void)
{
    static const char text[] = "mend: 1\napplications:\n  - name: shop\n    vms:\n"
                               "      - {name: db, services: [postgresql]}\n"
                               "      - {name: web, after: [db/postgresql], needs: [db], services: [{name: nginx, after: [php, db]}, php]}\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("p.yaml", text, &error);

    g_assert_no_error(error);
    const AppVm *web = ((Application *) policy->applications->pdata[0])->vms->pdata[1];
    const AppService *nginx = web->services->pdata[0];
    g_assert_cmpstr(web->after->pdata[0], ==, "db/postgresql");
    g_assert_cmpstr(nginx->after->pdata[0], ==, "web/php");
    g_assert_cmpstr(nginx->after->pdata[1], ==, "db");
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

static void test_bytes_that_are_no_text(void)
{
    static const char *const texts[] = { "mend: 1\xe4\xe4\xe4\xe4\xe4\xe4\n", "mend: 1 # \xff\n", "\xc3", "mend: \xed\xa0\x80\n" };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(policy_parse("caf\xe9.yaml", texts[i], &error));
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        g_assert_nonnull(strstr(error->message, "not UTF-8"));
    }
}

static void test_the_default_rules_stand_in_for_what_is_not_said(void)
{
    static const char text[] = "mend: 1\nrules:\n"
                               "  - {name: mine, on: service.failed, ladder: [{do: service.restart, attempts: 7}]}\n"
                               "  - {name: fence-hosts, on: host.dead, ladder: [{do: notify, to: oncall}]}\n"
                               "  - default\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("p", text, &error), fallback = policy_default();

    g_assert_no_error(error);
    g_assert_null(policy_rule(policy, "heal-services"));     /* mine leaves it nothing */
    g_assert_nonnull(policy_rule(policy, "restart-vms"));
    g_assert_cmpuint(policy_rule(policy, "fence-hosts")->ladder->len, ==, 1); /* ours, instead of the default one */
    g_assert_cmpuint(policy->rules->len, ==, fallback->rules->len);
}

static const char *rule_at(const Policy *policy, guint i) { return ((const Rule *) policy->rules->pdata[i])->name; }

static void test_further_documents_bring_applications_and_rules(void)
{
    static const char part[] = "--- # somebody else's\nmend: 1\napplications:\n  - {name: blog, vms: [{name: v, match: {name: v}}]}\nrules:\n"
                               "  - {name: theirs, on: service.failed, where: 'entity.app == \"blog\"', ladder: [{do: vm.restart}]}\n";
    g_autofree char *text = g_strconcat("mend: 1\napplications: [{name: shop, vms: [{name: w, match: {name: w}}]}]\nrules: [{name: mine, on: service.failed, "
                                        "ladder: [{do: service.restart}]}]\n", part, "---\nmend: 1\n", NULL);
    g_autofree char *bare = g_strconcat("mend: 1\n", part, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("p", text, &error), alone = policy_parse("p", bare, &error);

    g_assert_no_error(error);
    g_assert_cmpuint(policy->applications->len, ==, 2);
    g_assert_cmpuint(policy->rules->len, ==, 2);
    g_assert_cmpstr(rule_at(policy, 0), ==, "theirs");
    g_assert_cmpstr(rule_at(policy, 1), ==, "mine");
    g_assert_cmpuint(alone->applications->len, ==, 1);
    g_assert_cmpstr(rule_at(alone, 0), ==, "theirs");
    g_assert_nonnull(policy_rule(alone, "heal-services")); /* as before the document came */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/further-documents", test_further_documents_bring_applications_and_rules);
    g_test_add_func("/policy/default-rules", test_the_default_rules_stand_in_for_what_is_not_said);
    add_bad();
    add_examples();
    g_test_add_func("/policy/file/warnings", test_what_may_be_meant_is_a_warning);
    g_test_add_func("/policy/file/trusted", test_what_was_in_force_once_is_read);
    g_test_add_func("/policy/file/twenty", test_no_more_than_twenty_are_told);
    g_test_add_func("/policy/file/bounds", test_what_grows_without_bound_is_refused);
    g_test_add_func("/policy/file/expanded", test_templates_and_variables_are_put_in);
    g_test_add_func("/policy/file/nodes", test_nodes_are_kept_whole);
    g_test_add_func("/policy/file/default", test_the_default_policy_can_be_written_as_a_file);
    g_test_add_func("/policy/file/no-rules", test_no_rules_mean_what_the_default_rules_say_themselves);
    g_test_add_func("/policy/file/defaults", test_defaults_are_inherited);
    g_test_add_func("/policy/file/json", test_json_is_read_too_and_no_rules_mean_the_default_ones);
    g_test_add_func("/policy/file/bytes", test_bytes_that_are_no_text);
    g_test_add_func("/policy/file/any-text", test_any_text_is_answered);
    return g_test_run();
}
