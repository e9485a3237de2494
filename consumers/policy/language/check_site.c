/* Circles in applications, placement that cannot be, names that lead nowhere, controls that pull at the same thing. */
#include "consumers/policy/language/check.h"

#include "consumers/policy/planner/graph.h"
#include "lib/base/settings.h"

#include <string.h>

/* --- what comes after what --- */

static void add_edges(Graph *graph, const char *node, const GPtrArray *after, const GPtrArray *needs)
{
    for (guint i = 0; i < after->len; i++)
        graph_after(graph, node, after->pdata[i]);
    for (guint i = 0; i < needs->len; i++)
        graph_needs(graph, node, needs->pdata[i]);
}

/* @names keeps the nodes' names while the graph borrows them. */
static Graph *graph_of(const Application *application, GPtrArray *names)
{
    Graph *graph = graph_new();

    for (guint i = 0; i < application->vms->len; i++) {
        const AppVm *vm = application->vms->pdata[i];

        graph_add(graph, vm->name);
        add_edges(graph, vm->name, vm->after, vm->needs);
        for (guint k = 0; k < vm->services->len; k++) {
            const AppService *service = vm->services->pdata[k];
            char *node = g_strdup_printf("%s/%s", vm->name, service->name);

            g_ptr_array_add(names, node);
            graph_needs(graph, node, vm->name);
            add_edges(graph, node, service->after, service->needs);
        }
    }
    return graph;
}

/* The VM that @circle begins with. */
static const YamlNode *circle_place(const Loader *l, const Application *application, const char *circle)
{
    size_t length = strcspn(circle, "/ ");

    for (guint i = 0; i < application->vms->len; i++) {
        const AppVm *vm = application->vms->pdata[i];

        if (strncmp(vm->name, circle, length) == 0 && vm->name[length] == '\0')
            return loader_place_of(l, vm);
    }
    return loader_place_of(l, application);
}

/* Of a trusted policy, too: no order can be made of it. */
static void check_circle(Loader *l, const Application *application)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Graph) graph = graph_of(application, names);
    g_autoptr(GError) local = NULL;

    if (!graph_check(graph, &local))
        complain(l, circle_place(l, application, local->message), "application %s: each of these has to start before the next: %s", application->name,
                 local->message);
}

void check_order(Loader *l)
{
    for (guint i = 0; i < l->policy->applications->len; i++)
        check_circle(l, l->policy->applications->pdata[i]);
}

/* --- names --- */

static GPtrArray *application_names(const Policy *policy, bool with_vms)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < policy->applications->len; i++) {
        const Application *application = policy->applications->pdata[i];

        g_ptr_array_add(names, g_strdup(application->name));
        for (guint k = 0; with_vms && k < application->vms->len; k++)
            g_ptr_array_add(names, g_strdup_printf("%s/%s", application->name, ((AppVm *) application->vms->pdata[k])->name));
    }
    return names;
}

static GPtrArray *group_names(const Policy *policy)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < policy->applications->len; i++) {
        const Application *application = policy->applications->pdata[i];

        for (guint k = 0; k < application->groups->len; k++)
            g_ptr_array_add(names, g_strdup(application->groups->pdata[k]));
    }
    return names;
}

static GPtrArray *rule_names(const Policy *policy)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < policy->rules->len; i++)
        g_ptr_array_add(names, g_strdup(((Rule *) policy->rules->pdata[i])->name));
    return names;
}

/* Names and ids of the topology's hosts, or their racks, or names and labels. */
typedef enum { HOST_NAMES, HOST_RACKS, HOST_LABELS } HostWhat;

static GPtrArray *host_names(const Policy *policy, HostWhat what)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < policy->hosts->len; i++) {
        const HostInfo *host = policy->hosts->pdata[i];

        if (what == HOST_RACKS && host->rack != NULL)
            g_ptr_array_add(names, g_strdup(host->rack));
        if (what != HOST_RACKS)
            g_ptr_array_add(names, g_strdup(host->name));
        if (what == HOST_NAMES && host->id != NULL)
            g_ptr_array_add(names, g_strdup(host->id));
        for (guint k = 0; what == HOST_LABELS && k < host->labels->len; k++)
            g_ptr_array_add(names, g_strdup(host->labels->pdata[k]));
    }
    return names;
}

/* Takes @names. Wildcards are not looked at. */
static void check_name(Loader *l, const YamlNode *node, const char *what, const char *name, GPtrArray *names)
{
    if (name != NULL && strpbrk(name, "*?") == NULL && !g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL)) {
        g_ptr_array_add(names, NULL);
        if (l->trusted)
            warn(l, node, "unknown %s \"%s\"", what, name);
        else
            complain_word(l, node, what, name, (const char *const *) names->pdata);
    }
    g_ptr_array_unref(names);
}

