/* Properties of the engine over random histories, and how fast it replays. */
#include "consumers/policy/engine/id.h"
#include "consumers/policy/input.h"
#include "consumers/policy/play.h"

#include <string.h>

#define SERVICES 12

/* A world that answers at random: what it does depends on the seed only. */
typedef struct World {
    GRand *dice;
    Engine *engine;
    EngineOutputs *outputs;
    GPtrArray *in_flight; /* command ids */
    GString *all;         /* every output ever, as text */
    int64_t now_us;
    uint64_t sequence, epoch;
    unsigned commands, restarts_of[SERVICES];
} World;

static void note_outputs(World *w)
{
    g_autofree char *text = engine_outputs_text(w->outputs);

    g_string_append_printf(w->all, "%s\n", text);
    for (guint i = 0; i < w->outputs->len; i++) {
        const EngineOutput *output = w->outputs->pdata[i];

        if (output->kind == OUTPUT_COMMAND) {
            g_assert_cmpuint(output->command->epoch, !=, 0); /* never without the right to act */
            g_ptr_array_add(w->in_flight, g_strdup(output->command->id));
            w->commands++;
        }
    }
    g_ptr_array_set_size(w->outputs, 0);
}

static void step(World *w, const EngineInput *input)
{
    engine_step(w->engine, input, w->now_us, w->outputs);
    note_outputs(w);
}

static void random_event(World *w)
{
    static const char *const kinds[] = { "service.failed", "service.failed", "service.failed", "service.running", "service.running",
                                         "service.stopped", "service.unknown", "service.starting", "agent.lost", "agent.up",
                                         "observer.fault", "observer.well", "observer.well" };
    static const char *const intents[] = { "none", "none", "none", "admin", "command", "update", "unknown" };
    const char *kind = kinds[g_rand_int_range(w->dice, 0, G_N_ELEMENTS(kinds))];
    uint64_t sequence = g_rand_int_range(w->dice, 0, 10) == 0 && w->sequence > 3 ? w->sequence - 2 : ++w->sequence;
    int vm = g_rand_int_range(w->dice, 0, 3);
    g_autofree char *id = g_strdup_printf("event-%" G_GUINT64_FORMAT, sequence), *agent = g_strdup_printf("guest:vm%d", vm);
    g_autofree char *entity = g_str_has_prefix(kind, "agent") ? g_strdup_printf("agent/%s", agent)
                              : g_str_has_prefix(kind, "obs") ? g_strdup("host/site")
                                                              : g_strdup_printf("service/vm%d/s%d", vm, g_rand_int_range(w->dice, 0, 4));
    g_autoptr(json_t) data = json_pack("{s:s}", "intent", intents[g_rand_int_range(w->dice, 0, G_N_ELEMENTS(intents))]);
    const EventFields fields = { .id = id, .kind = kind, .source = agent, .entity = entity, .time_us = w->now_us, .sequence = sequence,
                                 .boot_id = g_rand_int_range(w->dice, 0, 8) == 0 ? "boot-2" : "boot-1", .confidence = 1, .data = data };
    g_autoptr(Event) event = event_new(&fields);

    step(w, &(EngineInput){ .kind = g_rand_int_range(w->dice, 0, 12) == 0 ? INPUT_ENTITY : INPUT_EVENT, .event = event });
}

static void random_result(World *w)
{
    static const char *const errors[] = { NULL, NULL, "failed", "duplicate", "not-found", "stale-epoch", "timeout" };
    const char *error = errors[g_rand_int_range(w->dice, 0, G_N_ELEMENTS(errors))];
    guint i = w->in_flight->len == 0 ? 0 : (guint) g_rand_int_range(w->dice, 0, (gint32) w->in_flight->len);
    Result result = { .command_id = w->in_flight->len == 0 ? (char *) "no-such-command" : w->in_flight->pdata[i],
                      .state = error == NULL ? RESULT_DONE : RESULT_FAILED, .error = (char *) error };

    result.values = g_rand_int_range(w->dice, 0, 2) == 0 ? NULL : json_pack("{s:s}", "state", "running");
    step(w, &(EngineInput){ .kind = INPUT_RESULT, .result = &result });
    json_decref(result.values);
}

static void random_rest(World *w)
{
    switch (g_rand_int_range(w->dice, 0, 8)) {
    case 0: step(w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 0 }); break;
    case 1: step(w, &(EngineInput){ .kind = INPUT_START }); break;
    case 2: step(w, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = "retry", .target = "service/vm1/s1" }); break;
    case 3: step(w, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = "dance" }); break;
    default: step(w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = ++w->epoch }); break;
    }
}

