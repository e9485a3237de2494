/* The engine's whole state as JSON, and back. Whatever engine_step reads must be here: the test that cuts a history in two at every
 * place and compares is the one that tells when something is forgotten. */
#include "consumers/policy/engine/engine_private.h"

#include "lib/base/json.h"

#include <string.h>

#define SNAPSHOT_FORM 1

static json_t *windows_to_json(const GPtrArray *windows)
{
    json_t *all = json_array();

    for (guint i = 0; windows != NULL && i < windows->len; i++) {
        const Window *window = windows->pdata[i];
        json_t *at = json_array();

        for (guint k = 0; k < window->at_us->len; k++)
            json_array_append_new(at, json_integer(g_array_index(window->at_us, int64_t, k)));
        json_array_append_new(all, json_pack("{s:s, s:i, s:I, s:o}", "rule", window->rule, "step", (int) window->step, "ended_us",
                                             (json_int_t) window->ended_us, "at_us", at));
    }
    return all;
}

static json_t *entity_to_json(const EntityState *entity)
{
    json_t *json = json_pack("{s:s, s:I, s:I}", "state", entity->state, "sequence", (json_int_t) entity->sequence, "since_us",
                             (json_int_t) entity->since_us);

    json_set_string(json, "intent", entity->intent);
    json_set_string(json, "agent", entity->agent);
    json_set_string(json, "hostname", entity->hostname);
    json_set_string(json, "boot_id", entity->boot_id);
    if (entity->flapper != NULL)
        json_object_set_new(json, "flap", flapper_to_json(entity->flapper));
    if (entity->awaited)
        json_object_set_new(json, "awaited", json_true());
    if (entity->windows != NULL && entity->windows->len > 0)
        json_object_set_new(json, "windows", windows_to_json(entity->windows));
    facts_to_json(entity, json);
    return json;
}

static json_t *seen_to_json(const Engine *engine)
{
    json_t *seen = json_array();

    for (size_t i = 0; i < SEEN_N; i++)
        if (engine->seen[i].sequence != 0)
            json_array_append_new(seen, json_pack("[I, I]", (json_int_t) engine->seen[i].sequence, (json_int_t) engine->seen[i].id_hash));
    return seen;
}

json_t *engine_snapshot(const Engine *engine)
{
    json_t *entities = json_object(), *incidents = engine_incidents(engine);
    GHashTableIter iter;
    gpointer entity;

    g_hash_table_iter_init(&iter, engine->entities);
    while (g_hash_table_iter_next(&iter, NULL, &entity))
        json_object_set_new(entities, ((EntityState *) entity)->path, entity_to_json(entity));
    json_t *json = json_pack("{s:i, s:s, s:o, s:o, s:o}", "form", SNAPSHOT_FORM, "policy", engine->policy->version, "entities", entities,
                             "incidents", incidents, "seen", seen_to_json(engine));
    json_object_set_new(json, "epoch", json_integer((json_int_t) engine->epoch));
    json_object_set_new(json, "shards", shards_to_json(engine));
    json_object_set_new(json, "now_us", json_integer(engine->now_us));
    json_object_set_new(json, "guard_until_us", json_integer(engine->guard_until_us));
    json_object_set_new(json, "own_epoch", json_integer((json_int_t) engine->own_epoch));
    json_object_set_new(json, "takeover_until_us", json_integer(engine->takeover_until_us));
    json_object_set_new(json, "timer_us", json_integer(engine->timer_us));
    json_object_set_new(json, "observer_fault", json_boolean(engine->observer_fault));
    json_object_set_new(json, "paused", json_boolean(engine->paused));
    json_set_string(json, "paused_by", engine->paused_by);
    json_set_string(json, "paused_why", engine->paused_why);
    json_object_set_new(json, "paused_since_us", json_integer(engine->paused_since_us));
    json_object_set_new(json, "quiets", quiets_to_json(engine));
    if (engine->stopped->len > 0)
        json_object_set_new(json, "stopped", stopped_apps_to_json(engine));
    json_object_set_new(json, "next_quiet", json_integer((json_int_t) engine->next_quiet));
    json_object_set_new(json, "jobs", jobs_to_json(engine));
    json_object_set_new(json, "watches", watches_to_json(engine));
    json_object_set_new(json, "controls", controllers_to_json(engine));
    if (engine->policy->mom != NULL)
        json_object_set_new(json, "mom", mom_snapshot(engine));
    json_object_set_new(json, "quarantine", quarantine_to_json(engine));
    json_object_set_new(json, "budgets", budgets_to_json(engine->budgets));
    json_object_set_new(json, "budget_due_us", json_integer(engine->budget_due.at_us));
    json_object_set_new(json, "start", json_pack("[I, I, I]", (json_int_t) engine->start.since_us, (json_int_t) engine->start.known,
                                                 (json_int_t) engine->start.seen));
    json_object_set_new(json, "hosts_fault", json_boolean(engine->hosts_fault));
    json_object_set_new(json, "next_number", json_integer((json_int_t) engine->next_number));
    json_object_set_new(json, "sequence_high", json_integer((json_int_t) engine->sequence_high));
    json_object_set_new(json, "counts", json_pack("[I, I, I, I, I, I]", (json_int_t) engine->count.events,
                                                  (json_int_t) engine->count.duplicates, (json_int_t) engine->count.stale,
                                                  (json_int_t) engine->count.commands, (json_int_t) engine->count.healed,
                                                  (json_int_t) engine->count.needs_human));
    return json;
}

