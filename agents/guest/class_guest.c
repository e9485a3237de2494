/* Class org.matahariproject.mend:Guest: commands on watched services, and what is watched. */
#include "agents/guest/classes.h"

#include "lib/base/clock.h"

#include <string.h>

#define TIMEOUT_MAX_US (24 * US_PER_HOUR)

struct GuestClass {
    const ClassContext *context;
    QmfObject *object;
};

typedef struct Action {
    const ClassContext *context;
    QmfCall *call;
} Action;

static const char *error_of(int rc)
{
    switch (rc) {
    case OCF_OK: return NULL;
    case OCF_TIMEOUT: return COMMAND_ERROR_TIMEOUT;
    case OCF_CONNECTION_DIED: return COMMAND_ERROR_UNREACHABLE;
    default: return COMMAND_ERROR_FAILED;
    }
}

static void on_acted(Service *service, int rc, const char *text, void *user)
{
    g_autofree Action *action = user;
    const ServiceReport *report = service_report(service);
    Value *outputs;

    if (rc == OCF_CANCELLED) {
        command_gate_raise(action->context->gate, action->call, COMMAND_ERROR_INTERRUPTED, text);
        return;
    }
    outputs = value_map();
    value_set(outputs, "rc", value_int(VALUE_INT32, rc));
    value_set(outputs, "state", value_string(service_state_name(report->state)));
    value_set(outputs, "pid", value_uint(VALUE_UINT32, (uint64_t) report->pid));
    value_set(outputs, "text", value_string(text));
    command_gate_return(action->context->gate, action->call, outputs, error_of(rc), text);
}

static void act(GuestClass *guest, QmfCall *call, const char *action)
{
    const ClassContext *context = guest->context;
    const Value *arguments = qmf_call_arguments(call);
    const char *name = value_get_string(arguments, "name"), *intent_name = value_get_string(arguments, "intent");
    Service *service = watch_list_find(context->watched, name);
    int64_t timeout_us = value_get_int(arguments, "timeout_ms", 0) * US_PER_MS;
    ServiceIntent intent = INTENT_COMMAND;
    Action *pending;

    if (service == NULL) {
        g_autofree char *names = watch_list_names(context->watched);
        g_autofree char *text = g_strdup_printf("no service '%s' is watched here; there are: %s", name != NULL ? name : "", names);

        command_gate_raise(context->gate, call, COMMAND_ERROR_NOT_FOUND, text);
        return;
    }
    if (intent_name != NULL && *intent_name != '\0' && !service_intent_parse(intent_name, &intent)) {
        command_gate_raise(context->gate, call, COMMAND_ERROR_ARGUMENT, "Invalid argument: intent: admin, command, update or shutdown");
        return;
    }
    if (value_get(arguments, "parameters") != NULL && strcmp(action, "stop") != 0) {
        g_autoptr(json_t) parameters = value_to_json(value_get(arguments, "parameters"));
        g_autoptr(GError) error = NULL;

        if (!service_give_parameters(service, parameters, &error)) {
            command_gate_raise(context->gate, call, COMMAND_ERROR_ARGUMENT, error->message);
            return;
        }
    }
    if (timeout_us <= 0) {
        const ServiceSpec *spec = service_spec(service);

        timeout_us = (strcmp(action, "stop") != 0 ? spec->start_timeout_us : 0) + (strcmp(action, "start") != 0 ? spec->stop_timeout_us : 0);
    }
    pending = g_new0(Action, 1);
    *pending = (Action){context, call};
    service_act(service, action, intent, command_gate_deadline_us(call, MIN(timeout_us, TIMEOUT_MAX_US)), on_acted, pending);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text != NULL && *text != '\0')
        json_object_set_new(object, key, json_string(text));
}

static void set_ms(json_t *object, const char *key, int64_t ms)
{
    g_autofree char *text = g_strdup_printf("%" PRId64 "ms", ms);

    if (ms > 0)
        json_object_set_new(object, key, json_string(text));
}

/* The arguments of monitor as the long form of a service. Parameters are the agent's for ocf, else further keys. */
static json_t *monitor_json(const Value *arguments)
{
    json_t *object = json_object();
    const char *standard = value_get_string(arguments, "standard");
    g_autoptr(json_t) parameters = value_to_json(value_get(arguments, "parameters"));

    if (json_is_object(parameters) && g_strcmp0(standard, "ocf") != 0)
        json_object_update(object, parameters);
    else if (json_is_object(parameters) && json_object_size(parameters) > 0)
        json_object_set(object, "parameters", parameters);
    set_text(object, "name", value_get_string(arguments, "name"));
    set_text(object, "standard", standard);
    set_text(object, "provider", value_get_string(arguments, "provider"));
    set_text(object, g_strcmp0(standard, "tcp") == 0 ? "address" : g_strcmp0(standard, "http") == 0 ? "http" : "agent",
             value_get_string(arguments, "agent"));
    set_ms(object, "interval", value_get_int(arguments, "interval_ms", 0));
    set_ms(object, "timeout", value_get_int(arguments, "timeout_ms", 0));
    return object;
}

