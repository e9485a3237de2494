/* Numeric controls. */
#include "consumers/policy/language/loader.h"

#include <string.h>

/* What a control may set, and the argument it sets it by. */
static const char *const set_actions[] = { "vm.set-memory", "vm.set-vcpus", "vm.set-io-limit", "host.set-ksm", NULL };

/* 5%: of the value that is; else an amount. */
static void read_change(Loader *l, const YamlNode *node, ControlRule *control)
{
    static const Field share = { "step", FIELD_SHARE, offsetof(ControlRule, step_percent), 0.01, 100 };
    static const Field amount = { "step", FIELD_QUANTITY, offsetof(ControlRule, step), 0, 1e18 };

    read_field(l, node, node->kind == YAML_SCALAR && g_str_has_suffix(node->text, "%") ? &share : &amount, control);
}

static void check_numbers(Loader *l, const YamlNode *node, const ControlRule *control)
{
    if (control->min >= control->max)
        complain(l, yaml_get(node, "max") != NULL ? yaml_get(node, "max") : yaml_get(node, "min"),
                 "control %s: max has to be more than min", control->name);
    else if (control->max - control->min < control->dead_band)
        complain(l, yaml_get(node, "dead_band"), "dead_band: wider than all from min to max: nothing would ever be set");
}

static void read_control(Loader *l, const YamlNode *node)
{
    const YamlNode *where = yaml_get(node, "where"), *step = yaml_get(node, "step"), *set = yaml_get(node, "set");
    ControlRule *control = control_rule_new(NULL);

    if (!read_fields(l, node, &section_control, control) || control->name == NULL) {
        control_rule_free(control);
        return;
    }
    for (guint i = 0; i < l->policy->controls->len; i++)
        if (strcmp(((ControlRule *) l->policy->controls->pdata[i])->name, control->name) == 0)
            complain(l, yaml_get(node, "name"), "a control named \"%s\" stands above already", control->name);
    if (where != NULL)
        read_expression(l, where, "where", EXPRESSION_BOOL, EXPRESSION_CONTROL, &control->where);
    if (yaml_get(node, "input") != NULL)
        read_expression(l, yaml_get(node, "input"), "input", EXPRESSION_NUMBER, EXPRESSION_CONTROL, &control->input);
    if (yaml_get(node, "target") != NULL)
        read_expression(l, yaml_get(node, "target"), "target", EXPRESSION_NUMBER, EXPRESSION_TARGET, &control->target);
    if (step != NULL)
        read_change(l, step, control);
    check_numbers(l, node, control);
    if (control->action != NULL && !g_strv_contains(set_actions, control->action))
        complain_word(l, yaml_get(set, "do"), "numeric action", control->action, set_actions);
    loader_place(l, control, node);
    g_ptr_array_add(l->policy->controls, control);
}

void read_controls(Loader *l, const YamlNode *root)
{
    read_each(l, yaml_get(root, "controls"), "controls", read_control);
}
