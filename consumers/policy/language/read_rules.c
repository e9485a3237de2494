/* Rules, their patterns and their ladders. What a ladder lacks for its end is added here: the last rung is always a person. */
#include "consumers/policy/language/loader.h"

#include <string.h>

#define STEPS_MAX 20

static void complain_target(Loader *l, const YamlNode *node, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (guint i = 0; i < l->policy->targets->len; i++)
        g_ptr_array_add(names, ((Target *) l->policy->targets->pdata[i])->name);
    g_ptr_array_add(names, NULL);
    complain_word(l, node, "notify target", name, (const char *const *) names->pdata);
}

static const Section *step_section(const char *action)
{
    return strcmp(action, ACTION_NOTIFY) == 0 ? &section_notify_step : strcmp(action, ACTION_APPROVE) == 0 ? &section_approve_step : &section_step;
}

static bool action_known(Loader *l, const YamlNode *node, const char *action)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();

    for (const char *const *a = policy_actions; *a != NULL; a++)
        g_ptr_array_add(known, (char *) *a);
    g_ptr_array_add(known, (char *) ACTION_NOTIFY);
    g_ptr_array_add(known, (char *) ACTION_APPROVE);
    g_ptr_array_add(known, NULL);
    return g_strv_contains((const char *const *) known->pdata, action) ||
           complain_word(l, node, "action", action, (const char *const *) known->pdata);
}

static void read_step(Loader *l, const YamlNode *node, GPtrArray *ladder)
{
    const YamlNode *action = yaml_get(node, "do"), *when = yaml_get(node, "when");

    if (node->kind != YAML_MAP || action == NULL) {
        complain(l, node, node->kind != YAML_MAP ? "a step is a map: {do: service.restart, …} is wanted" : "a step has no \"do\"");
        return;
    }
    const char *what = read_text(l, action, "do");
    if (what == NULL || !action_known(l, action, what))
        return;
    Step *step = step_new(what);
    g_ptr_array_add(ladder, step);
    loader_place(l, step, node);
    read_fields(l, node, step_section(what), step);
    if (step->backoff_max_us < step->backoff_first_us)
        complain(l, yaml_get(node, "backoff"), "backoff: max is less than first");
    if (step->to != NULL && policy_target(l->policy, step->to) == NULL)
        complain_target(l, yaml_get(node, "to"), step->to);
    if (when != NULL)
        read_expression(l, when, "when", EXPRESSION_BOOL, EXPRESSION_RULE, &step->when);
}

static void read_ladder(Loader *l, const YamlNode *node, GPtrArray *ladder)
{
    if (!read_is_list(l, node, "a ladder"))
        return;
    if (yaml_size(node) == 0)
        complain(l, node, "a ladder without steps does nothing: at least one is wanted");
    if (yaml_size(node) > STEPS_MAX)
        complain(l, yaml_at(node, STEPS_MAX), "a ladder of %zu steps: at most %d are wanted, then a person", yaml_size(node), STEPS_MAX);
    for (size_t i = 0; i < yaml_size(node); i++)
        read_step(l, yaml_at(node, i), ladder);
}

/* Every ladder ends with a person: one that does not is given that end. */
static void end_ladder(Loader *l, Rule *rule, const YamlNode *node)
{
    const Step *last = rule->ladder->len == 0 ? NULL : rule->ladder->pdata[rule->ladder->len - 1];

    if (last == NULL || (strcmp(last->action, ACTION_NOTIFY) == 0 && last->when == NULL))
        return;
    Step *step = step_new(ACTION_NOTIFY);
    step->to = g_strdup("oncall");
    g_ptr_array_add(rule->ladder, step);
    loader_place(l, step, node);
}

static void read_pattern(Loader *l, const YamlNode *node, Rule *rule)
{
    Pattern *pattern = pattern_new(NULL);
    const YamlNode *where = yaml_get(node, "where");

    g_ptr_array_add(rule->others, pattern);
    if (read_fields(l, node, &section_pattern, pattern) && where != NULL)
        read_expression(l, where, "where", EXPRESSION_BOOL, EXPRESSION_RULE, &pattern->where);
}

static void read_sequence(Loader *l, const YamlNode *node, Rule *rule)
{
    if (!read_is_list(l, node, "sequence"))
        return;
    if (yaml_size(node) == 0 || yaml_size(node) > 7)
        complain(l, node, "sequence: one to seven patterns are wanted: they follow what the rule is \"on\"");
    for (size_t i = 0; i < yaml_size(node); i++)
        read_pattern(l, yaml_at(node, i), rule);
}

static void read_temporal(Loader *l, const YamlNode *node, Rule *rule)
{
    const YamlNode *count = yaml_get(node, "count"), *absent = yaml_get(node, "absent"), *sequence = yaml_get(node, "sequence");
    const YamlNode *within = yaml_get(node, "within"), *second = absent != NULL && (count != NULL || sequence != NULL) ? absent : sequence;
    int n = (count != NULL) + (absent != NULL) + (sequence != NULL);

    if (n > 1)
        complain(l, second, "only one of count, absent and sequence can stand in a rule");
    if (n > 0 && within == NULL)
        complain(l, count != NULL ? count : absent != NULL ? absent : sequence, "%s without \"within\": in what time?",
                 count != NULL ? "count" : absent != NULL ? "absent" : "sequence");
    if (n == 0 && within != NULL)
        complain(l, within, "within is the time of count, absent or sequence, and none is here");
    if (count != NULL)
        rule->temporal = TEMPORAL_COUNT;
    if (absent != NULL) {
        rule->temporal = TEMPORAL_ABSENT;
        read_pattern(l, absent, rule);
    }
    if (sequence != NULL) {
        rule->temporal = TEMPORAL_SEQUENCE;
        read_sequence(l, sequence, rule);
    }
}

