/* Whom to tell. */
#include "consumers/policy/language/loader.h"

#include <string.h>

static void read_target(Loader *l, const YamlNode *node, const char *name)
{
    Target *target = target_new(name, TARGET_LOG, NULL);

    g_ptr_array_add(l->policy->targets, target);
    if (node_is_word(node, "log"))
        return;
    target->kind = TARGET_EXEC;
    if (node->kind == YAML_SCALAR)
        complain(l, node, "notify %s: \"%s\": log or {exec: COMMAND} is wanted", name, node->text);
    else
        read_fields(l, node, &section_target, target);
}

void read_notify(Loader *l, const YamlNode *root)
{
    static const char *const usual[] = { "oncall", "log", NULL };
    const YamlNode *node = yaml_get(root, "notify");

    if (node != NULL && node->kind != YAML_MAP)
        complain(l, node, "notify is a map: {oncall: log, pager: {exec: COMMAND}} is wanted");
    for (size_t i = 0; node != NULL && node->kind == YAML_MAP && i < yaml_size(node); i++)
        read_target(l, yaml_at(node, i), yaml_key(node, i));
    for (size_t i = 0; usual[i] != NULL; i++) /* they are there without being written */
        if (policy_target(l->policy, usual[i]) == NULL)
            g_ptr_array_add(l->policy->targets, target_new(usual[i], TARGET_LOG, NULL));
}
