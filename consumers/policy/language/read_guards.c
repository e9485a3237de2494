/* Reasons not to act: maintenance, silences and holds; budgets; flapping; quarantine; evidence. */
#include "consumers/policy/language/loader.h"

#include <string.h>

static const char *const quiet_names[QUIET_N] = { [QUIET_MAINTENANCE] = "maintenance", [QUIET_SILENCE] = "silence", [QUIET_HOLD] = "hold" };
static const Section *const quiet_sections[QUIET_N] = { [QUIET_MAINTENANCE] = &section_maintenance, [QUIET_SILENCE] = &section_silence,
                                                        [QUIET_HOLD] = &section_hold };

static bool quiet_known(const Policy *policy, QuietKind kind, const char *name)
{
    for (guint i = 0; i < policy->quiets->len; i++) {
        const Quiet *quiet = policy->quiets->pdata[i];

        if (quiet->kind == kind && strcmp(quiet->name, name) == 0)
            return true;
    }
    return false;
}

/* For how long it may last; an end that is past is no mistake: the file was right once. */
static void check_time(Loader *l, const YamlNode *node, const Quiet *quiet)
{
    const char *what = quiet_names[quiet->kind];
    const YamlNode *until = yaml_get(node, "until"), *schedule = yaml_get(node, "schedule");

    if (until == NULL && schedule == NULL && quiet->kind == QUIET_HOLD)
        warn(l, node, "hold %s has no end: nothing it matches is acted on until the file changes", quiet->name);
    else if (until == NULL && schedule == NULL)
        complain(l, node, "%s %s has no \"until\": what nobody ends is forgotten", what, quiet->name);
    else if (until == NULL && quiet->kind == QUIET_SILENCE)
        complain(l, node, "silence %s has no \"until\": what nobody ends is forgotten", quiet->name);
    if (quiet->from_us >= quiet->until_us)
        complain(l, until, "until: %s %s ends before it begins", what, quiet->name);
    else if (until != NULL && l->now_us > 0 && quiet->until_us <= l->now_us)
        warn(l, until, "until: %s %s has expired", what, quiet->name);
}

static void read_quiet(Loader *l, const YamlNode *node, QuietKind kind)
{
    const YamlNode *match = yaml_get(node, "match"), *schedule = yaml_get(node, "schedule");
    Quiet *quiet = quiet_new(kind, NULL);
    const char *name;

    if (!read_fields(l, node, quiet_sections[kind], quiet) || quiet->name == NULL) {
        quiet_free(quiet);
        return;
    }
    if (quiet_known(l->policy, kind, quiet->name))
        complain(l, yaml_get(node, "name"), "a %s named \"%s\" stands above already", quiet_names[kind], quiet->name);
    if (match != NULL && match->kind == YAML_MAP && yaml_size(match) == 0)
        complain(l, match, "match: {} matches everything; say so with {entity: \"*\"}");
    if (schedule != NULL && (name = read_text(l, schedule, "schedule")) != NULL)
        read_schedule(l, schedule, name, &quiet->schedule);
    check_time(l, node, quiet);
    loader_place(l, quiet, node);
    g_ptr_array_add(l->policy->quiets, quiet);
}

static void read_maintenance(Loader *l, const YamlNode *node)
{
    read_quiet(l, node, QUIET_MAINTENANCE);
}

static void read_silence(Loader *l, const YamlNode *node)
{
    read_quiet(l, node, QUIET_SILENCE);
}

static void read_hold(Loader *l, const YamlNode *node)
{
    read_quiet(l, node, QUIET_HOLD);
}

/* --- budgets --- */

static void check_budget_action(Loader *l, const YamlNode *node, const char *action)
{
    static const char *const kinds[] = { "service.*", "vm.*", "app.*", "host.*", NULL };
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (const char *const *a = policy_actions; *a != NULL; a++)
        g_ptr_array_add(known, (char *) *a);
    for (const char *const *k = kinds; *k != NULL; k++)
        g_ptr_array_add(known, (char *) *k);
    g_ptr_array_add(known, NULL);
    if (!g_strv_contains((const char *const *) known->pdata, action))
        complain_word(l, node, "action", action, (const char *const *) known->pdata);
}

