/* The order of a cycle: what the numbers say first, and only when they say that something is to be set, whether it may be. So the reason told is the
 * nearest one, and a policy can be tried in observe_only with all its numbers.
 *
 * Cycles lie on whole multiples of `every`, so that a restart does not move them, and stop when no entity has a fresh sample. */
#include "consumers/policy/engine/controller.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/id.h"
#include "consumers/policy/engine/scope.h"
#include "lib/base/json.h"

#include <string.h>

#define VALUE_MAX (INT64_C(1) << 53)

/* Reasons that are not the numbers', after those of control.h. */
typedef enum {
    HANDS_FREE = CONTROL_OUTCOME_N, HANDS_STANDBY, HANDS_PAUSED, HANDS_OBSERVER, HANDS_GUARD, HANDS_QUIET, HANDS_JOB, HANDS_INCIDENT, HANDS_BUSY,
    HANDS_DOWN, HANDS_AGENT, HANDS_UNKNOWN, HANDS_SEEN, HANDS_N
} Hands;

static const char *const hands_texts[] = {
    [HANDS_STANDBY] = "another engine acts", [HANDS_PAUSED] = "the engine is paused", [HANDS_OBSERVER] = "the observer is ill",
    [HANDS_GUARD] = "the engine has just started", [HANDS_QUIET] = "it is quiet", [HANDS_JOB] = "a job is in progress",
    [HANDS_INCIDENT] = "it has an incident", [HANDS_BUSY] = "something is done to it", [HANDS_DOWN] = "it does not run",
    [HANDS_AGENT] = "its host agent is not known", [HANDS_UNKNOWN] = "nobody says what it is set to now",
    [HANDS_SEEN] = "no sample has come since it was set",
};

void controller_free(Controller *controller)
{
    g_free(controller->rule);
    g_free(controller);
}

void control_flight_free(ControlFlight *flight)
{
    g_free(flight->command);
    g_free(flight->rule);
    g_free(flight->entity);
    g_free(flight);
}

void controllers_of_policy(Engine *engine)
{
    g_autoptr(GPtrArray) before = engine->controllers, names = g_ptr_array_new();

    engine->controllers = g_ptr_array_new_with_free_func((GDestroyNotify) controller_free);
    for (guint i = 0; i < engine->policy->controls->len; i++) {
        const ControlRule *rule = engine->policy->controls->pdata[i];
        Controller *controller = g_new0(Controller, 1);

        *controller = (Controller) { .rule = g_strdup(rule->name), .index = i };
        due_init(&controller->due, DUE_CONTROL);
        controller->due.order = i;
        g_ptr_array_add(engine->controllers, controller);
        g_ptr_array_add(names, rule->name);
    }
    g_ptr_array_add(names, NULL);
    control_book_keep_rules(engine->controls, (const char *const *) names->pdata);
    for (guint i = 0; before != NULL && i < before->len; i++) {
        Controller *old = before->pdata[i];
        int64_t due_us = old->due.at_us;

        due_set(&engine->due, &old->due, NEVER_US);
        for (guint k = 0; k < engine->controllers->len; k++) {
            Controller *controller = engine->controllers->pdata[k];

            if (strcmp(controller->rule, old->rule) == 0)
                due_set(&engine->due, &controller->due, due_us);
        }
    }
}

static const ControlRule *rule_of(const Engine *engine, const Controller *controller)
{
    return engine->policy->controls->pdata[controller->index];
}

static int64_t whole(double value)
{
    return (int64_t) CLAMP(value, (double) -VALUE_MAX, (double) VALUE_MAX);
}

static ControlLimits limits_of(const ControlRule *rule)
{
    return (ControlLimits) { .every_us = MAX(rule->every_us, US_PER_MS), .samples = rule->samples, .min = whole(rule->min), .max = whole(rule->max),
                             .step = whole(rule->step), .step_permille = (guint) CLAMP(rule->step_percent * 10 + 0.5, 0, 1e6),
                             .dead_band = whole(rule->dead_band) };
}

static bool is_about(const ControlRule *rule, const EntityState *entity)
{
    return g_strcmp0(rule->kind, "host") == 0 ? entity->host != NULL : entity->vm != NULL;
}

/* False: it is not news. */
static bool keep_sample(Engine *engine, EntityState *entity, const Event *event)
{
    int64_t at_us = MIN(event_fields(event)->time_us, engine->now_us);
    bool told = entity->sample != NULL || entity->samples != NULL;

    if (told && at_us <= entity->sampled_us)
        return false;
    event_unref(entity->sample);
    g_clear_pointer(&entity->samples, json_decref);
    entity->sample = event_ref((Event *) event);
    entity->sampled_us = at_us;
    return true;
}

