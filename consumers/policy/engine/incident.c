/*                    +--------- attempt failed ---------+
 *                    v                                  |
 *   event ──▶ OPEN ─────▶ ACTING ─────▶ VERIFYING ─────▶ HEALED
 *              | ^           |               |
 *              | +-- failed -+               |
 *              |                             |
 *              +─── ladder used up ──▶ NEEDS_HUMAN ──▶ RESOLVED
 *
 * From every open state: STOOD_DOWN (somebody wants it stopped), SUPERSEDED (a failure of a later boot, the rule is gone).
 * OPEN waits for back-off, guard, holds; ACTING for the answer or its deadline; VERIFYING for the state to come and to last;
 * NEEDS_HUMAN for the state to come back. Only OPEN and NEEDS_HUMAN can end without us: RESOLVED. */
#include "consumers/policy/engine/incident.h"

#include "lib/base/json.h"

#include <string.h>

#define TO(s) (1u << INCIDENT_##s)
static const struct {
    const char *name;
    uint32_t to;
} incident_states[] = {
    [INCIDENT_OPEN]        = { "open", TO(ACTING) | TO(VERIFYING) | TO(NEEDS_HUMAN) | TO(RESOLVED) | TO(STOOD_DOWN) | TO(SUPERSEDED) },
    [INCIDENT_ACTING]      = { "acting", TO(OPEN) | TO(VERIFYING) | TO(RESOLVED) | TO(STOOD_DOWN) | TO(SUPERSEDED) },
    [INCIDENT_VERIFYING]   = { "verifying", TO(OPEN) | TO(HEALED) | TO(RESOLVED) | TO(STOOD_DOWN) | TO(SUPERSEDED) },
    [INCIDENT_NEEDS_HUMAN] = { "needs-human", TO(OPEN) | TO(RESOLVED) | TO(STOOD_DOWN) | TO(SUPERSEDED) },
    [INCIDENT_HEALED]      = { "healed", 0 },
    [INCIDENT_RESOLVED]    = { "resolved", 0 },
    [INCIDENT_STOOD_DOWN]  = { "stood-down", 0 },
    [INCIDENT_SUPERSEDED]  = { "superseded", 0 },
};
#undef TO
G_STATIC_ASSERT(G_N_ELEMENTS(incident_states) == INCIDENT_STATE_N);

static const char *const wait_texts[] = {
    [WAIT_NONE] = "nothing",
    [WAIT_BACKOFF] = "its back-off to pass",
    [WAIT_GUARD] = "the start-up guard to pass",
    [WAIT_NOT_ACTING] = "this engine to be the acting one",
    [WAIT_OBSERVER] = "the observer to be well again",
    [WAIT_PAUSED] = "an operator to resume the engine",
    [WAIT_AGENT] = "its agent, which is gone, to come back",
    [WAIT_UNKNOWN] = "its state, which is unknown, to be known",
    [WAIT_OBSERVE_ONLY] = "somebody else to act: the rule only observes",
    [WAIT_PROOF] = "a proof that no other copy runs",
    [WAIT_PLACE] = "a host that can take it",
    [WAIT_STORAGE] = "its storage to be well again",
    [WAIT_REFERENCE] = "what another VM has not told yet",
    [WAIT_MAINTENANCE] = "maintenance to end",
    [WAIT_HOLD] = "a hold to be released",
    [WAIT_SILENCE] = "a silence to end",
    [WAIT_JOB] = "what is in progress there to end",
    [WAIT_SCHEDULE] = "the time its rule is for",
    [WAIT_PARENT] = "what it stands on to be well",
    [WAIT_FLAPPING] = "it to stop flapping",
    [WAIT_QUARANTINE] = "its host to be out of quarantine",
    [WAIT_BUSY] = "what is done there already",
    [WAIT_BUDGET] = "its turn",
    [WAIT_APPROVAL] = "somebody to approve",
    [WAIT_AFTER] = "what it comes after",
    [WAIT_PLAN] = "what is under way",
};
G_STATIC_ASSERT(G_N_ELEMENTS(wait_texts) == WAIT_N);

const char *incident_state_name(IncidentState state)
{
    return incident_states[state].name;
}

const char *incident_wait_text(IncidentWait wait)
{
    return wait_texts[wait];
}

bool incident_is_closed(const Incident *incident)
{
    return incident_states[incident->state].to == 0;
}

bool incident_can_move(IncidentState from, IncidentState to)
{
    return (incident_states[from].to & (1u << to)) != 0;
}

