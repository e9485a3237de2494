/* What the site is made of, and where VMs may be: topology and placement. */
#include "consumers/policy/language/loader.h"

#include <string.h>

static void read_host(Loader *l, const YamlNode *node)
{
    HostInfo *host = host_info_new(NULL);

    if (!read_fields(l, node, &section_host, host) || host->name == NULL) {
        host_info_free(host);
        return;
    }
    for (guint i = 0; i < l->policy->hosts->len; i++) {
        const HostInfo *other = l->policy->hosts->pdata[i];

        if (strcmp(other->name, host->name) == 0)
            complain(l, yaml_get(node, "name"), "a host named \"%s\" stands above already", host->name);
        else if (host->id != NULL && g_strcmp0(other->id, host->id) == 0)
            complain(l, yaml_get(node, "id"), "host %s has this id already", other->name);
    }
    loader_place(l, host, node);
    g_ptr_array_add(l->policy->hosts, host);
}

static const struct {
    const char *key;
    PlaceKind kind;
} place_keys[] = { { "apart", PLACE_APART }, { "together", PLACE_TOGETHER }, { "on", PLACE_ON }, { "never_on", PLACE_NEVER_ON } };

static void read_place_kind(Loader *l, const YamlNode *node, const YamlNode *value, const char *key, PlaceRule *rule)
{
    if (rule->kind == PLACE_APART || rule->kind == PLACE_TOGETHER) {
        read_texts(l, value, key, rule->vms);
        if (rule->vms->len == 1 && strchr(rule->vms->pdata[0], '/') != NULL)
            complain(l, value, "%s: one VM is always %s: at least two are wanted, or an application", key, key);
        return;
    }
    if (yaml_get(node, "by") != NULL)
        complain(l, yaml_get(node, "by"), "by belongs to apart and together");
    read_fields(l, value, &section_place_vms, rule);
}

static void read_place_rule(Loader *l, const YamlNode *node)
{
    PlaceRule *rule = place_rule_new(NULL, PLACE_APART);
    const YamlNode *first = NULL;

    if (!read_fields(l, node, &section_place_rule, rule)) {
        place_rule_free(rule);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(place_keys); i++) {
        const YamlNode *value = yaml_get(node, place_keys[i].key);

        if (value == NULL)
            continue;
        if (first != NULL) {
            complain(l, value, "one rule has one of apart, together, on and never_on");
            break;
        }
        first = value;
        rule->kind = place_keys[i].kind;
        read_place_kind(l, node, value, place_keys[i].key, rule);
    }
    if (first == NULL)
        complain(l, node, "a placement rule has none of apart, together, on and never_on");
    for (guint i = 0; rule->name != NULL && i < l->policy->placement.rules->len; i++)
        if (strcmp(((PlaceRule *) l->policy->placement.rules->pdata[i])->name, rule->name) == 0)
            complain(l, yaml_get(node, "name"), "a placement rule named \"%s\" stands above already", rule->name);
    loader_place(l, rule, node);
    if (rule->name == NULL)
        place_rule_free(rule);
    else
        g_ptr_array_add(l->policy->placement.rules, rule);
}

void read_site(Loader *l, const YamlNode *root)
{
    const YamlNode *topology = yaml_get(root, "topology"), *placement = yaml_get(root, "placement");

    if (topology != NULL && read_fields(l, topology, &section_topology, l->policy))
        read_each(l, yaml_get(topology, "hosts"), "hosts", read_host);
    if (placement != NULL && read_fields(l, placement, &section_placement, l->policy))
        read_each(l, yaml_get(placement, "rules"), "placement rules", read_place_rule);
}
