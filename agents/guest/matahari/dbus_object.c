/* The original heard a signal from anybody on the bus who used the interface's name; here it must come from the service and the object that
 * were bridged. Its properties were read once; here PropertiesChanged keeps them true. A signal is an event of severity informational (the
 * original said critical of every one). */
#include "agents/guest/matahari/dbus_object.h"

#include "agents/guest/matahari/dbus_rules.h"
#include "agents/guest/matahari/dbus_value.h"
#include "agents/guest/matahari/schema_made.h"

#include "lib/base/log.h"

#include <string.h>

#define PROPERTIES "org.freedesktop.DBus.Properties"

struct DbusObject {
    DbusObjectOptions options;
    char *bus, *path, *package;
    GDBusInterfaceInfo *info;
    QmfObject *object;
    GHashTable *events; /* member -> QmfClass; those that are allowed */
    DbusSignals *signals, *changes;
};

char *dbus_object_name(const char *bus, const char *path, const char *interface)
{
    return g_strconcat(bus, "@", path, "@", interface, NULL);
}

char *dbus_output_name(const GDBusMethodInfo *method, size_t i)
{
    const char *name = method->out_args[i]->name;

    for (GDBusArgInfo **in = method->in_args; in != NULL && *in != NULL; in++)
        if (strcmp((*in)->name, name) == 0)
            return g_strconcat(name, "_out", NULL);
    return g_strdup(name);
}

/* ---- schema ---- */

static void add_method(SchemaMade *schema, const GDBusMethodInfo *method)
{
    Value *arguments = value_list();

    for (size_t i = 0; method->in_args != NULL && method->in_args[i] != NULL; i++)
        schema_add(arguments, method->in_args[i]->name, qmf_type_of_dbus(method->in_args[i]->signature), "I", "RW",
                   method->in_args[i]->signature);
    for (size_t i = 0; method->out_args != NULL && method->out_args[i] != NULL; i++) {
        g_autofree char *name = dbus_output_name(method, i);

        schema_add(arguments, name, qmf_type_of_dbus(method->out_args[i]->signature), "O", "RW", method->out_args[i]->signature);
    }
    schema_add_method(schema, method->name, NULL, arguments);
}

static void add_accessors(SchemaMade *schema, const GDBusInterfaceInfo *info)
{
    bool writable = false;
    Value *arguments;

    for (GDBusPropertyInfo **p = info->properties; p != NULL && *p != NULL; p++)
        writable = writable || ((*p)->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE) != 0;
    if (g_dbus_interface_info_lookup_method((GDBusInterfaceInfo *) info, "Get") == NULL) {
        arguments = value_list();
        schema_add(arguments, "values", QMF_TYPE_MAP, "O", "RW", "All properties by name");
        schema_add_method(schema, "Get", "Reads the properties", arguments);
    }
    if (writable && g_dbus_interface_info_lookup_method((GDBusInterfaceInfo *) info, "Set") == NULL) {
        arguments = value_list();
        schema_add(arguments, "values", QMF_TYPE_MAP, "I", "RW", "Properties by name");
        schema_add_method(schema, "Set", "Writes properties", arguments);
    }
}

static const QmfClass *make_class(const DbusObject *object)
{
    const GDBusInterfaceInfo *info = object->info;
    SchemaMade schema = schema_made(object->package, info->name, false);

    for (GDBusMethodInfo **method = info->methods; method != NULL && *method != NULL; method++)
        add_method(&schema, *method);
    for (GDBusPropertyInfo **p = info->properties; p != NULL && *p != NULL; p++)
        schema_add(schema.properties, (*p)->name, qmf_type_of_dbus((*p)->signature), "I",
                   ((*p)->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE) != 0 ? "RW" : "RO", (*p)->signature);
    add_accessors(&schema, info);
    return schema_end(&schema, object->options.context);
}

static void make_event(DbusObject *object, const GDBusSignalInfo *signal)
{
    g_autofree char *name = g_strconcat(object->info->name, ".", signal->name, NULL);
    SchemaMade schema = schema_made(object->package, name, true);
    const QmfClass *class;

    for (GDBusArgInfo **argument = signal->args; argument != NULL && *argument != NULL; argument++)
        schema_add(schema.properties, (*argument)->name, qmf_type_of_dbus((*argument)->signature), "I", "RO", (*argument)->signature);
    class = schema_end(&schema, object->options.context);
    if (class == NULL)
        return;
    qmf_agent_add_class(object->options.context->agent, class);
    g_hash_table_insert(object->events, signal->name, (void *) class);
}

