/* A VM waits while its host's incident is worked on, and not longer. A start never waits for that: whether it may be is a matter of proof
 * (proof.c), and a lease may tell long before a fence does. A service waits until its VM runs, for nothing can be done in one that
 * does not. */
#include "consumers/policy/engine/parent.h"

#include "consumers/policy/engine/engine_private.h"

#include <string.h>

#define GATHERS_US (10 * US_PER_S) /* what one failure brings comes within this */
#define NAMED_MAX 10u

static bool is_worked_on(const Engine *engine, const EntityState *entity, const Incident *but)
{
    const Incident *incident = entity == NULL ? NULL : entity->incident;

    return incident != NULL && incident != but && incident->state != INCIDENT_NEEDS_HUMAN && !incident_is_closed(incident) &&
           !incident_stands_aside(engine, incident);
}

static bool vm_is_down(const EntityState *vm)
{
    static const char *const down[] = { "stopped", "crashed", "panicked", "lost", "paused", "suspended", "hung", NULL };

    return g_strv_contains(down, vm->state);
}

EntityState *parent_in_the_way(Engine *engine, const Incident *incident, const char *action, bool *ret_ends)
{
    const EntityState *entity = incident->entity;
    bool of_service = g_str_has_prefix(entity->path, "service/");
    EntityState *vm = of_service ? vm_of(engine, entity) : NULL, *host = entity->host != NULL ? NULL : host_of(engine, entity);

    *ret_ends = true;
    if (!engine->policy->inhibit)
        return NULL;
    if (is_worked_on(engine, vm, incident))
        return vm;
    if (is_worked_on(engine, host, incident) && !action_starts(action))
        return host;
    if (vm == NULL || !vm_is_down(vm) || g_strcmp0(action_kind(action), "service") != 0)
        return NULL;
    *ret_ends = false; /* nobody is at it, or a human has it now */
    return vm;
}

/* What its storage has paused: one failed LUN is one thing to tell of, not fifty. */
static EntityState *storage_under(Engine *engine, const EntityState *vm)
{
    const EntityState *storage = vm == NULL || !vm_paused_by_storage(vm) ? NULL : storage_ill_for(engine, vm, vm->vm->host);

    return storage != NULL && storage->incident != NULL ? (EntityState *) storage : NULL;
}

static EntityState *parent_with_incident(Engine *engine, const Incident *incident)
{
    const EntityState *entity = incident->entity;
    EntityState *vm = g_str_has_prefix(entity->path, "service/") ? vm_of(engine, entity) : NULL;
    EntityState *host = entity->host != NULL ? NULL : host_of(engine, entity);

    if (host != NULL && host->incident != NULL && !incident_stands_aside(engine, host->incident))
        return host;
    EntityState *storage = storage_under(engine, entity->vm != NULL ? entity : vm);
    return storage != NULL ? storage : vm != NULL && vm->incident != NULL ? vm : NULL;
}

char *parent_speaks_for(Engine *engine, Incident *incident)
{
    EntityState *parent = engine->policy->inhibit ? parent_with_incident(engine, incident) : NULL;

    if (parent == NULL)
        return NULL;
    parent->incident->speaks_for++;
    if (parent->incident->speak_due.at_us == NEVER_US)
        due_set(&engine->due, &parent->incident->speak_due, engine->now_us + GATHERS_US);
    return g_strdup_printf("%s is %s", parent->path, parent->state);
}

void parent_speaks(Stage *s, Incident *incident)
{
    g_autoptr(GString) names = g_string_new(NULL);
    json_t *entities = json_array();
    unsigned n = 0;

    for (GList *l = s->engine->incidents.head; l != NULL; l = l->next) {
        Incident *child = l->data;
        const EntityState *parent = child->muted == NULL || json_object_get(child->muted, "parent") == NULL ? NULL : parent_with_incident(s->engine, child);

        if (parent != incident->entity || json_object_get(child->muted, "spoken") != NULL)
            continue;
        json_object_set_new(child->muted, "spoken", json_true());
        json_array_append_new(entities, json_string(child->entity->path));
        if (n++ < NAMED_MAX)
            g_string_append_printf(names, "%s%s", n == 1 ? "" : ", ", child->entity->path);
    }
    if (n > NAMED_MAX)
        g_string_append_printf(names, " and %u more", n - NAMED_MAX);
    if (n > 0)
        put_notice_about(s, "inhibited", entity_target(s->engine, incident->entity), incident, entities,
                         "%s is %s; on it stand %u that need a human, too: %s", incident->entity->path, incident->entity->state, n, names->str);
    else
        json_decref(entities);
}

void parent_done(Stage *s, const Incident *incident)
{
    if (incident->entity->vm == NULL && incident->entity->host == NULL && incident->entity->storage == NULL)
        return;
    s->wake |= WAKES(PARENT);
    s->speak = s->speak || incident->speaks_for > 0;
}
