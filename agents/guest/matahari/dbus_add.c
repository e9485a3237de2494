/* Objects that were added stay until the agent ends, as with the original; there is room for OBJECTS_MAX of them. */
#include "agents/guest/matahari/dbus_job.h"

#include "agents/guest/matahari/dbus_rules.h"
#include "agents/guest/matahari/dbus_value.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define PROPERTIES   "org.freedesktop.DBus.Properties"
#define OBJECTS_MAX  64
#define EVENTS_MAX   200 /* in a window */
#define WINDOW_US    (10 * US_PER_S)
#define SET_MAX      64 /* properties in one call */

static bool allowed(const DbusBridge *bridge, const char *bus, const char *interface, const char *member)
{
    return dbus_rules_allow(bridge->options.allowed, bus, interface, member);
}

/* A service that signals without end must not fill the bus. */
static bool may_raise(void *user)
{
    DbusBridge *bridge = user;
    int64_t now_us = clock_now_us();

    if (now_us - bridge->window_us >= WINDOW_US) {
        if (bridge->n_dropped > 0)
            log_warning("the D-Bus bridge dropped %u signals, more than %d in 10 s", bridge->n_dropped, EVENTS_MAX);
        bridge->window_us = now_us;
        bridge->n_events = bridge->n_dropped = 0;
    }
    if (!bridge->online || bridge->n_events >= EVENTS_MAX) {
        bridge->n_dropped += bridge->online;
        return false;
    }
    bridge->n_events++;
    return true;
}

static DbusObject *find(const DbusBridge *bridge, const char *name)
{
    for (guint i = 0; i < bridge->objects->len; i++)
        if (strcmp(dbus_object_qmf_name(bridge->objects->pdata[i]), name) == 0)
            return bridge->objects->pdata[i];
    return NULL;
}

/* ---- add_dbus_object ---- */

static void next_object(DbusJob *job);

static void on_all(DbusJob *job, GVariant *reply)
{
    g_autoptr(GVariant) properties = reply != NULL ? g_variant_get_child_value(reply, 0) : NULL;

    job->failed = NULL;
    if (properties != NULL)
        dbus_object_show(job->object, properties);
    next_object(job);
}

static void get_all(DbusJob *job, const char *interface, DbusStep step, char *problem)
{
    const DbusRequest request = {job->bus, job->path, PROPERTIES, "GetAll", g_variant_new("(s)", interface), "(a{sv})", 0};

    dbus_job_ask(job, &request, step, problem);
}

/* False: there is no more room, or it cannot be shown; the call is raised. */
static bool add_object(DbusJob *job, GDBusInterfaceInfo *info)
{
    DbusBridge *bridge = job->bridge;
    const DbusObjectOptions options = {.context = bridge->context, .link = bridge->link, .rules = bridge->options.allowed, .bus = job->bus,
                                       .path = job->path, .info = info, .on_method = dbus_on_object_method, .method_user = bridge,
                                       .may_raise = may_raise, .user = bridge};
    DbusObject *object = bridge->objects->len < OBJECTS_MAX ? dbus_object_new(&options) : NULL;

    if (object == NULL) {
        dbus_job_raise(job, COMMAND_ERROR_FAILED,
                       bridge->objects->len < OBJECTS_MAX ? "the interface has too many members" : "no more D-Bus objects are taken");
        return false;
    }
    g_ptr_array_add(bridge->objects, object);
    job->object = object;
    return true;
}

static void next_object(DbusJob *job)
{
    while (job->i < job->infos->len) {
        GDBusInterfaceInfo *info = job->infos->pdata[job->i++];
        g_autofree char *name = dbus_object_name(job->bus, job->path, info->name);

        if (find(job->bridge, name) != NULL)
            continue;
        if (!add_object(job, info))
            return;
        if (info->properties == NULL || info->properties[0] == NULL || !allowed(job->bridge, job->bus, info->name, "Get"))
            continue;
        job->failed = on_all; /* without their values it is still an object */
        get_all(job, info->name, on_all, g_strdup(""));
        return;
    }
    dbus_job_return(job, output("result", value_int(VALUE_INT64, 0)));
}

/* Something of it may be used. */
static bool is_useful(const DbusBridge *bridge, const char *bus, const GDBusInterfaceInfo *info)
{
    bool useful = allowed(bridge, bus, info->name, "Get") || allowed(bridge, bus, info->name, "Set");

    for (GDBusMethodInfo **method = info->methods; method != NULL && *method != NULL; method++)
        useful = useful || allowed(bridge, bus, info->name, (*method)->name);
    for (GDBusSignalInfo **signal = info->signals; signal != NULL && *signal != NULL; signal++)
        useful = useful || allowed(bridge, bus, info->name, (*signal)->name);
    return useful;
}

static bool is_wanted(const DbusJob *job, const char *interface)
{
    if (*job->interface != '\0')
        return strcmp(job->interface, interface) == 0;
    return strcmp(interface, PROPERTIES) != 0 && strcmp(interface, "org.freedesktop.DBus.Introspectable") != 0;
}

