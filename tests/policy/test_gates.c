/* Whatever keeps an engine from acting, nothing waits for ever in silence: random policies of guards, quiets, budgets and approvals over random
 * stories; and the heap of due times against a list. */
#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/engine.h"
#include "consumers/policy/input.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"

#include <string.h>

#define BEGIN_US (INT64_C(1700000000) * US_PER_S)

typedef struct World {
    GRand *dice;
    Engine *engine;
    Policy *policy;
    EngineOutputs *outputs;
    GPtrArray *in_flight;  /* of char *: command ids */
    GHashTable *told;      /* entities somebody was told of */
    GString *all;
    int64_t now_us;
    uint64_t sequence, epoch;
    bool restores;
} World;

static bool dice(World *w, int of)
{
    return g_rand_int_range(w->dice, 0, of) == 0;
}

static const char *one_of(World *w, const char *const *words, int n)
{
    return words[g_rand_int_range(w->dice, 0, n)];
}
#define ONE_OF(w, words) one_of(w, words, G_N_ELEMENTS(words))

static void add_quiets(World *w, GString *text)
{
    static const char *const kinds[] = { "maintenance", "silences", "holds" };
    static const char *const matches[] = { "{vm: vm0}", "{host: h1}", "{kind: service}", "{rule: heal}", "{entity: \"service/*/s1\"}" };

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (dice(w, 3))
            g_string_append_printf(text, "%s:\n  - {name: q%d, match: %s, from: 2023-11-14T22:%02d:00Z, until: 2023-11-14T23:%02d:00Z, %sauthor: a, comment: c}\n",
                                   kinds[i], (int) i, ONE_OF(w, matches), g_rand_int_range(w->dice, 10, 40), g_rand_int_range(w->dice, 0, 40),
                                   i == 1 && dice(w, 2) ? "actions: true, " : "");
}

static Policy *random_policy(World *w)
{
    static const char *const budgets[] = { "", "budgets: none\n",
                                           "budgets:\n  - {name: one, scope: site, actions: [\"vm.*\", \"service.*\"], at_once: 1}\n",
                                           "budgets:\n  - {name: few, scope: host, actions: [\"vm.*\"], max: 2, per: 10m}\n"
                                           "  - {name: ill, scope: site, actions: [\"vm.*\"], stop_when_unhealthy: 10%}\n" };
    static const char *const flapping[] = { "", "flapping: off\n", "flapping: {high: 20%, low: 10%}\n" };
    static const char *const first[] = { "", "{do: approve, to: oncall, timeout: 5m}, ", "{do: approve, to: oncall, timeout: 5m, otherwise: go-on}, " };
    g_autoptr(GString) text = g_string_new("mend: 1\n");
    g_autoptr(GError) error = NULL;

    g_string_append_printf(text, "startup_guard: {for: %ds, seen: %d%%}\nhold_max: %dm\njob_max: %dm\ninhibit: %s\n", g_rand_int_range(w->dice, 0, 9),
                           g_rand_int_range(w->dice, 1, 101), g_rand_int_range(w->dice, 1, 12), g_rand_int_range(w->dice, 1, 12),
                           dice(w, 3) ? "false" : "true");
    g_string_append(text, ONE_OF(w, budgets));
    g_string_append(text, ONE_OF(w, flapping));
    add_quiets(w, text);
    if (dice(w, 2))
        g_string_append(text, "applications:\n  - {name: shop, vms: [{name: a, match: {id: vm0}}, {name: b, match: {id: vm1}, services: [{name: s1, needs: [a]}]}]}\n");
    g_string_append_printf(text,
                           "rules:\n  - {name: heal, on: service.failed, priority: %d, observe_only: %s, ladder: [%s{do: service.restart, attempts: %d}, "
                           "{do: vm.reboot, attempts: 1}, {do: notify, to: oncall}]}\n"
                           "  - {name: vms, on: vm.crashed, priority: 70, ladder: [%s{do: vm.start}, {do: vm.relocate, attempts: 1}, {do: notify, to: oncall}]}\n"
                           "  - {name: lost, on: vm.lost, ladder: [{do: vm.start}, {do: notify, to: oncall}]}\n"
                           "  - {name: fence, on: host.dead, ladder: [{do: host.fence, attempts: 1}, {do: notify, to: oncall}]}\n",
                           g_rand_int_range(w->dice, 0, 100), dice(w, 8) ? "true" : "false", ONE_OF(w, first), g_rand_int_range(w->dice, 1, 9),
                           ONE_OF(w, first));
    Policy *policy = policy_parse("random", text->str, &error);
    if (policy == NULL)
        g_error("%s\n%s", error->message, text->str);
    return policy;
}

