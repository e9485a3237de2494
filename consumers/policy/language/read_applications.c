/* Applications: VMs, services, what comes after what. Nodes of the graph are written short ("php", "db") and kept whole ("web/php"). */
#include "consumers/policy/language/loader.h"

#include "lib/base/settings.h"
#include "lib/base/uuid.h"

#include <string.h>

static AppVm *vm_named(const Application *application, const char *name)
{
    for (guint i = 0; i < application->vms->len; i++) {
        AppVm *vm = application->vms->pdata[i];

        if (g_strcmp0(vm->name, name) == 0)
            return vm;
    }
    return NULL;
}

static void read_parameters(Loader *l, const YamlNode *node, AppService *service)
{
    if (node->kind != YAML_MAP)
        complain(l, node, "parameters is a map of names to texts, numbers, true or false");
    for (size_t i = 0; node->kind == YAML_MAP && i < yaml_size(node); i++)
        if (yaml_at(node, i)->kind != YAML_SCALAR)
            complain(l, yaml_at(node, i), "parameters: %s: a text, a number, true or false is wanted", yaml_key(node, i));
    if (strcmp(service->standard, "ocf") != 0)
        complain(l, node, "parameters: only OCF agents take any; service %s is %s", service->name, service->standard);
    service->parameters = yaml_to_json(node);
}

static void read_service(Loader *l, const YamlNode *node, AppVm *vm)
{
    const YamlNode *parameters = yaml_get(node, "parameters");
    AppService *service = app_service_new(NULL);

    if (!read_fields(l, node, &section_service, service) || service->name == NULL) {
        app_service_free(service);
        return;
    }
    if (app_vm_service(vm, service->name) != NULL)
        complain(l, yaml_get(node, "name"), "a service named \"%s\" stands above already in VM %s", service->name, vm->name);
    if (parameters != NULL)
        read_parameters(l, parameters, service);
    loader_place(l, service, node);
    g_ptr_array_add(vm->services, service);
}

static void read_match(Loader *l, const YamlNode *node, AppVm *vm)
{
    const YamlNode *match = yaml_get(node, "match");
    g_autofree char *id = vm->match_id == NULL ? NULL : uuid_canonical(vm->match_id);

    if (match == NULL)
        vm->match_name = g_strdup(vm->name);
    else if (match->kind == YAML_MAP && yaml_size(match) == 0)
        complain(l, match, "match: a name or an id is wanted");
    if (vm->match_id != NULL && id == NULL)
        warn(l, yaml_get(match, "id"), "id: \"%s\" is no UUID, and VMs have one", vm->match_id);
}

static void read_vm(Loader *l, const YamlNode *node, Application *application)
{
    const YamlNode *services = yaml_get(node, "services"), *defaults = yaml_get(node, "defaults");
    AppVm *vm = app_vm_new(NULL);

    if (!read_fields(l, node, &section_vm, vm) || vm->name == NULL) {
        app_vm_free(vm);
        return;
    }
    if (strchr(vm->name, '/') != NULL)
        complain(l, yaml_get(node, "name"), "name: \"%s\": a / stands between VM and service, it cannot stand in a VM's name", vm->name);
    if (vm_named(application, vm->name) != NULL)
        complain(l, yaml_get(node, "name"), "a VM named \"%s\" stands above already", vm->name);
    read_match(l, node, vm);
    loader_place(l, vm, node);
    g_ptr_array_add(application->vms, vm);
    if (defaults != NULL)
        read_service_defaults(l, defaults);
    if (services != NULL && read_is_list(l, services, "services"))
        for (size_t i = 0; i < yaml_size(services); i++)
            read_service(l, yaml_at(services, i), vm);
}

void read_vm_defaults(Loader *l, const YamlNode *node)
{
    AppVm *scratch = app_vm_new(NULL);

    read_some_fields(l, node, &section_vm_defaults, scratch);
    app_vm_free(scratch);
}

void read_service_defaults(Loader *l, const YamlNode *node)
{
    AppService *scratch = app_service_new(NULL);

    read_some_fields(l, node, &section_service, scratch);
    app_service_free(scratch);
}

/* VM keys, and service: {…}. */
static void read_application_defaults(Loader *l, const YamlNode *node)
{
    AppVm *scratch = app_vm_new(NULL);

    read_some_fields(l, node, &section_vm_defaults, scratch);
    app_vm_free(scratch);
    if (yaml_get(node, "service") != NULL)
        read_service_defaults(l, yaml_get(node, "service"));
}

