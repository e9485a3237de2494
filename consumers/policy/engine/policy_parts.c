/* Making and freeing the parts of a policy, with the defaults of each. */
#include "consumers/policy/engine/policy.h"

#include <string.h>

#define NEW(Type, ...) g_memdup2(&(Type){ __VA_ARGS__ }, sizeof(Type))
#define LIST_NEW(free_one) g_ptr_array_new_with_free_func((GDestroyNotify) free_one)

static GPtrArray *texts_new(void)
{
    return LIST_NEW(g_free);
}

static int64_t timeout_us_of(const char *action)
{
    if (strncmp(action, "service.", 8) == 0)
        return 30 * US_PER_S;
    return strcmp(action, ACTION_APPROVE) == 0 || strcmp(action, "vm.block-copy") == 0 ? US_PER_HOUR : 2 * US_PER_MINUTE;
}

Step *step_new(const char *action)
{
    Step *step = g_new0(Step, 1);

    step->action = g_strdup(action);
    step->attempts = strcmp(action, ACTION_NOTIFY) == 0 || strcmp(action, ACTION_APPROVE) == 0 ? 1 : 3;
    step->within_us = 10 * US_PER_MINUTE;
    step->backoff_first_us = US_PER_S;
    step->backoff_factor = 2;
    step->backoff_max_us = 30 * US_PER_S;
    step->healed_state = g_strdup(strncmp(action, "host.", 5) == 0 ? "off" : "running");
    step->healed_for_us = 2 * US_PER_S;
    step->timeout_us = timeout_us_of(action);
    return step;
}

Step *step_copy(const Step *step, const char *action)
{
    Step *copy = g_memdup2(step, sizeof *step);

    copy->action = g_strdup(action);
    copy->to = g_strdup(step->to);
    copy->healed_state = g_strdup(step->healed_state);
    copy->when = NULL; /* belongs to one step only */
    return copy;
}

void step_free(Step *step)
{
    if (step == NULL)
        return;
    g_free(step->action);
    g_free(step->to);
    g_free(step->healed_state);
    expression_free(step->when);
    g_free(step);
}

Rule *rule_new(const char *name, const char *on)
{
    return NEW(Rule, .name = g_strdup(name), .on = g_strdup(on), .priority = 50, .ladder = LIST_NEW(step_free), .others = LIST_NEW(pattern_free),
               .group_by = LIST_NEW(expression_free));
}

void rule_free(Rule *rule)
{
    if (rule == NULL)
        return;
    g_free(rule->name);
    g_free(rule->on);
    expression_free(rule->where);
    g_ptr_array_unref(rule->ladder);
    g_ptr_array_unref(rule->others);
    g_ptr_array_unref(rule->group_by);
    g_free(rule);
}

Application *application_new(const char *name)
{
    return NEW(Application, .name = g_strdup(name), .priority = 50, .vms = LIST_NEW(app_vm_free), .groups = texts_new());
}

void application_free(Application *application)
{
    if (application == NULL)
        return;
    g_free(application->name);
    g_ptr_array_unref(application->vms);
    g_ptr_array_unref(application->groups);
    g_free(application);
}

AppVm *app_vm_new(const char *name)
{
    return NEW(AppVm, .name = g_strdup(name), .services = LIST_NEW(app_service_free), .after = texts_new(), .needs = texts_new(), .storage = texts_new(),
               .priority = -1 /* its application's */, .boot_grace_us = 2 * US_PER_MINUTE, .on_io_error = g_strdup("auto_resume"));
}

void app_vm_free(AppVm *vm)
{
    if (vm == NULL)
        return;
    g_free(vm->name);
    g_free(vm->match_name);
    g_free(vm->match_id);
    g_ptr_array_unref(vm->services);
    g_ptr_array_unref(vm->after);
    g_ptr_array_unref(vm->needs);
    g_ptr_array_unref(vm->storage);
    g_free(vm->on_io_error);
    g_free(vm);
}

AppService *app_service_new(const char *name)
{
    return NEW(AppService, .name = g_strdup(name), .standard = g_strdup("systemd"), .after = texts_new(), .needs = texts_new());
}

void app_service_free(AppService *service)
{
    if (service == NULL)
        return;
    g_free(service->name);
    g_free(service->standard);
    g_free(service->provider);
    g_free(service->agent);
    g_ptr_array_unref(service->after);
    g_ptr_array_unref(service->needs);
    json_decref(service->parameters);
    g_free(service);
}

Pattern *pattern_new(const char *on)
{
    return NEW(Pattern, .on = g_strdup(on));
}

void pattern_free(Pattern *pattern)
{
    if (pattern == NULL)
        return;
    g_free(pattern->on);
    expression_free(pattern->where);
    g_free(pattern);
}

Quiet *quiet_new(QuietKind kind, const char *name)
{
    return NEW(Quiet, .kind = kind, .name = g_strdup(name), .actions = kind != QUIET_SILENCE, .notices = kind != QUIET_HOLD, .from_us = INT64_MIN,
               .until_us = INT64_MAX);
}