static int64_t next_cycle_us(const ControlRule *rule, int64_t now_us)
{
    int64_t every_us = MAX(rule->every_us, US_PER_MS);

    return (now_us / every_us + 1) * every_us;
}

void controllers_sample(Stage *s, EntityState *entity, const Event *event)
{
    Engine *engine = s->engine;
    Scope scope = { .engine = engine, .entity = entity };

    if (!keep_sample(engine, entity, event))
        return;
    for (guint i = 0; i < engine->controllers->len; i++) {
        Controller *controller = engine->controllers->pdata[i];
        const ControlRule *rule = rule_of(engine, controller);
        ControlLimits limits = limits_of(rule);
        ControlState *state;
        double value;

        if (!is_about(rule, entity) || (rule->where != NULL && expression_holds(rule->where, scope_look_up, &scope, NULL, NULL) != EXPRESSION_TRUE) ||
            !expression_number(rule->input, scope_look_up, &scope, NULL, &value, NULL))
            continue;
        state = control_book_state(engine->controls, rule->name, entity->path);
        if (state == NULL) {
            put_record(s, "limit", NULL, entity->path, NULL, "more than %u numbers to keep: this one is not followed", CONTROL_STATES_MAX);
            continue;
        }
        control_sample(state, &limits, value, entity->sampled_us);
        if (controller->due.at_us == NEVER_US)
            due_set(&engine->due, &controller->due, next_cycle_us(rule, engine->now_us));
    }
}

static bool value_in_force(const ControlRule *rule, EntityState *entity, const ControlState *state, int64_t *ret_value)
{
    const json_t *samples = entity_samples(entity), *sample = json_object_get(samples, rule->argument);
    bool memory = strcmp(rule->argument, "memory_bytes") == 0;

    if (sample == NULL && memory)
        sample = json_object_get(samples, "balloon_bytes");
    if (sample != NULL)
        *ret_value = whole(json_number_value(sample));
    else if (state->set_us != 0 && !rule->observe_only)
        *ret_value = state->set_to;
    else if (entity->vm != NULL && memory && entity->vm->memory_bytes != 0)
        *ret_value = (int64_t) MIN(entity->vm->memory_bytes, (uint64_t) VALUE_MAX);
    else if (entity->vm != NULL && strcmp(rule->argument, "vcpus") == 0 && entity->vm->vcpus != 0)
        *ret_value = entity->vm->vcpus;
    else
        return false;
    return true;
}

static const char *agent_of(const Engine *engine, const EntityState *entity)
{
    const EntityState *host = host_of((Engine *) engine, entity);

    return host == NULL ? NULL : host->host->agent;
}

static Hands hands(Engine *engine, const char *rule, const EntityState *entity)
{
    if (engine->epoch == 0)
        return HANDS_STANDBY;
    if (engine->paused)
        return HANDS_PAUSED;
    if (engine->observer_fault || engine->hosts_fault)
        return HANDS_OBSERVER;
    if (engine->now_us < engine->guard_until_us)
        return HANDS_GUARD;
    for (guint kind = 0; kind < QUIET_N; kind++)
        if (quiet_on_actions(engine, kind, entity, rule) != NULL)
            return HANDS_QUIET;
    if (job_on(engine, entity) != NULL)
        return HANDS_JOB;
    if (entity->incident != NULL && !incident_stands_aside(engine, entity->incident))
        return HANDS_INCIDENT;
    if (busy_with(engine, entity, host_of(engine, entity), NULL) != NULL)
        return HANDS_BUSY;
    if (entity->host != NULL ? !host_is_up(entity) : strcmp(entity->state, "running") != 0)
        return HANDS_DOWN;
    return agent_of(engine, entity) == NULL ? HANDS_AGENT : HANDS_FREE;
}

/* Why nothing is set, when that is another reason than the last time. */
static void tell_nothing(Stage *s, const ControlRule *rule, const EntityState *entity, ControlState *state, guint reason)
{
    const char *text = reason < CONTROL_OUTCOME_N ? control_outcome_text(reason) : hands_texts[reason];

    if (state->told == reason)
        return;
    state->told = reason;
    put_record(s, "control.none", NULL, entity->path, json_pack("{s:s, s:s}", "control", rule->name, "reason", text),
               "control %s sets nothing: %s", rule->name, text);
}

const char *controller_held(Engine *engine, const char *rule, const EntityState *entity)
{
    Hands free = hands(engine, rule, entity);

    return free == HANDS_FREE ? NULL : hands_texts[free];
}

