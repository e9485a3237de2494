/* Each call is introspected first: the types a service wants are known to nobody else, and a method that is not there gets the error the
 * original gave. What may be called, heard and read is said by rules; what may be looked at (paths, interfaces) are services that a rule
 * names, because to ask a service may start it. */
#include "agents/guest/matahari/dbus_bridge.h"

#include "agents/guest/matahari/dbus_job.h"
#include "agents/guest/matahari/dbus_rules.h"

#include <string.h>

#define THE_BUS      "org.freedesktop.DBus"
#define PATHS_MAX    1000
#define NAMES_MAX    10000
#define PATH_BYTES   512

static const char *argument(const DbusJob *job, const char *name)
{
    const char *text = value_get_string(qmf_call_arguments(job->call), name);

    return text != NULL ? text : "";
}

static void refuse(DbusJob *job)
{
    dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
}

static void deny(DbusJob *job)
{
    dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, MH_DENIED " (mend-guest --dbus-allow)");
}

/* ---- call ---- */

static void on_called(DbusJob *job, GVariant *reply)
{
    Value *results = dbus_job_results(job, reply);

    if (results != NULL)
        dbus_job_return(job, output("results", results));
}

static void on_introspected_for_call(DbusJob *job, GVariant *reply)
{
    GDBusNodeInfo *node = dbus_job_node(reply);
    GDBusInterfaceInfo *info = node != NULL ? g_dbus_node_info_lookup_interface(node, job->interface) : NULL;
    const char *name = argument(job, "method_name");
    GDBusMethodInfo *method = info != NULL ? g_dbus_interface_info_lookup_method(info, name) : NULL;
    const Value *args = value_get(qmf_call_arguments(job->call), "args");
    size_t n_wanted = method != NULL && method->in_args != NULL ? g_strv_length((char **) method->in_args) : 0;
    g_autofree char *text = NULL;

    if (info == NULL)
        text = g_strdup_printf("No such interface '%s' found on object '%s' with path '%s'", job->interface, job->bus, job->path);
    else if (method == NULL)
        text = g_strdup_printf("Unknown method '%s' on interface '%s'", name, job->interface);
    else if (n_wanted != value_size(args))
        text = g_strdup_printf("Wrong number of arguments (expected: %zu, found: %zu)", n_wanted, value_size(args));
    if (text != NULL)
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, text);
    else
        dbus_job_call_method(job, method, args, NULL, on_called);
    if (node != NULL)
        g_dbus_node_info_unref(node);
}

static void call_start(DbusJob *job)
{
    const char *method = argument(job, "method_name");

    if (!g_dbus_is_interface_name(job->interface) || !g_dbus_is_member_name(method))
        refuse(job);
    else if (!dbus_rules_allow(job->bridge->options.allowed, job->bus, job->interface, method))
        deny(job);
    else
        dbus_job_introspect(job, job->path, on_introspected_for_call);
}

/* ---- lists ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static void keep_names(DbusJob *job, GVariant *reply, bool only_well_known)
{
    g_autoptr(GVariant) names = g_variant_get_child_value(reply, 0);
    GVariantIter iter;
    const char *name;

    g_variant_iter_init(&iter, names);
    while (job->found->len < NAMES_MAX && g_variant_iter_loop(&iter, "&s", &name))
        if (!only_well_known || *name != ':')
            g_ptr_array_add(job->found, g_strdup(name));
}

static void on_activatable(DbusJob *job, GVariant *reply)
{
    Value *names = value_list();
    const char *before = "";

    keep_names(job, reply, true);
    g_ptr_array_sort(job->found, compare_names);
    for (guint i = 0; i < job->found->len; i++) {
        if (strcmp(before, job->found->pdata[i]) != 0)
            value_append(names, value_string(job->found->pdata[i]));
        before = job->found->pdata[i];
    }
    dbus_job_return(job, output("dbus_objects", names));
}

static void on_names(DbusJob *job, GVariant *reply)
{
    const DbusRequest request = {THE_BUS, "/org/freedesktop/DBus", THE_BUS, "ListActivatableNames", NULL, "(as)", 0};
    bool only_well_known = false;

    value_as_bool(value_get(qmf_call_arguments(job->call), "only_well_known"), &only_well_known);
    keep_names(job, reply, only_well_known);
    dbus_job_ask(job, &request, on_activatable, g_strdup("Unable to call DBus method: "));
}

static void next_path(DbusJob *job);

static char *path_below(const char *path, const char *name)
{
    return g_strconcat(path, strcmp(path, "/") == 0 ? "" : "/", name, NULL);
}

/* Depth first, children before their parent, as the original answers: found from the end. */
static void on_path(DbusJob *job, GVariant *reply)
{
    GDBusNodeInfo *node = reply != NULL ? dbus_job_node(reply) : NULL;
    g_autofree char *path = g_queue_pop_head(&job->paths);

    if (node != NULL) {
        for (GDBusNodeInfo **child = node->nodes; child != NULL && *child != NULL; child++) {
            g_autofree char *below = (*child)->path != NULL ? path_below(path, (*child)->path) : NULL;

            if (below != NULL && g_variant_is_object_path(below) && g_queue_get_length(&job->paths) < PATHS_MAX)
                g_queue_push_head(&job->paths, g_steal_pointer(&below));
        }
        if (node->interfaces != NULL && node->interfaces[0] != NULL)
            g_ptr_array_add(job->found, g_steal_pointer(&path));
        g_dbus_node_info_unref(node);
    }
    next_path(job);
}