static void hear(World *w, const EngineOutput *output)
{
    const char *entity = json_string_or(output->json, "entity", NULL);
    const json_t *more = json_object_get(output->json, "entities");

    if (output->kind == OUTPUT_COMMAND)
        g_ptr_array_add(w->in_flight, g_strdup(output->command->id));
    if (output->kind == OUTPUT_NOTICE && entity != NULL)
        g_hash_table_add(w->told, g_strdup(entity));
    for (size_t i = 0; output->kind == OUTPUT_NOTICE && i < json_array_size(more); i++)
        g_hash_table_add(w->told, g_strdup(json_string_value(json_array_get(more, i))));
}

static void step(World *w, const EngineInput *input)
{
    engine_step(w->engine, input, w->now_us, w->outputs);
    g_autofree char *text = engine_outputs_text(w->outputs);
    g_string_append_printf(w->all, "%s\n", text);
    for (guint i = 0; i < w->outputs->len; i++)
        hear(w, w->outputs->pdata[i]);
    g_ptr_array_set_size(w->outputs, 0);
    if (w->restores) {
        g_autoptr(json_t) snapshot = engine_snapshot(w->engine);
        Engine *again = engine_restore(snapshot, w->policy, NULL);

        g_assert_nonnull(again);
        engine_free(w->engine);
        w->engine = again;
    }
}

/* @data (transfer full). */
static void event(World *w, const char *kind, const char *entity, const char *source, json_t *data)
{
    g_autofree char *id = g_strdup_printf("event-%" G_GUINT64_FORMAT, ++w->sequence);
    const EventFields fields = { .id = id, .kind = kind, .source = source, .entity = entity, .time_us = w->now_us, .sequence = w->sequence,
                                 .severity = 3, .boot_id = "boot-1", .confidence = 1, .data = data };
    g_autoptr(Event) e = event_new(&fields);

    json_decref(data);
    step(w, &(EngineInput){ .kind = INPUT_EVENT, .event = e });
}

