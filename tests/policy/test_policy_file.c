#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"

#include <string.h>

static void test_every_mistake_has_its_place(void)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "rules: []\n", "p.yaml:1:1: a policy file begins with \"mend: 1\"" },
        { "mend: 2\n", "p.yaml:1:7: mend: this program reads policies of version 1" },
        { "mend: 1\nrulez: []\n", "p.yaml:2:1: unknown key in a policy \"rulez\", did you mean \"rules\"?" },
        { "mend: 1\nrules: 7\n", "p.yaml:2:8: rules is a list: - … or [ … ] is wanted" },
        { "mend: 1\nrules:\n  - {on: service.failed, ladder: []}\n", "p.yaml:3:5: a rule has no \"name\"" },
        { "mend: 1\nrules:\n  - {name: r, on: service.faild, ladder: []}\n",
          "p.yaml:3:19: unknown event \"service.faild\", did you mean \"service.failed\"?" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: []}\n",
          "p.yaml:3:43: a ladder without steps does nothing: at least one is wanted" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed}\n", "p.yaml:3:5: rule r has no \"ladder\": what shall be done?" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restrt}]}\n",
          "p.yaml:3:49: unknown action \"service.restrt\", did you mean \"service.restart\"?" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, attempts: many}]}\n",
          "p.yaml:3:76: attempts: a whole number between 1 and 100 is wanted" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, within: 10}]}\n",
          "p.yaml:3:74: within: \"10\" is no duration: 10s, 250ms, 1m30s is wanted" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, within: 10ms}]}\n",
          "p.yaml:3:74: within: 10ms is not between 1s and 30d" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, atempts: 3}]}\n",
          "p.yaml:3:66: unknown key in a step \"atempts\", did you mean \"attempts\"?" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, healed_when: {state: runing}}]}\n",
          "p.yaml:3:87: unknown state \"runing\", did you mean \"running\"?" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: service.restart, backoff: {first: 1m, max: 1s}}]}\n",
          "p.yaml:3:75: backoff: max is less than first" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: [{do: notify, to: oncal}]}\n",
          "p.yaml:3:61: unknown notify target \"oncal\", did you mean \"oncall\"?" },
        { "mend: 1\nladders: {soft: [{do: notify, to: log}]}\nrules:\n  - {name: r, on: service.failed, ladder: sift}\n",
          "p.yaml:4:43: unknown ladder \"sift\", did you mean \"soft\"?" },
        { "mend: 1\nrules:\n  - {name: r, on: service.failed, ladder: soft}\n", "p.yaml:3:43: unknown ladder \"soft\": one of  is wanted" },
        { "mend: 1\nrules:\n  - name: r\n    on: service.failed\n    where: entity.ap == \"shop\"\n    ladder: [{do: service.restart}]\n",
          "p.yaml:5:12: where: entity has no field \"ap\", did you mean \"app\"?" },
        { "mend: 1\nrules:\n  - name: r\n    on: service.failed\n    where: 'event.rc == \"7\"'\n    ladder: [{do: service.restart}]\n",
          "p.yaml:5:22: where: a number cannot be compared with text" },
        { "mend: 1\nrules:\n  - {name: r, on: agent.lost, ladder: [{do: service.restart}]}\n",
          "p.yaml:3:5: rule r: service.restart on agent.lost: only service.failed, service.stopped and service.degraded say that a "
          "service is down; here only notify steps may stand" },
        { "mend: 1\nrules:\n  - {name: r, on: service.unknown, ladder: [{do: service.restart}]}\n",
          "p.yaml:3:5: rule r: unknown is not a failure: only notify steps may follow it" },
        { "mend: 1\nrules:\n  - {name: r, on: agent.lost, ladder: [{do: notify, to: log}]}\n  - {name: r, on: agent.up, ladder: [{do: notify, to: log}]}\n",
          "p.yaml:4:12: a rule named \"r\" stands above already" },
        { "mend: 1\nnotify: {pager: {exc: x}}\n", "p.yaml:2:18: unknown key in a notify target \"exc\", did you mean \"exec\"?" },
        { "mend: 1\napplications:\n  - name: shop\n", "p.yaml:3:5: application shop has no \"vms\"" },
        { "mend: 1\napplications:\n  - {name: shop, vms: [{name: db, services: [{name: x, standard: sytemd}]}]}\n",
          "p.yaml:3:66: unknown standard \"sytemd\", did you mean \"systemd\"?" },
        { "mend: 1\ndefaults: {backoff: {factor: 0.5}}\n", "p.yaml:2:30: factor: a number between 1 and 100 is wanted" },
        { "mend: 1\nunused: 1\n", "p.yaml:2:1: unknown key in a policy \"unused\": one of mend, applications, rules, ladders, defaults, "
                                   "notify, startup_guard, hold_max is wanted" },
        { "\n", "p.yaml:1:1: the file is empty: a policy begins with \"mend: 1\"" },
        { "- mend\n", "p.yaml:1:1: a policy is a map: {key: value, …} is wanted" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;

        g_test_message("%s", rows[i].text);
        g_assert_null(policy_parse("p.yaml", rows[i].text, &error));
        g_assert_cmpstr(error->message, ==, rows[i].message);
    }
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
    g_test_add_func("/policy/file/mistakes", test_every_mistake_has_its_place);
    g_test_add_func("/policy/file/defaults", test_defaults_are_inherited);
    g_test_add_func("/policy/file/json", test_json_is_read_too_and_no_rules_mean_the_default_ones);
    g_test_add_func("/policy/file/any-text", test_any_text_is_answered);
    return g_test_run();
}
