/* Where sequences come from: an application's graph, a VM that has to leave its host, a host that has to be empty. */
#include "consumers/policy/planner/sequence.h"

/* By their number in the graph. */
static const SequenceNode **nodes_by_number(const Graph *graph, const SequenceNode *nodes, guint n_nodes)
{
    const SequenceNode **by_number = g_new0(const SequenceNode *, graph_size(graph) + 1);

    for (guint i = 0; i < n_nodes; i++)
        by_number[nodes[i].node] = &nodes[i];
    return by_number;
}

/* Nodes with that half only: the graph's order holds through those left out. */
static GraphRestart *restart_of(const Graph *graph, const SequenceNode *nodes, guint n_nodes, bool stops)
{
    g_autoptr(GArray) numbers = g_array_new(FALSE, FALSE, sizeof(guint));

    for (guint i = 0; i < n_nodes; i++)
        if ((stops ? nodes[i].stop : nodes[i].start) != NULL)
            g_array_append_val(numbers, nodes[i].node);
    return graph_restart(graph, (const guint *) (void *) numbers->data, numbers->len);
}

/* stop_of[node] becomes the item's number. */
static void add_stops(Sequence *sequence, const Graph *graph, const SequenceNode *nodes, guint n_nodes, guint *stop_of)
{
    g_autoptr(GraphRestart) restart = restart_of(graph, nodes, n_nodes, true);
    g_autofree const SequenceNode **by_number = nodes_by_number(graph, nodes, n_nodes);
    guint first = sequence->items->len;

    for (guint i = 0; i < restart->stops->len; i++) {
        const GraphStep *step = &g_array_index(restart->stops, GraphStep, i);
        const SequenceNode *node = by_number[step->node];
        SequenceItem *item = sequence_add(sequence, node->stop, node->entity, node->stop_timeout_us);

        item->ready = g_strdup(node->stopped);
        for (guint k = 0; k < step->after->len; k++)
            sequence_item_after(item, first + g_array_index(step->after, guint, k));
        stop_of[step->node] = item->number;
    }
}

static void add_starts(Sequence *sequence, const Graph *graph, const SequenceNode *nodes, guint n_nodes, const guint *stop_of)
{
    g_autoptr(GraphRestart) restart = restart_of(graph, nodes, n_nodes, false);
    g_autofree const SequenceNode **by_number = nodes_by_number(graph, nodes, n_nodes);
    guint first = sequence->items->len;

    for (guint i = 0; i < restart->starts->len; i++) {
        const GraphStep *step = &g_array_index(restart->starts, GraphStep, i);
        const SequenceNode *node = by_number[step->node];
        SequenceItem *item = sequence_add(sequence, node->start, node->entity, node->start_timeout_us);

        item->host = g_strdup(node->host);
        item->ready = g_strdup(node->ready);
        item->late_goes_on = node->late_goes_on;
        if (stop_of != NULL && stop_of[step->node] != GRAPH_NONE)
            sequence_item_needs(item, stop_of[step->node]);
        for (guint k = 0; k < step->needs->len; k++)
            sequence_item_needs(item, first + g_array_index(step->needs, guint, k));
        for (guint k = 0; k < step->after->len; k++)
            sequence_item_after(item, first + g_array_index(step->after, guint, k));
    }
}

static guint *no_stops(const Graph *graph)
{
    guint *stop_of = g_new(guint, graph_size(graph) + 1);

    for (guint i = 0; i < graph_size(graph); i++)
        stop_of[i] = GRAPH_NONE;
    return stop_of;
}

Sequence *sequence_app_restart(const char *name, const Graph *graph, const SequenceNode *nodes, guint n_nodes)
{
    Sequence *sequence = sequence_new(name);
    g_autofree guint *stop_of = no_stops(graph);

    add_stops(sequence, graph, nodes, n_nodes, stop_of);
    add_starts(sequence, graph, nodes, n_nodes, stop_of);
    return sequence;
}

Sequence *sequence_app_start(const char *name, const Graph *graph, const SequenceNode *nodes, guint n_nodes)
{
    Sequence *sequence = sequence_new(name);

    add_starts(sequence, graph, nodes, n_nodes, NULL);
    return sequence;
}

Sequence *sequence_app_stop(const char *name, const Graph *graph, const SequenceNode *nodes, guint n_nodes)
{
    Sequence *sequence = sequence_new(name);
    g_autofree guint *stop_of = no_stops(graph);

    add_stops(sequence, graph, nodes, n_nodes, stop_of);
    return sequence;
}

static guint add_item(Sequence *sequence, const char *action, const SequenceRelocate *relocate, const char *ready, int64_t timeout_us,
                      guint first)
{
    SequenceItem *item = sequence_add(sequence, action, relocate->vm, timeout_us);

    item->host = g_strdup(relocate->from);
    item->ready = g_strdup(ready);
    item->group = first;
    if (item->number > first)
        sequence_item_after(item, item->number - 1);
    return item->number;
}

guint sequence_add_relocate(Sequence *sequence, const SequenceRelocate *relocate)
{
    guint first = sequence->items->len, proof;
    SequenceItem *start;

    if (relocate->answers && relocate->gentle)
        add_item(sequence, "vm.shutdown", relocate, "stopped", relocate->stop_timeout_us, first);
    if (relocate->answers)
        add_item(sequence, "vm.stop", relocate, "stopped", relocate->stop_timeout_us, first);
    proof = add_item(sequence, SEQUENCE_AWAIT, relocate, SEQUENCE_GONE, relocate->proof_timeout_us, first);
    start = sequence_add(sequence, "vm.start", relocate->vm, relocate->start_timeout_us);
    start->host = g_strdup(relocate->to);
    start->ready = g_strdup("running");
    start->group = first;
    sequence_item_needs(start, proof);
    return start->number;
}

Sequence *sequence_vm_relocate(const SequenceRelocate *relocate)
{
    g_autofree char *name = g_strdup_printf("vm.relocate %s", relocate->vm);
    Sequence *sequence = sequence_new(name);

    sequence_add_relocate(sequence, relocate);
    return sequence;
}

Sequence *sequence_host_evacuate(const SequenceEvacuate *evacuate, const Cluster *cluster, const PlacementPlan *plan)
{
    g_autofree char *name = g_strdup_printf("host.evacuate %s", evacuate->host);
    Sequence *sequence = sequence_new(name);

    sequence->at_once = evacuate->at_once;
    for (guint i = 0; i < plan->moves->len; i++) {
        const PlacementMove *move = &g_array_index(plan->moves, PlacementMove, i);
        g_autofree char *vm = g_strdup_printf("vm/%s", cluster->vms[move->vm].id);
        const char *from = move->from == CLUSTER_NONE ? NULL : cluster->hosts[move->from].id, *to = cluster->hosts[move->to].id;

        if (evacuate->migrate && from != NULL) {
            SequenceItem *item = sequence_add(sequence, "vm.migrate", vm, evacuate->migrate_timeout_us);

            item->host = g_strdup(to);
            item->ready = g_strdup("running");
        } else {
            sequence_add_relocate(sequence, &(SequenceRelocate){ .vm = vm, .from = from, .to = to, .answers = from != NULL, .gentle = true,
                                                                 .stop_timeout_us = evacuate->stop_timeout_us,
                                                                 .proof_timeout_us = evacuate->proof_timeout_us,
                                                                 .start_timeout_us = evacuate->start_timeout_us });
        }
    }
    return sequence;
}