static void random_event(World *w)
{
    static const char *const vm_kinds[] = { "vm.running", "vm.running", "vm.crashed", "vm.stopped", "vm.paused", "vm.starting" };
    static const char *const service_kinds[] = { "service.failed", "service.failed", "service.running", "service.unknown", "service.stopped" };
    static const char *const agent_kinds[] = { "agent.up", "agent.closed", "agent.up" };
    static const char *const intents[] = { "none", "none", "none", "admin" };
    static const char *const hosts[] = { "h0", "h1", "h2", "h3" }, *const jobs[] = { "freeze", "migration" }, *const says[] = { "begun", "ended" };
    int vm = g_rand_int_range(w->dice, 0, 4), what = g_rand_int_range(w->dice, 0, 12);
    const char *host = hosts[vm];
    g_autofree char *vm_path = g_strdup_printf("vm/vm%d", vm), *guest = g_strdup_printf("guest:vm%d", vm), *keeper = g_strdup_printf("host:%s", host);

    if (what < 4) {
        g_autofree char *path = g_strdup_printf("service/vm%d/s%d", vm, g_rand_int_range(w->dice, 0, 3));
        event(w, ONE_OF(w, service_kinds), path, guest, json_pack("{s:s}", "intent", ONE_OF(w, intents)));
    } else if (what < 7) {
        event(w, ONE_OF(w, vm_kinds), vm_path, keeper, json_pack("{s:s, s:s}", "intent", ONE_OF(w, intents), "host", host));
    } else if (what < 9) {
        g_autofree char *path = g_strdup_printf("agent/%s", dice(w, 2) ? guest : keeper);
        event(w, ONE_OF(w, agent_kinds), path, strchr(path, '/') + 1, json_pack("{s:s*}", "vm", strstr(path, "guest") != NULL ? vm_path + 3 : NULL));
    } else if (what == 9) {
        event(w, "vm.job", vm_path, keeper, json_pack("{s:s, s:s, s:i}", "job", ONE_OF(w, jobs), "says", ONE_OF(w, says), "max_ms", 60000));
    } else if (what == 10) {
        g_autofree char *path = g_strdup_printf("host/%s", host);
        event(w, "host.evidence", path, "host:h0", json_pack("{s:s, s:s}", "channel", "storage", "says", dice(w, 2) ? "gone" : "alive"));
    } else {
        event(w, dice(w, 3) ? "observer.fault" : "observer.well", "host/site", "broker", json_object());
    }
}

static void random_operator(World *w)
{
    static const char *const verbs[] = { OPERATOR_VERBS, "dance" };
    static const char *const targets[] = { "vm/vm0", "vm/vm1", "host/h1", "service/vm1/s1", "service/vm2/s0", "app/shop", "app/shop", "nonsense", NULL };
    const char *verb = ONE_OF(w, verbs);
    g_autoptr(json_t) arguments = json_object();

    if (dice(w, 2))
        json_object_set_new(arguments, "until_us", json_integer(w->now_us + g_rand_int_range(w->dice, -5, 1800) * US_PER_S));
    step(w, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = verb, .target = ONE_OF(w, targets), .who = "anna", .arguments = arguments });
}

static void random_result(World *w)
{
    static const char *const errors[] = { NULL, NULL, "failed", "duplicate", "not-found", "timeout" };
    const char *error = ONE_OF(w, errors);
    guint i = w->in_flight->len == 0 ? 0 : (guint) g_rand_int_range(w->dice, 0, (gint32) w->in_flight->len);
    Result result = { .command_id = w->in_flight->len == 0 ? (char *) "none" : w->in_flight->pdata[i], .state = error == NULL ? RESULT_DONE : RESULT_FAILED,
                      .error = (char *) error };

    result.values = dice(w, 3) ? NULL : json_pack("{s:s}", "state", dice(w, 3) ? "stopped" : "running");
    step(w, &(EngineInput){ .kind = INPUT_RESULT, .result = &result });
    json_decref(result.values);
}

static void random_input(World *w)
{
    int what = g_rand_int_range(w->dice, 0, 20);

    if (what < 13)
        random_event(w);
    else if (what < 17)
        random_result(w);
    else if (what < 19)
        random_operator(w);
    else if (dice(w, 2))
        step(w, &(EngineInput){ .kind = INPUT_START });
    else
        step(w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = dice(w, 3) ? 0 : ++w->epoch });
}

/* Left alone, with the switch on and the observer well, until nothing is due any more. */
static void calm_down(World *w)
{
    step(w, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = "resume", .who = "anna" });
    event(w, "observer.well", "host/site", "broker", json_object());
    step(w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = ++w->epoch });
    for (unsigned i = 0; i < 20000 && engine_due_us(w->engine) != INT64_MAX; i++) {
        w->now_us = MAX(w->now_us, engine_due_us(w->engine));
        step(w, &(EngineInput){ .kind = INPUT_TIMER });
    }
    g_assert_cmpint(engine_due_us(w->engine), ==, INT64_MAX);
}