static void monitor(GuestClass *guest, QmfCall *call)
{
    const ClassContext *context = guest->context;
    g_autoptr(json_t) object = monitor_json(qmf_call_arguments(call));
    g_autoptr(GError) error = NULL;
    g_autoptr(ServiceSpec) spec = service_spec_from_json(object, NULL, &error);

    if (spec != NULL && !context->allow_remote_commands && (spec->command != NULL || spec->start != NULL)) {
        command_gate_raise(context->gate, call, COMMAND_ERROR_ARGUMENT,
                           "commands over the bus are not allowed here (mend-guest --allow-remote-commands)");
        return;
    }
    if (spec == NULL || !watch_list_add(context->watched, g_steal_pointer(&spec), true, &error)) {
        command_gate_raise(context->gate, call, COMMAND_ERROR_ARGUMENT, error->message);
        return;
    }
    command_gate_return(context->gate, call, NULL, NULL, NULL);
}

static void unmonitor(GuestClass *guest, QmfCall *call)
{
    const char *name = value_get_string(qmf_call_arguments(call), "name");
    g_autoptr(GError) error = NULL;

    if (watch_list_remove(guest->context->watched, name != NULL ? name : "", &error))
        command_gate_return(guest->context->gate, call, NULL, NULL, NULL);
    else
        command_gate_raise(guest->context->gate, call, COMMAND_ERROR_NOT_FOUND, error->message);
}

static const Writable *writable_find(const GArray *writables, const char *object, const char *property)
{
    for (guint i = 0; i < writables->len; i++) {
        const Writable *row = &g_array_index(writables, Writable, i);

        if (g_strcmp0(row->object, object) == 0 && strcmp(row->property, property) == 0)
            return row;
    }
    return NULL;
}

/* NULL: every value can be set. Caller frees. */
static char *wrong_property(const GArray *writables, const char *object, const Value *values)
{
    const Value *item;
    const char *name;
    uint64_t number;

    for (size_t i = 0; value_entry(values, i, &name, &item); i++) {
        const Writable *row = writable_find(writables, object, name);

        if (row == NULL)
            return g_strdup_printf(MH_INVALID_ARGUMENTS ": no property '%.255s' of '%.255s' can be set", name, object != NULL ? object : "");
        if (!value_as_uint(item, &number) || number > row->max)
            return g_strdup_printf(MH_INVALID_ARGUMENTS ": %s is a number, 0 to %u", name, row->max);
    }
    return NULL;
}

static void set_properties(GuestClass *guest, QmfCall *call)
{
    const Value *arguments = qmf_call_arguments(call), *values = value_get(arguments, "values"), *item;
    const char *object = value_get_string(arguments, "object"), *name;
    g_autofree char *wrong = wrong_property(guest->context->writables, object, values);
    uint64_t number;

    if (wrong != NULL) {
        command_gate_raise(guest->context->gate, call, COMMAND_ERROR_ARGUMENT, wrong);
        return;
    }
    for (size_t i = 0; value_entry(values, i, &name, &item); i++) {
        const Writable *row = writable_find(guest->context->writables, object, name);

        if (value_as_uint(item, &number))
            row->set((uint32_t) number, row->user);
    }
    command_gate_return(guest->context->gate, call, NULL, NULL, NULL);
}

static void on_method(QmfCall *call, void *user)
{
    GuestClass *guest = user;
    const char *method = qmf_call_method(call);

    if (strcmp(method, "start") == 0 || strcmp(method, "stop") == 0 || strcmp(method, "restart") == 0)
        act(guest, call, method);
    else if (strcmp(method, "monitor") == 0)
        monitor(guest, call);
    else if (strcmp(method, "unmonitor") == 0)
        unmonitor(guest, call);
    else if (strcmp(method, "set_properties") == 0)
        set_properties(guest, call);
    else if (strcmp(method, "list") == 0)
        command_gate_return(guest->context->gate, call, output("services", watch_list_values(guest->context->watched)), NULL, NULL);
    else
        command_gate_raise(guest->context->gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
}

GuestClass *guest_class_new(const ClassContext *context)
{
    GuestClass *guest = g_new0(GuestClass, 1);
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject.mend", "Guest");
    Value *values = value_map();

    guest->context = context;
    value_set(values, "vm", value_string(context->identity->id));
    value_set(values, "hostname", value_string(context->identity->hostname));
    if (context->identity->boot_id != NULL)
        value_set(values, "boot_id", value_string(context->identity->boot_id));
    qmf_agent_add_class(context->agent, class);
    qmf_agent_on_method(context->agent, class, on_method, guest);
    guest->object = qmf_agent_add_object(context->agent, class, "Guest", values);
    return guest;
}

void guest_class_free(GuestClass *guest)
{
    if (guest == NULL)
        return;
    qmf_agent_remove_object(guest->context->agent, guest->object);
    g_free(guest);
}
