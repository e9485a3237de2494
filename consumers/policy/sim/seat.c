/* A seat for an engine: what consumers/policy's daemon does around the real one. Its subscription outlives it; a gap in the numbers makes
 * it ask what is true; it claims the right to act when nobody else has it; commands leave after the step; after a kill the engine is
 * rebuilt from its last snapshot and the inputs since, and must say the same again to the bit. */
#include "consumers/policy/sim/world.h"

#include "lib/base/json.h"

#include <string.h>

#define HISTORY_MAX 4000

int64_t seat_now_us(const World *w, const Seat *seat)
{
    return seat->base_wall_us + (w->now_us - seat->base_us);
}

/* --- memory --- */

static void taken_free(Taken *taken)
{
    event_unref(taken->input.event);
    result_free(taken->input.result);
    policy_unref(taken->input.policy);
    json_decref(taken->input.arguments);
    g_free((char *) taken->input.target);
    g_ptr_array_unref(taken->outputs);
    g_free(taken);
}

static void remember(Seat *seat, const EngineInput *input, int64_t now_us, EngineOutputs *outputs)
{
    Taken *taken = g_new0(Taken, 1);

    taken->input = *input;
    taken->input.target = g_strdup(input->target);
    taken->now_us = now_us;
    taken->outputs = g_ptr_array_ref(outputs);
    if (input->event != NULL)
        event_ref(input->event);
    if (input->policy != NULL)
        policy_ref(input->policy);
    if (input->result != NULL) {
        const Result *r = input->result;

        taken->input.result = g_new0(Result, 1);
        *taken->input.result = (Result){ g_strdup(r->command_id), g_strdup(r->incident), g_strdup(r->agent), r->state,
                                         g_strdup(r->error), g_strdup(r->text), json_incref(r->values) };
    }
    taken->input.arguments = json_incref(input->arguments);
    g_ptr_array_add(seat->history, taken);
    if (seat->history->len < HISTORY_MAX)
        return;
    json_decref(seat->snapshot);
    seat->snapshot = engine_snapshot(seat->engine);
    g_ptr_array_set_size(seat->history, 0);
}

static bool outputs_equal(const EngineOutputs *a, const EngineOutputs *b)
{
    if (a->len != b->len)
        return false;
    for (guint i = 0; i < a->len; i++) {
        const EngineOutput *x = a->pdata[i], *y = b->pdata[i];

        if (x->kind != y->kind || x->at_us != y->at_us || (x->json != y->json && !json_equal(x->json, y->json)))
            return false;
    }
    return true;
}

static Engine *engine_again(World *w, Seat *seat)
{
    g_autoptr(GError) error = NULL;
    Engine *engine = engine_restore(seat->snapshot, w->options->policy, &error);
    bool skip = world_flaw(w, SIM_FLAW_LOSSY_RESTORE);

    if (engine == NULL) {
        world_fail(w, INVARIANT_PURE, "a snapshot cannot be restored: %s", error->message);
        return engine_new(w->options->policy);
    }
    for (guint i = 0; i < seat->history->len - (skip && seat->history->len > 0); i++) {
        const Taken *taken = seat->history->pdata[i];
        g_autoptr(GPtrArray) outputs = engine_outputs_new();

        engine_step(engine, &taken->input, taken->now_us, outputs);
        if (!outputs_equal(outputs, taken->outputs)) {
            g_autofree char *then = engine_outputs_text(taken->outputs), *now = engine_outputs_text(outputs);

            world_fail(w, INVARIANT_PURE, "after a restore input %u makes the engine say %s, where it said %s", i, now, then);
            break;
        }
    }
    return engine;
}

/* Puts a restored engine in the place of the running one: nobody may notice. */
void seat_restore(World *w, Seat *seat)
{
    if (seat->engine == NULL)
        return;
    g_autoptr(json_t) before = engine_snapshot(seat->engine);
    Engine *again = engine_again(w, seat);
    g_autoptr(json_t) after = engine_snapshot(again);

    if (!json_equal(before, after)) {
        const char *key;
        json_t *value;

        json_object_foreach(before, key, value)
            if (!json_equal(value, json_object_get(after, key)))
                break;
        world_fail(w, INVARIANT_PURE, "a restored engine is another than it was: %s differs", key == NULL ? "its size" : key);
    }
    engine_free(seat->engine);
    seat->engine = again;
    json_decref(seat->snapshot);
    seat->snapshot = g_steal_pointer(&before);
    g_ptr_array_set_size(seat->history, 0);
}

