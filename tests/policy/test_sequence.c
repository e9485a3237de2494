/* Sequences: what is ready when, what a failure takes with it, and that a group takes as long as its longest chain. */
#include "consumers/policy/planner/sequence.h"

#include <string.h>

static char *ready_text(const Sequence *sequence)
{
    GString *text = g_string_new(NULL);
    g_autoptr(GArray) ready = sequence_next_ready(sequence);

    for (guint i = 0; i < ready->len; i++)
        g_string_append_printf(text, "%s%u", i == 0 ? "" : " ", g_array_index(ready, guint, i));
    return g_string_free(text, FALSE);
}

static void assert_ready(const Sequence *sequence, const char *expected)
{
    g_autofree char *text = ready_text(sequence);

    g_assert_cmpstr(text, ==, expected);
}

static void run(Sequence *sequence, guint number)
{
    g_assert_true(sequence_started(sequence, number));
    g_assert_true(sequence_done(sequence, number));
}

/* web needs db; proxy after web. */
static Sequence *shop_restart(void)
{
    g_autoptr(Graph) graph = graph_new();

    graph_needs(graph, "web", "db");
    graph_after(graph, "proxy", "web");
    g_assert_true(graph_check(graph, NULL));
    const SequenceNode nodes[] = {
        { graph_find(graph, "proxy"), "vm/proxy", "vm.shutdown", "vm.start", "h3", "stopped", "running", 60 * US_PER_S, 90 * US_PER_S, false },
        { graph_find(graph, "db"), "vm/db", "vm.shutdown", "vm.start", "h1", "stopped", "running", 60 * US_PER_S, 90 * US_PER_S, false },
        { graph_find(graph, "web"), "vm/web", "vm.shutdown", "vm.start", "h2", "stopped", "running", 60 * US_PER_S, 90 * US_PER_S, false },
    };
    return sequence_app_restart("app.restart app/shop", graph, nodes, G_N_ELEMENTS(nodes));
}

static void test_restart_stops_backwards_and_starts_in_order(void)
{
    g_autoptr(Sequence) sequence = shop_restart();
    g_autofree char *text = sequence_text(sequence);

    g_assert_cmpstr(text, ==,
                    "0 vm.shutdown vm/proxy until stopped: waiting\n"
                    "1 vm.shutdown vm/web until stopped after 0: waiting\n"
                    "2 vm.shutdown vm/db until stopped after 1: waiting\n"
                    "3 vm.start vm/db on h1 until running needs 2: waiting\n"
                    "4 vm.start vm/web on h2 until running needs 1,3: waiting\n"
                    "5 vm.start vm/proxy on h3 until running needs 0 after 4: waiting\n");
    for (guint i = 0; i < 6; i++) {
        g_autofree char *expected = g_strdup_printf("%u", i);

        assert_ready(sequence, expected);
        g_assert_false(sequence_is_complete(sequence));
        run(sequence, i);
    }
    assert_ready(sequence, "");
    g_assert_true(sequence_succeeded(sequence));
}

static void test_a_failure_takes_what_needs_it_and_nothing_else(void)
{
    g_autoptr(Sequence) sequence = shop_restart();

    for (guint i = 0; i < 3; i++)
        run(sequence, i);
    g_assert_true(sequence_started(sequence, 3));
    g_assert_true(sequence_failed(sequence, 3, "no boot device"));
    g_assert_cmpint(sequence_item(sequence, 4)->state, ==, ITEM_SKIPPED);
    g_assert_cmpstr(sequence_item(sequence, 4)->reason, ==, "vm.start of vm/db failed");
    assert_ready(sequence, "5"); /* the proxy only comes after web */
    run(sequence, 5);
    g_assert_true(sequence_is_complete(sequence));
    g_assert_false(sequence_succeeded(sequence));
}

static void test_skipping_goes_down_the_chain(void)
{
    g_autoptr(Sequence) sequence = sequence_new("chain");

    for (guint i = 0; i < 3; i++) {
        SequenceItem *item = sequence_add(sequence, "vm.start", "vm/v", US_PER_S);

        if (i > 0)
            sequence_item_needs(item, i - 1);
    }
    g_assert_true(sequence_started(sequence, 0));
    g_assert_true(sequence_failed(sequence, 0, "x"));
    g_assert_cmpstr(sequence_item(sequence, 2)->reason, ==, "vm.start of vm/v was skipped");
    g_assert_true(sequence_is_complete(sequence));
}