/* @cut: after so many inputs the engine goes through its snapshot; 0: never. */
static char *history(guint32 seed, unsigned inputs, unsigned cut)
{
    g_autoptr(Policy) policy = policy_default();
    World w = { .dice = g_rand_new_with_seed(seed), .engine = engine_new(policy), .outputs = engine_outputs_new(),
                .in_flight = g_ptr_array_new_with_free_func(g_free), .all = g_string_new(NULL), .now_us = PLAY_BEGIN_US };

    for (unsigned i = 1; i <= inputs; i++) {
        w.now_us += g_rand_int_range(w.dice, 0, 4000) * US_PER_MS;
        int what = g_rand_int_range(w.dice, 0, 10);
        step(&w, &(EngineInput){ .kind = INPUT_TIMER });
        what < 5 ? random_event(&w) : what < 8 ? random_result(&w) : random_rest(&w);
        if (i == cut) {
            g_autoptr(json_t) snapshot = engine_snapshot(w.engine);
            Engine *again = engine_restore(snapshot, policy, NULL);

            g_assert_nonnull(again);
            engine_free(w.engine);
            w.engine = again;
        }
    }
    /* A ladder always ends: left alone, every incident closes, needs a human, or waits for somebody named. */
    step(&w, &(EngineInput){ .kind = INPUT_ACTING, .epoch = ++w.epoch });
    for (unsigned i = 0; i < 10000 && engine_due_us(w.engine) != NEVER_US; i++) {
        w.now_us = MAX(w.now_us, engine_due_us(w.engine));
        step(&w, &(EngineInput){ .kind = INPUT_TIMER });
    }
    g_assert_cmpint(engine_due_us(w.engine), ==, NEVER_US);
    engine_free(w.engine);
    g_ptr_array_unref(w.outputs);
    g_ptr_array_unref(w.in_flight);
    g_rand_free(w.dice);
    return g_string_free(w.all, FALSE);
}

static void test_the_same_inputs_give_the_same_outputs(void)
{
    for (guint32 seed = 1; seed <= 200; seed++) {
        g_autofree char *once = history(seed, 120, 0), *twice = history(seed, 120, 0), *cut = history(seed, 120, 1 + seed % 119);

        g_assert_cmpstr(once, ==, twice);
        g_assert_cmpstr(once, ==, cut);
    }
}

static void test_ids_follow_from_their_parts(void)
{
    char a[UUID_TEXT_SIZE], b[UUID_TEXT_SIZE], c[UUID_TEXT_SIZE];

    id_derive(a, "command", "ab", "c", NULL);
    id_derive(b, "command", "ab", "c", NULL);
    id_derive(c, "command", "a", "bc", NULL);
    g_assert_cmpstr(a, ==, b);
    g_assert_cmpstr(a, !=, c);
    g_assert_cmpint(a[14], ==, '5');
}

static void test_states_move_as_the_table_says(void)
{
    g_assert_true(incident_can_move(INCIDENT_OPEN, INCIDENT_ACTING));
    g_assert_false(incident_can_move(INCIDENT_HEALED, INCIDENT_OPEN));
    g_assert_false(incident_can_move(INCIDENT_NEEDS_HUMAN, INCIDENT_ACTING));
    g_assert_false(incident_can_move(INCIDENT_OPEN, INCIDENT_HEALED)); /* healed is always verified */
    for (int to = INCIDENT_OPEN; to < INCIDENT_STATE_N; to++)
        for (int closed = INCIDENT_HEALED; closed <= INCIDENT_SUPERSEDED; closed++)
            g_assert_false(incident_can_move((IncidentState) closed, (IncidentState) to));
}

/* Events ready-made, as a replay has them after parsing: 1 in @failures is a failure that is then healed. */
static double replay_per_s(unsigned n, unsigned failures)
{
    g_autoptr(Policy) policy = policy_default();
    g_autoptr(Engine) engine = engine_new(policy);
    g_autoptr(GPtrArray) outputs = engine_outputs_new(), events = g_ptr_array_new_with_free_func((GDestroyNotify) event_unref);
    g_autoptr(json_t) data = json_pack("{s:s, s:s}", "intent", "none", "agent", "guest:vm");

    for (unsigned i = 0; i < n; i++) {
        bool failed = i % failures == 0;
        unsigned service = failed || i % failures == 1 ? i / failures % 5000 : i % 5000;
        g_autofree char *id = g_strdup_printf("event-%u", i), *entity = g_strdup_printf("service/vm%u/s%u", service / 10, service % 10);
        const EventFields fields = { .id = id, .kind = failed ? "service.failed" : "service.running", .source = "guest:vm",
                                     .entity = entity, .sequence = i + 1, .confidence = 1, .data = data, .boot_id = "boot-1" };

        g_ptr_array_add(events, event_new(&fields));
    }
    engine_step(engine, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 1 }, PLAY_BEGIN_US, outputs);
    gint64 begin = g_get_monotonic_time();
    for (unsigned i = 0; i < n; i++) {
        int64_t now_us = PLAY_BEGIN_US + (int64_t) i * US_PER_MS;

        engine_step(engine, &(EngineInput){ .kind = INPUT_EVENT, .event = events->pdata[i] }, now_us, outputs);
        if (engine_due_us(engine) <= now_us)
            engine_step(engine, &(EngineInput){ .kind = INPUT_TIMER }, now_us, outputs);
        g_ptr_array_set_size(outputs, 0);
    }
    return n / ((double) (g_get_monotonic_time() - begin) / 1e6);
}

static void test_replay_is_fast(void)
{
    double quiet = replay_per_s(300000, 1000), busy = replay_per_s(100000, 20);

    g_test_message("replay: %.0f events/s with 1 failure in 1000, %.0f events/s with 1 in 20", quiet, busy);
    g_test_maximized_result(quiet, "replay events/s: %.0f", quiet);
    g_assert_cmpfloat(quiet, >, 20000); /* far below what is reached: a floor for slow and sanitized builds */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/engine/same-inputs-same-outputs", test_the_same_inputs_give_the_same_outputs);
    g_test_add_func("/policy/engine/ids", test_ids_follow_from_their_parts);
    g_test_add_func("/policy/engine/states", test_states_move_as_the_table_says);
    g_test_add_func("/policy/engine/replay", test_replay_is_fast);
    return g_test_run();
}