/* Hosts and racks are known when a topology is written; without one their agents tell. */
static void check_matcher(Loader *l, const Quiet *quiet)
{
    const YamlNode *match = yaml_get(loader_place_of(l, quiet), "match");
    const Matcher *m = &quiet->match;

    check_name(l, yaml_get(match, "app"), "application", m->app, application_names(l->policy, false));
    check_name(l, yaml_get(match, "group"), "group", m->group, group_names(l->policy));
    check_name(l, yaml_get(match, "rule"), "rule", m->rule, rule_names(l->policy));
    if (l->policy->hosts->len == 0)
        return;
    check_name(l, yaml_get(match, "host"), "host", m->host, host_names(l->policy, HOST_NAMES));
    check_name(l, yaml_get(match, "rack"), "rack", m->rack, host_names(l->policy, HOST_RACKS));
}

void check_matchers(Loader *l)
{
    for (guint i = 0; i < l->policy->quiets->len; i++)
        check_matcher(l, l->policy->quiets->pdata[i]);
}

/* --- placement --- */

static const YamlNode *place_vms(const Loader *l, const PlaceRule *rule)
{
    static const char *const keys[] = { "apart", "together", "on", "never_on" };
    const YamlNode *node = loader_place_of(l, rule);

    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        const YamlNode *value = yaml_get(node, keys[i]);

        if (value != NULL)
            return value->kind == YAML_MAP ? yaml_get(value, "vms") : value;
    }
    return node;
}

static bool share_two(const PlaceRule *a, const PlaceRule *b, guint wanted)
{
    guint n = 0;

    for (guint i = 0; i < a->vms->len; i++)
        n += g_ptr_array_find_with_equal_func(b->vms, a->vms->pdata[i], g_str_equal, NULL);
    return n >= wanted;
}

static void check_place_pair(Loader *l, const PlaceRule *a, const PlaceRule *b)
{
    bool apart_together = (a->kind == PLACE_APART && b->kind == PLACE_TOGETHER) || (a->kind == PLACE_TOGETHER && b->kind == PLACE_APART);
    bool on_never = (a->kind == PLACE_ON && b->kind == PLACE_NEVER_ON) || (a->kind == PLACE_NEVER_ON && b->kind == PLACE_ON);

    if (!a->hard || !b->hard)
        return;
    if ((apart_together && strcmp(a->by, b->by) == 0 && share_two(a, b, 2)) ||
        (on_never && strcmp(a->label, b->label) == 0 && share_two(a, b, 1)))
        refuse(l, place_vms(l, b), "placement rules %s and %s cannot both be met: no host is left for these VMs", a->name, b->name);
}

void check_placement(Loader *l)
{
    const GPtrArray *rules = l->policy->placement.rules;

    for (guint i = 0; i < rules->len; i++) {
        const PlaceRule *rule = rules->pdata[i];
        const YamlNode *vms = place_vms(l, rule);

        for (guint k = 0; k < rule->vms->len; k++)
            check_name(l, yaml_at(vms, k), "VM", rule->vms->pdata[k], application_names(l->policy, true));
        if (rule->label != NULL && l->policy->hosts->len > 0) {
            const YamlNode *node = loader_place_of(l, rule), *value = yaml_get(node, rule->kind == PLACE_ON ? "on" : "never_on");

            check_name(l, yaml_get(value, "label"), "label or host", rule->label, host_names(l->policy, HOST_LABELS));
        }
        for (guint k = 0; k < i; k++)
            check_place_pair(l, rules->pdata[k], rule);
    }
    if (l->policy->hosts->len > 0 && l->policy->placement.reserve_hosts >= l->policy->hosts->len)
        refuse(l, yaml_get(yaml_get(yaml_get(l->file->root, "placement"), "reserve"), "hosts"),
               "reserve: %u of %u hosts: nothing is left for VMs", l->policy->placement.reserve_hosts, l->policy->hosts->len);
}

/* --- controls --- */

void check_controls(Loader *l)
{
    for (guint i = 0; i < l->policy->controls->len; i++) {
        const ControlRule *control = l->policy->controls->pdata[i];

        for (guint k = 0; k < i; k++) {
            const ControlRule *above = l->policy->controls->pdata[k];

            if (strcmp(above->action, control->action) == 0 && strcmp(above->kind, control->kind) == 0 && !above->observe_only &&
                !control->observe_only && where_compare(above->where, control->where) != WHERE_DISJOINT)
                refuse(l, yaml_get(loader_place_of(l, control), "name"),
                       "controls %s and %s fight: both set %s, and nothing in their conditions keeps them apart", above->name, control->name,
                       control->action);
        }
    }
}
