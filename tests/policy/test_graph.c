/* The dependency graph: cycles are named, order holds, what stands on what is found; all of it against slow, plain oracles. */
#include "consumers/policy/planner/graph.h"

#include <string.h>
#include <time.h>

static void assert_cycle(Graph *graph, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_false(graph_check(graph, &error));
    g_assert_error(error, GRAPH_ERROR, GRAPH_ERROR_CYCLE);
    g_assert_cmpstr(error->message, ==, text);
}

static void test_a_cycle_is_named(void)
{
    g_autoptr(Graph) two = graph_new(), self = graph_new(), behind = graph_new(), chord = graph_new();

    graph_after(two, "web", "db");
    graph_needs(two, "db", "web");
    assert_cycle(two, "db → web → db");
    graph_after(self, "db", "db");
    assert_cycle(self, "db → db");
    graph_after(behind, "a", "x"); /* before and behind the cycle stands more, none of it is named */
    graph_after(behind, "b", "a");
    graph_after(behind, "a", "b");
    graph_after(behind, "y", "b");
    graph_after(behind, "z", "y");
    assert_cycle(behind, "a → b → a");
    graph_after(chord, "b", "a"); /* the shortest one */
    graph_after(chord, "c", "b");
    graph_after(chord, "d", "c");
    graph_after(chord, "a", "d");
    graph_after(chord, "a", "b");
    assert_cycle(chord, "a → b → a");
}

static void test_a_long_cycle_is_counted(void)
{
    g_autoptr(Graph) graph = graph_new();
    g_autoptr(GError) error = NULL;
    char names[100][8];

    for (int i = 0; i < 100; i++)
        g_snprintf(names[i], sizeof names[i], "n%d", i);
    for (int i = 0; i < 100; i++)
        graph_after(graph, names[(i + 1) % 100], names[i]);
    g_assert_false(graph_check(graph, &error));
    g_assert_true(g_str_has_prefix(error->message, "n"));
    g_assert_nonnull(strstr(error->message, "(76 more)"));
}

static void test_an_edge_more_asks_for_another_check(void)
{
    g_autoptr(Graph) graph = graph_new();

    graph_after(graph, "b", "a");
    g_assert_true(graph_check(graph, NULL));
    g_assert_true(graph_check(graph, NULL));
    graph_after(graph, "a", "b");
    g_assert_false(graph_check(graph, NULL));
    g_assert_false(graph_check(graph, NULL));
}

static void test_levels_follow_the_longest_way(void)
{
    g_autoptr(Graph) graph = graph_new();
    g_autoptr(GString) order = g_string_new(NULL);

    graph_add(graph, "alone");
    graph_after(graph, "web", "db");
    graph_after(graph, "proxy", "web");
    graph_after(graph, "proxy", "db");
    graph_needs(graph, "cron", "db");
    g_assert_true(graph_check(graph, NULL));
    for (guint i = 0; i < graph_size(graph); i++) {
        guint node = graph_order(graph)[i];

        g_string_append_printf(order, "%s:%u ", graph_name(graph, node), graph_level(graph, node));
    }
    g_assert_cmpstr(order->str, ==, "alone:0 db:0 web:1 cron:1 proxy:2 ");
    g_assert_cmpuint(graph_find(graph, "nobody"), ==, GRAPH_NONE);
}

static char *names_of(const Graph *graph, GArray *nodes)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < nodes->len; i++)
        g_string_append_printf(text, "%s%s", i == 0 ? "" : " ", graph_name(graph, g_array_index(nodes, guint, i)));
    g_array_unref(nodes);
    return g_string_free(text, FALSE);
}

static void test_only_needs_carries_a_failure(void)
{
    g_autoptr(Graph) graph = graph_new();
    g_autofree char *dependents = NULL, *prerequisites = NULL;
    guint db, shop;

    graph_needs(graph, "web", "db");
    graph_needs(graph, "shop", "web");
    graph_after(graph, "backup", "db");
    graph_needs(graph, "restore", "backup");
    g_assert_true(graph_check(graph, NULL));
    db = graph_find(graph, "db");
    shop = graph_find(graph, "shop");
    dependents = names_of(graph, graph_dependents(graph, &db, 1));
    g_assert_cmpstr(dependents, ==, "web shop");
    prerequisites = names_of(graph, graph_prerequisites(graph, &shop, 1));
    g_assert_cmpstr(prerequisites, ==, "db web");
}