/* --- feeding --- */

static Event *without_reason(const Event *event)
{
    g_autoptr(json_t) json = event_to_json(event), deep = json_deep_copy(json);

    json_object_del(json_object_get(deep, "data"), "reason");
    return event_from_json(deep, NULL);
}

static void feed(World *w, Seat *seat, const EngineInput *input);

static void on_timer(World *w, void *subject, int64_t number)
{
    Seat *seat = subject;

    if (seat->timer_number != number || seat->engine == NULL)
        return;
    seat->timer_us = NEVER_US;
    feed(w, seat, &(EngineInput){ .kind = INPUT_TIMER });
}

static void set_timer(World *w, Seat *seat)
{
    int64_t due_us = engine_due_us(seat->engine);

    if (due_us == seat->timer_us || world_flaw(w, SIM_FLAW_DEAF))
        return;
    seat->timer_us = due_us;
    seat->timer_number++;
    if (due_us != NEVER_US)
        world_later(w, MAX(0, due_us - seat_now_us(w, seat)), on_timer, seat, seat->timer_number);
}

static void on_leave(World *w, void *subject, int64_t link)
{
    Order *order = subject;

    if (order->from->engine != NULL && order->from->connected)
        hub_order(w, order->from, order);
    else if (order->from->link_number == link || random_chance(&order->from->dice, 0.7)) /* the client keeps it for the next connection */
        world_later(w, US_PER_S, on_leave, order, -1);
}

static Agent *agent_named(World *w, const char *name)
{
    g_autofree char *path = g_strconcat("agent/", name, NULL);
    Thing *thing = thing_find(w, path);

    return thing == NULL || thing->kind != THING_AGENT ? NULL : (Agent *) (void *) thing;
}

static void command_leaves(World *w, Seat *seat, const EngineOutput *output, const char *other_id)
{
    bool again = json_bool_or(output->json, "again", false);
    g_autoptr(json_t) json = command_to_json(output->command);
    Order *order = g_new0(Order, 1);

    order->command = command_from_json(json, NULL);
    if (other_id != NULL) {
        g_free(order->command->id);
        order->command->id = g_strdup(other_id);
    }
    order->from = seat;
    order->attempt = json_int_or(output->json, "attempt", 0);
    order->agent = agent_named(w, output->command->agent);
    order->target = thing_find(w, output->command->entity);
    order->deadline_us = WALL_BEGIN_US + w->now_us + seat->clock_us + output->command->deadline_ms * US_PER_MS - seat_now_us(w, seat);
    g_ptr_array_add(w->orders, order);
    if (order->target == NULL)
        order->target = &w->site;
    w->report->commands += !again;
    world_say(w, "engine %s: %s %.8s, %s of %s, to %s", seat->name, again ? "again" : "command", order->command->id, order->command->action, order->target->id,
              order->agent == NULL ? order->command->agent : order->agent->thing.id);
    check_command(w, seat, order, again);
    int64_t delay_us = random_between(&seat->dice, 300, 4 * US_PER_MS);
    if (chance(w, &seat->dice, w->options->profile->late)) /* no credit */
        delay_us += random_between(&seat->dice, 0, 3 * US_PER_S);
    world_later(w, delay_us, on_leave, order, seat->link_number);
}

static void on_record(World *w, Seat *seat, const json_t *json)
{
    static const char *const told[] = { "incident.open", "incident.waits", "attempt.failed", "verdict", "proof", "hosts.fault", "hosts.well",
                                        "step.skipped", "copies", "job.overdue", NULL };
    const char *kind = json_string_or(json, "record", ""), *state;
    bool closed = strcmp(kind, "incident.closed") == 0, human = strcmp(kind, "incident.needs-human") == 0;

    if (w->story != NULL && (closed || human || g_strv_contains(told, kind)))
        world_say(w, "engine %s: %s%s%s", seat->name, json_string_or(json, "text", ""),
                  json_object_get(json, "entity") == NULL ? "" : " · ", json_string_or(json, "entity", ""));
    if (engine_epoch(seat->engine) == 0)
        return;
    state = json_string_or(json_object_get(json, "data"), "state", "");
    for (IncidentState s = 0; closed && s < INCIDENT_STATE_N; s++)
        w->report->ended[s] += strcmp(incident_state_name(s), state) == 0;
    w->report->ended[INCIDENT_NEEDS_HUMAN] += human;
}