void incident_move(Incident *incident, IncidentState to)
{
    g_assert(incident_can_move(incident->state, to));
    incident->state = to;
    incident->wait = incident->gave_up = WAIT_NONE;
    g_clear_pointer(&incident->wait_text, g_free);
    json_decref(incident->muted);
    incident->muted = NULL;
    g_assert(to != INCIDENT_ACTING || incident->flights->len > 0);
}

static void flight_free(Flight *flight)
{
    command_free(flight->command);
    g_free(flight->state);
    g_free(flight);
}

Incident *incident_new(void)
{
    Incident *incident = g_new0(Incident, 1);

    incident->flights = g_ptr_array_new_with_free_func((GDestroyNotify) flight_free);
    due_init(&incident->due, DUE_INCIDENT);
    due_init(&incident->speak_due, DUE_PARENT);
    return incident;
}

Command *incident_command(const Incident *incident)
{
    return incident->flights->len == 0 ? NULL : ((Flight *) incident->flights->pdata[incident->flights->len - 1])->command;
}

Flight *incident_flight(const Incident *incident, const char *command_id)
{
    for (guint i = 0; i < incident->flights->len; i++) {
        Flight *flight = incident->flights->pdata[i];

        if (strcmp(flight->command->id, command_id) == 0)
            return flight;
    }
    return NULL;
}

bool incident_is_answered(const Incident *incident)
{
    for (guint i = 0; i < incident->flights->len; i++)
        if (!((const Flight *) incident->flights->pdata[i])->answered)
            return false;
    return true;
}

void incident_add_flight(Incident *incident, Command *command)
{
    Flight *flight = g_new0(Flight, 1);

    flight->command = command;
    flight->waited = true;
    flight->item = NO_ITEM;
    g_ptr_array_add(incident->flights, flight);
}

void incident_free(Incident *incident)
{
    if (incident == NULL)
        return;
    g_free(incident->id);
    g_free(incident->event_id);
    g_free(incident->rule);
    g_free(incident->boot_id);
    g_free(incident->moved_from);
    json_decref(incident->facts);
    g_free(incident->wait_text);
    json_decref(incident->muted);
    g_ptr_array_unref(incident->flights);
    sequence_free(incident->plan);
    if (incident->plan_since_us != NULL)
        g_array_unref(incident->plan_since_us);
    g_free(incident);
}

static json_t *flights_to_json(const GPtrArray *flights)
{
    json_t *all = json_array();

    for (guint i = 0; i < flights->len; i++) {
        const Flight *flight = flights->pdata[i];

        json_t *json = json_pack("{s:o, s:b, s:b, s:s*}", "command", command_to_json(flight->command), "answered", flight->answered,
                                 "waited", flight->waited, "state", flight->state);

        if (flight->item != NO_ITEM)
            json_object_set_new(json, "item", json_integer(flight->item));
        json_array_append_new(all, json);
    }
    return all;
}

static void plan_to_json(const Incident *incident, json_t *json)
{
    json_t *since = json_array();

    for (guint i = 0; i < incident->plan->items->len; i++)
        json_array_append_new(since, json_integer(g_array_index(incident->plan_since_us, int64_t, i)));
    json_object_set_new(json, "plan", sequence_to_json(incident->plan));
    json_object_set_new(json, "plan_since_us", since);
}

static bool plan_from_json(Incident *incident, const json_t *json, GError **error)
{
    const json_t *plan = json_object_get(json, "plan"), *since = json_object_get(json, "plan_since_us");

    if (plan == NULL)
        return true;
    incident->plan = sequence_from_json(plan, error);
    incident->plan_since_us = g_array_new(FALSE, TRUE, sizeof(int64_t));
    for (guint i = 0; incident->plan != NULL && i < incident->plan->items->len; i++) {
        int64_t at_us = json_integer_value(json_array_get(since, i));

        g_array_append_val(incident->plan_since_us, at_us);
    }
    return incident->plan != NULL;
}