static void windows_from_json(EntityState *entity, const json_t *windows)
{
    size_t i, k;
    json_t *json, *at;

    json_array_foreach(windows, i, json) {
        Window *window = entity_window(entity, json_string_or(json, "rule", ""), (unsigned) json_int_or(json, "step", 0));

        window->ended_us = json_int_or(json, "ended_us", 0);
        json_array_foreach(json_object_get(json, "at_us"), k, at) {
            int64_t at_us = json_integer_value(at);

            g_array_append_val(window->at_us, at_us);
        }
    }
}

static void entities_from_json(Engine *engine, json_t *entities)
{
    const char *path;
    json_t *json;

    json_object_foreach(entities, path, json) {
        EntityState *entity = entity_ensure(engine, path);

        if (entity == NULL)
            return;
        g_free(entity->state);
        entity->state = g_strdup(json_string_or(json, "state", "unknown"));
        entity->sequence = (uint64_t) json_int_or(json, "sequence", 0);
        entity->since_us = json_int_or(json, "since_us", 0);
        entity->intent = g_strdup(json_string_or(json, "intent", NULL));
        entity->agent = g_strdup(json_string_or(json, "agent", NULL));
        entity->hostname = g_strdup(json_string_or(json, "hostname", NULL));
        entity->boot_id = g_strdup(json_string_or(json, "boot_id", NULL));
        entity->awaited = json_bool_or(json, "awaited", false);
        windows_from_json(entity, json_object_get(json, "windows"));
    }
    json_object_foreach(entities, path, json) /* facts name other entities: all are there now */
        facts_from_json(engine, entity_find(engine, path), json);
    json_object_foreach(entities, path, json)
        if (json_object_get(json, "flap") != NULL)
            flapper_from_json(engine, entity_find(engine, path), json_object_get(json, "flap"));
}

static bool incidents_from_json(Engine *engine, const json_t *incidents, GError **error)
{
    size_t i;
    json_t *json;

    json_array_foreach(incidents, i, json) {
        Incident *incident = incident_from_json(json, error);

        if (incident == NULL)
            return false;
        g_queue_push_tail(&engine->incidents, incident);
        incident->link = engine->incidents.tail;
        g_hash_table_insert(engine->numbers, &incident->number, incident);
        incident_set_due(engine, incident, json_int_or(json, "due_us", NEVER_US));
        due_set(&engine->due, &incident->speak_due, json_int_or(json, "speak_due_us", NEVER_US));
        incident->entity = entity_find(engine, json_string_or(json, "entity", ""));
        if (incident->entity == NULL) {
            g_set_error(error, JSON_ERROR, JSON_ERROR_MISSING, "the entity of incident %s is not in the snapshot", incident->id);
            return false;
        }
        incident->entity->incident = incident;
        EntityState *target = entity_find(engine, json_string_or(json, "target", ""));
        if (target != NULL)
            busy_begin(incident, target);
        for (guint k = 0; k < incident->flights->len; k++) {
            const Flight *flight = incident->flights->pdata[k];

            if (flight->waited)
                g_hash_table_insert(engine->commands, flight->command->id, incident);
        }
    }
    return true;
}