static void on_output(World *w, Seat *seat, const EngineOutput *output)
{
    const char *entity;

    switch (output->kind) {
    case OUTPUT_COMMAND:
        command_leaves(w, seat, output, NULL);
        if (world_flaw(w, SIM_FLAW_TWICE)) {
            g_autofree char *other = g_strdup_printf("%s-2", output->command->id);
            command_leaves(w, seat, output, other);
        }
        break;
    case OUTPUT_NOTICE:
        entity = json_string_or(output->json, "entity", NULL);
        w->report->notices++;
        world_say(w, "engine %s tells %s: %s", seat->name, json_string_or(output->json, "to", "?"), json_string_or(output->json, "text", ""));
        if (entity != NULL && !world_flaw(w, SIM_FLAW_MUTE))
            g_hash_table_add(w->notices, g_strdup(entity));
        for (size_t i = 0; !world_flaw(w, SIM_FLAW_MUTE) && i < json_array_size(json_object_get(output->json, "entities")); i++)
            g_hash_table_add(w->notices, g_strdup(json_string_value(json_array_get(json_object_get(output->json, "entities"), i))));
        break;
    case OUTPUT_RECORD:
        on_record(w, seat, output->json);
        break;
    case OUTPUT_TIMER:
    case OUTPUT_N:
        break;
    }
}

static void claim_later(World *w, Seat *seat, int64_t delay_us);

static Event *without_intent(const Event *event)
{
    g_autoptr(json_t) json = event_to_json(event), deep = json_deep_copy(json);

    json_object_set_new(json_object_get(deep, "data"), "intent", json_string("none"));
    return event_from_json(deep, NULL);
}

static void feed(World *w, Seat *seat, const EngineInput *input)
{
    g_autoptr(GPtrArray) outputs = engine_outputs_new();
    int64_t now_us = seat_now_us(w, seat);
    g_autoptr(Event) other = input->event == NULL                      ? NULL
                             : world_flaw(w, SIM_FLAW_NO_INTENT)       ? without_intent(input->event)
                             : world_flaw(w, SIM_FLAW_NO_REASON)       ? without_reason(input->event)
                                                                       : NULL;
    EngineInput changed = *input;

    check_input(w, seat, input);
    changed.event = other == NULL ? input->event : other;
    input = &changed;
    engine_step(seat->engine, input, now_us, outputs);
    w->report->inputs++;
    if (seat->number == 0 && w->options->on_step != NULL)
        w->options->on_step(input, now_us, outputs, w->options->user);
    for (guint i = 0; i < outputs->len; i++)
        on_output(w, seat, outputs->pdata[i]);
    remember(seat, input, now_us, outputs);
    set_timer(w, seat);
    if (seat->connected && engine_epoch(seat->engine) == 0 && w->broker.acting == seat && input->kind == INPUT_RESULT)
        claim_later(w, seat, US_PER_S);
}

/* --- events --- */

typedef struct Delivery {
    Seat *seat;
    Event *event;
    unsigned link;
} Delivery;

static void delivery_free(void *pointer)
{
    Delivery *delivery = pointer;

    event_unref(delivery->event);
    g_free(delivery);
}

static void on_ask(World *w, void *subject, int64_t link)
{
    Seat *seat = subject;

    seat->asking = false;
    if (seat->engine == NULL || !seat->connected || seat->link_number != link)
        return;
    for (guint i = 0; i < w->things->len && w->report->broken == INVARIANT_N; i++) {
        const Thing *thing = w->things->pdata[i];
        const char *known;
        uint64_t sequence;

        if (thing->told.kind == NULL ||
            (engine_entity(seat->engine, thing->path, &known, &sequence) &&
             (thing->sequence < sequence || (thing->sequence == sequence && strcmp(known, strchr(thing->told.kind, '.') + 1) == 0))))
            continue;
        g_autofree char *id = g_strdup_printf("entity-%s-%" G_GUINT64_FORMAT "-%s", thing->path, thing->sequence, thing->told.kind);
        g_autoptr(Event) event = thing_event(w, thing, &thing->told, thing->told_by, thing->sequence, id);
        feed(w, seat, &(EngineInput){ .kind = INPUT_ENTITY, .event = event });
    }
}

static void ask(World *w, Seat *seat)
{
    if (seat->asking)
        return;
    seat->asking = true;
    world_later(w, random_between(&seat->dice, 2 * US_PER_MS, 100 * US_PER_MS), on_ask, seat, seat->link_number);
}

