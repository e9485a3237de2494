/* Edges are collected as they come and sorted into two flat tables (what comes later, what comes before) by graph_check(); from then
 * on every walk is a loop over two arrays. A pointer per edge would have been shorter to write and is what makes graphs slow. */
#include "consumers/policy/planner/graph.h"

#include <string.h>

G_DEFINE_QUARK(mend-graph-error-quark, graph_error)

#define CYCLE_NAMES_MAX 24 /* more of a cycle nobody reads */

typedef struct Edge {
    guint node; /* the other end, in a table; the earlier end, in the list */
    guint later;
    bool needs;
} Edge;

typedef struct Table { /* of the edges of node i: edges[first[i]] up to edges[first[i + 1]] */
    guint *first;
    Edge *edges;
} Table;

struct Graph {
    GPtrArray *names;    /* of char *, borrowed */
    GHashTable *numbers; /* name -> number + 1 */
    GArray *edges;       /* of Edge */
    Table later, earlier;
    guint *level, *order;
    bool checked;
};

Graph *graph_new(void)
{
    Graph *graph = g_new0(Graph, 1);

    graph->names = g_ptr_array_new();
    graph->numbers = g_hash_table_new(g_str_hash, g_str_equal);
    graph->edges = g_array_new(FALSE, FALSE, sizeof(Edge));
    return graph;
}

static void uncheck(Graph *graph)
{
    g_clear_pointer(&graph->later.first, g_free);
    g_clear_pointer(&graph->later.edges, g_free);
    g_clear_pointer(&graph->earlier.first, g_free);
    g_clear_pointer(&graph->earlier.edges, g_free);
    g_clear_pointer(&graph->level, g_free);
    g_clear_pointer(&graph->order, g_free);
    graph->checked = false;
}

void graph_free(Graph *graph)
{
    if (graph == NULL)
        return;
    uncheck(graph);
    g_ptr_array_unref(graph->names);
    g_hash_table_unref(graph->numbers);
    g_array_unref(graph->edges);
    g_free(graph);
}

guint graph_find(const Graph *graph, const char *name)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(graph->numbers, name)) - 1;
}

guint graph_add(Graph *graph, const char *name)
{
    guint node = graph_find(graph, name);

    if (node != GRAPH_NONE)
        return node;
    uncheck(graph);
    g_ptr_array_add(graph->names, (char *) name);
    g_hash_table_insert(graph->numbers, (char *) name, GUINT_TO_POINTER(graph->names->len));
    return graph->names->len - 1;
}

static void add_edge(Graph *graph, const char *b, const char *a, bool needs)
{
    guint earlier = graph_add(graph, a);
    const Edge edge = { .node = earlier, .later = graph_add(graph, b), .needs = needs };

    uncheck(graph);
    g_array_append_val(graph->edges, edge);
}

void graph_after(Graph *graph, const char *b, const char *a)
{
    add_edge(graph, b, a, false);
}

void graph_needs(Graph *graph, const char *b, const char *a)
{
    add_edge(graph, b, a, true);
}

static int compare_edges(gconstpointer a, gconstpointer b)
{
    const Edge *x = a, *y = b;

    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    if (x->later != y->later)
        return x->later < y->later ? -1 : 1;
    return (int) y->needs - (int) x->needs;
}

static void drop_repetitions(GArray *edges)
{
    guint kept = 0;

    g_array_sort(edges, compare_edges);
    for (guint i = 0; i < edges->len; i++) {
        const Edge *edge = &g_array_index(edges, Edge, i), *last = kept == 0 ? NULL : &g_array_index(edges, Edge, kept - 1);

        if (last == NULL || last->node != edge->node || last->later != edge->later)
            g_array_index(edges, Edge, kept++) = *edge;
    }
    g_array_set_size(edges, kept);
}