/* --- the graph's nodes --- */

static void complain_node(Loader *l, const YamlNode *at, const char *key, const Application *application, const char *text)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < application->vms->len; i++) {
        const AppVm *vm = application->vms->pdata[i];

        g_ptr_array_add(known, g_strdup(vm->name));
        for (guint k = 0; k < vm->services->len; k++)
            g_ptr_array_add(known, g_strdup_printf("%s/%s", vm->name, ((AppService *) vm->services->pdata[k])->name));
    }
    g_ptr_array_add(known, NULL);
    const char *near = nearest_word(text, (const char *const *) known->pdata);
    if (near != NULL)
        complain(l, at, "%s: application %s has no \"%s\", did you mean \"%s\"?", key, application->name, text, near);
    else
        complain(l, at, "%s: application %s has no \"%s\": a VM of it or VM/SERVICE is wanted", key, application->name, text);
}

/* The whole name of what @text means for @vm (a service of it when @of_service); NULL: nothing of the application. */
static char *node_of(const Application *application, const AppVm *vm, bool of_service, const char *text)
{
    const char *slash = strchr(text, '/');
    g_autofree char *first = slash == NULL ? g_strdup(text) : g_strndup(text, (size_t) (slash - text));
    const AppVm *other = vm_named(application, first);

    if (slash == NULL && of_service && app_vm_service(vm, text) != NULL)
        return g_strdup_printf("%s/%s", vm->name, text);
    if (other == NULL || (slash != NULL && other->services->len > 0 && app_vm_service(other, slash + 1) == NULL))
        return NULL;
    return g_strdup(text);
}

static void resolve_nodes(Loader *l, const Application *application, const AppVm *vm, const AppService *service, const char *key, GPtrArray *nodes)
{
    const YamlNode *list = yaml_get(loader_place_of(l, service != NULL ? (const void *) service : vm), key);
    g_autofree char *self = service == NULL ? g_strdup(vm->name) : g_strdup_printf("%s/%s", vm->name, service->name);

    for (guint i = 0; i < nodes->len; i++) {
        char *whole = node_of(application, vm, service != NULL, nodes->pdata[i]);
        const YamlNode *at = yaml_at(list, i) == NULL ? list : yaml_at(list, i);

        if (whole == NULL) {
            complain_node(l, at, key, application, nodes->pdata[i]);
            continue;
        }
        if (strcmp(whole, self) == 0)
            complain(l, at, "%s: %s cannot come after itself", key, self);
        else if (service != NULL && strcmp(whole, vm->name) == 0)
            warn(l, at, "%s: a service comes after its VM by itself", key);
        g_free(nodes->pdata[i]);
        nodes->pdata[i] = whole;
    }
}

static void resolve_application(Loader *l, const Application *application)
{
    for (guint i = 0; i < application->vms->len; i++) {
        const AppVm *vm = application->vms->pdata[i];

        resolve_nodes(l, application, vm, NULL, "after", vm->after);
        resolve_nodes(l, application, vm, NULL, "needs", vm->needs);
        for (guint k = 0; k < vm->services->len; k++) {
            const AppService *service = vm->services->pdata[k];

            resolve_nodes(l, application, vm, service, "after", service->after);
            resolve_nodes(l, application, vm, service, "needs", service->needs);
        }
    }
}

static bool application_known(const Policy *policy, const char *name)
{
    for (guint i = 0; i < policy->applications->len; i++)
        if (strcmp(((Application *) policy->applications->pdata[i])->name, name) == 0)
            return true;
    return false;
}

static void read_application(Loader *l, const YamlNode *node)
{
    const YamlNode *vms = yaml_get(node, "vms"), *defaults = yaml_get(node, "defaults");
    Application *application = application_new(NULL);

    if (!read_fields(l, node, &section_application, application) || application->name == NULL) {
        application_free(application);
        return;
    }
    if (application_known(l->policy, application->name))
        complain(l, yaml_get(node, "name"), "an application named \"%s\" stands above already", application->name);
    loader_place(l, application, node);
    g_ptr_array_add(l->policy->applications, application);
    if (defaults != NULL)
        read_application_defaults(l, defaults);
    if (vms != NULL && read_is_list(l, vms, "vms"))
        for (size_t i = 0; i < yaml_size(vms); i++)
            read_vm(l, yaml_at(vms, i), application);
    resolve_application(l, application);
}

void read_applications(Loader *l, const YamlNode *root)
{
    read_each(l, yaml_get(root, "applications"), "applications", read_application);
}
