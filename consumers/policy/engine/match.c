/* Which rule an event concerns: the first whose `on` and `where` hold, in the order of the file. The values a condition looked at
 * go with the decision, for or against, so that both can be asked for later. */
#include "consumers/policy/engine/engine_private.h"

#include "lib/model/entity.h"

#include <string.h>

typedef struct Scope {
    Engine *engine;
    const Policy *policy;
    const Event *event;
    const EntityState *state;
    Entity *entity;
    json_t *held; /* array: keeps what was handed out alive */
} Scope;

static const json_t *hold(Scope *scope, const char *text)
{
    if (text == NULL)
        return NULL;
    json_array_append_new(scope->held, json_string(text));
    return json_array_get(scope->held, json_array_size(scope->held) - 1);
}

static const json_t *hold_json(Scope *scope, json_t *json)
{
    json_array_append_new(scope->held, json);
    return json;
}

static const json_t *place_field(Scope *scope, const char *field)
{
    const EntityState *host = host_of(scope->engine, scope->state);

    if (host == NULL)
        return hold(scope, "");
    const char *text = strcmp(field, "host") == 0 ? strchr(host->path, '/') + 1 : host_domain(scope->engine, host, "rack");
    return hold(scope, text == NULL ? "" : text);
}

static const json_t *vm_field(Scope *scope, const char *field)
{
    const EntityState *vm = vm_of(scope->engine, scope->state);

    if (strcmp(field, "on_io_error") == 0)
        return hold(scope, vm == NULL ? "" : vm_on_io_error(scope->engine, vm));
    if (strcmp(field, "ha") == 0)
        return hold_json(scope, json_boolean(vm != NULL && vm_is_ha(scope->engine, vm)));
    return hold_json(scope, json_integer(vm == NULL ? 50 : vm_priority(scope->engine, vm)));
}

static const json_t *entity_field(Scope *scope, const char *field)
{
    const Entity *e = scope->entity;
    const char *vm = NULL, *hostname = scope->state->hostname;

    if (strcmp(field, "path") == 0)
        return hold(scope, scope->state->path);
    if (strcmp(field, "kind") == 0)
        return hold(scope, entity_kind_name(e->kind));
    if (strcmp(field, "id") == 0)
        return hold(scope, e->id);
    if (strcmp(field, "name") == 0)
        return hold(scope, e->name);
    if (strcmp(field, "hostname") == 0)
        return hold(scope, hostname);
    if (strcmp(field, "host") == 0 || strcmp(field, "rack") == 0)
        return place_field(scope, field);
    if (strcmp(field, "ha") == 0 || strcmp(field, "priority") == 0 || strcmp(field, "on_io_error") == 0)
        return vm_field(scope, field);
    bool of_vm = e->kind == ENTITY_SERVICE || e->kind == ENTITY_VM;
    const char *app = !of_vm ? NULL : policy_application(scope->policy, e->id, hostname, e->name, &vm);
    return hold(scope, strcmp(field, "app") == 0 ? (app == NULL ? "" : app) : (vm == NULL ? "" : vm));
}

static const json_t *event_field(Scope *scope, const char *field)
{
    const EventFields *f = event_fields(scope->event);

    if (strcmp(field, "kind") == 0)
        return hold(scope, f->kind);
    if (strcmp(field, "state") == 0)
        return hold(scope, scope->state->state);
    if (strcmp(field, "source") == 0)
        return hold(scope, f->source);
    if (strcmp(field, "bootid") == 0)
        return hold(scope, f->boot_id);
    if (strcmp(field, "severity") == 0) {
        json_array_append_new(scope->held, json_integer(f->severity));
        return json_array_get(scope->held, json_array_size(scope->held) - 1);
    }
    return json_object_get(event_data(scope->event), field);
}

static const json_t *lookup(const char *object, const char *field, void *user)
{
    return strcmp(object, "entity") == 0 ? entity_field(user, field) : event_field(user, field);
}

/* Rule or NULL; *ret_values gets what was looked at; a rule that listened and did not match is recorded. */
static const Rule *first_match(Stage *s, Scope *scope, json_t **ret_values)
{
    const Policy *policy = s->engine->policy;

    for (guint i = 0; i < policy->rules->len; i++) {
        const Rule *rule = policy->rules->pdata[i];
        g_autoptr(json_t) values = json_object();
        g_autofree char *why = NULL;

        if (!rule_listens(rule, event_fields(scope->event)->kind))
            continue;
        ConditionVerdict verdict =
            rule->where == NULL ? CONDITION_TRUE : condition_eval(rule->where, lookup, scope, values, &why);
        if (verdict == CONDITION_TRUE) {
            *ret_values = g_steal_pointer(&values);
            return rule;
        }
        if (g_strcmp0(scope->state->state, healthy_state(event_fields(scope->event)->kind)) == 0)
            continue; /* that nothing is done about what is well needs no reason */
        put_record(s, "rule.passed-over", NULL, scope->state->path,
                   json_pack("{s:s, s:s, s:s, s:O}", "event", event_fields(scope->event)->id, "rule", rule->name, "where",
                             condition_text(rule->where), "values", values),
                   "rule %s does not apply: %s", rule->name, why == NULL ? "its condition does not hold" : why);
    }
    return NULL;
}

void rules_match(Stage *s, EntityState *entity, const Event *event)
{
    Scope scope = { .engine = s->engine, .policy = s->engine->policy, .event = event, .state = entity };
    const char *intent = event_data_string(event, "intent");
    bool listened = false;

    for (guint i = 0; i < scope.policy->rules->len && !listened; i++)
        listened = rule_listens(scope.policy->rules->pdata[i], event_fields(event)->kind);
    if (!listened)
        return;
    if (intent_is_wanted(intent)) { /* holds for every rule: what somebody stopped is never a failure */
        if (g_strcmp0(entity->state, healthy_state(event_fields(event)->kind)) == 0)
            return;
        put_record(s, "not-a-failure", NULL, entity->path, json_pack("{s:s, s:s}", "event", event_fields(event)->id, "intent", intent),
                   "%s is %s because of %s: nothing to heal", entity->path, entity->state, intent);
        return;
    }
    scope.entity = entity_parse(entity->path, NULL);
    if (scope.entity == NULL)
        return;
    scope.held = json_array();
    json_t *values = NULL;
    const Rule *rule = first_match(s, &scope, &values);
    if (rule != NULL)
        incident_open(s, entity, rule, event, values);
    json_decref(scope.held);
    entity_free(scope.entity);
}