static Table table_new(const GArray *edges, guint n_nodes, bool by_earlier)
{
    Table table = { g_new0(guint, n_nodes + 1), g_new(Edge, edges->len + 1) };
    g_autofree guint *next = NULL;

    for (guint i = 0; i < edges->len; i++) {
        const Edge *edge = &g_array_index(edges, Edge, i);

        table.first[(by_earlier ? edge->node : edge->later) + 1]++;
    }
    for (guint i = 0; i < n_nodes; i++)
        table.first[i + 1] += table.first[i];
    next = g_memdup2(table.first, (n_nodes + 1) * sizeof *next);
    for (guint i = 0; i < edges->len; i++) {
        const Edge *edge = &g_array_index(edges, Edge, i);

        table.edges[next[by_earlier ? edge->node : edge->later]++] =
            (Edge){ .node = by_earlier ? edge->later : edge->node, .needs = edge->needs };
    }
    return table;
}

/* Takes away, again and again, what nothing in @from leads to. What is left lies on a cycle or behind one. */
static guint peel(const Table *from, const Table *to, guint n, const bool *only, bool *left, guint *level, guint *order)
{
    g_autofree guint *waits = g_new0(guint, n + 1);
    guint head = 0, tail = 0;

    for (guint i = 0; i < n; i++) {
        left[i] = only == NULL || only[i];
        if (level != NULL)
            level[i] = 0;
        for (guint e = from->first[i]; left[i] && e < from->first[i + 1]; e++)
            waits[i] += only == NULL || only[from->edges[e].node];
        if (left[i] && waits[i] == 0)
            order[tail++] = i;
    }
    while (head < tail) {
        guint node = order[head++];

        left[node] = false;
        for (guint e = to->first[node]; e < to->first[node + 1]; e++) {
            guint next = to->edges[e].node;

            if (only != NULL && !only[next])
                continue;
            if (level != NULL)
                level[next] = MAX(level[next], level[node] + 1);
            if (--waits[next] == 0)
                order[tail++] = next;
        }
    }
    return tail;
}

/* The shortest way from @start back to it among @on; *ret_length nodes, @start once. */
static guint *shortest_cycle(const Graph *graph, const bool *on, guint start, guint *ret_length)
{
    guint n = graph->names->len, head = 0, tail = 0, length = 1;
    g_autofree guint *from = g_new(guint, n), *queue = g_new(guint, n + 1);
    guint *path;

    memset(from, 0xff, n * sizeof *from);
    queue[tail++] = start;
    while (from[start] == GRAPH_NONE && head < tail) {
        guint node = queue[head++];

        for (guint e = graph->later.first[node]; e < graph->later.first[node + 1]; e++) {
            guint next = graph->later.edges[e].node;

            if (!on[next] || from[next] != GRAPH_NONE)
                continue;
            from[next] = node;
            queue[tail++] = next;
        }
    }
    for (guint node = from[start]; node != start; node = from[node])
        length++;
    path = g_new(guint, length);
    path[0] = start;
    for (guint node = from[start], i = length; node != start; node = from[node])
        path[--i] = node;
    *ret_length = length;
    return path;
}

static char *cycle_text(const Graph *graph, const guint *path, guint length)
{
    GString *text = g_string_new(NULL);
    guint begin = 0;

    for (guint i = 1; i < length; i++)
        if (path[i] < path[begin])
            begin = i;
    for (guint i = 0; i <= length; i++) {
        if (length > CYCLE_NAMES_MAX && i == CYCLE_NAMES_MAX / 2) {
            g_string_append_printf(text, " → (%u more)", length - CYCLE_NAMES_MAX);
            i += length - CYCLE_NAMES_MAX;
        }
        g_string_append_printf(text, "%s%s", i == 0 ? "" : " → ", (const char *) graph->names->pdata[path[(begin + i) % length]]);
    }
    return g_string_free(text, FALSE);
}

/* @left lies on a cycle or behind one; what remains when peeled from the other side too lies on one or between two. Walking back from any
 * node of it comes round. */
