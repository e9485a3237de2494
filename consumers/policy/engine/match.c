/* Which rule an event concerns: the first whose `on` and `where` hold, in the order of the file. The values a condition looked at
 * go with the decision, for or against, so that both can be asked for later. */
#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/scope.h"

#include <string.h>

static bool is_plain(const Rule *rule)
{
    return rule->temporal == TEMPORAL_ONCE;
}

bool incident_is_of_what_happened(const Engine *engine, const Incident *incident)
{
    const Rule *rule = policy_rule(engine->policy, incident->rule);

    return rule != NULL && event_only_happened(rule->on);
}

bool incident_stands_aside(const Engine *engine, const Incident *incident)
{
    return incident->entity->host != NULL && incident_is_of_what_happened(engine, incident);
}

/* Rule or NULL; *ret_values gets what was looked at; a rule that listened and did not match is recorded. */
static const Rule *first_match(Stage *s, Scope *scope, Fired *fired, json_t **ret_values)
{
    const Policy *policy = s->engine->policy;
    const char *kind = event_fields(scope->event)->kind;
    bool well = g_strcmp0(scope->entity->state, healthy_state(kind)) == 0;

    for (guint i = 0; i < policy->rules->len; i++) {
        const Rule *rule = policy->rules->pdata[i];
        g_autofree char *why = NULL;

        if (rule == fired->rule) {
            *ret_values = g_steal_pointer(&fired->values);
            fired_clear(fired);
            return rule;
        }
        if (!is_plain(rule) || !rule_listens(rule, kind))
            continue;
        bool holds = rule->where == NULL || expression_holds(rule->where, scope_look_up, scope, NULL, NULL) == EXPRESSION_TRUE;
        if (!holds && well)
            continue; /* that nothing is done about what is well needs no reason */
        g_autoptr(json_t) values = json_object();
        if (rule->where != NULL) /* the same again, for the record */
            expression_holds(rule->where, scope_look_up, scope, values, &why);
        if (holds) {
            if (rule->once_within_us > 0 && !watch_lets(s, rule, scope->entity, scope->event, values))
                return NULL; /* the event is this rule's, and it is to be done once only */
            *ret_values = g_steal_pointer(&values);
            return rule;
        }
        put_record(s, "rule.passed-over", NULL, scope->entity->path,
                   json_pack("{s:s, s:s, s:s, s:O}", "event", event_fields(scope->event)->id, "rule", rule->name, "where",
                             expression_text(rule->where), "values", values),
                   "rule %s does not apply: %s", rule->name, why == NULL ? "its condition does not hold" : why);
    }
    return NULL;
}

const Rule *rules_first(Stage *s, EntityState *entity, const Event *event)
{
    Scope scope = { .engine = s->engine, .event = event, .entity = entity };
    const Policy *policy = s->engine->policy;

    for (guint i = 0; i < policy->rules->len; i++) {
        const Rule *rule = policy->rules->pdata[i];

        if (is_plain(rule) && rule_listens(rule, event_fields(event)->kind) &&
            (rule->where == NULL || expression_holds(rule->where, scope_look_up, &scope, NULL, NULL) == EXPRESSION_TRUE))
            return rule;
    }
    return NULL;
}

void rules_match(Stage *s, EntityState *entity, const Event *event, Fired *fired)
{
    Scope scope = { .engine = s->engine, .event = event, .entity = entity };
    const Policy *policy = s->engine->policy;
    const char *intent = event_data_string(event, "intent");
    bool listened = fired->rule != NULL;

    for (guint i = 0; i < policy->rules->len && !listened; i++)
        listened = rule_listens(policy->rules->pdata[i], event_fields(event)->kind);
    if (!listened)
        return;
    const StoppedApp *stopped = stopped_app_of(s->engine, entity);
    if (stopped != NULL) {
        fired_clear(fired);
        if (g_strcmp0(entity->state, healthy_state(event_fields(event)->kind)) == 0)
            return;
        put_record(s, "not-a-failure", NULL, entity->path, json_pack("{s:s, s:s, s:s*}", "event", event_fields(event)->id, "application", stopped->name, "who", stopped->who),
                   "%s is %s, and its application app/%s was stopped by %s: nothing to heal", entity->path, entity->state, stopped->name,
                   stopped->who == NULL ? "an operator" : stopped->who);
        return;
    }
    if (intent_is_wanted(intent) && fired->rule == NULL) { /* holds for every rule: what somebody stopped is never a failure */
        if (g_strcmp0(entity->state, healthy_state(event_fields(event)->kind)) == 0)
            return;
        put_record(s, "not-a-failure", NULL, entity->path, json_pack("{s:s, s:s}", "event", event_fields(event)->id, "intent", intent),
                   "%s is %s because of %s: nothing to heal", entity->path, entity->state, intent);
        return;
    }
    json_t *values = NULL;
    const Rule *rule = first_match(s, &scope, fired, &values);
    if (rule != NULL)
        incident_open(s, entity, rule, event, values);
}