static void on_introspected(DbusJob *job, GVariant *reply)
{
    GDBusNodeInfo *node = dbus_job_node(reply);
    bool found = false;

    for (GDBusInterfaceInfo **info = node != NULL ? node->interfaces : NULL; info != NULL && *info != NULL; info++) {
        if (!is_wanted(job, (*info)->name))
            continue;
        found = true;
        if (is_useful(job->bridge, job->bus, *info))
            g_ptr_array_add(job->infos, g_dbus_interface_info_ref(*info));
    }
    if (node != NULL)
        g_dbus_node_info_unref(node);
    if (job->infos->len > 0) {
        next_object(job);
    } else if (found) {
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, MH_DENIED " (mend-guest --dbus-allow)");
    } else {
        g_autofree char *text = g_strdup_printf("No such interface '%s' found on object '%s' with path '%s'", job->interface, job->bus, job->path);

        dbus_job_raise(job, COMMAND_ERROR_NOT_FOUND, text);
    }
}

void dbus_add_start(DbusJob *job)
{
    if (*job->interface != '\0' && !g_dbus_is_interface_name(job->interface))
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
    else
        dbus_job_introspect(job, job->path, on_introspected);
}

/* ---- methods of bridged objects ---- */

static void on_values(DbusJob *job, GVariant *reply)
{
    g_autoptr(GVariant) properties = g_variant_get_child_value(reply, 0);
    g_autoptr(Value) pairs = dbus_job_results(job, properties);
    Value *values;

    if (pairs == NULL)
        return;
    values = value_map();
    for (size_t i = 0; i < value_size(pairs); i++) {
        const char *name = value_as_string(value_at(value_at(pairs, i), 0));

        if (g_dbus_interface_info_lookup_property((GDBusInterfaceInfo *) dbus_object_info(job->object), name) != NULL)
            value_set(values, name, value_ref((Value *) value_at(value_at(pairs, i), 1)));
    }
    dbus_object_show(job->object, properties);
    dbus_job_return(job, output("values", values));
}

/* NULL: raised. */
static GVariant *next_value(DbusJob *job, const char **ret_name)
{
    const Value *value = NULL;
    g_autoptr(GError) error = NULL;
    const GDBusPropertyInfo *property;
    GVariant *variant;

    value_entry(value_get(qmf_call_arguments(job->call), "values"), job->i, ret_name, &value);
    property = g_dbus_interface_info_lookup_property((GDBusInterfaceInfo *) dbus_object_info(job->object), *ret_name);
    if (property == NULL) {
        g_autofree char *text = g_strdup_printf("No such property '%.255s' on interface '%s'", *ret_name, job->interface);

        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, text);
        return NULL;
    }
    variant = variant_from_value(value, G_VARIANT_TYPE(property->signature), &error);
    if (variant == NULL) {
        g_prefix_error(&error, MH_INVALID_ARGUMENTS ": %s: ", *ret_name);
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, error->message);
    }
    return variant;
}

static void set_next(DbusJob *job, GVariant *unused)
{
    const char *name = NULL;
    GVariant *variant;

    if (job->i >= value_size(value_get(qmf_call_arguments(job->call), "values"))) {
        dbus_job_return(job, NULL);
        return;
    }
    variant = next_value(job, &name);
    if (variant == NULL)
        return;
    const DbusRequest request = {job->bus, job->path, PROPERTIES, "Set", g_variant_new("(ssv)", job->interface, name, variant), "()", 0};
    job->i++;
    dbus_job_ask(job, &request, set_next, g_strdup("Unable to call DBus method: "));
}

static void on_object_called(DbusJob *job, GVariant *reply)
{
    const GDBusMethodInfo *method =
        g_dbus_interface_info_lookup_method((GDBusInterfaceInfo *) dbus_object_info(job->object), qmf_call_method(job->call));
    size_t n_wanted = method->out_args != NULL ? g_strv_length((char **) method->out_args) : 0;
    g_autoptr(Value) results = dbus_job_results(job, reply);
    Value *outputs;

    if (results == NULL)
        return;
    if (value_size(results) != n_wanted) {
        g_autofree char *text = g_strdup_printf("Method returns different number of return arguments (expected: %zu, got: %zu)", n_wanted,
                                                value_size(results));

        dbus_job_raise(job, COMMAND_ERROR_FAILED, text);
        return;
    }
    outputs = value_map();
    for (size_t i = 0; i < n_wanted; i++) {
        g_autofree char *name = dbus_output_name(method, i);

        value_set(outputs, name, value_ref((Value *) value_at(results, i)));
    }
    dbus_job_return(job, outputs);
}

void dbus_on_object_method(QmfCall *call, void *user)
{
    DbusBridge *bridge = user;
    const char *name = qmf_call_method(call);
    DbusJob *job = dbus_job_new(bridge, call);
    const GDBusInterfaceInfo *info;
    const GDBusMethodInfo *method;

    if (job == NULL)
        return;
    job->object = find(bridge, qmf_object_name(qmf_call_object(call)));
    info = dbus_object_info(job->object);
    job->bus = dbus_object_bus(job->object);
    job->path = dbus_object_path(job->object);
    job->interface = info->name;
    method = g_dbus_interface_info_lookup_method((GDBusInterfaceInfo *) info, name);
    if (!allowed(bridge, job->bus, job->interface, name))
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, MH_DENIED " (mend-guest --dbus-allow)");
    else if (method != NULL)
        dbus_job_call_method(job, method, NULL, qmf_call_arguments(call), on_object_called);
    else if (strcmp(name, "Get") == 0)
        get_all(job, job->interface, on_values, g_strdup("Unable to call DBus method: "));
    else if (value_size(value_get(qmf_call_arguments(call), "values")) > SET_MAX)
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
    else
        set_next(job, NULL);
}