static void take_event(World *w, Seat *seat, Event *event)
{
    uint64_t before = engine_sequence(seat->engine), after;

    feed(w, seat, &(EngineInput){ .kind = INPUT_EVENT, .event = event });
    after = engine_sequence(seat->engine);
    if (before != 0 && (after > before + 1 || after < before))
        ask(w, seat);
}

static void on_delivery(World *w, void *subject, int64_t argument)
{
    Delivery *delivery = subject;
    Seat *seat = delivery->seat;

    (void) argument;
    if (seat->engine == NULL || !seat->connected || seat->link_number != delivery->link)
        g_queue_push_tail(&seat->backlog, event_ref(delivery->event));
    else if (seat->arrive_us <= w->now_us || !chance(w, &seat->dice, w->options->profile->lost))
        take_event(w, seat, delivery->event); /* or its queue overflows: the oldest goes, and the next one's number shows it */
    delivery_free(delivery);
}

static void fly(World *w, Seat *seat, Event *event, int64_t delay_us)
{
    Delivery *delivery = g_new(Delivery, 1);

    *delivery = (Delivery){ seat, event_ref(event), seat->link_number };
    world_later_owned(w, delay_us, on_delivery, delivery, delivery_free);
}

void seat_deliver(World *w, Seat *seat, Event *event)
{
    const SimProfile *profile = w->options->profile;

    if (seat->engine == NULL || !seat->connected) {
        g_queue_push_tail(&seat->backlog, event_ref(event));
        return;
    }
    bool late = chance(w, &seat->dice, profile->late);
    seat->arrive_us = MAX(seat->arrive_us, w->now_us + random_between(&seat->dice, 200, 2 * US_PER_MS));
    fly(w, seat, event, seat->arrive_us - w->now_us + (late ? random_between(&seat->dice, 0, 3 * US_PER_S) : 0));
    if (chance(w, &seat->dice, profile->twice))
        fly(w, seat, event, seat->arrive_us - w->now_us + random_between(&seat->dice, 0, 5 * US_PER_S));
}

typedef struct Answer {
    Seat *seat;
    Result *result;
} Answer;

static void answer_free(void *pointer)
{
    Answer *answer = pointer;

    result_free(answer->result);
    g_free(answer);
}

static void on_answer(World *w, void *subject, int64_t argument)
{
    Answer *answer = subject;
    Seat *seat = answer->seat;

    (void) argument;
    if (seat->engine == NULL || !seat->connected)
        g_queue_push_tail(&w->broker.results, g_steal_pointer(&answer->result));
    else
        feed(w, seat, &(EngineInput){ .kind = INPUT_RESULT, .result = answer->result });
    answer_free(answer);
}

void seat_result(World *w, Seat *seat, Result *result)
{
    Answer *answer = g_new(Answer, 1);

    *answer = (Answer){ seat, result };
    world_later_owned(w, random_between(&seat->dice, 200, 3 * US_PER_MS), on_answer, answer, answer_free);
}

/* --- coming and going --- */

static void on_claim(World *w, void *subject, int64_t link)
{
    Seat *seat = subject;

    if (seat->engine == NULL || !seat->connected || seat->link_number != link || (w->broker.acting != NULL && w->broker.acting != seat) ||
        engine_epoch(seat->engine) != 0)
        return;
    w->broker.acting = seat;
    w->broker.epoch++;
    world_say(w, "engine %s acts, epoch %" G_GUINT64_FORMAT, seat->name, w->broker.epoch);
    feed(w, seat, &(EngineInput){ .kind = INPUT_ACTING, .epoch = w->broker.epoch });
    while (w->broker.results.head != NULL)
        seat_result(w, seat, g_queue_pop_head(&w->broker.results));
    ask(w, seat);
}

static void claim_later(World *w, Seat *seat, int64_t delay_us)
{
    world_later(w, delay_us, on_claim, seat, seat->link_number);
}

static int by_sequence(const void *a, const void *b, void *user)
{
    uint64_t left = event_fields(a)->sequence, right = event_fields(b)->sequence;

    (void) user;
    return (left > right) - (left < right);
}

