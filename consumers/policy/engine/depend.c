/* What stands between the VMs of an application. `needs` is waited for as long as it takes (the wait is capped, and then a human is told);
 * `after` only while somebody is at work on the other: with nobody there it would be waited for in vain, and b runs without a. */
#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/plan.h"

#include <string.h>

EntityState *entity_of_app_vm(Engine *engine, const AppVm *app_vm)
{
    for (guint i = 0; i < engine->vms->len; i++) {
        EntityState *vm = engine->vms->pdata[i];

        if (app_vm_of(engine, vm, NULL) == app_vm)
            return vm;
    }
    return NULL;
}

/* Where no host agent is, a VM is known by its services alone: that of the smallest path, should there be several by this name. */
EntityState *service_of_app_vm(Engine *engine, const AppVm *app_vm, const char *service)
{
    const EntityState *vm = entity_of_app_vm(engine, app_vm);
    const char *id = vm != NULL ? entity_id(vm) : app_vm->match_id;
    g_autofree char *path = id == NULL ? NULL : g_strdup_printf("service/%s/%s", id, service), *end = g_strconcat("/", service, NULL);
    EntityState *found = NULL;
    GHashTableIter iter;
    void *each;

    if (path != NULL)
        return entity_find(engine, path);
    g_hash_table_iter_init(&iter, engine->entities);
    while (g_hash_table_iter_next(&iter, NULL, &each)) {
        EntityState *entity = each;

        if (g_str_has_prefix(entity->path, "service/") && g_str_has_suffix(entity->path, end) && app_vm_of_any(engine, entity, NULL) == app_vm &&
            (found == NULL || strcmp(entity->path, found->path) < 0))
            found = entity;
    }
    return found;
}

EntityState *entity_of_node(Engine *engine, const Application *app, const char *node)
{
    const char *slash = strchr(node, '/');
    size_t length = slash == NULL ? strlen(node) : (size_t) (slash - node);

    for (guint i = 0; i < app->vms->len; i++) {
        const AppVm *app_vm = app->vms->pdata[i];

        if (strlen(app_vm->name) != length || memcmp(app_vm->name, node, length) != 0)
            continue;
        return slash == NULL ? entity_of_app_vm(engine, app_vm) : service_of_app_vm(engine, app_vm, slash + 1);
    }
    return NULL;
}

/* What was heard of it before its VM went down says nothing now. */
bool service_is_ready(Engine *engine, const EntityState *service)
{
    const EntityState *vm = vm_of(engine, service);

    return strcmp(service->state, "running") == 0 &&
           (vm == NULL || vm->vm->down_us == 0 || (strcmp(vm->state, "running") == 0 && service->since_us >= vm->vm->down_us));
}

static bool is_ready(Engine *engine, const EntityState *entity)
{
    return entity->vm != NULL ? strcmp(entity->state, "running") == 0 : service_is_ready(engine, entity);
}

static bool somebody_is_at_work(Engine *engine, const EntityState *entity)
{
    const EntityState *vm = vm_of(engine, entity);
    const Incident *of[] = { entity->incident, vm == NULL ? NULL : vm->incident };

    for (size_t i = 0; i < G_N_ELEMENTS(of); i++)
        if (of[i] != NULL && of[i]->state != INCIDENT_NEEDS_HUMAN && !incident_is_closed(of[i]))
            return true;
    return vm != NULL && vm->vm->booting_since_us != 0;
}

static char *first_unready(Engine *engine, const Application *app, const GPtrArray *nodes, bool needed)
{
    for (guint i = 0; i < nodes->len; i++) {
        const EntityState *entity = entity_of_node(engine, app, nodes->pdata[i]);

        if (entity == NULL || is_ready(engine, entity) || (!needed && !somebody_is_at_work(engine, entity)))
            continue;
        return g_strdup_printf("it %s %s, which is %s", needed ? "needs" : "comes after", entity->path,
                               strcmp(entity->state, "running") == 0 ? "not heard of since its VM was down" : entity->state);
    }
    return NULL;
}

char *vm_comes_after(Engine *engine, const EntityState *vm)
{
    const Application *app = NULL;
    const AppVm *app_vm = app_vm_of(engine, vm, &app);
    char *text = app_vm == NULL ? NULL : first_unready(engine, app, app_vm->needs, true);

    return text != NULL || app_vm == NULL ? text : first_unready(engine, app, app_vm->after, false);
}