void controller_send(Stage *s, const char *rule, const EntityState *entity, const char *action, const json_t *arguments, const char *part,
                     const char *target, int64_t every_us, json_t *data)
{
    Engine *engine = s->engine;
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, engine->now_us), *epoch = g_strdup_printf("%" G_GUINT64_FORMAT, engine->epoch);
    char id[UUID_TEXT_SIZE];
    Command command = { .id = id, .entity = entity->path, .action = (char *) action, .agent = (char *) agent_of(engine, entity), .epoch = engine->epoch,
                        .deadline_ms = (engine->now_us + CONTROL_TIMEOUT_US) / US_PER_MS };
    g_autoptr(json_t) whole = json_copy((json_t *) arguments);

    json_object_set_new(whole, "name", json_string(entity_id(entity)));
    json_object_set_new(whole, "timeout_ms", json_integer(CONTROL_TIMEOUT_US / US_PER_MS));
    command.arguments = whole;
    id_derive(id, "control", rule, entity->path, now, epoch, part, NULL);
    control_book_set(engine->controls, target, rule, every_us, engine->now_us);
    engine->count.commands++;
    put_control(s, rule, &command, data);
    if (engine->control_flights->len >= CONTROL_FLIGHTS_MAX)
        g_ptr_array_remove_index(engine->control_flights, 0);
    ControlFlight *flight = g_new0(ControlFlight, 1);
    *flight = (ControlFlight) { .command = g_strdup(id), .rule = g_strdup(rule), .entity = g_strdup(entity->path),
                                .until_us = engine->now_us + 2 * CONTROL_TIMEOUT_US };
    g_ptr_array_add(engine->control_flights, flight);
}

static void issue(Stage *s, const ControlRule *rule, const EntityState *entity, ControlState *state, int64_t value, const char *target, json_t *data)
{
    g_autoptr(json_t) arguments = json_pack("{s:I}", rule->argument, (json_int_t) value);

    state->set_us = s->engine->now_us;
    state->set_to = value;
    state->told = CONTROL_SET;
    controller_send(s, rule->name, entity, rule->action, arguments, NULL, target, rule->every_us, data);
}

/* What the numbers want: SET and *ret_value, or why nothing. *ret_data (transfer full) is what they were. */
static guint numbers(Stage *s, const ControlRule *rule, EntityState *entity, const ControlState *state, int64_t *ret_value, json_t **ret_data)
{
    ControlLimits limits = limits_of(rule);
    ControlWindow window;
    guint outcome = control_window(state, &limits, s->engine->now_us, &window);
    int64_t current;
    double wanted;

    if (outcome != CONTROL_SET)
        return outcome;
    if (state->set_us >= state->sampled_us)
        return HANDS_SEEN;
    const struct ScopeWindow seen = { .count = window.count, .average = window.average, .last = window.last };
    Scope scope = { .engine = s->engine, .entity = entity, .window = &seen };
    g_autoptr(json_t) values = json_object();
    if (!expression_number(rule->target, scope_look_up, &scope, values, &wanted, NULL))
        return CONTROL_NOT_A_NUMBER;
    if (!value_in_force(rule, entity, state, &current))
        return HANDS_UNKNOWN;
    outcome = control_decide(&limits, current, wanted, ret_value);
    if (outcome == CONTROL_SET)
        *ret_data = json_pack("{s:{s:s, s:i, s:f, s:f, s:f, s:I, s:I, s:O}}", "control", "rule", rule->name, "samples", (int) window.count,
                              "average", window.average, "last", window.last, "wanted", wanted, "current", (json_int_t) current, "value",
                              (json_int_t) *ret_value, "values", values);
    return outcome;
}

/* False: it has no fresh sample, nothing to look at again. */
static bool control_one(Stage *s, const ControlRule *rule, EntityState *entity)
{
    Engine *engine = s->engine;
    ControlState *state = control_book_find(engine->controls, rule->name, entity->path);
    Scope scope = { .engine = engine, .entity = entity };
    g_autoptr(json_t) data = NULL;
    g_autofree char *target = NULL;
    int64_t value;

    if (state == NULL || (rule->where != NULL && expression_holds(rule->where, scope_look_up, &scope, NULL, NULL) != EXPRESSION_TRUE))
        return false;
    guint outcome = numbers(s, rule, entity, state, &value, &data);
    if (outcome == CONTROL_SET && rule->observe_only) {
        put_record(s, "control.would", NULL, entity->path, json_incref(data), "control %s would set %s to %" G_GINT64_FORMAT, rule->name,
                   rule->argument, value);
        state->set_us = engine->now_us;
        state->told = CONTROL_SET;
        return true;
    }
    if (outcome == CONTROL_SET) {
        Hands free = hands(engine, rule->name, entity);

        outcome = free == HANDS_FREE ? CONTROL_SET : free;
    }
    target = g_strdup_printf("%s %s", entity->path, rule->action);
    if (outcome == CONTROL_SET && !control_book_may_set(engine->controls, target, rule->every_us, engine->now_us, NULL))
        outcome = CONTROL_THIS_CYCLE;
    if (outcome == CONTROL_SET)
        issue(s, rule, entity, state, value, target, data);
    else
        tell_nothing(s, rule, entity, state, outcome);
    return outcome != CONTROL_NO_SAMPLE && outcome != CONTROL_STALE;
}

