#include "consumers/policy/engine/policy.h"

#include "consumers/policy/engine/mom_section.h"

#include "consumers/policy/engine/id.h"

#include <string.h>

static Rule *asked_rule(const char *name, const char *on, const char *action)
{
    Rule *rule = rule_new(name, on);
    Step *last = step_new(ACTION_NOTIFY);

    rule->asked = true;
    rule->priority = 100; /* people wait for it */
    last->to = g_strdup("log");
    g_ptr_array_add(rule->ladder, step_new(action));
    g_ptr_array_add(rule->ladder, last);
    return rule;
}

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
    policy->asked = g_ptr_array_new_with_free_func((GDestroyNotify) rule_free);
    g_ptr_array_add(policy->asked, asked_rule(ASKED_START, "app.asked-to-start", "app.start"));
    g_ptr_array_add(policy->asked, asked_rule(ASKED_STOP, "app.asked-to-stop", "app.stop"));
    policy->quiets = g_ptr_array_new_with_free_func((GDestroyNotify) quiet_free);
    policy->budgets = g_ptr_array_new_with_free_func((GDestroyNotify) budget_rule_free);
    policy->hosts = g_ptr_array_new_with_free_func((GDestroyNotify) host_info_free);
    policy->controls = g_ptr_array_new_with_free_func((GDestroyNotify) control_rule_free);
    policy->placement = (Placement){ .overcommit_memory = 1, .overcommit_vcpus = 4,
                                     .rules = g_ptr_array_new_with_free_func((GDestroyNotify) place_rule_free) };
    policy->flapping = (Flapping){ .on = true, .high_percent = 30, .low_percent = 25 };
    policy->quarantine = (Quarantine){ .on = true, .failures = 4, .within_us = US_PER_HOUR, .for_us = 2 * US_PER_HOUR, .at_most_percent = 25 };
    policy->evidence = (EvidencePolicy){ .need = 2, .observer_percent = 30, .observer_within_us = 30 * US_PER_S, .stale_us = 2 * US_PER_MINUTE };
    policy->inhibit = true;
    policy->job_max_us = 30 * US_PER_MINUTE;
    policy->startup_guard_us = 2 * US_PER_S;
    policy->hold_max_us = 10 * US_PER_MINUTE;
    return policy;
}

#define UNKNOWN_TOLD_US (2 * US_PER_MINUTE)

/* What holds without a file. Steps as step_new() makes them, but for the attempts. */
static const struct {
    const char *name, *on, *where;
    struct {
        const char *action;
        unsigned attempts;
    } steps[3];
    bool told_after; /* UNKNOWN_TOLD_US, unless it is in another state by then */
} default_rules[] = {
    { "heal-services", "service.failed", "event.intent == \"none\"", { { "service.restart", 3 } } },
    { "restart-vms", "vm.*", "entity.ha && event.intent == \"none\" && event.state in [\"crashed\", \"stopped\", \"lost\"]",
      { { "vm.start", 3 }, { "vm.relocate", 1 } } },
    { "reset-vms", "vm.*", "entity.ha && event.state in [\"hung\", \"panicked\"]", { { "vm.reset", 2 }, { "vm.relocate", 1 } } },
    { "extend-full-disks", "vm.paused", "event.reason == \"enospc\" && entity.on_io_error in [\"auto_resume\", \"kill\"]",
      { { "vm.extend", 2 }, { "vm.resume", 3 } } },
    { "resume-vms", "vm.paused", "event.reason in [\"io-error\", \"eperm\"] && entity.on_io_error == \"auto_resume\"", { { "vm.resume", 3 } } },
    { "kill-paused-vms", "vm.paused", "event.reason in [\"io-error\", \"eperm\"] && entity.on_io_error == \"kill\"",
      { { "vm.resume", 3 }, { "vm.restart", 2 } } },
    { "tell-paused-vms", "vm.paused", "(event.reason in [\"io-error\", \"enospc\", \"eperm\"] && entity.on_io_error == \"leave_paused\") || "
      "(entity.ha && event.intent == \"none\" && event.reason == \"unknown\")", { { NULL } } },
    { "tell-stopped-vms", "vm.stopped", "entity.ha && event.intent == \"unknown\"", { { NULL } }, .told_after = true },
    { "tell-unknown-vms", "vm.unknown", "entity.ha", { { NULL } }, .told_after = true },
    { "tell-storage", "storage.*", "event.state in [\"failed\", \"full\"]", { { NULL } } },
    { "leave-lost-paths", "vm.path-lost", "entity.ha", { { "vm.migrate", 2 } } },
    { "fence-hosts", "host.dead", NULL, { { "host.fence", 2 } } },
    { "tell-isolated", "host.isolated", NULL, { { NULL } } },
    { "tell-partitioned", "host.partitioned", NULL, { { NULL } } },
    { "tell-unknown", "host.unknown", NULL, { { NULL } }, .told_after = true },
    { "tell-unfenceable", "host.unfenceable", "event.reason != \"degraded\"", { { NULL } } }, /* degraded: a way is left, the log has it */
};

static void tell_after(Rule *rule)
{
    const char *dot = strchr(rule->on, '.');
    g_autofree char *kind = g_strdup_printf("%.*s.*", (int) (dot - rule->on), rule->on), *where = g_strdup_printf("event.state != \"%s\"", dot + 1);
    Pattern *pattern = pattern_new(kind);

    pattern->where = expression_parse(where, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, NULL);
    rule->temporal = TEMPORAL_ABSENT;
    rule->window_us = UNKNOWN_TOLD_US;
    g_ptr_array_add(rule->others, pattern);
}

