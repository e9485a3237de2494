/* Rules over time, in the engine: a storm of one event, and histories whose events come late and twice. */
#include "consumers/policy/engine/engine.h"
#include "consumers/policy/engine/watch.h"
#include "consumers/policy/language/policy_file.h"
#include "lib/base/json.h"

#include <string.h>

#define BEGIN_US (INT64_C(1700000000) * US_PER_S)

typedef struct World {
    Engine *engine;
    EngineOutputs *outputs;
    guint opened, fired;
    uint64_t sequence;
} World;

static void step(World *w, const EngineInput *input, int64_t now_us)
{
    engine_step(w->engine, input, now_us, w->outputs);
    for (guint i = 0; i < w->outputs->len; i++) {
        const EngineOutput *output = w->outputs->pdata[i];
        const char *record = output->kind == OUTPUT_RECORD ? json_string_or(output->json, "record", "") : "";

        w->opened += strcmp(record, "incident.open") == 0;
        w->fired += strcmp(record, "rule.fired") == 0;
    }
    g_ptr_array_set_size(w->outputs, 0);
}

static World world_new(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = policy_parse("policy.yaml", text, &error);

    g_assert_no_error(error);
    World w = { .engine = engine_new(policy), .outputs = engine_outputs_new() };
    step(&w, &(EngineInput){ .kind = INPUT_START }, BEGIN_US - US_PER_HOUR);
    step(&w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 }, BEGIN_US - US_PER_HOUR);
    return w;
}

static void world_end(World *w)
{
    engine_free(w->engine);
    g_ptr_array_unref(w->outputs);
}

static void happens(World *w, const char *kind, const char *entity, int64_t at_us, int64_t now_us)
{
    char id[32];
    g_autoptr(json_t) data = json_pack("{s:s}", "intent", "none");

    g_snprintf(id, sizeof id, "event-%" G_GUINT64_FORMAT, ++w->sequence);
    g_autoptr(Event) event = event_new(&(EventFields){ .id = id, .kind = kind, .source = "guest:web", .entity = entity, .time_us = at_us,
                                                       .sequence = w->sequence, .boot_id = "boot-1", .confidence = 1, .data = data });
    while (engine_due_us(w->engine) <= now_us)
        step(w, &(EngineInput){ .kind = INPUT_TIMER }, engine_due_us(w->engine));
    step(w, &(EngineInput){ .kind = INPUT_EVENT, .event = event }, now_us);
}

static uint64_t suppressed_of(const World *w)
{
    g_autoptr(json_t) snapshot = engine_snapshot(w->engine);
    const json_t *watch = json_array_get(json_object_get(snapshot, "watches"), 0);

    return (uint64_t) json_int_or(json_object_get(json_object_get(watch, "matcher"), "counts"), "suppressed", 0);
}

static void test_a_million_identical_events_are_one_incident(void)
{
    static const char *const policies[] = {
        "mend: 1\nflapping: off\nrules:\n  - {name: once, on: service.failed, once_within: 1h, ladder: [{do: notify, to: oncall}]}\n",
        "mend: 1\nflapping: off\nrules:\n  - {name: once, on: service.failed, count: 2, within: 1m, once_within: 1h, ladder: [{do: notify, to: oncall}]}\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(policies); i++) {
        World w = world_new(policies[i]);

        for (guint n = 0; n < 1000000; n++)
            happens(&w, "service.failed", "service/web/nginx", BEGIN_US + n, BEGIN_US + n);
        g_assert_cmpuint(w.opened, ==, 1);
        g_assert_cmpuint(suppressed_of(&w), ==, 999999 - i); /* the second needs two to fire */
        world_end(&w);
    }
}

/* The engine's firings are those of a matcher that is told the events' own times; that it is right is shown in test_correlate. */
static void test_late_events_are_counted_where_they_belong(void)
{
    static const char policy[] = "mend: 1\nflapping: off\nrules:\n  - {name: often, on: vm.rebooted, count: 3, within: 20s, ladder: [{do: notify, to: oncall}]}\n";
    const CorrelateSpec spec = { CORRELATE_COUNT, 1, 3, 20 * US_PER_S, 0, WATCH_LATENESS_US };
    guint in_order = 0, fired = 0;

    for (guint32 seed = 1; seed <= 30; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        g_autoptr(Correlate) events = correlate_new(&spec, NULL), arrivals = correlate_new(&spec, NULL);
        World w = world_new(policy);
        int64_t now_us = BEGIN_US;
        CorrelateAnswer answer;

        for (guint i = 0; i < 100; i++) {
            now_us += g_rand_int_range(rand, 1, 14) * US_PER_S;
            int64_t at_us = now_us - g_rand_int_range(rand, 0, 8) * US_PER_S; /* up to 7 s late: some too late */
            happens(&w, "vm.rebooted", "vm/db", at_us, now_us);
            correlate_add(events, 0, "vm/db", at_us, now_us, NULL, &answer);
            correlate_add(arrivals, 0, "vm/db", now_us, now_us, NULL, &answer);
        }
        g_assert_cmpuint(w.fired, ==, correlate_counts(events).fired);
        fired += w.fired;
        in_order += correlate_counts(arrivals).fired;
        world_end(&w);
    }
    g_assert_cmpuint(fired, !=, in_order); /* or the test has seen nothing */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/watch/million", test_a_million_identical_events_are_one_incident);
    g_test_add_func("/policy/watch/late", test_late_events_are_counted_where_they_belong);
    return g_test_run();
}
