/* Matahari's Resources: any action of any OCF agent, LSB script or unit, once or again and again.
 *
 * As the original: the first result of a recurring action is the method's answer and raises no event; later ones raise resource_op only
 * when the code is another one; the next run begins `interval` after the end of the last; expected-rc and userdata come back and are not
 * looked at; `sequence` numbers the operation, is in the events, and is never in the answer.
 *
 * Where the original crashed or doubled: the same (name, action, interval) invoked again runs once more now and goes on as one
 * operation; cancel while it runs is fine; numbers that do not fit are refused; runs on one name wait for each other. */
#include "agents/guest/classes.h"
#include "agents/guest/services/systemd.h"

#include "lib/base/clock.h"

#include <string.h>

#define TIMEOUT_DEFAULT_MS 60000
#define META_DATA_US       (20 * US_PER_S)
#define OPERATIONS_MAX     1000

typedef struct Operation {
    ResourcesClass *resources;
    char *key; /* NULL: runs once */
    ServiceSpec *spec;
    Backend *backend;
    char *action, *userdata;
    int64_t interval_ms, timeout_us, expected_rc;
    uint32_t sequence;
    GPtrArray *calls; /* of QmfCall that wait for the next result */
    SystemdList *units; /* asked for; NULL: not */
    LaneTicket *ticket;
    guint source;
    int rc;
    bool has_rc, untold, cancelled;
} Operation;

struct ResourcesClass {
    const ClassContext *context;
    QmfObject *object;
    const QmfClass *event;
    GHashTable *recurring; /* key -> Operation */
    GList *all;            /* of Operation */
    uint32_t sequence;
    bool online;
};

static void operation_free(Operation *op)
{
    op->resources->all = g_list_remove(op->resources->all, op);
    if (op->key != NULL && g_hash_table_lookup(op->resources->recurring, op->key) == op)
        g_hash_table_remove(op->resources->recurring, op->key);
    g_clear_handle_id(&op->source, g_source_remove);
    systemd_list_free(op->units);
    backend_free(op->backend);
    lane_leave(op->ticket);
    service_spec_free(op->spec);
    g_ptr_array_unref(op->calls);
    g_free(op->action);
    g_free(op->userdata);
    g_free(op->key);
    g_free(op);
}

static void raise_op(Operation *op)
{
    const ServiceSpec *spec = op->spec;
    Value *v;

    op->untold = !op->resources->online;
    if (op->untold)
        return;
    v = value_map();
    value_set(v, "timestamp", value_uint(VALUE_UINT64, (uint64_t) (clock_wall_us() / US_PER_S)));
    value_set(v, "sequence", value_int(VALUE_INT32, op->sequence));
    value_set(v, "name", value_string(spec->name));
    value_set(v, "standard", value_string(spec->standard));
    if (*spec->provider != '\0')
        value_set(v, "provider", value_string(spec->provider));
    value_set(v, "agent", value_string(spec->agent));
    value_set(v, "action", value_string(op->action));
    value_set(v, "interval", value_int(VALUE_INT32, op->interval_ms));
    value_set(v, "rc", value_int(VALUE_INT32, op->rc));
    value_set(v, "expected-rc", value_int(VALUE_INT32, op->expected_rc));
    if (op->userdata != NULL)
        value_set(v, "userdata", value_string(op->userdata));
    qmf_agent_raise_event(op->resources->context->agent, op->resources->event, -1, v);
}

static void answer_all(Operation *op, int rc, const char *text)
{
    g_autoptr(GPtrArray) calls = g_steal_pointer(&op->calls);
    bool as_wanted = rc == op->expected_rc || rc == OCF_OK || strcmp(op->action, "monitor") == 0;

    op->calls = g_ptr_array_new();
    for (guint i = 0; i < calls->len; i++) {
        Value *outputs = output("rc", value_int(VALUE_INT32, rc));

        if (op->userdata != NULL)
            value_set(outputs, "userdata", value_string(op->userdata));
        command_gate_return(op->resources->context->gate, calls->pdata[i], outputs,
                            as_wanted ? NULL : rc == OCF_TIMEOUT ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, text);
    }
}

static void operation_run(Operation *op);

static gboolean on_due(void *user)
{
    Operation *op = user;

    op->source = 0;
    operation_run(op);
    return G_SOURCE_REMOVE;
}