static void counts_from_json(Engine *engine, const json_t *counts)
{
    uint64_t *const to[] = { &engine->count.events,   &engine->count.duplicates, &engine->count.stale,
                             &engine->count.commands, &engine->count.healed,     &engine->count.needs_human };

    for (size_t i = 0; i < G_N_ELEMENTS(to); i++)
        *to[i] = (uint64_t) json_integer_value(json_array_get(counts, i));
}

static void gates_from_json(Engine *engine, const json_t *json)
{
    const json_t *start = json_object_get(json, "start");

    engine->paused_by = g_strdup(json_string_or(json, "paused_by", NULL));
    engine->paused_why = g_strdup(json_string_or(json, "paused_why", NULL));
    engine->paused_since_us = json_int_or(json, "paused_since_us", 0);
    engine->start.since_us = json_integer_value(json_array_get(start, 0));
    engine->start.known = (unsigned) json_integer_value(json_array_get(start, 1));
    engine->start.seen = (unsigned) json_integer_value(json_array_get(start, 2));
    quiets_from_json(engine, json_object_get(json, "quiets"));
    stopped_apps_from_json(engine, json_object_get(json, "stopped"));
    engine->next_quiet = (uint64_t) json_int_or(json, "next_quiet", (json_int_t) engine->next_quiet);
    jobs_from_json(engine, json_object_get(json, "jobs"));
    watches_from_json(engine, json_object_get(json, "watches"));
    controllers_from_json(engine, json_object_get(json, "controls"));
    mom_restore(engine, json_object_get(json, "mom"));
    quarantine_from_json(engine, json_object_get(json, "quarantine"));
    Budgets *budgets = json_object_get(json, "budgets") == NULL ? NULL : budgets_from_json(json_object_get(json, "budgets"), NULL);
    if (budgets != NULL) {
        budgets_free(engine->budgets);
        engine->budgets = budgets;
    }
    due_set(&engine->due, &engine->budget_due, json_int_or(json, "budget_due_us", NEVER_US));
}

Engine *engine_restore(const json_t *json, Policy *policy, GError **error)
{
    int64_t form;
    size_t i;
    json_t *pair;

    if (!json_get_int(json, "form", &form, error))
        return NULL;
    if (form != SNAPSHOT_FORM) {
        g_set_error(error, JSON_ERROR, JSON_ERROR_TYPE, "the snapshot has form %d, this program reads %d", (int) form, SNAPSHOT_FORM);
        return NULL;
    }
    g_autoptr(Engine) engine = engine_new(policy);
    entities_from_json(engine, json_object_get(json, "entities"));
    if (!incidents_from_json(engine, json_object_get(json, "incidents"), error))
        return NULL;
    json_array_foreach(json_object_get(json, "seen"), i, pair) {
        uint64_t sequence = (uint64_t) json_integer_value(json_array_get(pair, 0));

        engine->seen[sequence % SEEN_N] = (Seen){ sequence, (uint64_t) json_integer_value(json_array_get(pair, 1)) };
    }
    engine->epoch = (uint64_t) json_int_or(json, "epoch", 0);
    shards_from_json(engine, json_object_get(json, "shards"));
    engine->now_us = json_int_or(json, "now_us", 0);
    engine->guard_until_us = json_int_or(json, "guard_until_us", 0);
    engine->own_epoch = (uint64_t) json_int_or(json, "own_epoch", 0);
    engine->takeover_until_us = json_int_or(json, "takeover_until_us", 0);
    engine->timer_us = json_int_or(json, "timer_us", NEVER_US);
    engine->observer_fault = json_bool_or(json, "observer_fault", false);
    engine->paused = json_bool_or(json, "paused", false);
    engine->hosts_fault = json_bool_or(json, "hosts_fault", false);
    engine->next_number = (uint64_t) json_int_or(json, "next_number", 1);
    engine->sequence_high = (uint64_t) json_int_or(json, "sequence_high", 0);
    counts_from_json(engine, json_object_get(json, "counts"));
    gates_from_json(engine, json);
    return g_steal_pointer(&engine);
}