static void test_a_stop_that_fails_keeps_only_its_own_start_back(void)
{
    g_autoptr(Sequence) sequence = shop_restart();

    run(sequence, 0);
    g_assert_true(sequence_started(sequence, 1));
    g_assert_true(sequence_late(sequence, 1));
    g_assert_cmpstr(sequence_item(sequence, 1)->reason, ==, "not stopped in time");
    g_assert_cmpint(sequence_item(sequence, 4)->state, ==, ITEM_SKIPPED);
    assert_ready(sequence, "2 5"); /* db stops all the same, and the proxy has nobody to wait for */
    run(sequence, 2);
    run(sequence, 3);
    run(sequence, 5);
    g_assert_true(sequence_is_complete(sequence));
}

static void test_a_gate_may_open_by_itself(void)
{
    g_autoptr(Sequence) sequence = shop_restart();

    for (guint i = 0; i < 3; i++)
        run(sequence, i);
    sequence_item(sequence, 3)->late_goes_on = true;
    g_assert_true(sequence_started(sequence, 3));
    assert_ready(sequence, ""); /* web waits for db's readiness */
    g_assert_true(sequence_late(sequence, 3));
    assert_ready(sequence, "4");
}

static void test_answers_that_are_late_or_foreign_change_nothing(void)
{
    g_autoptr(Sequence) sequence = shop_restart();

    g_assert_false(sequence_done(sequence, 0));
    g_assert_false(sequence_started(sequence, 5));
    g_assert_false(sequence_started(sequence, 77));
    g_assert_false(sequence_failed(sequence, 77, "x"));
    run(sequence, 0);
    g_assert_false(sequence_done(sequence, 0));
    g_assert_false(sequence_failed(sequence, 0, "x"));
    g_assert_false(sequence_late(sequence, 0));
    g_assert_false(sequence_started(sequence, 0));
    g_assert_true(sequence_started(sequence, 1));
    sequence_cancel(sequence, "an operator ended it");
    assert_ready(sequence, "");
    g_assert_false(sequence_is_complete(sequence)); /* one still runs */
    g_assert_true(sequence_done(sequence, 1));
    g_assert_true(sequence_is_complete(sequence));
    g_assert_cmpstr(sequence_item(sequence, 5)->reason, ==, "an operator ended it");
}

static void test_relocation_needs_the_proof(void)
{
    SequenceRelocate relocate = { .vm = "vm/v1", .from = "h1", .to = "h2", .answers = true, .gentle = true, .stop_timeout_us = 60 * US_PER_S,
                                  .proof_timeout_us = 300 * US_PER_S, .start_timeout_us = 90 * US_PER_S };
    g_autoptr(Sequence) gentle = sequence_vm_relocate(&relocate), dead = NULL;
    g_autofree char *text = sequence_text(gentle), *dead_text = NULL;

    g_assert_cmpstr(text, ==,
                    "0 vm.shutdown vm/v1 on h1 until stopped: waiting\n"
                    "1 vm.stop vm/v1 on h1 until stopped after 0: waiting\n"
                    "2 await vm/v1 on h1 until gone after 1: waiting\n"
                    "3 vm.start vm/v1 on h2 until running needs 2: waiting\n");
    for (guint i = 0; i < 2; i++) { /* neither stop works: the proof may still come */
        g_assert_true(sequence_started(gentle, i));
        g_assert_true(sequence_failed(gentle, i, "timeout"));
    }
    assert_ready(gentle, "2");
    g_assert_true(sequence_started(gentle, 2));
    g_assert_true(sequence_late(gentle, 2));
    g_assert_cmpint(sequence_item(gentle, 3)->state, ==, ITEM_SKIPPED); /* no proof, no start */
    g_assert_true(sequence_is_complete(gentle));

    relocate.answers = false;
    relocate.from = NULL;
    dead = sequence_vm_relocate(&relocate);
    dead_text = sequence_text(dead);
    g_assert_cmpstr(dead_text, ==, "0 await vm/v1 until gone: waiting\n1 vm.start vm/v1 on h2 until running needs 0: waiting\n");
}