static void read_budget(Loader *l, const YamlNode *node)
{
    const YamlNode *actions = yaml_get(node, "actions");
    BudgetRule *budget = budget_rule_new(NULL, SCOPE_SITE);

    if (!read_fields(l, node, &section_budget, budget)) {
        budget_rule_free(budget);
        return;
    }
    if (actions != NULL && actions->kind == YAML_LIST && yaml_size(actions) == 0)
        complain(l, actions, "actions: [] limits nothing; [\"vm.*\"] is all of a kind");
    for (guint i = 0; i < budget->actions->len; i++)
        check_budget_action(l, yaml_at(actions, i), budget->actions->pdata[i]);
    if (yaml_get(node, "at_once") == NULL && yaml_get(node, "max") == NULL && yaml_get(node, "stop_when_unhealthy") == NULL)
        complain(l, node, "a budget without at_once, max and stop_when_unhealthy limits nothing");
    if (yaml_get(node, "per") != NULL && yaml_get(node, "max") == NULL)
        complain(l, yaml_get(node, "per"), "per: the time of max, and no max is here");
    if (budget->max > 0 && budget->at_once > budget->max)
        complain(l, yaml_get(node, "at_once"), "at_once: %u can never be: max is %u", budget->at_once, budget->max);
    if (budget->name == NULL)
        budget->name = g_strdup_printf("%s-%u", budget_scope_name(budget->scope), l->policy->budgets->len + 1);
    for (guint i = 0; i < l->policy->budgets->len; i++)
        if (strcmp(((BudgetRule *) l->policy->budgets->pdata[i])->name, budget->name) == 0)
            complain(l, yaml_get(node, "name"), "a budget named \"%s\" stands above already", budget->name);
    loader_place(l, budget, node);
    g_ptr_array_add(l->policy->budgets, budget);
}

static void read_budgets(Loader *l, const YamlNode *node)
{
    if (node == NULL) {
        policy_add_default_budgets(l->policy);
        return;
    }
    if (node_is_word(node, "none")) {
        warn(l, node, "budgets: none: a fault of many things at once is acted on without a limit");
        return;
    }
    if (node->kind == YAML_LIST && yaml_size(node) == 0)
        complain(l, node, "budgets: [] takes every limit away; if that is meant, write budgets: none");
    else if (node->kind == YAML_SCALAR)
        complain(l, node, "budgets: \"%s\": a list of budgets is wanted, or none", node->text);
    else
        read_each(l, node, "budgets", read_budget);
}

/* --- sections that can be off --- */

static bool read_off(Loader *l, const YamlNode *node, const char *key, bool *ret_on)
{
    *ret_on = !node_is_word(node, "off") && !node_is_word(node, "false");
    if (*ret_on && node->kind == YAML_SCALAR)
        return complain(l, node, "%s: \"%s\": off is wanted, or {…}", key, node->text);
    return *ret_on;
}

static void read_flapping(Loader *l, const YamlNode *node)
{
    Flapping *flapping = &l->policy->flapping;

    if (!read_off(l, node, "flapping", &flapping->on) || !read_fields(l, node, &section_flapping, l->policy))
        return;
    if (flapping->low_percent >= flapping->high_percent)
        complain(l, node, "flapping: low (%g%%) has to be below high (%g%%), or it would begin and end at once", flapping->low_percent,
                 flapping->high_percent);
}

void read_guards(Loader *l, const YamlNode *root)
{
    const YamlNode *flapping = yaml_get(root, "flapping"), *quarantine = yaml_get(root, "quarantine"), *evidence = yaml_get(root, "evidence");

    read_each(l, yaml_get(root, "maintenance"), "maintenance", read_maintenance);
    read_each(l, yaml_get(root, "silences"), "silences", read_silence);
    read_each(l, yaml_get(root, "holds"), "holds", read_hold);
    read_budgets(l, yaml_get(root, "budgets"));
    if (flapping != NULL)
        read_flapping(l, flapping);
    if (quarantine != NULL && read_off(l, quarantine, "quarantine", &l->policy->quarantine.on))
        read_fields(l, quarantine, &section_quarantine, l->policy);
    if (evidence != NULL)
        read_fields(l, evidence, &section_evidence, l->policy);
}