static void report_cycle(const Graph *graph, const bool *left, GError **error)
{
    guint n = graph->names->len, node = 0, length = 0;
    g_autofree bool *core = g_new0(bool, n), *seen = g_new0(bool, n);
    g_autofree guint *order = g_new(guint, n), *path = NULL;
    g_autofree char *text = NULL;

    peel(&graph->later, &graph->earlier, n, left, core, NULL, order);
    while (!core[node])
        node++;
    while (!seen[node]) {
        seen[node] = true;
        for (guint e = graph->earlier.first[node]; e < graph->earlier.first[node + 1]; e++)
            if (core[graph->earlier.edges[e].node]) {
                node = graph->earlier.edges[e].node;
                break;
            }
    }
    path = shortest_cycle(graph, core, node, &length);
    text = cycle_text(graph, path, length);
    g_set_error(error, GRAPH_ERROR, GRAPH_ERROR_CYCLE, "%s", text);
}

/* By level, then number: counted, since levels are small numbers. */
static void sort_by_level(const guint *level, guint n, guint *order)
{
    g_autofree guint *first = g_new0(guint, n + 2);

    for (guint i = 0; i < n; i++)
        first[level[i] + 1]++;
    for (guint i = 0; i <= n; i++)
        first[i + 1] += first[i];
    for (guint i = 0; i < n; i++)
        order[first[level[i]]++] = i;
}

bool graph_check(Graph *graph, GError **error)
{
    guint n = graph->names->len;
    g_autofree bool *left = g_new0(bool, n + 1);

    if (graph->checked)
        return true;
    uncheck(graph);
    drop_repetitions(graph->edges);
    graph->later = table_new(graph->edges, n, true);
    graph->earlier = table_new(graph->edges, n, false);
    graph->level = g_new0(guint, n + 1);
    graph->order = g_new0(guint, n + 1);
    if (peel(&graph->earlier, &graph->later, n, NULL, left, graph->level, graph->order) < n) {
        report_cycle(graph, left, error);
        return false;
    }
    sort_by_level(graph->level, n, graph->order);
    graph->checked = true;
    return true;
}

guint graph_size(const Graph *graph)
{
    return graph->names->len;
}

const char *graph_name(const Graph *graph, guint node)
{
    return graph->names->pdata[node];
}

guint graph_level(const Graph *graph, guint node)
{
    g_assert(graph->checked);
    return graph->level[node];
}

const guint *graph_order(const Graph *graph)
{
    g_assert(graph->checked);
    return graph->order;
}

static GArray *closure(const Graph *graph, const Table *table, const guint *nodes, guint n_nodes)
{
    guint n = graph->names->len, tail = 0;
    g_autofree bool *seen = g_new0(bool, n + 1), *given = g_new0(bool, n + 1);
    g_autofree guint *stack = g_new(guint, n + 1);
    GArray *found = g_array_new(FALSE, FALSE, sizeof(guint));

    g_assert(graph->checked);
    for (guint i = 0; i < n_nodes; i++) {
        if (!seen[nodes[i]])
            stack[tail++] = nodes[i];
        seen[nodes[i]] = given[nodes[i]] = true;
    }
    while (tail > 0) {
        guint node = stack[--tail];

        for (guint e = table->first[node]; e < table->first[node + 1]; e++) {
            guint next = table->edges[e].node;

            if (table->edges[e].needs && !seen[next]) {
                seen[next] = true;
                stack[tail++] = next;
            }
        }
    }
    for (guint i = 0; i < n; i++)
        if (seen[graph->order[i]] && !given[graph->order[i]])
            g_array_append_val(found, graph->order[i]);
    return found;
}

GArray *graph_dependents(const Graph *graph, const guint *nodes, guint n_nodes)
{
    return closure(graph, &graph->later, nodes, n_nodes);
}

GArray *graph_prerequisites(const Graph *graph, const guint *nodes, guint n_nodes)
{
    return closure(graph, &graph->earlier, nodes, n_nodes);
}

typedef struct Walk { /* back from one member over the nodes that are none, up to the nearest members */
    const Graph *graph;
    const guint *position; /* of a member among the starts; GRAPH_NONE: none */
    guint *mark, *stack, stamp;
} Walk;