static void read_group_by(Loader *l, const YamlNode *node, Rule *rule)
{
    if (!read_is_list(l, node, "group_by"))
        return;
    for (size_t i = 0; i < yaml_size(node); i++) {
        Expression *key = NULL;

        if (read_expression(l, yaml_at(node, i), "group_by", EXPRESSION_TEXT, EXPRESSION_RULE, &key))
            g_ptr_array_add(rule->group_by, key);
    }
}

static void read_calendar_name(Loader *l, const YamlNode *node, const char *key, Schedule **ret)
{
    const char *name = node == NULL ? NULL : read_text(l, node, key);

    if (name != NULL)
        read_schedule(l, node, name, ret);
}

/* Step values that @mine has as they come without a file are this file's. */
static void step_take_defaults(Step *mine, const Step *ours)
{
    g_autoptr(Step) usual = step_new(mine->action);

    if (mine->attempts == usual->attempts)
        mine->attempts = ours->attempts;
    if (mine->within_us == usual->within_us)
        mine->within_us = ours->within_us;
    if (mine->timeout_us == usual->timeout_us)
        mine->timeout_us = ours->timeout_us;
    if (mine->healed_for_us == usual->healed_for_us)
        mine->healed_for_us = ours->healed_for_us;
    if (mine->backoff_first_us == usual->backoff_first_us && mine->backoff_max_us == usual->backoff_max_us &&
        mine->backoff_factor == usual->backoff_factor) {
        mine->backoff_first_us = ours->backoff_first_us;
        mine->backoff_max_us = ours->backoff_max_us;
        mine->backoff_factor = ours->backoff_factor;
    }
}

/* The rules of the default policy, with the defaults of this file; what they say themselves stays. A rule above of the same name stands
 * in for one of them. */
static void take_default_rules(Loader *l, const YamlNode *defaults)
{
    g_autoptr(Policy) fallback = policy_default();

    while (fallback->rules->len > 0) {
        Rule *rule = g_ptr_array_steal_index(fallback->rules, 0);

        for (guint i = 0; i < rule->ladder->len; i++) {
            Step *step = rule->ladder->pdata[i];
            g_autoptr(Step) ours = step_new(step->action);

            if (action_kind(step->action) == NULL || defaults == NULL)
                continue;
            read_some_fields(l, defaults, &section_defaults, ours);
            step_take_defaults(step, ours);
        }
        if (policy_rule(l->policy, rule->name) == NULL)
            g_ptr_array_add(l->policy->rules, rule);
        else
            rule_free(rule);
    }
}

static void read_rule(Loader *l, const YamlNode *node)
{
    const YamlNode *where = yaml_get(node, "where"), *ladder = yaml_get(node, "ladder"), *group_by = yaml_get(node, "group_by");
    Rule *rule;

    if (node->kind == YAML_SCALAR && !node_is_word(node, "default")) {
        complain(l, node, "a rule is a map: {name: …}, or the word default, for the default rules");
        return;
    }
    if (node_is_word(node, "default")) {
        take_default_rules(l, l->defaults);
        return;
    }
    rule = rule_new(NULL, NULL);
    if (!read_fields(l, node, &section_rule, rule)) {
        rule_free(rule);
        return;
    }
    rule->line = node->line;
    if (rule->name != NULL && policy_rule(l->policy, rule->name) != NULL)
        complain(l, yaml_get(node, "name"), "a rule named \"%s\" stands above already", rule->name);
    if (where != NULL)
        read_expression(l, where, "where", EXPRESSION_BOOL, EXPRESSION_RULE, &rule->where);
    read_temporal(l, node, rule);
    if (group_by != NULL)
        read_group_by(l, group_by, rule);
    read_calendar_name(l, yaml_get(node, "during"), "during", &rule->during);
    read_calendar_name(l, yaml_get(node, "not_during"), "not_during", &rule->not_during);
    if (ladder != NULL && ladder->kind != YAML_SCALAR) /* a name nobody knows has been complained of */
        read_ladder(l, ladder, rule->ladder);
    end_ladder(l, rule, node);
    loader_place(l, rule, node);
    if (rule->name == NULL || rule->on == NULL)
        rule_free(rule);
    else
        g_ptr_array_add(l->policy->rules, rule);
}

/* Ladders nobody names are read too: a mistake in one is found when it is made. */
static void read_ladders(Loader *l, const YamlNode *ladders)
{
    if (ladders != NULL && ladders->kind != YAML_MAP)
        complain(l, ladders, "ladders is a map of names to lists of steps");
    for (size_t i = 0; ladders != NULL && ladders->kind == YAML_MAP && i < yaml_size(ladders); i++) {
        g_autoptr(GPtrArray) ladder = g_ptr_array_new_with_free_func((GDestroyNotify) step_free);

        read_ladder(l, yaml_at(ladders, i), ladder);
    }
}

static void read_defaults(Loader *l, const YamlNode *defaults)
{
    g_autoptr(Step) step = step_new("service.restart");
    const YamlNode *vm = yaml_get(defaults, "vm"), *service = yaml_get(defaults, "service");

    if (!read_some_fields(l, defaults, &section_defaults, step))
        return;
    if (vm != NULL)
        read_vm_defaults(l, vm);
    if (service != NULL)
        read_service_defaults(l, service);
}

void read_rules(Loader *l, const YamlNode *root)
{
    const YamlNode *defaults = yaml_get(root, "defaults"), *rules = yaml_get(root, "rules");

    if (defaults != NULL)
        read_defaults(l, defaults);
    read_ladders(l, yaml_get(root, "ladders"));
    l->defaults = defaults;
    read_each(l, rules, "rules", read_rule);
    if (rules == NULL)
        take_default_rules(l, defaults);
}