static char *steps_text(const Graph *graph, const GArray *steps)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < steps->len; i++) {
        const GraphStep *step = &g_array_index(steps, GraphStep, i);

        g_string_append_printf(text, "%s%s", i == 0 ? "" : " ", graph_name(graph, step->node));
        for (guint k = 0; k < step->needs->len; k++)
            g_string_append_printf(text, "!%u", g_array_index(step->needs, guint, k));
        for (guint k = 0; k < step->after->len; k++)
            g_string_append_printf(text, ",%u", g_array_index(step->after, guint, k));
    }
    return g_string_free(text, FALSE);
}

static void test_restart_holds_the_order_through_what_runs_on(void)
{
    g_autoptr(Graph) graph = graph_new();
    g_autoptr(GraphRestart) restart = NULL;
    g_autofree char *starts = NULL, *stops = NULL;
    guint nodes[4];

    graph_needs(graph, "cache", "db");
    graph_needs(graph, "web", "cache");
    graph_after(graph, "proxy", "cache");
    g_assert_true(graph_check(graph, NULL));
    nodes[0] = nodes[3] = graph_find(graph, "proxy");
    nodes[1] = graph_find(graph, "web");
    nodes[2] = graph_find(graph, "db");
    restart = graph_restart(graph, nodes, 4);
    starts = steps_text(graph, restart->starts);
    g_assert_cmpstr(starts, ==, "db web!0 proxy,0"); /* web needs db through cache; proxy only comes after it */
    stops = steps_text(graph, restart->stops);
    g_assert_cmpstr(stops, ==, "proxy web db,0,1");
}

typedef struct Oracle {
    guint n;
    bool after[12][12], needs[12][12]; /* closed: [b][a] */
} Oracle;