Policy *policy_default(void)
{
    Policy *policy = policy_new("default", "");

    for (size_t i = 0; i < G_N_ELEMENTS(default_rules); i++) {
        Rule *rule = rule_new(default_rules[i].name, default_rules[i].on);
        Step *last = step_new(ACTION_NOTIFY);

        rule->where = default_rules[i].where == NULL ? NULL : expression_parse(default_rules[i].where, EXPRESSION_BOOL, expression_env(EXPRESSION_RULE), NULL, NULL);
        for (size_t k = 0; k < G_N_ELEMENTS(default_rules[i].steps) && default_rules[i].steps[k].action != NULL; k++) {
            Step *step = step_new(default_rules[i].steps[k].action);

            step->attempts = default_rules[i].steps[k].attempts;
            g_ptr_array_add(rule->ladder, step);
        }
        if (default_rules[i].told_after)
            tell_after(rule);
        last->to = g_strdup("oncall");
        g_ptr_array_add(rule->ladder, last);
        g_ptr_array_add(policy->rules, rule);
    }
    policy_add_default_budgets(policy);
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
    g_ptr_array_unref(policy->asked);
    g_ptr_array_unref(policy->quiets);
    g_ptr_array_unref(policy->budgets);
    g_ptr_array_unref(policy->hosts);
    g_ptr_array_unref(policy->controls);
    g_ptr_array_unref(policy->placement.rules);
    g_clear_pointer(&policy->calendars, g_hash_table_unref);
    mom_section_free(policy->mom);
    g_free(policy);
}

static const Rule *rule_named(const GPtrArray *rules, const char *name)
{
    for (guint i = 0; i < rules->len; i++) {
        const Rule *rule = rules->pdata[i];

        if (strcmp(rule->name, name) == 0)
            return rule;
    }
    return NULL;
}

const Rule *policy_rule(const Policy *policy, const char *name)
{
    const Rule *rule = rule_named(policy->rules, name);

    return rule != NULL ? rule : rule_named(policy->asked, name);
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

static const char *const happened[] = { "vm.evidence", "vm.job", "vm.sample", "vm.rebooted", "vm.reverted", "vm.path-lost", "vm.storage-degraded", "vm.eject",
                                        "host.evidence", "host.sample", "host.fenceable", "host.unfenceable",
                                        "agent.restarted", "agent.cloned", "agent.moved", "agent.quarantined", NULL };

bool event_only_happened(const char *kind)
{
    return g_strv_contains(happened, kind);
}

bool kind_matches(const char *on, const char *kind)
{
    size_t length = strlen(on);

    if (length >= 2 && strcmp(on + length - 2, ".*") == 0) /* states: what only happened has to be named */
        return strncmp(on, kind, length - 1) == 0 && !event_only_happened(kind);
    return strcmp(on, kind) == 0;
}

bool rule_listens(const Rule *rule, const char *kind)
{
    return kind_matches(rule->on, kind);
}

static bool vm_is(const AppVm *vm, const char *vm_id, const char *hostname)
{
    return (vm->match_id == NULL || g_strcmp0(vm->match_id, vm_id) == 0) && (vm->match_name == NULL || g_strcmp0(vm->match_name, hostname) == 0);
}

const AppService *app_vm_service(const AppVm *vm, const char *name)
{
    for (guint i = 0; i < vm->services->len; i++) {
        const AppService *service = vm->services->pdata[i];

        if (strcmp(service->name, name) == 0)
            return service;
    }
    return NULL;
}

const AppVm *policy_vm(const Policy *policy, const char *vm_id, const char *hostname, const Application **ret_app)
{
    for (guint i = 0; i < policy->applications->len; i++) {
        const Application *application = policy->applications->pdata[i];

        for (guint k = 0; k < application->vms->len; k++) {
            const AppVm *vm = application->vms->pdata[k];

            if (vm_is(vm, vm_id, hostname)) {
                if (ret_app != NULL)
                    *ret_app = application;
                return vm;
            }
        }
    }
    return NULL;
}

const char *policy_application(const Policy *policy, const char *vm_id, const char *hostname, const char *service, const char **ret_vm)
{
    for (guint i = 0; i < policy->applications->len; i++) {
        const Application *application = policy->applications->pdata[i];

        for (guint k = 0; k < application->vms->len; k++) {
            const AppVm *vm = application->vms->pdata[k];

            if (vm_is(vm, vm_id, hostname) && (service == NULL || vm->services->len == 0 || app_vm_service(vm, service) != NULL)) {
                *ret_vm = vm->name;
                return application->name;
            }
        }
    }
    return NULL;
}

const HostInfo *policy_host(const Policy *policy, const char *id, const char *name)
{
    for (guint i = 0; i < policy->hosts->len; i++) {
        const HostInfo *host = policy->hosts->pdata[i];

        if ((host->id != NULL && g_strcmp0(host->id, id) == 0) || (host->id == NULL && g_strcmp0(host->name, name) == 0))
            return host;
    }
    return NULL;
}

const Schedule *policy_calendar(const Policy *policy, const char *name)
{
    return policy->calendars == NULL ? NULL : g_hash_table_lookup(policy->calendars, name);
}

static const struct {
    const char *kind, *state;
} healthy_states[] = { { "service.", "running" }, { "vm.", "running" },    { "host.", "alive" },
                     { "agent.", "up" },        { "observer.", "well" }, { "storage.", "well" } };

const char *healthy_state(const char *kind)
{
    for (size_t i = 0; i < G_N_ELEMENTS(healthy_states); i++)
        if (strncmp(kind, healthy_states[i].kind, strlen(healthy_states[i].kind)) == 0)
            return healthy_states[i].state;
    return NULL;
}