static void matcher_clear(Matcher *match)
{
    g_free(match->entity);
    g_free(match->kind);
    g_free(match->app);
    g_free(match->group);
    g_free(match->vm);
    g_free(match->host);
    g_free(match->rack);
    g_free(match->rule);
}

void quiet_free(Quiet *quiet)
{
    if (quiet == NULL)
        return;
    matcher_clear(&quiet->match);
    g_free(quiet->name);
    g_free(quiet->author);
    g_free(quiet->comment);
    g_free(quiet);
}

BudgetRule *budget_rule_new(const char *name, BudgetScope scope)
{
    return NEW(BudgetRule, .name = g_strdup(name), .scope = scope, .actions = texts_new(), .per_us = 10 * US_PER_MINUTE);
}

void budget_rule_free(BudgetRule *budget)
{
    if (budget == NULL)
        return;
    g_free(budget->name);
    g_ptr_array_unref(budget->actions);
    g_free(budget);
}

HostInfo *host_info_new(const char *name)
{
    return NEW(HostInfo, .name = g_strdup(name), .storage = texts_new(), .labels = texts_new());
}

void host_info_free(HostInfo *host)
{
    if (host == NULL)
        return;
    g_free(host->name);
    g_free(host->id);
    g_free(host->rack);
    g_free(host->power);
    g_free(host->switch_name);
    g_ptr_array_unref(host->storage);
    g_ptr_array_unref(host->labels);
    g_free(host);
}

PlaceRule *place_rule_new(const char *name, PlaceKind kind)
{
    return NEW(PlaceRule, .name = g_strdup(name), .kind = kind, .vms = texts_new(), .by = g_strdup("host"), .hard = true);
}

void place_rule_free(PlaceRule *rule)
{
    if (rule == NULL)
        return;
    g_free(rule->name);
    g_ptr_array_unref(rule->vms);
    g_free(rule->by);
    g_free(rule->label);
    g_free(rule);
}

ControlRule *control_rule_new(const char *name)
{
    return NEW(ControlRule, .name = g_strdup(name), .every_us = 10 * US_PER_S, .samples = 1, .max = 1e18);
}

void control_rule_free(ControlRule *control)
{
    if (control == NULL)
        return;
    g_free(control->name);
    g_free(control->kind);
    expression_free(control->where);
    expression_free(control->input);
    expression_free(control->target);
    g_free(control->action);
    g_free(control->argument);
    g_free(control);
}

Target *target_new(const char *name, TargetKind kind, const char *command)
{
    return NEW(Target, .name = g_strdup(name), .kind = kind, .command = g_strdup(command));
}

void target_free(Target *target)
{
    if (target == NULL)
        return;
    g_free(target->name);
    g_free(target->command);
    g_free(target);
}

#define X(id, text) text,
static const char *const scope_names[] = { BUDGET_SCOPES(X) };
#undef X

const char *budget_scope_name(BudgetScope scope)
{
    return scope_names[scope];
}

/* Few at once, so that a fault of many things is first seen as what it is; and none while much of a rack or the site is ill. */
void policy_add_default_budgets(Policy *policy)
{
    static const struct {
        const char *name;
        BudgetScope scope;
        unsigned at_once, max, unhealthy;
        const char *actions[4];
    } defaults[] = {
        { "site-fence", SCOPE_SITE, 1, 3, 30, { "host.fence" } },
        { "rack-fence", SCOPE_RACK, 1, 2, 50, { "host.fence" } },
        { "site-vms", SCOPE_SITE, 10, 60, 0, { "vm.*" } },
        { "host-vms", SCOPE_HOST, 4, 20, 0, { "vm.*" } },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(defaults); i++) {
        BudgetRule *budget = budget_rule_new(defaults[i].name, defaults[i].scope);

        budget->at_once = defaults[i].at_once;
        budget->max = defaults[i].max;
        budget->unhealthy_max_percent = defaults[i].unhealthy;
        for (const char *const *action = defaults[i].actions; *action != NULL; action++)
            g_ptr_array_add(budget->actions, g_strdup(*action));
        g_ptr_array_add(policy->budgets, budget);
    }
}

const char *const policy_actions[] = { "service.restart", "service.start", "service.stop", "vm.start", "vm.stop", "vm.shutdown", "vm.reboot",
                                       "vm.reset", "vm.suspend", "vm.resume", "vm.migrate", "vm.restart", "vm.relocate", "vm.extend", "vm.block-copy", "app.start", "app.stop",
                                       "app.restart", "host.fence", "host.evacuate", NULL };

const char *action_kind(const char *action)
{
    static const char *const kinds[] = { "service", "vm", "app", "host" };

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (g_str_has_prefix(action, kinds[i]) && action[strlen(kinds[i])] == '.')
            return kinds[i];
    return NULL;
}