/* What was said of it, to find out why. */
static void print_story(const World *w, const char *entity)
{
    g_auto(GStrv) lines = g_strsplit(w->all->str, "\n", -1);

    for (char **line = lines; *line != NULL; line++)
        if (strstr(*line, entity) != NULL)
            g_printerr("%.2000s\n", *line);
}

static void check_ends(World *w, guint32 seed)
{
    g_autoptr(json_t) incidents = engine_incidents(w->engine);
    size_t i;
    json_t *incident;

    json_array_foreach(incidents, i, incident) {
        const char *state = json_string_or(incident, "state", ""), *entity = json_string_or(incident, "entity", "");
        int64_t wait = json_int_or(incident, "wait", 0);
        bool exempt = wait == WAIT_OBSERVE_ONLY || wait == WAIT_MAINTENANCE;

        if (strcmp(state, "open") == 0 && exempt)
            continue; /* somebody means it so, and it is listed */
        bool told = g_hash_table_contains(w->told, entity);
        if (strcmp(state, "needs-human") != 0 || !told)
            print_story(w, entity);
        if (strcmp(state, "needs-human") != 0)
            g_error("seed %u: the incident of %s is %s and waits for %s, without an end", seed, entity, state, json_string_or(incident, "waits_for", "?"));
        if (!told)
            g_error("seed %u: %s needs a human, and nobody was told", seed, entity);
    }
}

static char *story(guint32 seed, bool restores)
{
    World w = { .dice = g_rand_new_with_seed(seed), .outputs = engine_outputs_new(), .in_flight = g_ptr_array_new_with_free_func(g_free),
                .told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL), .all = g_string_new(NULL), .now_us = BEGIN_US,
                .restores = restores };

    w.policy = random_policy(&w);
    w.engine = engine_new(w.policy);
    for (int i = 0; i < 4; i++) {
        g_autofree char *path = g_strdup_printf("host/h%d", i), *agent = g_strdup_printf("host:h%d", i);
        event(&w, "host.up", path, agent, json_pack("{s:s}", "rack", i < 2 ? "r1" : "r2"));
    }
    step(&w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = ++w.epoch });
    for (unsigned i = 0; i < 150; i++) {
        w.now_us += g_rand_int_range(w.dice, 0, 20000) * US_PER_MS;
        for (unsigned k = 0; k < 1000 && engine_due_us(w.engine) <= w.now_us; k++)
            step(&w, &(EngineInput){ .kind = INPUT_TIMER });
        random_input(&w);
    }
    calm_down(&w);
    check_ends(&w, seed);
    engine_free(w.engine);
    policy_unref(w.policy);
    g_ptr_array_unref(w.outputs);
    g_ptr_array_unref(w.in_flight);
    g_hash_table_unref(w.told);
    g_rand_free(w.dice);
    return g_string_free(w.all, FALSE);
}

static void test_no_ladder_is_without_an_end(void)
{
    for (guint32 seed = 1; seed <= 400; seed++) {
        g_autofree char *all = story(seed, false);

        g_assert_nonnull(all);
    }
}

static void test_a_restored_engine_goes_on_the_same(void)
{
    for (guint32 seed = 1; seed <= 40; seed++) {
        g_autofree char *whole = story(seed, false), *cut = story(seed, true);
        g_auto(GStrv) left = g_strsplit(whole, "\n", -1), right = g_strsplit(cut, "\n", -1);

        for (guint i = 0; left[i] != NULL; i++)
            if (g_strcmp0(left[i], right[i]) != 0)
                g_error("seed %u, step %u:\n%.1000s\n%.1000s", seed, i, left[i], right[i]);
    }
}

