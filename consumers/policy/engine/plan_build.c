/* From an application's graph, or a host's VMs, to the items to be done.
 *
 * A restart of an application is one of its services: VMs that run stay up, those that are down are started; a VM of which no service is
 * known is itself restarted, if a host agent knows it. What somebody has stopped on purpose is left out, and what nobody has heard of is
 * not guessed: the graph's order holds through it. Evacuation is live migration of what runs; what its storage has paused is never moved. */
#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/place_site.h"
#include "consumers/policy/engine/plan.h"

#include <string.h>

#define MIGRATIONS_AT_ONCE 2

typedef struct Build {
    Engine *engine;
    const Application *app;
    const Step *step;
    bool stops, starts;
    Graph *graph;
    GArray *nodes;          /* of SequenceNode */
    GPtrArray *texts;       /* names of the graph */
} Build;

static const Application *application_of(const Engine *engine, const char *name)
{
    for (guint i = 0; i < engine->policy->applications->len; i++)
        if (strcmp(((const Application *) engine->policy->applications->pdata[i])->name, name) == 0)
            return engine->policy->applications->pdata[i];
    return NULL;
}

static bool is_stopped_on_purpose(const EntityState *entity)
{
    return (strcmp(entity->state, "stopped") == 0 || strcmp(entity->state, "stopping") == 0) && intent_is_wanted(entity->intent);
}

static bool vm_is_down(const EntityState *vm)
{
    static const char *const down[] = { "stopped", "crashed", "lost", NULL };

    return g_strv_contains(down, vm->state);
}

static void node_put(Build *b, const char *name, const EntityState *entity, const char *stop, const char *start, const char *stopped)
{
    SequenceNode node = { .node = graph_find(b->graph, name), .entity = entity->path, .stop = b->stops ? stop : NULL,
                          .start = b->starts ? start : NULL, .stopped = stopped, .ready = "running" };

    node.stop_timeout_us = node.start_timeout_us = 2 * b->step->timeout_us; /* for the answer, and again for the state */
    if (node.stop != NULL || node.start != NULL)
        g_array_append_val(b->nodes, node);
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* Names of the VM's services: as written, or all that were heard of. (transfer full) */
static GPtrArray *service_names(const Build *b, const AppVm *app_vm, const EntityState *vm)
{
    GPtrArray *names = g_ptr_array_new();
    g_autofree char *prefix = vm == NULL ? NULL : g_strdup_printf("service/%s/", entity_id(vm));
    GHashTableIter iter;
    gpointer path;

    for (guint i = 0; i < app_vm->services->len; i++)
        g_ptr_array_add(names, ((const AppService *) app_vm->services->pdata[i])->name);
    if (names->len > 0 || prefix == NULL)
        return names;
    g_hash_table_iter_init(&iter, b->engine->entities);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        if (g_str_has_prefix(path, prefix))
            g_ptr_array_add(names, (char *) path + strlen(prefix));
    g_ptr_array_sort(names, by_text);
    return names;
}

static const char *text_put(Build *b, char *text)
{
    g_ptr_array_add(b->texts, text);
    return text;
}

static void edges_put(Build *b, const char *name, const GPtrArray *after, const GPtrArray *needs)
{
    for (guint i = 0; i < after->len; i++)
        graph_after(b->graph, name, after->pdata[i]);
    for (guint i = 0; i < needs->len; i++)
        graph_needs(b->graph, name, needs->pdata[i]);
}

/* True: it is an item's matter whether it runs. */
static bool service_put(Build *b, const AppVm *app_vm, const EntityState *vm, const char *service)
{
    const AppService *info = app_vm_service(app_vm, service);
    const char *name = text_put(b, g_strdup_printf("%s/%s", app_vm->name, service));
    const EntityState *entity = service_of_app_vm(b->engine, app_vm, service);
    bool up = vm == NULL || !vm_is_down(vm); /* of one that no host agent tells of, its own agent tells */

    graph_add(b->graph, name);
    graph_needs(b->graph, name, app_vm->name);
    if (info != NULL)
        edges_put(b, name, info->after, info->needs);
    if (entity == NULL || entity->agent == NULL || is_stopped_on_purpose(entity) || (vm != NULL && is_stopped_on_purpose(vm)))
        return entity != NULL;
    bool runs = up && service_is_ready(b->engine, entity);
    bool only_start = b->starts && !b->stops;
    if (!(only_start && runs))
        node_put(b, name, entity, up && (b->starts || runs) ? "service.stop" : NULL, "service.start", NULL);
    return true;
}

static void vm_put(Build *b, const AppVm *app_vm)
{
    const EntityState *vm = entity_of_app_vm(b->engine, app_vm);
    g_autoptr(GPtrArray) services = service_names(b, app_vm, vm);
    bool has_services = false;

    graph_add(b->graph, app_vm->name);
    edges_put(b, app_vm->name, app_vm->after, app_vm->needs);
    for (guint i = 0; i < services->len; i++)
        has_services = service_put(b, app_vm, vm, services->pdata[i]) || has_services;
    if (vm == NULL || !vm->vm->located || is_stopped_on_purpose(vm))
        return;
    if (vm_is_down(vm))
        node_put(b, app_vm->name, vm, NULL, "vm.start", NULL);
    else if (!b->starts || (b->stops && !has_services))
        node_put(b, app_vm->name, vm, "vm.shutdown", "vm.start", "stopped");
}

static Sequence *build_app(Engine *engine, const Step *step, Deed *deed)
{
    Build b = { .engine = engine, .app = application_of(engine, entity_id(deed->target)), .step = step,
                .stops = strcmp(step->action, "app.start") != 0, .starts = strcmp(step->action, "app.stop") != 0 };
    g_autofree char *name = g_strdup_printf("%s %s", step->action, deed->target->path);
    g_autoptr(GError) error = NULL;
    Sequence *plan = NULL;

    if (b.app == NULL) {
        deed_cannot(deed, "the policy has no %s", deed->target->path);
        return NULL;
    }
    b.graph = graph_new();
    b.nodes = g_array_new(FALSE, FALSE, sizeof(SequenceNode));
    b.texts = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < b.app->vms->len; i++)
        vm_put(&b, b.app->vms->pdata[i]);
    const SequenceNode *nodes = (const SequenceNode *) (void *) b.nodes->data;
    if (!graph_check(b.graph, &error))
        deed_cannot(deed, "its order has a circle: %s", error->message);
    else if (b.nodes->len == 0 && b.stops && b.starts)
        deed_cannot(deed, "nothing of %s is known that could be restarted", deed->target->path);
    else
        plan = b.stops && b.starts ? sequence_app_restart(name, b.graph, nodes, b.nodes->len)
               : b.starts          ? sequence_app_start(name, b.graph, nodes, b.nodes->len)
                                   : sequence_app_stop(name, b.graph, nodes, b.nodes->len);
    graph_free(b.graph);
    g_array_unref(b.nodes);
    g_ptr_array_unref(b.texts);
    return plan;
}

