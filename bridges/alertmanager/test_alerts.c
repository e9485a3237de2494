/* Incidents as alerts, and alerts as what they are about. */
#include "bridges/alertmanager/alert_rules.h"
#include "bridges/alertmanager/alerts.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <glib/gstdio.h>
#include <string.h>

#define T0 (INT64_C(1700000000) * US_PER_S)

static json_t *incidents(const char *state, const char *entity)
{
    return json_pack("[{s:s, s:s, s:s, s:s, s:I}]", "id", "i-1", "entity", entity, "rule", "heal", "state", state, "opened_us", (json_int_t) T0);
}

static const json_t *find(const json_t *body, const char *name)
{
    size_t i;
    json_t *alert;

    json_array_foreach(body, i, alert)
        if (strcmp(json_string_or(json_object_get(alert, "labels"), "alertname", ""), name) == 0)
            return alert;
    return NULL;
}

static const char *label(const json_t *alert, const char *name) { return json_string_or(json_object_get(alert, "labels"), name, NULL); }

static void test_an_incident_becomes_two_alerts(void)
{
    const char *const own[] = { "site=north", NULL };
    g_autoptr(Alerts) alerts = alerts_new(own);
    g_autoptr(json_t) open = incidents("executing", "service/vm1/nginx"), human = incidents("needs-human", "service/vm1/nginx"), none = json_array();

    alerts_take(alerts, open, T0);
    g_assert_null(alerts_without_story(alerts));
    g_autoptr(json_t) first = alerts_body(alerts, T0 + US_PER_S, 60 * US_PER_S);
    const json_t *alert = find(first, ALERT_INCIDENT);
    g_assert_cmpuint(json_array_size(first), ==, 1);
    g_assert_cmpstr(label(alert, "severity"), ==, "warning");
    g_assert_cmpstr(label(alert, "vm"), ==, "vm1");
    g_assert_cmpstr(label(alert, "service"), ==, "nginx");
    g_assert_cmpstr(label(alert, "site"), ==, "north");
    g_assert_cmpstr(json_string_or(alert, "startsAt", ""), ==, "2023-11-14T22:13:20.000Z");
    g_assert_cmpstr(json_string_or(alert, "endsAt", ""), ==, "2023-11-14T22:14:21.000Z");
    alerts_sent(alerts);

    alerts_take(alerts, human, T0 + 2 * US_PER_S);
    g_assert_cmpstr(alerts_without_story(alerts), ==, "service/vm1/nginx");
    alerts_set_story(alerts, "service/vm1/nginx", "rule heal applies …");
    g_assert_null(alerts_without_story(alerts));
    g_autoptr(json_t) second = alerts_body(alerts, T0 + 3 * US_PER_S, 60 * US_PER_S);
    g_assert_cmpuint(json_array_size(second), ==, 2);
    g_assert_cmpstr(json_string_or(find(second, ALERT_INCIDENT), "endsAt", ""), ==, "2023-11-14T22:13:22.000Z");
    alert = find(second, ALERT_NEEDS_HUMAN);
    g_assert_cmpstr(label(alert, "severity"), ==, "critical");
    g_assert_cmpstr(json_string_or(json_object_get(alert, "annotations"), "description", ""), ==, "rule heal applies …");
    g_assert_cmpuint(alerts_open(alerts), ==, 1);

    alerts_take(alerts, none, T0 + 4 * US_PER_S); /* nobody has heard yet: both are said again, as ended */
    g_autoptr(json_t) third = alerts_body(alerts, T0 + 5 * US_PER_S, 60 * US_PER_S);
    g_assert_cmpuint(json_array_size(third), ==, 2);
    alerts_sent(alerts);
    g_autoptr(json_t) last = alerts_body(alerts, T0 + 6 * US_PER_S, 60 * US_PER_S);
    g_assert_cmpuint(json_array_size(last), ==, 0);
}

static void test_a_silent_engine(void)
{
    g_autoptr(Alerts) alerts = alerts_new(NULL);
    g_autoptr(json_t) open = incidents("executing", "host/h1");

    alerts_take(alerts, open, T0);
    alerts_policy_silent(alerts, "main", T0, T0 + US_PER_S);
    g_autoptr(json_t) silent = alerts_body(alerts, T0, US_PER_S);
    g_assert_cmpuint(json_array_size(silent), ==, 2); /* what was open is not said to have ended */
    g_assert_cmpstr(label(find(silent, ALERT_POLICY_SILENT), "entity"), ==, "policy/main");
    g_assert_cmpstr(label(find(silent, ALERT_INCIDENT), "host"), ==, "h1");
    g_assert_cmpuint(alerts_open(alerts), ==, 2);
    alerts_policy_silent(alerts, "main", 0, T0 + 2 * US_PER_S);
    g_assert_cmpuint(alerts_open(alerts), ==, 1);
}

