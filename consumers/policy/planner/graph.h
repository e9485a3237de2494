/* What depends on what: named nodes and two kinds of edges.
 *
 *   b after a   b starts after a and stops before it. That is all: b runs without a.
 *   b needs a   the same order, and b cannot run without a.
 *
 * Nodes are numbered from 0 in the order they were added; every answer follows from that order alone, so the same calls give the
 * same answers. Names are borrowed: they outlive the graph. Thread: the owner's. */
#ifndef MEND_POLICY_PLANNER_GRAPH_H
#define MEND_POLICY_PLANNER_GRAPH_H

#include "lib/base/base.h"

#define GRAPH_ERROR graph_error_quark()
GQuark graph_error_quark(void);
typedef enum { GRAPH_ERROR_CYCLE } GraphError;

#define GRAPH_NONE G_MAXUINT

typedef struct Graph Graph;

Graph *graph_new(void);
void graph_free(Graph *graph);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Graph, graph_free)

/* The node called @name, made when there is none. Its number. */
guint graph_add(Graph *graph, const char *name);
/* Both nodes are made when there are none. The same edge twice is one; needs wins over after. */
void graph_after(Graph *graph, const char *b, const char *a);
void graph_needs(Graph *graph, const char *b, const char *a);

/* To be called after the last edge and before anything below (a later edge asks for it again).
 * Error: GRAPH_ERROR_CYCLE, its text one cycle, no longer than it must be: "db → web → db", where → reads "comes before". A node after
 * itself is "db → db". Of a long one the middle is counted, not named. */
bool graph_check(Graph *graph, GError **error);

guint graph_size(const Graph *graph);
const char *graph_name(const Graph *graph, guint node);
guint graph_find(const Graph *graph, const char *name); /* GRAPH_NONE: no such node */
/* 0: after nothing; else 1 + the highest level of what it comes after. Nodes of one level do not wait for each other. */
guint graph_level(const Graph *graph, guint node);
/* All nodes by level, then number: an order in which they can start one by one. graph_size() long, the graph's. */
const guint *graph_order(const Graph *graph);

/* What cannot run when @nodes do not: everything that needs one of them, directly or through others, without @nodes themselves.
 * And what @nodes cannot run without. Of guint, in graph_order(). (transfer full) */
GArray *graph_dependents(const Graph *graph, const guint *nodes, guint n_nodes);
GArray *graph_prerequisites(const Graph *graph, const guint *nodes, guint n_nodes);

typedef struct GraphStep {
    guint node;
    GArray *needs; /* of guint: positions in the same array, ascending, all before this one's; it cannot go on without them */
    GArray *after; /* the same; only the order matters */
} GraphStep;

/* Stopping and starting a part of the graph, the rest runs on. Order holds through nodes that are not restarted: with c after b
 * after a, a restart of a and c starts c after a. */
typedef struct GraphRestart {
    GArray *stops;  /* of GraphStep: what comes later stops first; only ->after is used */
    GArray *starts; /* of GraphStep, in graph_order() */
} GraphRestart;

/* @nodes: in any order, repetitions do no harm. To take along what cannot run without them, add graph_dependents(). */
GraphRestart *graph_restart(const Graph *graph, const guint *nodes, guint n_nodes);
void graph_restart_free(GraphRestart *restart);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GraphRestart, graph_restart_free)

#endif