static void test_evacuation_keeps_to_its_width(void)
{
    const ClusterHost hosts[] = { { .id = "h1", .memory_bytes = 8, .usable = false, .why_not = "in maintenance" },
                                  { .id = "h2", .memory_bytes = 8, .usable = true } };
    const ClusterVm vms[] = { { .id = "a", .host = 0, .prefers = CLUSTER_NONE, .memory_bytes = 2, .movable = true, .priority = 1 },
                              { .id = "b", .host = 0, .prefers = CLUSTER_NONE, .memory_bytes = 2, .movable = true, .priority = 9 },
                              { .id = "c", .host = 0, .prefers = CLUSTER_NONE, .memory_bytes = 2, .movable = true, .priority = 5 } };
    const Cluster cluster = { .hosts = hosts, .n_hosts = 2, .vms = vms, .n_vms = 3 };
    const guint all[] = { 0, 1, 2 };
    g_autoptr(PlacementPlan) plan = placement_plan(&cluster, all, 3);
    SequenceEvacuate evacuate = { .host = "host/h1", .migrate = true, .at_once = 2, .migrate_timeout_us = US_PER_S };
    g_autoptr(Sequence) migrate = sequence_host_evacuate(&evacuate, &cluster, plan), relocate = NULL;

    g_assert_cmpstr(sequence_item(migrate, 0)->target, ==, "vm/b"); /* by priority */
    g_assert_cmpstr(sequence_item(migrate, 0)->host, ==, "h2");
    assert_ready(migrate, "0 1");
    g_assert_true(sequence_started(migrate, 0));
    g_assert_true(sequence_started(migrate, 1));
    g_assert_false(sequence_started(migrate, 2)); /* two are under way */
    assert_ready(migrate, "");
    g_assert_true(sequence_failed(migrate, 1, "refused"));
    assert_ready(migrate, "2"); /* one that fails holds up nobody */

    evacuate.migrate = false;
    evacuate.at_once = 1;
    relocate = sequence_host_evacuate(&evacuate, &cluster, plan);
    g_assert_cmpuint(relocate->items->len, ==, 12);
    run(relocate, 0);
    assert_ready(relocate, "1"); /* the first VM's own next item, not the next VM */
    run(relocate, 1);
    run(relocate, 2);
    run(relocate, 3);
    assert_ready(relocate, "4");
}

/* An event simulation: everything ready starts at once, each item takes its time. */
static int64_t wall_time(Sequence *sequence, const int64_t *takes_us, guint *ret_most)
{
    g_autofree int64_t *ends_us = g_new0(int64_t, sequence->items->len);
    int64_t now_us = 0;
    guint running = 0;

    *ret_most = 0;
    while (!sequence_is_complete(sequence)) {
        g_autoptr(GArray) ready = sequence_next_ready(sequence);
        guint first = GRAPH_NONE;

        for (guint i = 0; i < ready->len; i++) {
            guint number = g_array_index(ready, guint, i);

            g_assert_true(sequence_started(sequence, number));
            ends_us[number] = now_us + takes_us[number];
            running++;
        }
        *ret_most = MAX(*ret_most, running);
        for (guint i = 0; i < sequence->items->len; i++)
            if (sequence_item(sequence, i)->state == ITEM_RUNNING && (first == GRAPH_NONE || ends_us[i] < ends_us[first]))
                first = i;
        g_assert_cmpuint(first, !=, GRAPH_NONE); /* it never stalls */
        now_us = ends_us[first];
        g_assert_true(sequence_done(sequence, first));
        running--;
    }
    return now_us;
}

typedef struct Group { /* 30 VMs in tiers; the test's own arithmetic of when each could stop and start at the earliest */
    char names[30][8], entities[30][8];
    bool after[30][30]; /* [b][a] */
    int64_t stop_us[30], start_us[30];
} Group;

static void group_random(Group *g, Graph *graph, GRand *dice)
{
    for (int i = 0; i < 30; i++) {
        g_snprintf(g->names[i], sizeof g->names[i], "n%d", i);
        g_snprintf(g->entities[i], sizeof g->entities[i], "vm/%d", i);
        graph_add(graph, g->names[i]);
        g->stop_us[i] = g_rand_int_range(dice, 1, 10000000);
        g->start_us[i] = g_rand_int_range(dice, 1, 60000000);
    }
    for (int b = 1; b < 30; b++)
        for (int e = g_rand_int_range(dice, 0, 3); e > 0; e--) {
            int a = g_rand_int_range(dice, 0, b);

            g->after[b][a] = true;
            (g_rand_boolean(dice) ? graph_needs : graph_after)(graph, g->names[b], g->names[a]);
        }
}

static int64_t critical_path(const Group *g)
{
    int64_t stopped_us[30], started_us[30], last_us = 0;

    for (int a = 30; a-- > 0;) { /* the latest first: what comes after it stops before it */
        stopped_us[a] = 0;
        for (int b = a + 1; b < 30; b++)
            if (g->after[b][a])
                stopped_us[a] = MAX(stopped_us[a], stopped_us[b]);
        stopped_us[a] += g->stop_us[a];
    }
    for (int b = 0; b < 30; b++) {
        started_us[b] = stopped_us[b];
        for (int a = 0; a < b; a++)
            if (g->after[b][a])
                started_us[b] = MAX(started_us[b], started_us[a]);
        started_us[b] += g->start_us[b];
        last_us = MAX(last_us, started_us[b]);
    }
    return last_us;
}

