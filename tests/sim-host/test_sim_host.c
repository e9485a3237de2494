#include "tests/sim-host/sim_host.h"

static void test_topics_match_words(void)
{
    static const struct { const char *pattern, *subject; bool match; } cases[] = {
        { "agent.ind.#", "agent.ind", true },          { "agent.ind.#", "agent.ind.event.x", true },
        { "agent.ind.#", "agent.index", false },       { "#", "", true },
        { "*.b", "a.b", true },                        { "*.b", "a.c.b", false },
        { "#.b", "a.c.b", true },                      { "a.#.b", "a.b", true },
        { "a.*", "a", false },                         { "a", "a", true },
        { "a.#.c.*", "a.x.c.c.d", true },              { "", "a", false },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        if (topic_matches(cases[i].pattern, cases[i].subject) != cases[i].match)
            g_error("\"%s\" and \"%s\": %s expected", cases[i].pattern, cases[i].subject, cases[i].match ? "a match" : "none");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sim-host/topics", test_topics_match_words);
    return g_test_run();
}