json_t *incident_to_json(const Incident *i, const char *entity)
{
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:i, s:i, s:i, s:i}", "id", i->id, "event", i->event_id, "rule", i->rule,
                             "entity", entity, "number", (json_int_t) i->number, "state", incident_state_name(i->state), "wait",
                             (int) i->wait, "step", (int) i->step, "step_attempts", (int) i->step_attempts, "attempts",
                             (int) i->attempts);

    json_object_set_new(json, "opened_us", json_integer(i->opened_us));
    json_object_set_new(json, "due_us", json_integer(i->due.at_us));
    json_object_set_new(json, "priority", json_integer(i->due.priority));
    json_object_set_new(json, "wait_since_us", json_integer(i->wait_since_us));
    json_object_set_new(json, "healed_since_us", json_integer(i->healed_since_us));
    if (i->boot_id != NULL)
        json_object_set_new(json, "boot_id", json_string(i->boot_id));
    if (i->speak_due.at_us != NEVER_US)
        json_object_set_new(json, "speak_due_us", json_integer(i->speak_due.at_us));
    if (i->speaks_for != 0)
        json_object_set_new(json, "speaks_for", json_integer(i->speaks_for));
    if (i->wait_text != NULL)
        json_object_set_new(json, "wait_text", json_string(i->wait_text));
    if (i->gave_up != WAIT_NONE)
        json_object_set_new(json, "gave_up", json_integer(i->gave_up));
    if (i->asked_us != 0)
        json_object_set_new(json, "asked_us", json_integer(i->asked_us));
    if (i->muted != NULL)
        json_object_set_new(json, "muted", json_deep_copy(i->muted)); /* it is still written to */
    if (i->facts != NULL)
        json_object_set(json, "facts", i->facts);
    if (i->moved_from != NULL)
        json_object_set_new(json, "moved_from", json_string(i->moved_from));
    if (i->goes_on)
        json_object_set_new(json, "goes_on", json_true());
    if (i->plan != NULL)
        plan_to_json(i, json);
    if (i->flights->len > 0)
        json_object_set_new(json, "flights", flights_to_json(i->flights));
    return json;
}

static bool state_parse(const char *text, IncidentState *ret)
{
    for (size_t k = 0; k < INCIDENT_STATE_N; k++)
        if (strcmp(incident_states[k].name, text) == 0) {
            *ret = (IncidentState) k;
            return true;
        }
    return false;
}

static bool flights_from_json(Incident *incident, const json_t *flights, GError **error)
{
    size_t k;
    json_t *json;

    json_array_foreach((json_t *) flights, k, json) {
        Command *command = command_from_json(json_object_get(json, "command"), error);

        if (command == NULL)
            return false;
        incident_add_flight(incident, command);
        ((Flight *) incident->flights->pdata[k])->answered = json_is_true(json_object_get(json, "answered"));
        ((Flight *) incident->flights->pdata[k])->waited = json_is_true(json_object_get(json, "waited"));
        ((Flight *) incident->flights->pdata[k])->item = (guint) json_int_or(json, "item", NO_ITEM);
        ((Flight *) incident->flights->pdata[k])->state = g_strdup(json_string_or(json, "state", NULL));
    }
    return true;
}

Incident *incident_from_json(const json_t *json, GError **error)
{
    g_autoptr(Incident) i = incident_new();
    const char *id, *event, *rule, *state;
    int64_t wait = json_int_or(json, "wait", 0);

    if (!json_get_string(json, "id", &id, error) || !json_get_string(json, "event", &event, error) ||
        !json_get_string(json, "rule", &rule, error) || !json_get_string(json, "state", &state, error))
        return NULL;
    if (!state_parse(state, &i->state) || wait < 0 || wait >= WAIT_N) {
        g_set_error(error, JSON_ERROR, JSON_ERROR_TYPE, "an incident cannot be \"%s\"", state);
        return NULL;
    }
    i->id = g_strdup(id);
    i->event_id = g_strdup(event);
    i->rule = g_strdup(rule);
    i->boot_id = g_strdup(json_string_or(json, "boot_id", NULL));
    i->wait = (IncidentWait) wait;
    i->number = i->due.order = i->speak_due.order = (uint64_t) json_int_or(json, "number", 0);
    i->due.priority = (int) json_int_or(json, "priority", 50);
    i->step = (unsigned) json_int_or(json, "step", 0);
    i->step_attempts = (unsigned) json_int_or(json, "step_attempts", 0);
    i->attempts = (unsigned) json_int_or(json, "attempts", 0);
    i->opened_us = json_int_or(json, "opened_us", 0);
    i->wait_since_us = json_int_or(json, "wait_since_us", 0);
    i->healed_since_us = json_int_or(json, "healed_since_us", 0);
    i->speaks_for = (unsigned) json_int_or(json, "speaks_for", 0);
    i->wait_text = g_strdup(json_string_or(json, "wait_text", NULL));
    i->gave_up = (IncidentWait) CLAMP(json_int_or(json, "gave_up", 0), 0, WAIT_N - 1);
    i->asked_us = json_int_or(json, "asked_us", 0);
    i->muted = json_deep_copy(json_object_get(json, "muted"));
    i->moved_from = g_strdup(json_string_or(json, "moved_from", NULL));
    i->facts = json_incref(json_object_get(json, "facts"));
    i->goes_on = json_bool_or(json, "goes_on", false);
    return flights_from_json(i, json_object_get(json, "flights"), error) && plan_from_json(i, json, error) ? g_steal_pointer(&i) : NULL;
}