static void on_connect(World *w, void *subject, int64_t link)
{
    Seat *seat = subject;

    if (seat->engine == NULL || seat->connected || seat->link_number != link || !w->broker.up)
        return;
    seat->connected = true;
    seat->link_number++;
    g_queue_sort(&seat->backlog, by_sequence, NULL);
    seat->arrive_us = w->now_us;
    for (Event *event; (event = g_queue_pop_head(&seat->backlog)) != NULL; event_unref(event))
        fly(w, seat, event, seat->arrive_us++ - w->now_us);
    claim_later(w, seat, random_between(&seat->dice, 2 * US_PER_MS, 50 * US_PER_MS));
}

void seat_look(World *w, Seat *seat)
{
    if (seat->engine == NULL || !w->broker.up)
        return;
    if (!seat->connected)
        world_later(w, random_between(&seat->dice, 50 * US_PER_MS, 2 * US_PER_S), on_connect, seat, seat->link_number);
    else if (w->broker.acting == NULL)
        claim_later(w, seat, random_between(&seat->dice, 0, US_PER_S));
}

static void leave(World *w, Seat *seat)
{
    seat->connected = false;
    seat->link_number++;
    seat->asking = false;
    if (w->broker.acting == seat)
        w->broker.acting = NULL;
    for (unsigned i = 0; i < w->n_seats; i++)
        if (&w->seats[i] != seat)
            seat_look(w, &w->seats[i]);
}

void seat_disconnect(World *w, Seat *seat)
{
    if (!seat->connected)
        return;
    leave(w, seat);
    feed(w, seat, &(EngineInput){ .kind = INPUT_ACTING, .epoch = 0 });
}

void seat_kill(World *w, Seat *seat)
{
    if (seat->engine == NULL)
        return;
    world_say(w, "engine %s is killed", seat->name);
    seat_restore(w, seat); /* as its journal will have it */
    if (seat->connected)
        leave(w, seat);
    seat->last_now_us = seat_now_us(w, seat);
    engine_free(seat->engine);
    seat->engine = NULL;
    seat->timer_number++;
}

void seat_start(World *w, Seat *seat, bool first)
{
    if (seat->engine != NULL)
        return;
    seat->base_us = w->now_us;
    seat->base_wall_us = MAX(WALL_BEGIN_US + w->now_us + seat->clock_us, seat->last_now_us);
    seat->timer_us = NEVER_US;
    if (first) {
        seat->dice = random_new(w->options->seed, "seat", seat->number);
        seat->history = g_ptr_array_new_with_free_func((GDestroyNotify) taken_free);
        seat->knows = g_new0(Knows, w->things->len);
        seat->engine = engine_new(w->options->policy);
        seat->snapshot = engine_snapshot(seat->engine);
    } else {
        world_say(w, "engine %s starts", seat->name);
        seat->engine = engine_again(w, seat);
    }
    if (first)
        feed(w, seat, &(EngineInput){ .kind = INPUT_POLICY, .policy = w->options->policy });
    seat->guard_us = seat_now_us(w, seat) + w->options->policy->startup_guard_us;
    if (first || !world_flaw(w, SIM_FLAW_NO_GUARD))
        feed(w, seat, &(EngineInput){ .kind = INPUT_START });
    if (seat->resume_owed) /* the operator asks again */
        feed(w, seat, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = "resume", .who = "sim" });
    seat->resume_owed = false;
    seat_look(w, seat);
}

void seat_operate(World *w, const char *verb, const char *target, json_t *arguments)
{
    bool pause = strcmp(verb, "pause") == 0;

    world_say(w, "an operator: %s %s", verb, target == NULL ? "the engine" : target);
    for (unsigned i = 0; i < w->n_seats; i++) {
        Seat *seat = &w->seats[i];

        if (pause || strcmp(verb, "resume") == 0)
            seat->paused = pause && seat->engine != NULL;
        seat->resume_owed |= seat->engine == NULL && strcmp(verb, "resume") == 0;
        if (seat->engine != NULL && !(pause && world_flaw(w, SIM_FLAW_NO_PAUSE)))
            feed(w, seat, &(EngineInput){ .kind = INPUT_OPERATOR, .verb = verb, .target = target, .who = "sim", .arguments = arguments });
    }
    json_decref(arguments);
}

void seat_done(Seat *seat)
{
    if (seat->history == NULL)
        return;
    engine_free(seat->engine);
    g_queue_clear_full(&seat->backlog, (GDestroyNotify) event_unref);
    json_decref(seat->snapshot);
    g_ptr_array_unref(seat->history);
    g_free(seat->knows);
    if (seat->issued != NULL)
        g_hash_table_unref(seat->issued);
}