static const char *const letters[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l" };

static void oracle_random(Oracle *o, Graph *graph, GRand *dice)
{
    memset(o, 0, sizeof *o);
    o->n = (guint) g_rand_int_range(dice, 1, 12);
    for (guint i = 0; i < o->n; i++)
        graph_add(graph, letters[i]);
    for (int e = g_rand_int_range(dice, 0, 18); e > 0; e--) {
        guint b = (guint) g_rand_int_range(dice, 0, (gint32) o->n), a = (guint) g_rand_int_range(dice, 0, (gint32) o->n);
        bool needs = g_rand_boolean(dice);

        (needs ? graph_needs : graph_after)(graph, letters[b], letters[a]);
        o->after[b][a] = true;
        o->needs[b][a] |= needs;
    }
    for (guint m = 0; m < o->n; m++)
        for (guint b = 0; b < o->n; b++)
            for (guint a = 0; a < o->n; a++) {
                o->after[b][a] |= o->after[b][m] && o->after[m][a];
                o->needs[b][a] |= o->needs[b][m] && o->needs[m][a];
            }
}

/* Closing what the steps say must give what the graph says of the members. */
static void check_steps(const Oracle *o, const GArray *steps, bool reversed)
{
    bool after[12][12] = { 0 }, needs[12][12] = { 0 };

    for (guint i = 0; i < steps->len; i++) {
        const GraphStep *step = &g_array_index(steps, GraphStep, i);
        const GArray *lists[] = { step->needs, step->after };

        for (guint l = 0; l < 2; l++)
            for (guint k = 0; k < lists[l]->len; k++) {
                guint p = g_array_index(lists[l], guint, k);

                g_assert_cmpuint(p, <, i);
                g_assert_true(k == 0 || g_array_index(lists[l], guint, k - 1) < p);
                after[i][p] = true;
                needs[i][p] |= l == 0;
                for (guint m = 0; m < p; m++) {
                    after[i][m] |= after[p][m];
                    needs[i][m] |= l == 0 && needs[p][m];
                }
            }
    }
    for (guint i = 0; i < steps->len; i++)
        for (guint k = 0; k < steps->len; k++) {
            guint x = g_array_index(steps, GraphStep, i).node, y = g_array_index(steps, GraphStep, k).node;

            g_assert_true(after[i][k] == (reversed ? o->after[y][x] : o->after[x][y]));
            g_assert_true(reversed || needs[i][k] == o->needs[x][y]);
        }
}

static void check_random_graph(GRand *dice)
{
    g_autoptr(Graph) graph = graph_new();
    g_autoptr(GraphRestart) restart = NULL;
    g_autoptr(GError) error = NULL;
    Oracle o;
    bool cycle = false;
    guint nodes[12], n = 0;

    oracle_random(&o, graph, dice);
    for (guint i = 0; i < o.n; i++)
        cycle |= o.after[i][i];
    g_assert_true(graph_check(graph, &error) != cycle);
    if (cycle) { /* what is named is a cycle: each comes before the next, and it ends where it began */
        g_auto(GStrv) names = g_strsplit(error->message, " → ", 0);
        guint length = g_strv_length(names);

        g_assert_cmpstr(names[0], ==, names[length - 1]);
        for (guint i = 0; i + 1 < length; i++)
            g_assert_true(o.after[graph_find(graph, names[i + 1])][graph_find(graph, names[i])]);
        return;
    }
    for (guint i = 0; i < o.n; i++)
        if (g_rand_boolean(dice))
            nodes[n++] = i;
    restart = graph_restart(graph, nodes, n);
    g_assert_cmpuint(restart->starts->len, ==, n);
    check_steps(&o, restart->starts, false);
    check_steps(&o, restart->stops, true);
    for (guint i = 0; i < o.n; i++) {
        g_autoptr(GArray) dependents = graph_dependents(graph, &i, 1), prerequisites = graph_prerequisites(graph, &i, 1);
        guint n_dependents = 0, n_prerequisites = 0;

        for (guint k = 0; k < o.n; k++) {
            n_dependents += o.needs[k][i];
            n_prerequisites += o.needs[i][k];
        }
        g_assert_cmpuint(dependents->len, ==, n_dependents);
        for (guint k = 0; k < dependents->len; k++)
            g_assert_true(o.needs[g_array_index(dependents, guint, k)][i]);
        g_assert_cmpuint(prerequisites->len, ==, n_prerequisites);
    }
}

static void test_random_graphs_agree_with_the_oracle(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(2012);

    for (int i = 0; i < 3000; i++)
        check_random_graph(dice);
}

#define LARGE 10000

static void test_ten_thousand_nodes_in_time(void)
{
    g_autoptr(Graph) graph = graph_new();
    g_autofree char *names = g_malloc(LARGE * 8);
    g_autofree guint *nodes = g_new(guint, LARGE);
    g_autoptr(GRand) dice = g_rand_new_with_seed(7);
    g_autoptr(GError) error = NULL;
    clock_t begin = clock();
    double ms;

    for (guint i = 0; i < LARGE; i++) {
        g_snprintf(names + i * 8, 8, "n%u", i);
        nodes[i] = graph_add(graph, names + i * 8);
    }
    for (gint32 i = 1; i < LARGE; i++)
        for (int k = 0; k < 4; k++)
            graph_needs(graph, names + i * 8, names + g_rand_int_range(dice, MAX(0, i - 500), i) * 8);
    g_assert_true(graph_check(graph, &error));
    graph_restart_free(graph_restart(graph, nodes, LARGE));
    graph_after(graph, names, names + (LARGE - 1) * 8);
    g_assert_false(graph_check(graph, &error));
    ms = (double) (clock() - begin) * 1000 / CLOCKS_PER_SEC;
    g_test_message("10,000 nodes, 40,000 edges: built, checked, restarted, and again with a cycle: %.1f ms", ms);
#ifndef __SANITIZE_ADDRESS__
    g_assert_cmpfloat(ms, <, 100);
#endif
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/a-cycle-is-named", test_a_cycle_is_named);
    g_test_add_func("/graph/a-long-cycle-is-counted", test_a_long_cycle_is_counted);
    g_test_add_func("/graph/an-edge-more-asks-for-another-check", test_an_edge_more_asks_for_another_check);
    g_test_add_func("/graph/levels-follow-the-longest-way", test_levels_follow_the_longest_way);
    g_test_add_func("/graph/only-needs-carries-a-failure", test_only_needs_carries_a_failure);
    g_test_add_func("/graph/restart-holds-the-order-through-what-runs-on", test_restart_holds_the_order_through_what_runs_on);
    g_test_add_func("/graph/random-graphs-agree-with-the-oracle", test_random_graphs_agree_with_the_oracle);
    g_test_add_func("/graph/ten-thousand-nodes-in-time", test_ten_thousand_nodes_in_time);
    return g_test_run();
}