void controller_due(Stage *s, Controller *controller)
{
    Engine *engine = s->engine;
    const ControlRule *rule = rule_of(engine, controller);
    const GPtrArray *all = g_strcmp0(rule->kind, "host") == 0 ? engine->hosts : engine->vms;
    bool fresh = false;

    for (guint i = 0; i < all->len; i++)
        fresh |= control_one(s, rule, all->pdata[i]);
    for (guint i = engine->control_flights->len; i-- > 0;)
        if (((const ControlFlight *) engine->control_flights->pdata[i])->until_us <= engine->now_us)
            g_ptr_array_remove_index(engine->control_flights, i);
    due_set(&engine->due, &controller->due, fresh ? next_cycle_us(rule, engine->now_us) : NEVER_US);
}

bool controllers_answered(Stage *s, const Result *result)
{
    GPtrArray *flights = s->engine->control_flights;

    for (guint i = 0; i < flights->len; i++) {
        const ControlFlight *flight = flights->pdata[i];

        if (strcmp(flight->command, result->command_id) != 0)
            continue;
        put_record(s, "control.result", NULL, flight->entity,
                   json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "control", flight->rule, "command", result->command_id, "state",
                             result_state_name(result->state), "error", result->error, "text", result->text),
                   "control %s: %s%s%s", flight->rule, result_state_name(result->state), result->error == NULL ? "" : ": ",
                   result->error == NULL ? "" : result->error);
        if (result->state != RESULT_PROGRESS)
            g_ptr_array_remove_index(flights, i);
        return true;
    }
    return false;
}

static void put_samples(json_t *object, const GPtrArray *entities)
{
    for (guint i = 0; i < entities->len; i++) {
        EntityState *entity = entities->pdata[i];
        const json_t *values = entity_samples(entity);

        if (values != NULL)
            json_object_set_new(object, entity->path, json_pack("{s:I, s:O}", "at_us", (json_int_t) entity->sampled_us, "values", values));
    }
}

json_t *controllers_to_json(const Engine *engine)
{
    json_t *due = json_object(), *flights = json_array(), *samples = json_object();

    for (guint i = 0; i < engine->controllers->len; i++) {
        const Controller *controller = engine->controllers->pdata[i];

        json_object_set_new(due, controller->rule, json_integer(controller->due.at_us));
    }
    for (guint i = 0; i < engine->control_flights->len; i++) {
        const ControlFlight *flight = engine->control_flights->pdata[i];

        json_array_append_new(flights, json_pack("{s:s, s:s, s:s, s:I}", "command", flight->command, "rule", flight->rule, "entity", flight->entity,
                                                 "until_us", (json_int_t) flight->until_us));
    }
    put_samples(samples, engine->hosts);
    put_samples(samples, engine->vms);
    return json_pack("{s:o, s:o, s:o, s:o}", "book", control_book_to_json(engine->controls), "due", due, "flights", flights, "samples", samples);
}

void controllers_from_json(Engine *engine, const json_t *json)
{
    const json_t *due = json_object_get(json, "due"), *flights = json_object_get(json, "flights");
    ControlBook *book = control_book_from_json(json_object_get(json, "book"), NULL);
    const char *path;
    json_t *one;

    if (book != NULL) {
        control_book_free(engine->controls);
        engine->controls = book;
    }
    for (guint i = 0; i < engine->controllers->len; i++) {
        Controller *controller = engine->controllers->pdata[i];

        due_set(&engine->due, &controller->due, json_int_or(due, controller->rule, NEVER_US));
    }
    for (size_t i = 0; i < json_array_size(flights) && i < CONTROL_FLIGHTS_MAX; i++) {
        const json_t *flight = json_array_get(flights, i);
        ControlFlight *mine = g_new0(ControlFlight, 1);

        *mine = (ControlFlight) { .command = g_strdup(json_string_or(flight, "command", "")), .rule = g_strdup(json_string_or(flight, "rule", "")),
                                  .entity = g_strdup(json_string_or(flight, "entity", "")), .until_us = json_int_or(flight, "until_us", 0) };
        g_ptr_array_add(engine->control_flights, mine);
    }
    json_object_foreach(json_object_get(json, "samples"), path, one) {
        EntityState *entity = entity_find(engine, path);

        if (entity == NULL || entity->samples != NULL)
            continue;
        entity->samples = json_incref(json_object_get(one, "values"));
        entity->sampled_us = json_int_or(one, "at_us", 0);
    }
}