static void took_result(Operation *op, int rc)
{
    bool tell = op->has_rc && op->rc != rc && op->calls->len == 0;

    op->rc = rc;
    op->has_rc = true;
    if (tell)
        raise_op(op);
}

static void on_done(const ActionResult *result, void *user)
{
    Operation *op = user;

    if (!op->cancelled)
        took_result(op, result->rc);
    answer_all(op, result->rc, result->text);
    lane_leave(g_steal_pointer(&op->ticket));
    if (op->key == NULL || op->cancelled)
        operation_free(op);
    else
        op->source = g_timeout_add((guint) op->interval_ms, on_due, op);
}

static void on_turn(void *user)
{
    Operation *op = user;

    op->backend->class->act(op->backend, op->action, clock_now_us() + op->timeout_us, on_done, op);
}

static void operation_run(Operation *op)
{
    g_clear_handle_id(&op->source, g_source_remove);
    if (op->ticket == NULL)
        op->ticket = lane_enter(op->resources->context->lanes, op->spec->name, on_turn, op);
}

/* ---- invoke ---- */

static bool action_valid(const char *action)
{
    return action != NULL && *action != '\0' && strlen(action) <= 64 &&
           action[strspn(action, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_")] == '\0';
}

static ServiceSpec *invoke_spec(const Value *arguments)
{
    const char *name = value_get_string(arguments, "name"), *standard = value_get_string(arguments, "standard");
    const char *provider = value_get_string(arguments, "provider"), *agent = value_get_string(arguments, "agent");
    g_autoptr(json_t) object = json_object(), parameters = value_to_json(value_get(arguments, "parameters"));
    bool is_ocf = standard == NULL || *standard == '\0' || strcmp(standard, "ocf") == 0;

    if (name == NULL || *name == '\0')
        return NULL;
    json_object_set_new(object, "name", json_string(name));
    json_object_set_new(object, "standard", json_string(is_ocf ? "ocf" : standard));
    if (is_ocf && provider != NULL && *provider != '\0')
        json_object_set_new(object, "provider", json_string(provider));
    json_object_set_new(object, "agent", json_string(agent != NULL && *agent != '\0' ? agent : name));
    if (is_ocf && json_is_object(parameters) && json_object_size(parameters) > 0)
        json_object_set(object, "parameters", parameters);
    return service_spec_from_json(object, NULL, NULL);
}

static bool standard_known(const char *standard)
{
    return standard == NULL || *standard == '\0' || strcmp(standard, "ocf") == 0 || strcmp(standard, "lsb") == 0 ||
           strcmp(standard, "systemd") == 0;
}

static Operation *operation_new(ResourcesClass *resources, ServiceSpec *spec, const char *action)
{
    Operation *op = g_new0(Operation, 1);

    *op = (Operation){.resources = resources, .spec = spec, .action = g_strdup(action), .sequence = ++resources->sequence};
    op->backend = backend_new(spec, resources->context->host, NULL);
    op->calls = g_ptr_array_new();
    resources->all = g_list_prepend(resources->all, op);
    return op;
}

static char *operation_key(const char *name, const char *action, int64_t interval_ms)
{
    return g_strdup_printf("%s\n%s\n%" PRId64, name, action, interval_ms);
}

static Operation *operation_for(ResourcesClass *resources, ServiceSpec *spec, const char *action, int64_t interval_ms)
{
    g_autofree char *key = interval_ms > 0 ? operation_key(spec->name, action, interval_ms) : NULL;
    Operation *op = key != NULL ? g_hash_table_lookup(resources->recurring, key) : NULL;

    if (op != NULL) { /* the same again: one operation, run once more now */
        service_spec_free(spec);
        return op;
    }
    op = operation_new(resources, spec, action);
    if (key != NULL) {
        op->key = g_steal_pointer(&key);
        g_hash_table_insert(resources->recurring, op->key, op);
    }
    return op;
}

static void invoke(ResourcesClass *resources, QmfCall *call)
{
    const Value *arguments = qmf_call_arguments(call);
    const char *action = value_get_string(arguments, "action"), *userdata = value_get_string(arguments, "userdata");
    int64_t interval_ms = value_get_int(arguments, "interval", 0);
    int64_t timeout_ms = value_get_int(arguments, "timeout", TIMEOUT_DEFAULT_MS);
    CommandGate *gate = resources->context->gate;
    g_autoptr(ServiceSpec) spec = NULL;
    Operation *op;

    if (!standard_known(value_get_string(arguments, "standard"))) {
        command_gate_raise(gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
        return;
    }
    spec = action_valid(action) ? invoke_spec(arguments) : NULL;
    if (spec == NULL || interval_ms < 0 || interval_ms > G_MAXINT32 || timeout_ms < 0 || timeout_ms > G_MAXINT32) {
        command_gate_raise(gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
        return;
    }
    if (g_list_length(resources->all) >= OPERATIONS_MAX) {
        command_gate_raise(gate, call, COMMAND_ERROR_FAILED, "too many operations");
        return;
    }
    op = operation_for(resources, g_steal_pointer(&spec), action, interval_ms);
    op->interval_ms = interval_ms;
    op->timeout_us = (timeout_ms > 0 ? timeout_ms : TIMEOUT_DEFAULT_MS) * US_PER_MS;
    op->expected_rc = value_get_int(arguments, "expected-rc", 0);
    g_free(op->userdata);
    op->userdata = g_strdup(userdata);
    g_ptr_array_add(op->calls, call);
    operation_run(op);
}

/* What is running ends and is answered; nothing comes after it. */
static void cancel(ResourcesClass *resources, QmfCall *call)
{
    const Value *arguments = qmf_call_arguments(call);
    const char *name = value_get_string(arguments, "name"), *action = value_get_string(arguments, "action");
    g_autofree char *key = NULL;
    Operation *op;

    if (name == NULL || *name == '\0' || action == NULL || *action == '\0') {
        command_gate_raise(resources->context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
        return;
    }
    key = operation_key(name, action, value_get_int(arguments, "interval", 0));
    op = g_hash_table_lookup(resources->recurring, key);
    if (op != NULL && op->ticket != NULL && lane_has_turn(op->ticket)) {
        op->cancelled = true;
        g_hash_table_remove(resources->recurring, key);
    } else if (op != NULL) {
        answer_all(op, OCF_CANCELLED, "cancelled before it ran");
        operation_free(op);
    }
    command_gate_return(resources->context->gate, call, NULL, NULL, NULL);
}

static void fail(ResourcesClass *resources, QmfCall *call)
{
    const char *name = value_get_string(qmf_call_arguments(call), "name");
    int64_t rc = value_get_int(qmf_call_arguments(call), "rc", OCF_GENERIC);

    if (name == NULL || *name == '\0' || rc < 0 || rc > 255) {
        command_gate_raise(resources->context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
        return;
    }
    for (GList *i = resources->all; i != NULL; i = i->next) {
        Operation *op = i->data;

        if (op->key == NULL || op->cancelled || strcmp(op->spec->name, name) != 0)
            continue;
        op->rc = (int) rc;
        op->has_rc = true;
        raise_op(op);
    }
    command_gate_return(resources->context->gate, call, NULL, NULL, NULL);
}

/* ---- what there is ---- */

static void on_meta_data(const ActionResult *result, void *user)
{
    Operation *op = user;
    CommandGate *gate = op->resources->context->gate;
    QmfCall *call = op->calls->pdata[0];

    g_ptr_array_set_size(op->calls, 0);
    if (result->rc == OCF_OK && g_utf8_validate(result->output, (gssize) result->output_bytes, NULL))
        command_gate_return(gate, call, output("xml", value_string(result->output)), NULL, NULL);
    else
        command_gate_raise(gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
    operation_free(op);
}

static void describe(ResourcesClass *resources, QmfCall *call)
{
    const Value *arguments = qmf_call_arguments(call);
    const char *standard = value_get_string(arguments, "standard"), *agent = value_get_string(arguments, "agent");
    const char *provider = value_get_string(arguments, "provider");
    g_autoptr(json_t) object = NULL;
    g_autoptr(ServiceSpec) spec = NULL;
    Operation *op;

    if (standard != NULL && *standard != '\0' && strcmp(standard, "ocf") != 0) {
        command_gate_raise(resources->context->gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
        return;
    }
    object = json_pack("{s:s, s:s, s:s, s:s}", "name", "meta-data", "standard", "ocf", "provider",
                       provider != NULL && *provider != '\0' ? provider : "heartbeat", "agent", agent != NULL ? agent : "");
    spec = service_spec_from_json(object, NULL, NULL);
    if (spec == NULL) {
        command_gate_raise(resources->context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
        return;
    }
    op = operation_new(resources, g_steal_pointer(&spec), "meta-data");
    g_ptr_array_add(op->calls, call);
    op->backend->class->act(op->backend, "meta-data", clock_now_us() + META_DATA_US, on_meta_data, op);
}

static void on_unit_names(char *const *names, void *user)
{
    Operation *op = user;
    QmfCall *call = op->calls->pdata[0];

    op->units = NULL;
    g_ptr_array_set_size(op->calls, 0);
    command_gate_return(op->resources->context->gate, call, output("agents", value_strings(names)), NULL, NULL);
    operation_free(op);
}

static void list(ResourcesClass *resources, QmfCall *call)
{
    const char *standard = value_get_string(qmf_call_arguments(call), "standard");
    const char *provider = value_get_string(qmf_call_arguments(call), "provider");
    const ServiceHost *host = resources->context->host;
    g_auto(GStrv) agents = NULL;

    if (standard == NULL || *standard == '\0' || strcmp(standard, "ocf") == 0)
        agents = ocf_list_agents(host->ocf_root, provider != NULL && *provider != '\0' ? provider : "heartbeat");
    else if (strcmp(standard, "lsb") == 0)
        agents = lsb_list_scripts(host->init_dir);
    else if (strcmp(standard, "systemd") == 0 && systemd_here(host->systemd)) {
        g_autoptr(json_t) object = json_pack("{s:s, s:s}", "name", "list", "standard", "systemd");
        Operation *op = operation_new(resources, service_spec_from_json(object, NULL, NULL), "list");

        g_ptr_array_add(op->calls, call);
        op->units = systemd_list_services(host->systemd, on_unit_names, op);
        return;
    }
    command_gate_return(resources->context->gate, call, output("agents", value_strings(agents)), NULL, NULL);
}

static void on_method(QmfCall *call, void *user)
{
    static const char *const standards[] = {"ocf", "lsb", "systemd", NULL};
    ResourcesClass *resources = user;
    CommandGate *gate = resources->context->gate;
    const char *method = qmf_call_method(call), *standard = value_get_string(qmf_call_arguments(call), "standard");

    if (strcmp(method, "invoke") == 0) {
        invoke(resources, call);
    } else if (strcmp(method, "cancel") == 0) {
        cancel(resources, call);
    } else if (strcmp(method, "fail") == 0) {
        fail(resources, call);
    } else if (strcmp(method, "list") == 0) {
        list(resources, call);
    } else if (strcmp(method, "describe") == 0) {
        describe(resources, call);
    } else if (strcmp(method, "list_standards") == 0) {
        command_gate_return(gate, call, output("standards", value_strings((char *const *) standards)), NULL, NULL);
    } else if (strcmp(method, "list_providers") == 0) {
        g_auto(GStrv) providers = g_strcmp0(standard, "ocf") == 0 ? ocf_list_providers(resources->context->host->ocf_root) : NULL;

        command_gate_return(gate, call, output("providers", value_strings(providers)), NULL, NULL);
    } else {
        command_gate_raise(gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
    }
}

ResourcesClass *resources_class_new(const ClassContext *context)
{
    ResourcesClass *resources = g_new0(ResourcesClass, 1);

    resources->context = context;
    resources->event = matahari_class("resource_op");
    resources->recurring = g_hash_table_new(g_str_hash, g_str_equal);
    resources->object = matahari_object(context, "Resources", on_method, resources);
    qmf_agent_add_class(context->agent, resources->event);
    return resources;
}

void resources_class_free(ResourcesClass *resources)
{
    if (resources == NULL)
        return;
    while (resources->all != NULL) {
        Operation *op = resources->all->data;

        for (guint i = 0; i < op->calls->len; i++)
            command_gate_raise(resources->context->gate, op->calls->pdata[i], COMMAND_ERROR_INTERRUPTED, "the agent stops");
        operation_free(op);
    }
    g_hash_table_unref(resources->recurring);
    qmf_agent_remove_object(resources->context->agent, resources->object);
    g_free(resources);
}

void resources_class_set_online(ResourcesClass *resources, bool online)
{
    resources->online = online;
    for (GList *i = resources->all; online && i != NULL; i = i->next)
        if (((Operation *) i->data)->untold)
            raise_op(i->data);
}