static void next_path(DbusJob *job)
{
    Value *paths;

    if (!g_queue_is_empty(&job->paths) && job->n_asked < PATHS_MAX) {
        dbus_job_introspect(job, g_queue_peek_head(&job->paths), on_path);
        return;
    }
    paths = value_list();
    for (guint i = job->found->len; i > 0; i--)
        value_append(paths, value_string(job->found->pdata[i - 1]));
    dbus_job_return(job, output("object_paths", paths));
}

static void list_paths(DbusJob *job)
{
    job->failed = on_path; /* an object that cannot be asked has no interfaces */
    g_queue_push_head(&job->paths, g_strdup("/"));
    next_path(job);
}

static void on_interfaces(DbusJob *job, GVariant *reply)
{
    GDBusNodeInfo *node = reply != NULL ? dbus_job_node(reply) : NULL;
    Value *interfaces = value_list();

    for (GDBusInterfaceInfo **info = node != NULL ? node->interfaces : NULL; info != NULL && *info != NULL; info++)
        value_append(interfaces, value_string((*info)->name));
    if (node != NULL)
        g_dbus_node_info_unref(node);
    dbus_job_return(job, output("interfaces", interfaces));
}

/* ---- the class ---- */

static void list_names(DbusJob *job)
{
    const DbusRequest request = {THE_BUS, "/org/freedesktop/DBus", THE_BUS, "ListNames", NULL, "(as)", 0};

    dbus_job_ask(job, &request, on_names, g_strdup("Unable to call DBus method: "));
}

static void on_method(QmfCall *call, void *user)
{
    DbusBridge *bridge = user;
    const char *method = qmf_call_method(call);
    bool by_bus = strcmp(method, "list_object_paths") == 0, names = strcmp(method, "list_dbus_objects") == 0;
    DbusJob *job = dbus_job_new(bridge, call);

    if (job == NULL)
        return;
    job->bus = argument(job, "bus_name");
    job->path = argument(job, "object_path");
    job->interface = argument(job, "interface");
    if (names)
        list_names(job);
    else if (!g_dbus_is_name(job->bus) || strlen(job->bus) > PATH_BYTES || strlen(job->path) > PATH_BYTES || (!by_bus && !g_variant_is_object_path(job->path)))
        refuse(job);
    else if (!dbus_rules_know(bridge->options.allowed, job->bus))
        deny(job);
    else if (by_bus)
        list_paths(job);
    else if (strcmp(method, "call") == 0)
        call_start(job);
    else if (strcmp(method, "add_dbus_object") == 0)
        dbus_add_start(job);
    else {
        job->failed = on_interfaces;
        dbus_job_introspect(job, job->path, on_interfaces);
    }
}

DbusBridge *dbus_bridge_new(const ClassContext *context, const DbusBridgeOptions *options, GError **error)
{
    DbusBridge *bridge;

    if (!dbus_rules_check(options->allowed, error)) {
        g_prefix_error(error, "--dbus-allow: ");
        return NULL;
    }
    bridge = g_new0(DbusBridge, 1);
    *bridge = (DbusBridge){.context = context, .options = *options, .link = dbus_link_new(options->address),
                           .objects = g_ptr_array_new_with_free_func((GDestroyNotify) dbus_object_free)};
    bridge->object = matahari_object(context, "DBusBridge", on_method, bridge);
    return bridge;
}

void dbus_bridge_set_online(DbusBridge *bridge, bool online)
{
    if (bridge != NULL)
        bridge->online = online;
}

void dbus_bridge_free(DbusBridge *bridge)
{
    if (bridge == NULL)
        return;
    while (bridge->jobs != NULL)
        dbus_job_raise(bridge->jobs->data, COMMAND_ERROR_INTERRUPTED, "the agent stops");
    g_ptr_array_unref(bridge->objects);
    dbus_link_free(bridge->link);
    qmf_agent_remove_object(bridge->context->agent, bridge->object);
    g_free(bridge);
}