static void test_thirty_vms_take_their_critical_path(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(30);
    guint most_ever = 0;

    for (int round = 0; round < 100; round++) {
        g_autoptr(Graph) graph = graph_new();
        g_autoptr(Sequence) sequence = NULL;
        int64_t takes_us[60];
        guint most;
        SequenceNode nodes[30];
        Group g = { 0 };

        group_random(&g, graph, dice);
        g_assert_true(graph_check(graph, NULL));
        for (guint i = 0; i < 30; i++)
            nodes[i] = (SequenceNode){ i, g.entities[i], "vm.shutdown", "vm.start", NULL, "stopped", "running", US_PER_S, US_PER_S, false };
        sequence = sequence_app_restart("group", graph, nodes, 30);
        g_assert_cmpuint(sequence->items->len, ==, 60);
        for (guint i = 0; i < 60; i++) {
            const SequenceItem *item = sequence_item(sequence, i);
            int vm = (int) g_ascii_strtoll(item->target + 3, NULL, 10);

            takes_us[i] = strcmp(item->action, "vm.start") == 0 ? g.start_us[vm] : g.stop_us[vm];
        }
        g_assert_cmpint(wall_time(sequence, takes_us, &most), ==, critical_path(&g));
        most_ever = MAX(most_ever, most);
    }
    g_assert_cmpuint(most_ever, >, 5); /* siblings did run side by side */
}

static void test_json_keeps_everything(void)
{
    g_autoptr(Sequence) sequence = shop_restart(), again = NULL;
    g_autoptr(json_t) json = NULL, second = NULL;
    g_autoptr(GError) error = NULL;

    run(sequence, 0);
    g_assert_true(sequence_started(sequence, 1));
    g_assert_true(sequence_failed(sequence, 1, "timeout"));
    sequence_item(sequence, 3)->late_goes_on = true;
    sequence->at_once = 3;
    json = sequence_to_json(sequence);
    again = sequence_from_json(json, &error);
    g_assert_no_error(error);
    second = sequence_to_json(again);
    g_assert_true(json_equal(json, second));
    assert_ready(again, "2 5");
}

static void test_json_that_is_wrong_is_refused_with_its_place(void)
{
    static const char *const wrong[] = {
        "{\"items\": []}", "",
        "{\"name\": \"x\"}", "items is a list",
        "{\"name\": \"x\", \"at_once\": -1, \"items\": []}", "at_once",
        "{\"name\": \"x\", \"items\": [7]}", "item 0",
        "{\"name\": \"x\", \"items\": [{\"action\": \"vm.stop\"}]}", "item 0: has an action and a target",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"needs\": [0]}]}", "item 0: needs and after name items before it",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"after\": 0}]}", "item 0: needs and after are lists",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"after\": [\"0\"]}]}", "item 0: needs and after name",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"state\": \"resting\"}]}", "item 0: its state is",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"number\": 3}]}", "item 0: its number",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"group\": 3}]}", "item 0: its group",
        "{\"name\": \"x\", \"items\": [{\"action\": \"a\", \"target\": \"t\", \"timeout_us\": -3}]}", "item 0: timeout_us",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i += 2) {
        g_autoptr(json_t) json = json_loads(wrong[i], 0, NULL);
        g_autoptr(GError) error = NULL;

        g_assert_nonnull(json);
        g_assert_null(sequence_from_json(json, &error));
        g_assert_nonnull(error);
        g_assert_nonnull(strstr(error->message, wrong[i + 1]));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sequence/restart-stops-backwards-and-starts-in-order", test_restart_stops_backwards_and_starts_in_order);
    g_test_add_func("/sequence/a-failure-takes-what-needs-it-and-nothing-else", test_a_failure_takes_what_needs_it_and_nothing_else);
    g_test_add_func("/sequence/skipping-goes-down-the-chain", test_skipping_goes_down_the_chain);
    g_test_add_func("/sequence/a-stop-that-fails-keeps-only-its-own-start-back", test_a_stop_that_fails_keeps_only_its_own_start_back);
    g_test_add_func("/sequence/a-gate-may-open-by-itself", test_a_gate_may_open_by_itself);
    g_test_add_func("/sequence/answers-that-are-late-or-foreign-change-nothing", test_answers_that_are_late_or_foreign_change_nothing);
    g_test_add_func("/sequence/relocation-needs-the-proof", test_relocation_needs_the_proof);
    g_test_add_func("/sequence/evacuation-keeps-to-its-width", test_evacuation_keeps_to_its_width);
    g_test_add_func("/sequence/thirty-vms-take-their-critical-path", test_thirty_vms_take_their_critical_path);
    g_test_add_func("/sequence/json-keeps-everything", test_json_keeps_everything);
    g_test_add_func("/sequence/json-that-is-wrong-is-refused-with-its-place", test_json_that_is_wrong_is_refused_with_its_place);
    return g_test_run();
}