static gint by_due(gconstpointer a, gconstpointer b)
{
    const DueTime *left = *(const DueTime *const *) a, *right = *(const DueTime *const *) b;

    if (left->at_us != right->at_us)
        return left->at_us < right->at_us ? -1 : 1;
    if (left->priority != right->priority)
        return left->priority > right->priority ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static void test_the_heap_is_a_sorted_list(void)
{
    enum { N = 60 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    DueTime dues[N] = { 0 };
    DueHeap heap;

    due_heap_init(&heap);
    for (guint i = 0; i < N; i++) {
        due_init(&dues[i], DUE_INCIDENT);
        dues[i].order = i;
        dues[i].priority = g_rand_int_range(rand, 0, 3);
    }
    for (unsigned round = 0; round < 20000; round++) {
        g_autoptr(GPtrArray) list = g_ptr_array_new();

        due_set(&heap, &dues[g_rand_int_range(rand, 0, N)], g_rand_int_range(rand, 0, 4) == 0 ? INT64_MAX : g_rand_int_range(rand, 0, 10));
        for (guint i = 0; i < N; i++)
            if (dues[i].at_us != INT64_MAX)
                g_ptr_array_add(list, &dues[i]);
        g_ptr_array_sort(list, by_due);
        g_assert_cmpuint(list->len, ==, heap.all->len);
        g_assert_true(due_first(&heap) == (list->len == 0 ? NULL : list->pdata[0]));
    }
    due_heap_clear(&heap);
}

/* Thousands fail at once, ten may be mended at a time: what a storm costs until the last is served. */
static void test_a_storm_is_served(void)
{
    enum { N = 2000 };
    static const char *const text = "mend: 1\nflapping: off\nbudgets:\n  - {name: ten, scope: site, actions: [\"service.*\"], at_once: 10}\n";
    World w = { .dice = g_rand_new_with_seed(1), .outputs = engine_outputs_new(), .in_flight = g_ptr_array_new_with_free_func(g_free),
                .told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL), .all = g_string_new(NULL), .now_us = BEGIN_US };
    gint64 begin = g_get_monotonic_time();
    guint answered = 0;

    w.policy = policy_parse("storm", text, NULL);
    w.engine = engine_new(w.policy);
    step(&w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = ++w.epoch });
    for (unsigned i = 0; i < N; i++) {
        g_autofree char *path = g_strdup_printf("service/vm%u/s", i), *agent = g_strdup_printf("guest:vm%u", i);
        event(&w, "service.failed", path, agent, json_pack("{s:s}", "intent", "none"));
    }
    for (; answered < w.in_flight->len; answered++) {
        Result result = { .command_id = w.in_flight->pdata[answered], .state = RESULT_DONE, .values = json_pack("{s:s}", "state", "running") };

        step(&w, &(EngineInput){ .kind = INPUT_RESULT, .result = &result });
        json_decref(result.values);
        w.now_us += 300 * US_PER_MS;
        while (engine_due_us(w.engine) <= w.now_us)
            step(&w, &(EngineInput){ .kind = INPUT_TIMER });
        g_string_set_size(w.all, 0);
    }
    double took = (double) (g_get_monotonic_time() - begin) / 1e6;
    g_assert_cmpuint(answered, ==, N);
    g_test_message("a storm of %u failures, ten at a time: %.0f us of work each", (unsigned) N, took * 1e6 / N);
    g_assert_cmpfloat(took, <, 20); /* far above what is needed: a bound for slow and sanitized builds */
    engine_free(w.engine);
    policy_unref(w.policy);
    g_ptr_array_unref(w.outputs);
    g_ptr_array_unref(w.in_flight);
    g_hash_table_unref(w.told);
    g_string_free(w.all, TRUE);
    g_rand_free(w.dice);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/gates/no-ladder-is-without-an-end", test_no_ladder_is_without_an_end);
    g_test_add_func("/policy/gates/a-restored-engine-goes-on-the-same", test_a_restored_engine_goes_on_the_same);
    g_test_add_func("/policy/gates/the-heap-is-a-sorted-list", test_the_heap_is_a_sorted_list);
    g_test_add_func("/policy/gates/a-storm-is-served", test_a_storm_is_served);
    return g_test_run();
}
