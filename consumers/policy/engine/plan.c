#include "consumers/policy/engine/action.h"
#include "consumers/policy/engine/engine_private.h"

#include <string.h>

EntityState *app_of(Engine *engine, const EntityState *entity)
{
    const EntityState *vm = vm_of(engine, entity);
    const Application *app = NULL;

    if (g_str_has_prefix(entity->path, "app/"))
        return (EntityState *) entity;
    if (vm == NULL || policy_vm(engine->policy, strchr(vm->path, '/') + 1, vm->hostname, &app) == NULL)
        return NULL;
    g_autofree char *path = g_strdup_printf("app/%s", app->name);
    return entity_ensure(engine, path);
}

void plan_resolve(Stage *s, Incident *incident, const Step *step, Deed *deed)
{
    (void) s;
    (void) incident;
    deed->kind = DEED_CANNOT;
    deed->why = g_strdup_printf("%s cannot be done yet", step->action);
}