/* ---- what the service tells ---- */

static void on_signal(const char *member, GVariant *arguments, void *user)
{
    DbusObject *object = user;
    const QmfClass *class = g_hash_table_lookup(object->events, member);
    g_autoptr(Value) values = value_map();
    g_autoptr(GError) error = NULL;

    if (class == NULL || !object->options.may_raise(object->options.user))
        return;
    for (size_t i = 0; i < class->n_properties && i < g_variant_n_children(arguments); i++) {
        g_autoptr(GVariant) argument = g_variant_get_child_value(arguments, i);
        Value *value = value_from_variant(argument, &error);

        if (value == NULL) {
            log_warning("signal %s.%s of %s: %s", object->info->name, member, object->bus, error->message);
            return;
        }
        value_set(values, class->properties[i].name, value);
    }
    qmf_agent_raise_event(object->options.context->agent, class, -1, g_steal_pointer(&values));
}

void dbus_object_show(DbusObject *object, GVariant *properties)
{
    GVariantIter iter;
    const char *name;
    GVariant *inner;

    g_variant_iter_init(&iter, properties);
    while (g_variant_iter_loop(&iter, "{&sv}", &name, &inner)) {
        Value *value = g_dbus_interface_info_lookup_property(object->info, name) != NULL ? value_from_variant(inner, NULL) : NULL;

        if (value != NULL)
            qmf_object_set(object->object, name, value);
    }
}

static void on_changed(const char *member, GVariant *arguments, void *user)
{
    g_autoptr(GVariant) properties = NULL;

    if (strcmp(member, "PropertiesChanged") != 0 || !g_variant_is_of_type(arguments, G_VARIANT_TYPE("(sa{sv}as)")))
        return;
    properties = g_variant_get_child_value(arguments, 1);
    dbus_object_show(user, properties);
}

static void listen(DbusObject *object)
{
    const DbusObjectOptions *o = &object->options;
    bool shown = dbus_rules_allow(o->rules, object->bus, object->info->name, "Get");

    for (GDBusSignalInfo **signal = object->info->signals; signal != NULL && *signal != NULL; signal++)
        if (dbus_rules_allow(o->rules, object->bus, object->info->name, (*signal)->name))
            make_event(object, *signal);
    if (g_hash_table_size(object->events) > 0)
        object->signals = dbus_signals(o->link, object->bus, object->path, object->info->name, NULL, on_signal, object);
    if (shown && object->info->properties != NULL && object->info->properties[0] != NULL)
        object->changes = dbus_signals(o->link, object->bus, object->path, PROPERTIES, object->info->name, on_changed, object);
}

DbusObject *dbus_object_new(const DbusObjectOptions *options)
{
    g_autofree char *name = dbus_object_name(options->bus, options->path, options->info->name);
    DbusObject *object = g_new0(DbusObject, 1);
    const QmfClass *class;

    object->options = *options;
    object->bus = g_strdup(options->bus);
    object->path = g_strdup(options->path);
    object->package = g_strconcat(options->bus, "@", options->path, NULL);
    object->info = g_dbus_interface_info_ref(options->info);
    object->events = g_hash_table_new(g_str_hash, g_str_equal);
    object->options.bus = object->bus;
    object->options.path = object->path;
    class = make_class(object);
    if (class == NULL) {
        dbus_object_free(object);
        return NULL;
    }
    qmf_agent_on_method(options->context->agent, class, options->on_method, options->method_user);
    object->object = qmf_agent_add_object(options->context->agent, class, name, value_map());
    listen(object);
    return object;
}

void dbus_object_free(DbusObject *object)
{
    if (object == NULL)
        return;
    dbus_signals_free(object->signals);
    dbus_signals_free(object->changes);
    if (object->object != NULL)
        qmf_agent_remove_object(object->options.context->agent, object->object);
    g_hash_table_unref(object->events);
    g_dbus_interface_info_unref(object->info);
    g_free(object->bus);
    g_free(object->path);
    g_free(object->package);
    g_free(object);
}

const char *dbus_object_bus(const DbusObject *object)
{
    return object->bus;
}

const char *dbus_object_path(const DbusObject *object)
{
    return object->path;
}

const GDBusInterfaceInfo *dbus_object_info(const DbusObject *object)
{
    return object->info;
}

const char *dbus_object_qmf_name(const DbusObject *object)
{
    return qmf_object_name(object->object);
}