json_t *engine_incidents(const Engine *engine)
{
    json_t *all = json_array();

    for (const GList *l = engine->incidents.head; l != NULL; l = l->next) {
        const Incident *incident = l->data;
        json_t *json = incident_to_json(incident, incident->entity->path);
        if (incident->target != NULL)
            json_object_set_new(json, "target", json_string(incident->target->path));
        if (incident->wait != WAIT_NONE)
            json_object_set_new(json, "waits_for", json_sprintf("%s%s%s", incident_wait_text(incident->wait), incident->wait_text == NULL ? "" : ": ",
                                                                incident->wait_text == NULL ? "" : incident->wait_text));
        json_array_append_new(all, json);
    }
    return all;
}

const Policy *engine_policy(const Engine *engine)
{
    return engine->policy;
}

uint64_t engine_epoch(const Engine *engine)
{
    return engine->epoch;
}

uint64_t engine_sequence(const Engine *engine)
{
    return engine->sequence_high;
}

bool engine_entity(const Engine *engine, const char *path, const char **ret_state, uint64_t *ret_sequence)
{
    const EntityState *entity = g_hash_table_lookup(engine->entities, path);

    if (entity == NULL)
        return false;
    *ret_state = entity->state;
    *ret_sequence = entity->sequence;
    return true;
}

void engine_each_definition(const Engine *engine, EngineDefinitionFn fn, void *user)
{
    for (guint i = 0; i < engine->vms->len; i++) {
        const EntityState *vm = engine->vms->pdata[i];

        if (vm->vm->definition != NULL && (vm_is_ha(engine, vm) || app_vm_of(engine, vm, NULL) != NULL))
            fn(vm->path, vm->vm->definition, vm->agent, user);
    }
}

/* How many of them are judged to be what. */
static json_t *host_verdicts(const Engine *engine)
{
    json_t *counts = json_object();

    for (guint i = 0; i < engine->hosts->len; i++) {
        const char *verdict = verdict_name(((const EntityState *) engine->hosts->pdata[i])->host->verdict);

        json_object_set_new(counts, verdict, json_integer(json_int_or(counts, verdict, 0) + 1));
    }
    return counts;
}

json_t *engine_status(const Engine *engine)
{
    json_t *json = json_pack("{s:s, s:s, s:b, s:b, s:b, s:i, s:i}", "policy", engine->policy->name, "policy_version",
                             engine->policy->version, "acting", engine->epoch != 0, "paused", engine->paused, "observer_fault",
                             engine->observer_fault, "incidents", (int) engine->incidents.length, "entities",
                             (int) g_hash_table_size(engine->entities));

    json_object_set_new(json, "epoch", json_integer((json_int_t) engine->epoch));
    if (engine->shards > 0)
        json_object_set_new(json, "shards", shards_status(engine));
    json_object_set_new(json, "guard_until_us", json_integer(engine->guard_until_us));
    if (engine->stopped->len > 0)
        json_object_set_new(json, "stopped", stopped_apps_to_json(engine));
    if (engine->paused) {
        json_set_string(json, "paused_by", engine->paused_by);
        json_set_string(json, "paused_why", engine->paused_why);
        json_object_set_new(json, "paused_since_us", json_integer(engine->paused_since_us));
    }
    json_object_set_new(json, "hosts", host_verdicts(engine));
    json_object_set_new(json, "quiets", quiets_to_json(engine));
    json_object_set_new(json, "jobs", jobs_to_json(engine));
    json_object_set_new(json, "quarantine", quarantine_to_json(engine));
    json_object_set_new(json, "budgets", budgets_status(engine->budgets, engine->now_us));
    json_object_set_new(json, "sequence", json_integer((json_int_t) engine->sequence_high));
    json_object_set_new(json, "events", json_integer((json_int_t) engine->count.events));
    json_object_set_new(json, "duplicates", json_integer((json_int_t) engine->count.duplicates));
    json_object_set_new(json, "stale", json_integer((json_int_t) engine->count.stale));
    json_object_set_new(json, "commands", json_integer((json_int_t) engine->count.commands));
    json_object_set_new(json, "healed", json_integer((json_int_t) engine->count.healed));
    json_object_set_new(json, "needs_human", json_integer((json_int_t) engine->count.needs_human));
    return json;
}
