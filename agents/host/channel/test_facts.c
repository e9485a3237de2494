#include "agents/host/channel/facts.h"

#include "lib/base/clock.h"

#include <string.h>

#define S US_PER_S

static const char *text(const Facts *facts, const char *field, int64_t now_us, FactSource *ret_source)
{
    return value_as_string(facts_get(facts, field, now_us, ret_source));
}

static void test_precedence(void)
{
    g_autoptr(Facts) facts = facts_new();
    FactSource source;

    facts_set(facts, "hostname", FACT_GUEST, value_string("of guest"), 10 * S, 100 * S);
    facts_set(facts, "hostname", FACT_QGA, value_string("of qga"), 10 * S, 105 * S);
    facts_set(facts, "hostname", FACT_OVIRT, value_string("of ovirt"), 10 * S, 106 * S);
    g_assert_cmpstr(text(facts, "hostname", 107 * S, &source), ==, "of guest");
    g_assert_cmpstr(text(facts, "hostname", 112 * S, &source), ==, "of qga"); /* the first grew old */
    g_assert_cmpint(source, ==, FACT_QGA);
    g_assert_cmpstr(text(facts, "hostname", 116 * S, &source), ==, "of ovirt");
    g_assert_cmpstr(text(facts, "hostname", 500 * S, &source), ==, "of ovirt"); /* all old: the youngest */
    facts_drop(facts, FACT_OVIRT);
    g_assert_cmpstr(text(facts, "hostname", 500 * S, &source), ==, "of qga");
    facts_drop(facts, FACT_QGA);
    facts_drop(facts, FACT_GUEST);
    g_assert_null(facts_get(facts, "hostname", 500 * S, &source));
}

static void test_map(void)
{
    g_autoptr(Facts) facts = facts_new();
    g_autoptr(Value) map = NULL;
    const Value *entry;

    facts_set(facts, "cpus", FACT_QGA, value_int(VALUE_INT64, 4), S, 10 * S);
    facts_set(facts, "users", FACT_OVIRT, value_string("root"), S, 11 * S);
    map = facts_map(facts, 12 * S);
    g_assert_cmpuint(value_size(map), ==, 2);
    entry = value_get(map, "cpus");
    g_assert_cmpint(value_get_int(entry, "value", 0), ==, 4);
    g_assert_cmpstr(value_get_string(entry, "source"), ==, "qga");
    g_assert_cmpint(value_get_int(entry, "age_ms", 0), ==, 2000);
    g_assert_cmpstr(value_get_string(value_get(map, "users"), "source"), ==, "ovirt-guest-agent");
}

static void test_limits(void)
{
    g_autoptr(Facts) facts = facts_new();
    g_autofree char *large = g_strnfill(FACT_BYTES_MAX, 'x');
    Value *list = value_list();
    FactSource source;
    size_t n;

    g_assert_false(facts_set(facts, "text", FACT_QGA, value_string(large), S, S));
    for (int i = 0; i < 5000; i++)
        value_append(list, value_string("application-1.2.3"));
    g_assert_true(facts_set(facts, "applications", FACT_OVIRT, list, S, S));
    n = value_size(facts_get(facts, "applications", S, &source));
    g_assert_cmpuint(n, >, 500);
    g_assert_cmpuint(n * 20, <=, FACT_BYTES_MAX);
    for (int i = 0; i < 2 * FACTS_FIELDS_MAX; i++) {
        char name[16];
        g_snprintf(name, sizeof name, "f%d", i);
        facts_set(facts, name, FACT_QGA, value_int(VALUE_INT32, i), S, S);
    }
    g_assert_null(facts_get(facts, "f100", S, &source));
    g_assert_nonnull(facts_get(facts, "f10", S, &source));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/facts/precedence", test_precedence);
    g_test_add_func("/facts/map", test_map);
    g_test_add_func("/facts/limits", test_limits);
    return g_test_run();
}