static json_t *moves_to_json(const Cluster *cluster, const PlacementPlan *plan)
{
    json_t *all = json_array();

    for (guint i = 0; i < plan->moves->len; i++) {
        const PlacementMove *move = &g_array_index(plan->moves, PlacementMove, i);
        g_autofree char *text = g_strdup_printf("takes %s", cluster->vms[move->vm].id);

        json_array_append_new(all, json_pack("{s:s, s:s}", "host", cluster->hosts[move->to].id, "text", text));
    }
    for (guint i = 0; i < plan->left->len; i++) {
        const PlacementChoice *left = plan->left->pdata[i];
        g_autofree char *text = placement_choice_text(cluster, left);

        json_array_append_new(all, json_pack("{s:s, s:s}", "host", cluster->vms[left->vm].id, "text", text));
    }
    return json_pack("{s:o}", "considered", all);
}

static Sequence *build_evacuate(Engine *engine, const Step *step, Deed *deed)
{
    EntityState *host = deed->target;
    g_autoptr(GArray) vms = g_array_new(FALSE, FALSE, sizeof(guint));

    if (!host_is_up(host)) {
        deed_cannot(deed, "%s is judged %s: only from a host that is heard VMs can migrate", host->path, verdict_name(host->host->verdict));
        return NULL;
    }
    g_autoptr(PlaceSite) site = place_site_new(engine);
    for (guint i = 0; i < engine->vms->len; i++) {
        const EntityState *vm = engine->vms->pdata[i];

        if (vm->vm->host == host && proof_copy(vm->vm, host) != NULL && strcmp(vm->state, "running") == 0)
            g_array_append_val(vms, i);
    }
    if (vms->len == 0) {
        deed_cannot(deed, "no VM that runs is on %s", host->path);
        return NULL;
    }
    g_autoptr(PlacementPlan) plan = placement_plan(&site->cluster, (const guint *) (void *) vms->data, vms->len);
    deed->considered = moves_to_json(&site->cluster, plan);
    if (plan->moves->len == 0) {
        g_autofree char *text = placement_choice_text(&site->cluster, plan->left->pdata[0]);

        deed_wait(deed, WAIT_PLACE, g_strdup_printf("%s: %s", site->cluster.vms[((const PlacementChoice *) plan->left->pdata[0])->vm].id, text));
        return NULL;
    }
    const SequenceEvacuate evacuate = { .host = host->path, .migrate = true, .at_once = MIGRATIONS_AT_ONCE, .migrate_timeout_us = 2 * step->timeout_us };
    return sequence_host_evacuate(&evacuate, &site->cluster, plan);
}

Sequence *plan_build(Stage *s, const Step *step, Deed *deed)
{
    return strcmp(step->action, "host.evacuate") == 0 ? build_evacuate(s->engine, step, deed) : build_app(s->engine, step, deed);
}