static void test_labels(void)
{
    const char *const good[] = { "a_1=x=y", NULL }, *const bad[] = { "1a=x", NULL }, *const none[] = { "a", NULL };

    g_assert_true(alerts_check_labels(good, NULL));
    g_assert_true(alerts_check_labels(NULL, NULL));
    g_assert_false(alerts_check_labels(bad, NULL));
    g_assert_false(alerts_check_labels(none, NULL));
}

/* ---- rules ------------------------------------------------------------------------------------------------------------------------- */

#define VM1 "6f1a2b3c-0000-4000-8000-000000000001"
#define VMS "vms: {web1: " VM1 "}\n"

static AlertRules *read_text(const char *text, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("mend-rules-XXXXXX", &path, NULL);
    AlertRules *rules;

    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    rules = alert_rules_read(path, error);
    g_unlink(path);
    return rules;
}

static void asks(const AlertRules *rules, const char *labels, AlertWord word, const char *part)
{
    g_autoptr(json_t) map = json_loads(labels, 0, NULL);
    g_autofree char *service = NULL, *why = NULL;
    guint vm = 99;

    g_assert_nonnull(map);
    g_assert_cmpint(alert_rules_ask(rules, map, &vm, &service, &why), ==, word);
    if (word == ALERT_ABOUT) {
        g_assert_cmpuint(vm, ==, 0);
        g_assert_cmpstr(service, ==, part);
    } else if (word == ALERT_UNKNOWN && strstr(why, part) == NULL) {
        g_error("'%s' has no '%s'", why, part);
    }
}

static void test_what_it_is_about(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AlertRules) rules = read_text(VMS "alerts:\n"
                                                "  - {match: {alertname: Watchdog}, ignore: true}\n"
                                                "  - {match: {alertname: \"Shop*\", severity: critical}, vm: \"{host}\", service: \"alert.{alertname}\"}\n", &error);

    g_assert_no_error(error);
    asks(rules, "{\"alertname\": \"Watchdog\"}", ALERT_IGNORED, NULL);
    asks(rules, "{\"alertname\": \"ShopSlow\", \"severity\": \"critical\", \"host\": \"web1\"}", ALERT_ABOUT, "alert.ShopSlow");
    asks(rules, "{\"alertname\": \"ShopSlow\", \"severity\": \"warning\", \"host\": \"web1\"}", ALERT_UNKNOWN, "no rule is about it");
    asks(rules, "{\"alertname\": \"ShopSlow\", \"severity\": \"critical\"}", ALERT_UNKNOWN, "names a label that it has not");
    asks(rules, "{\"alertname\": \"ShopSlow\", \"severity\": \"critical\", \"host\": \"web2\"}", ALERT_UNKNOWN, "is not among vms");
    asks(rules, "{\"alertname\": \"Shop/../x\", \"severity\": \"critical\", \"host\": \"web1\"}", ALERT_UNKNOWN, "service name");
    asks(rules, "{}", ALERT_UNKNOWN, "no rule");
}

static void refused(const char *text, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AlertRules) rules = read_text(text, &error);

    g_assert_null(rules);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' has no '%s'", error->message, part);
}

static void test_rules_that_are_none(void)
{
    refused("alerts: []\n", "the file has 'vms'");
    refused("vms: {a: b}\nalerts: []\n", ":1:10: 'a': the VM's UUID is wanted");
    refused("vms: {a: " VM1 ", b: " VM1 "}\nalerts: []\n", "this VM is \"a\" above already");
    refused(VMS "alerts: [x]\n", ":2:10: a rule is a map");
    refused(VMS "alerts: [{vm: a, service: b}]\n", "a rule needs 'match'");
    refused(VMS "alerts: [{match: {a: b}, vm: a}]\n", "needs 'vm' and 'service'");
    refused(VMS "alerts: [{match: {a: b}, servise: a}]\n", "did you mean 'service'?");
    refused(VMS "alerts: [{match: {}, ignore: true}]\n", "with one at least");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/alerts/two", test_an_incident_becomes_two_alerts);
    g_test_add_func("/alerts/silent-engine", test_a_silent_engine);
    g_test_add_func("/alerts/labels", test_labels);
    g_test_add_func("/alerts/rules/about", test_what_it_is_about);
    g_test_add_func("/alerts/rules/refused", test_rules_that_are_none);
    return g_test_run();
}
