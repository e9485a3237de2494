#include "consumers/policy/engine/policy.h"

#include "consumers/policy/engine/id.h"

#include <string.h>

Policy *policy_new(const char *name, const char *text)
{
    Policy *policy = g_new0(Policy, 1);
    char version[UUID_TEXT_SIZE];

    id_derive(version, "policy", text, NULL);
    policy->refs = 1;
    policy->name = g_strdup(name);
    policy->text = g_strdup(text);
    policy->version = g_strdup(version);
    policy->applications = g_ptr_array_new_with_free_func((GDestroyNotify) application_free);
    policy->rules = g_ptr_array_new_with_free_func((GDestroyNotify) rule_free);
    policy->targets = g_ptr_array_new_with_free_func((GDestroyNotify) target_free);
    policy->startup_guard_us = 2 * US_PER_S;
    policy->hold_max_us = 10 * US_PER_MINUTE;
    return policy;
}

Policy *policy_default(void)
{
    Policy *policy = policy_new("default", "");
    Rule *rule = rule_new("heal-services", "service.failed");
    Step *last = step_new(ACTION_NOTIFY);

    rule->where = condition_parse("event.intent == \"none\"", NULL, NULL);
    g_assert(rule->where != NULL);
    g_ptr_array_add(rule->ladder, step_new("service.restart"));
    last->to = g_strdup("oncall");
    g_ptr_array_add(rule->ladder, last);
    g_ptr_array_add(policy->rules, rule);
    g_ptr_array_add(policy->targets, target_new("oncall", TARGET_LOG, NULL));
    return policy;
}

Policy *policy_ref(Policy *policy)
{
    g_atomic_int_inc(&policy->refs);
    return policy;
}

void policy_unref(Policy *policy)
{
    if (policy == NULL || !g_atomic_int_dec_and_test(&policy->refs))
        return;
    g_free(policy->name);
    g_free(policy->text);
    g_free(policy->version);
    g_ptr_array_unref(policy->applications);
    g_ptr_array_unref(policy->rules);
    g_ptr_array_unref(policy->targets);
    g_free(policy);
}

Step *step_new(const char *action)
{
    Step *step = g_new0(Step, 1);

    step->action = g_strdup(action);
    step->attempts = strcmp(action, ACTION_NOTIFY) == 0 ? 1 : 3;
    step->within_us = 10 * US_PER_MINUTE;
    step->backoff_first_us = US_PER_S;
    step->backoff_factor = 2;
    step->backoff_max_us = 30 * US_PER_S;
    step->healed_state = g_strdup("running");
    step->healed_for_us = 2 * US_PER_S;
    step->timeout_us = 30 * US_PER_S;
    return step;
}

Step *step_copy(const Step *step, const char *action)
{
    Step *copy = g_new0(Step, 1);

    *copy = *step;
    copy->action = g_strdup(action);
    copy->to = g_strdup(step->to);
    copy->healed_state = g_strdup(step->healed_state);
    return copy;
}

void step_free(Step *step)
{
    if (step == NULL)
        return;
    g_free(step->action);
    g_free(step->to);
    g_free(step->healed_state);
    g_free(step);
}

Rule *rule_new(const char *name, const char *on)
{
    Rule *rule = g_new0(Rule, 1);

    rule->name = g_strdup(name);
    rule->on = g_strdup(on);
    rule->ladder = g_ptr_array_new_with_free_func((GDestroyNotify) step_free);
    return rule;
}

void rule_free(Rule *rule)
{
    if (rule == NULL)
        return;
    g_free(rule->name);
    g_free(rule->on);
    condition_free(rule->where);
    g_ptr_array_unref(rule->ladder);
    g_free(rule);
}

Application *application_new(const char *name)
{
    Application *application = g_new0(Application, 1);

    application->name = g_strdup(name);
    application->vms = g_ptr_array_new_with_free_func((GDestroyNotify) app_vm_free);
    return application;
}

void application_free(Application *application)
{
    if (application == NULL)
        return;
    g_free(application->name);
    g_ptr_array_unref(application->vms);
    g_free(application);
}

AppVm *app_vm_new(const char *name)
{
    AppVm *vm = g_new0(AppVm, 1);

    vm->name = g_strdup(name);
    vm->services = g_ptr_array_new_with_free_func(g_free);
    return vm;
}

void app_vm_free(AppVm *vm)
{
    if (vm == NULL)
        return;
    g_free(vm->name);
    g_free(vm->match_name);
    g_free(vm->match_id);
    g_ptr_array_unref(vm->services);
    g_free(vm);
}

Target *target_new(const char *name, TargetKind kind, const char *command)
{
    Target *target = g_new0(Target, 1);

    *target = (Target){ .name = g_strdup(name), .kind = kind, .command = g_strdup(command) };
    return target;
}

void target_free(Target *target)
{
    if (target == NULL)
        return;
    g_free(target->name);
    g_free(target->command);
    g_free(target);
}

const Rule *policy_rule(const Policy *policy, const char *name)
{
    for (guint i = 0; i < policy->rules->len; i++) {
        const Rule *rule = policy->rules->pdata[i];

        if (strcmp(rule->name, name) == 0)
            return rule;
    }
    return NULL;
}

const Target *policy_target(const Policy *policy, const char *name)
{
    for (guint i = 0; i < policy->targets->len; i++) {
        const Target *target = policy->targets->pdata[i];

        if (strcmp(target->name, name) == 0)
            return target;
    }
    return NULL;
}

bool rule_listens(const Rule *rule, const char *kind)
{
    size_t length = strlen(rule->on);

    if (length >= 2 && strcmp(rule->on + length - 2, ".*") == 0)
        return strncmp(rule->on, kind, length - 1) == 0;
    return strcmp(rule->on, kind) == 0;
}

static bool vm_has(const AppVm *vm, const char *vm_id, const char *hostname, const char *service)
{
    if (vm->match_id != NULL && strcmp(vm->match_id, vm_id) != 0)
        return false;
    if (vm->match_name != NULL && g_strcmp0(vm->match_name, hostname) != 0)
        return false;
    if (service == NULL || vm->services->len == 0)
        return true;
    for (guint i = 0; i < vm->services->len; i++)
        if (strcmp(vm->services->pdata[i], service) == 0)
            return true;
    return false;
}

const char *policy_application(const Policy *policy, const char *vm_id, const char *hostname, const char *service, const char **ret_vm)
{
    for (guint i = 0; i < policy->applications->len; i++) {
        const Application *application = policy->applications->pdata[i];

        for (guint k = 0; k < application->vms->len; k++) {
            const AppVm *vm = application->vms->pdata[k];

            if (vm_has(vm, vm_id, hostname, service)) {
                *ret_vm = vm->name;
                return application->name;
            }
        }
    }
    return NULL;
}

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
            json_array_append_new(services, json_string(vm->services->pdata[k]));
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

static const struct {
    const char *kind, *state;
} healthy_states[] = { { "service.", "running" }, { "agent.", "up" }, { "observer.", "well" } };

const char *healthy_state(const char *kind)
{
    for (size_t i = 0; i < G_N_ELEMENTS(healthy_states); i++)
        if (strncmp(kind, healthy_states[i].kind, strlen(healthy_states[i].kind)) == 0)
            return healthy_states[i].state;
    return NULL;
}
