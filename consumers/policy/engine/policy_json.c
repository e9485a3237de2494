/* The policy in force, with every default written out: what `mend policy show` prints. */
#include "consumers/policy/engine/policy.h"

#include <string.h>

static json_t *step_to_json(const Step *step)
{
    json_t *json = json_pack("{s:s}", "do", step->action);

    if (strcmp(step->action, ACTION_NOTIFY) == 0) {
        json_object_set_new(json, "to", json_string(step->to));
        return json;
    }
    json_object_set_new(json, "attempts", json_integer(step->attempts));
    json_object_set_new(json, "within_us", json_integer(step->within_us));
    json_object_set_new(json, "backoff", json_pack("{s:I, s:f, s:I}", "first_us", (json_int_t) step->backoff_first_us, "factor",
                                                   step->backoff_factor, "max_us", (json_int_t) step->backoff_max_us));
    json_object_set_new(json, "healed_when",
                        json_pack("{s:s, s:I}", "state", step->healed_state, "for_us", (json_int_t) step->healed_for_us));
    json_object_set_new(json, "timeout_us", json_integer(step->timeout_us));
    return json;
}

static json_t *rule_to_json(const Rule *rule)
{
    json_t *ladder = json_array();
    json_t *json = json_pack("{s:s, s:s, s:b}", "name", rule->name, "on", rule->on, "observe_only", rule->observe_only);

    if (rule->where != NULL)
        json_object_set_new(json, "where", json_string(condition_text(rule->where)));
    for (guint i = 0; i < rule->ladder->len; i++)
        json_array_append_new(ladder, step_to_json(rule->ladder->pdata[i]));
    json_object_set_new(json, "ladder", ladder);
    return json;
}

static json_t *application_to_json(const Application *application)
{
    json_t *vms = json_array();

    for (guint i = 0; i < application->vms->len; i++) {
        const AppVm *vm = application->vms->pdata[i];
        json_t *match = json_object(), *services = json_array();

        if (vm->match_name != NULL)
            json_object_set_new(match, "name", json_string(vm->match_name));
        if (vm->match_id != NULL)
            json_object_set_new(match, "id", json_string(vm->match_id));
        for (guint k = 0; k < vm->services->len; k++)
            json_array_append_new(services, json_string(((const AppService *) vm->services->pdata[k])->name));
        json_array_append_new(vms, json_pack("{s:s, s:o, s:o}", "name", vm->name, "match", match, "services", services));
    }
    return json_pack("{s:s, s:o}", "name", application->name, "vms", vms);
}

json_t *policy_to_json(const Policy *policy)
{
    json_t *applications = json_array(), *rules = json_array(), *targets = json_object();

    for (guint i = 0; i < policy->applications->len; i++)
        json_array_append_new(applications, application_to_json(policy->applications->pdata[i]));
    for (guint i = 0; i < policy->rules->len; i++)
        json_array_append_new(rules, rule_to_json(policy->rules->pdata[i]));
    for (guint i = 0; i < policy->targets->len; i++) {
        const Target *target = policy->targets->pdata[i];

        json_object_set_new(targets, target->name,
                            target->kind == TARGET_LOG ? json_string("log") : json_pack("{s:s}", "exec", target->command));
    }
    return json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:I, s:I}", "mend", 1, "name", policy->name, "version", policy->version, "applications",
                     applications, "rules", rules, "notify", targets, "startup_guard_us", (json_int_t) policy->startup_guard_us,
                     "hold_max_us", (json_int_t) policy->hold_max_us);
}
