#include "broker-plugin/hosts/embedded/topic.h"

#include <string.h>

static void test_match(void)
{
    static const struct { const char *pattern, *subject; bool matches; } rows[] = {
        {"a.b", "a.b", true},         {"a.b", "a.bc", false},       {"a.b", "a", false},          {"a", "a.b", false},
        {"*", "a", true},             {"*", "a.b", false},          {"*", "", false},             {"a.*", "a.b", true},
        {"a.*", "a", false},          {"*.b", "a.b", true},         {"#", "", true},              {"#", "a.b.c", true},
        {"a.#", "a", true},           {"a.#", "a.b.c", true},       {"a.#", "b.a", false},        {"#.c", "a.b.c", true},
        {"#.c", "c", true},           {"#.c", "c.d", false},        {"a.#.d", "a.d", true},       {"a.#.d", "a.b.c.d", true},
        {"a.#.d", "a.b.c", false},    {"#.*", "a", true},           {"#.*", "", false},           {"*.#", "a", true},
        {"a.#.b.#.c", "a.x.b.y.b.c", true}, {"a.#.b.#.c", "a.x.c", false}, {"#.a.#", "x.a.y", true}, {"#.a.#", "x.y", false},
        {"", "", true},               {"", "a", false},             {"a.*b", "a.xb", false},      {"a.*b", "a.*b", true},
        {"console.#", "console.request.agent_locate", true},        {"agent.ind.#", "agent.ind", true},
        {"service.*.vm1.#", "service.failed.vm1.nginx", true},      {"a..b", "a..b", true},       {"a.*.b", "a..b", true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("%s against %s", rows[i].pattern, rows[i].subject);
        g_assert_cmpint(topic_match(rows[i].pattern, rows[i].subject, strlen(rows[i].subject)), ==, rows[i].matches);
    }
}

/* A matcher that goes back more than one '#' needs years for this. */
static void test_hostile_is_quick(void)
{
    g_autoptr(GString) pattern = g_string_new("#"), subject = g_string_new("a");
    gint64 begin = g_get_monotonic_time();

    for (int i = 0; i < 60; i++)
        g_string_append(pattern, ".a.#");
    g_string_append(pattern, ".b");
    for (int i = 0; i < 2000; i++)
        g_string_append(subject, ".a");
    g_assert_false(topic_match(pattern->str, subject->str, subject->len));
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 1000000);
}

static void test_wildcards(void)
{
    g_assert_true(topic_has_wildcard("a.*"));
    g_assert_true(topic_has_wildcard("#"));
    g_assert_false(topic_has_wildcard("a.b*"));
    g_assert_false(topic_has_wildcard(""));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/topic/match", test_match);
    g_test_add_func("/topic/hostile-is-quick", test_hostile_is_quick);
    g_test_add_func("/topic/wildcards", test_wildcards);
    return g_test_run();
}