static void walk_back(Walk *walk, guint start, bool needs_only, GArray *found)
{
    const Table *table = &walk->graph->earlier;
    guint tail = 0;

    walk->stack[tail++] = start;
    while (tail > 0) {
        guint node = walk->stack[--tail];

        for (guint e = table->first[node]; e < table->first[node + 1]; e++) {
            guint next = table->edges[e].node;

            if (walk->mark[next] == walk->stamp || (needs_only && !table->edges[e].needs))
                continue;
            walk->mark[next] = walk->stamp;
            if (walk->position[next] == GRAPH_NONE)
                walk->stack[tail++] = next;
            else
                g_array_append_val(found, walk->position[next]);
        }
    }
}

static int compare_numbers(gconstpointer a, gconstpointer b)
{
    guint x = *(const guint *) a, y = *(const guint *) b;

    return x < y ? -1 : x > y;
}

static void remove_known(GArray *from, const GArray *known)
{
    guint kept = 0;

    for (guint i = 0, k = 0; i < from->len; i++) {
        guint value = g_array_index(from, guint, i);

        while (k < known->len && g_array_index(known, guint, k) < value)
            k++;
        if (k == known->len || g_array_index(known, guint, k) != value)
            g_array_index(from, guint, kept++) = value;
    }
    g_array_set_size(from, kept);
}

static GArray *numbers_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(guint));
}

static void step_done(gpointer data)
{
    GraphStep *step = data;

    g_array_unref(step->needs);
    g_array_unref(step->after);
}

static GArray *steps_new(void)
{
    GArray *steps = g_array_new(FALSE, FALSE, sizeof(GraphStep));

    g_array_set_clear_func(steps, step_done);
    return steps;
}

/* Every edge of the starts, turned round. */
static void add_stops(GraphRestart *restart)
{
    guint n = restart->starts->len;

    for (guint i = 0; i < n; i++) {
        const GraphStep stop = { g_array_index(restart->starts, GraphStep, n - 1 - i).node, numbers_new(), numbers_new() };

        g_array_append_val(restart->stops, stop);
    }
    for (guint i = n; i-- > 0;) {
        const GraphStep *start = &g_array_index(restart->starts, GraphStep, i);
        const GArray *lists[] = { start->needs, start->after };
        guint own = n - 1 - i;

        for (guint l = 0; l < 2; l++)
            for (guint k = 0; k < lists[l]->len; k++)
                g_array_append_val(g_array_index(restart->stops, GraphStep, n - 1 - g_array_index(lists[l], guint, k)).after, own);
    }
}

GraphRestart *graph_restart(const Graph *graph, const guint *nodes, guint n_nodes)
{
    GraphRestart *restart = g_new0(GraphRestart, 1);
    guint n = graph->names->len;
    g_autofree guint *position = g_new(guint, n + 1), *mark = g_new0(guint, n + 1), *stack = g_new(guint, n + 1);
    Walk walk = { graph, position, mark, stack, 0 };

    g_assert(graph->checked);
    restart->starts = steps_new();
    restart->stops = steps_new();
    memset(position, 0xff, (n + 1) * sizeof *position);
    for (guint i = 0; i < n_nodes; i++)
        position[nodes[i]] = 0;
    for (guint i = 0, next = 0; i < n; i++)
        if (position[graph->order[i]] != GRAPH_NONE)
            position[graph->order[i]] = next++;
    for (guint i = 0; i < n; i++) {
        GraphStep step = { .node = graph->order[i] };

        if (position[step.node] == GRAPH_NONE)
            continue;
        step.needs = numbers_new();
        step.after = numbers_new();
        walk.stamp++;
        walk_back(&walk, step.node, true, step.needs);
        walk.stamp++;
        walk_back(&walk, step.node, false, step.after);
        g_array_sort(step.needs, compare_numbers);
        g_array_sort(step.after, compare_numbers);
        remove_known(step.after, step.needs);
        g_array_append_val(restart->starts, step);
    }
    add_stops(restart);
    return restart;
}

void graph_restart_free(GraphRestart *restart)
{
    if (restart == NULL)
        return;
    g_array_unref(restart->starts);
    g_array_unref(restart->stops);
    g_free(restart);
}
