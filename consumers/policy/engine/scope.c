/* Answers names. Texts are borrowed where they are; an id in the middle of a path is the only thing that is ever copied, into the arena. */
#include "consumers/policy/engine/scope.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/language/cel/json.h"

#include <string.h>

/* False: NULL, absent. */
static bool text(const char *value, CelValue *ret_value)
{
    if (value != NULL)
        *ret_value = cel_string(value);
    return value != NULL;
}

static bool number(int64_t value, CelValue *ret_value)
{
    *ret_value = cel_int(value);
    return true;
}

static bool text_or_empty(const char *value, CelValue *ret_value)
{
    return text(value == NULL ? "" : value, ret_value);
}

/* The parts of "service/VM/NAME" between its slashes; a name may have more of them. */
typedef struct PathParts {
    const char *id, *name;  /* name NULL: none */
    size_t kind_length, id_length;
} PathParts;

static PathParts parts_of(const char *path)
{
    PathParts parts = { .kind_length = strcspn(path, "/") };

    parts.id = path + parts.kind_length + (path[parts.kind_length] == '/');
    bool service = parts.kind_length == strlen("service") && strncmp(path, "service", parts.kind_length) == 0;
    parts.id_length = service ? strcspn(parts.id, "/") : strlen(parts.id);
    if (service && parts.id[parts.id_length] == '/')
        parts.name = parts.id + parts.id_length + 1;
    return parts;
}

/* ---- entity ---- */

static bool application_field(const Scope *scope, NameTag tag, CelArena *arena, CelValue *ret_value)
{
    PathParts parts = parts_of(scope->entity->path);
    const char *vm = NULL, *app = NULL, *kind = scope->entity->path;

    if (strncmp(kind, "service/", 8) == 0 || strncmp(kind, "vm/", 3) == 0) {
        const char *id = cel_alloc_text(arena, parts.id, parts.id_length);

        app = id == NULL ? NULL : policy_application(scope->engine->policy, id, scope->entity->hostname, parts.name, &vm);
    }
    return text_or_empty(tag == NAME_ENTITY_APP ? app : vm, ret_value);
}

static bool groups(const Scope *scope, CelArena *arena, CelValue *ret_value)
{
    const Application *app = NULL;
    size_t n = 0;

    app_vm_of_any(scope->engine, scope->entity, &app);
    n = app == NULL || app->groups == NULL ? 0 : app->groups->len;
    CelValue *items = cel_alloc(arena, n * sizeof *items);
    for (size_t i = 0; items != NULL && i < n; i++)
        items[i] = cel_string(app->groups->pdata[i]);
    *ret_value = items == NULL ? cel_error_at("too many groups", 0) : cel_list(arena, items, n);
    return true;
}

static bool place(const Scope *scope, NameTag tag, CelValue *ret_value)
{
    const EntityState *host = host_of(scope->engine, scope->entity);

    if (host == NULL)
        return text("", ret_value);
    return text_or_empty(tag == NAME_ENTITY_HOST ? entity_id(host) : host_domain(scope->engine, host, "rack"), ret_value);
}

static bool vm_setting(const Scope *scope, NameTag tag, CelValue *ret_value)
{
    const EntityState *vm = vm_of(scope->engine, scope->entity);

    if (tag == NAME_ENTITY_ON_IO_ERROR)
        return text_or_empty(vm == NULL ? NULL : vm_on_io_error(scope->engine, vm), ret_value);
    if (tag == NAME_ENTITY_PRIORITY)
        return number(vm == NULL ? 50 : vm_priority(scope->engine, vm), ret_value);
    *ret_value = cel_bool(vm != NULL && vm_is_ha(scope->engine, vm));
    return true;
}

static bool entity_field(const Scope *scope, NameTag tag, CelArena *arena, CelValue *ret_value)
{
    const char *path = scope->entity->path;
    PathParts parts = parts_of(path);

    switch (tag) {
    case NAME_ENTITY_PATH:
        return text(path, ret_value);
    case NAME_ENTITY_KIND:
        *ret_value = cel_string_n(path, parts.kind_length);
        return true;
    case NAME_ENTITY_ID:
        *ret_value = cel_string_n(parts.id, parts.id_length);
        return true;
    case NAME_ENTITY_NAME:
        return text(parts.name, ret_value);
    case NAME_ENTITY_HOSTNAME:
        return text(scope->entity->hostname, ret_value);
    case NAME_ENTITY_HOST:
    case NAME_ENTITY_RACK:
        return place(scope, tag, ret_value);
    case NAME_ENTITY_GROUP:
        return groups(scope, arena, ret_value);
    case NAME_ENTITY_HA:
    case NAME_ENTITY_PRIORITY:
    case NAME_ENTITY_ON_IO_ERROR:
        return vm_setting(scope, tag, ret_value);
    default:
        return application_field(scope, tag, arena, ret_value);
    }
}

/* ---- event ---- */

