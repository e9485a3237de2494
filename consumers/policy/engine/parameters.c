/* Parameters of a service that name another VM of its application: ${vm.NAME.address}, ${vm.NAME.hostname}. They are filled in when the
 * command is made, for an address may be another one after the VM was moved. */
#include "consumers/policy/engine/engine_private.h"

#include <string.h>

static const AppVm *vm_named(const Application *app, const char *name, size_t length)
{
    for (guint i = 0; i < app->vms->len; i++) {
        const AppVm *vm = app->vms->pdata[i];

        if (strlen(vm->name) == length && memcmp(vm->name, name, length) == 0)
            return vm;
    }
    return NULL;
}

/* @reference: "vm.db.address". NULL: not known now. */
static const char *reference_value(Engine *engine, const Application *app, const char *reference, size_t length)
{
    const char *dot = length > 3 && memcmp(reference, "vm.", 3) == 0 ? g_strrstr_len(reference, (gssize) length, ".") : NULL;
    const AppVm *vm = dot == NULL || dot <= reference + 2 ? NULL : vm_named(app, reference + 3, (size_t) (dot - reference - 3));
    const EntityState *entity = vm == NULL ? NULL : entity_of_app_vm(engine, vm);
    size_t field = dot == NULL ? 0 : length - (size_t) (dot + 1 - reference);

    if (vm == NULL)
        return NULL;
    if (field == 7 && memcmp(dot + 1, "address", 7) == 0)
        return entity == NULL ? NULL : entity->vm->address;
    if (field == 8 && memcmp(dot + 1, "hostname", 8) == 0)
        return entity != NULL && entity->hostname != NULL ? entity->hostname : vm->match_name;
    return NULL;
}

/* NULL: *ret_missing (transfer full) is not known. */
static char *fill_in(Engine *engine, const Application *app, const char *text, char **ret_missing)
{
    g_autoptr(GString) filled = g_string_new(NULL);

    for (const char *open, *close; (open = strstr(text, "${")) != NULL && (close = strchr(open, '}')) != NULL; text = close + 1) {
        const char *value = reference_value(engine, app, open + 2, (size_t) (close - open - 2));

        if (value == NULL) {
            *ret_missing = g_strndup(open, (gsize) (close + 1 - open));
            return NULL;
        }
        g_string_append_len(filled, text, open - text);
        g_string_append(filled, value);
    }
    g_string_append(filled, text);
    return g_strdup(filled->str);
}

bool service_parameters(Engine *engine, const EntityState *service, json_t **ret_parameters, char **ret_missing)
{
    const char *vm_id = entity_id(service), *slash = strchr(vm_id, '/');
    g_autofree char *id = g_strndup(vm_id, slash == NULL ? 0 : (gsize) (slash - vm_id));
    const Application *app = NULL;
    const AppVm *vm = policy_vm(engine->policy, id, service->hostname, &app);
    const AppService *info = vm == NULL || slash == NULL ? NULL : app_vm_service(vm, slash + 1);
    g_autoptr(json_t) parameters = NULL;
    const char *name;
    json_t *value;

    *ret_parameters = NULL;
    if (info == NULL || json_object_size(info->parameters) == 0)
        return true;
    parameters = json_object();
    json_object_foreach(info->parameters, name, value) {
        g_autofree char *text = json_is_string(value) ? g_strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
        g_autofree char *filled = fill_in(engine, app, text, ret_missing);

        if (filled == NULL)
            return false;
        json_object_set_new(parameters, name, json_string(filled));
    }
    *ret_parameters = g_steal_pointer(&parameters);
    return true;
}