static bool event_field(const Scope *scope, const CelName *name, CelArena *arena, CelValue *ret_value)
{
    if (scope->event == NULL) {
        const json_t *kept = json_object_get(scope->facts, name->label);

        if (kept != NULL)
            *ret_value = cel_from_json(kept, arena);
        return kept != NULL;
    }
    const EventFields *fields = event_fields(scope->event);
    switch (name->tag) {
    case NAME_EVENT_KIND:
        return text(fields->kind, ret_value);
    case NAME_EVENT_STATE:
        return text(scope->entity->state, ret_value);
    case NAME_EVENT_SEVERITY:
        return number(fields->severity, ret_value);
    case NAME_EVENT_SOURCE:
        return text(fields->source, ret_value);
    case NAME_EVENT_BOOTID:
        return text(fields->boot_id, ret_value);
    default: /* a text is found without building the object */
        return name->type == &cel_string_type ? text(event_data_string(scope->event, name->field), ret_value)
                                              : expression_value_from(event_data(scope->event), name, arena, ret_value);
    }
}

/* ---- machines ---- */

static bool texts(const json_t *list, CelArena *arena, CelValue *ret_value)
{
    if (list != NULL)
        *ret_value = cel_from_json(list, arena);
    return list != NULL;
}

static bool vm_field(const Scope *scope, const CelName *name, CelArena *arena, CelValue *ret_value)
{
    EntityState *entity = vm_of(scope->engine, scope->entity);
    const VmState *vm = entity == NULL ? NULL : entity->vm;

    if (vm == NULL)
        return false;
    if (strcmp(name->field, "state") == 0)
        return text(entity->state, ret_value);
    if (strcmp(name->field, "memory_bytes") == 0)
        return vm->memory_bytes != 0 && number((int64_t) vm->memory_bytes, ret_value);
    if (strcmp(name->field, "vcpus") == 0)
        return vm->vcpus != 0 && number(vm->vcpus, ret_value);
    if (strcmp(name->field, "address") == 0)
        return text(vm->address, ret_value);
    if (strcmp(name->field, "reason") == 0)
        return text(vm->reason, ret_value);
    if (strcmp(name->field, "storage") == 0)
        return texts(vm->storage, arena, ret_value);
    return expression_value_from(scope->vm_samples != NULL ? scope->vm_samples : entity_samples(entity), name, arena, ret_value);
}

static bool host_field(const Scope *scope, const CelName *name, CelArena *arena, CelValue *ret_value)
{
    EntityState *entity = host_of(scope->engine, scope->entity);
    const HostState *host = entity == NULL ? NULL : entity->host;

    if (host == NULL)
        return false;
    if (strcmp(name->field, "state") == 0)
        return text(entity->state, ret_value);
    if (strcmp(name->field, "memory_bytes") == 0)
        return host->memory_bytes != 0 && number((int64_t) host->memory_bytes, ret_value);
    if (strcmp(name->field, "vcpus") == 0)
        return host->vcpus != 0 && number(host->vcpus, ret_value);
    if (strcmp(name->field, "rack") == 0 || strcmp(name->field, "power") == 0 || strcmp(name->field, "switch") == 0)
        return text(host_domain(scope->engine, entity, name->field), ret_value);
    if (strcmp(name->field, "storage") == 0)
        return texts(host->storage, arena, ret_value);
    if (strcmp(name->field, "labels") == 0)
        return texts(host->labels, arena, ret_value);
    return expression_value_from(scope->host_samples != NULL ? scope->host_samples : entity_samples(entity), name, arena, ret_value);
}

static bool window_field(const Scope *scope, NameTag tag, CelValue *ret_value)
{
    if (scope->window == NULL)
        return false;
    if (tag == NAME_WINDOW_COUNT)
        return number(scope->window->count, ret_value);
    *ret_value = cel_double(tag == NAME_WINDOW_AVERAGE ? scope->window->average : scope->window->last);
    return true;
}

static bool answer(const Scope *scope, const CelName *name, CelArena *arena, CelValue *ret_value)
{
    switch (name->tag) {
    case NAME_EVENT_KIND:
    case NAME_EVENT_STATE:
    case NAME_EVENT_SEVERITY:
    case NAME_EVENT_SOURCE:
    case NAME_EVENT_BOOTID:
    case NAME_EVENT_DATA:
        return event_field(scope, name, arena, ret_value);
    case NAME_VM_DATA:
        return vm_field(scope, name, arena, ret_value);
    case NAME_HOST_DATA:
        return host_field(scope, name, arena, ret_value);
    case NAME_WINDOW_COUNT:
    case NAME_WINDOW_AVERAGE:
    case NAME_WINDOW_LAST:
        return window_field(scope, (NameTag) name->tag, ret_value);
    default:
        return entity_field(scope, (NameTag) name->tag, arena, ret_value);
    }
}

/* Fifty rules ask an event for the same few names. What lies in an evaluation's arena is not kept. */
bool scope_look_up(const CelName *name, CelArena *arena, void *user, CelValue *ret_value)
{
    Scope *scope = user;
    uint32_t bit = UINT32_C(1) << (name->tag & 31);

    if (name->tag >= NAME_EVENT_DATA || name->tag == NAME_ENTITY_GROUP)
        return answer(scope, name, arena, ret_value);
    if (!(scope->asked & bit)) {
        scope->asked |= bit;
        if (answer(scope, name, arena, &scope->answers[name->tag]))
            scope->there |= bit;
    }
    *ret_value = scope->answers[name->tag];
    return (scope->there & bit) != 0;
}
