/* Matahari's Services: the plain way to what the machine starts, by name alone. A name is a unit where systemd runs, else a script in
 * /etc/init.d. What is watched is acted on through its watch, so that a stop over this class is known as a command and not taken for an
 * admin's. Codes are those the original was seen to answer: status 3 for stopped, 1 for an unknown service, 198 for a timeout. */
#include "agents/guest/classes.h"
#include "agents/guest/services/systemd.h"

#include "lib/base/clock.h"

#include <string.h>
#include <sys/wait.h>

#define LONGEST_US US_PER_HOUR /* timeout 0: "as long as it wants" has an end here */

struct ServicesClass {
    const ClassContext *context;
    QmfObject *object;
    GList *requests; /* of Request */
};

typedef struct Request {
    ServicesClass *services;
    QmfCall *call; /* NULL: answered */
    char *action;
    ServiceSpec *spec;
    Backend *backend;
    LaneTicket *ticket;
    SystemdList *units; /* asked for; NULL: not */
    int64_t deadline_us;
} Request;

static void request_free(Request *request)
{
    request->services->requests = g_list_remove(request->services->requests, request);
    lane_leave(request->ticket);
    systemd_list_free(request->units);
    backend_free(request->backend);
    service_spec_free(request->spec);
    g_free(request->action);
    g_free(request);
}

static void answer_rc(const ClassContext *context, QmfCall *call, int rc, const char *text)
{
    bool is_status = strcmp(qmf_call_method(call), "status") == 0;
    const char *error = rc == 0 || is_status ? NULL : rc == OCF_TIMEOUT ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED;

    command_gate_return(context->gate, call, output("rc", value_int(VALUE_INT32, rc)), error, text);
}

/* The LSB code a script would have said. */
static int plain_rc(const Request *request, const ActionResult *result)
{
    bool is_status = strcmp(request->action, "status") == 0;

    if (is_status && strcmp(request->spec->standard, "lsb") == 0 && result->wait_status != -1 && WIFEXITED(result->wait_status))
        return WEXITSTATUS(result->wait_status);
    if (result->rc == OCF_INSTALLED)
        return OCF_GENERIC;
    return is_status && (result->rc == OCF_NOT_RUNNING || result->rc == OCF_GENERIC) ? 3 : result->rc;
}

static void on_done(const ActionResult *result, void *user)
{
    Request *request = user;

    answer_rc(request->services->context, request->call, plain_rc(request, result), result->text);
    request_free(request);
}

static void on_turn(void *user)
{
    Request *request = user;

    request->backend->class->act(request->backend, request->action, request->deadline_us, on_done, request);
}

static void on_watched_done(Service *service, int rc, const char *text, void *user)
{
    Request *request = user;

    if (rc == OCF_CANCELLED)
        command_gate_raise(request->services->context->gate, request->call, COMMAND_ERROR_INTERRUPTED, text);
    else
        answer_rc(request->services->context, request->call, rc == OCF_INSTALLED ? OCF_GENERIC : rc, text);
    request_free(request);
}

static Service *find_watched(const ClassContext *context, const char *standard, const char *name)
{
    Service *service = watch_list_find(context->watched, name);

    return service != NULL ? service : watch_list_find_agent(context->watched, standard, name);
}

static void act(ServicesClass *services, QmfCall *call, const char *name, const char *action)
{
    const ClassContext *context = services->context;
    const char *standard = systemd_here(context->host->systemd) ? "systemd" : "lsb";
    int64_t timeout_us = value_get_int(qmf_call_arguments(call), "timeout", 0) * US_PER_MS;
    g_autoptr(json_t) object = json_pack("{s:s, s:s}", "name", name, "standard", standard);
    g_autoptr(ServiceSpec) spec = service_spec_from_json(object, NULL, NULL);
    Service *watched = find_watched(context, standard, name);
    Request *request;

    if (spec == NULL) {
        command_gate_raise(context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
        return;
    }
    request = g_new0(Request, 1);
    *request = (Request){.services = services, .call = call, .action = g_strdup(action), .spec = g_steal_pointer(&spec)};
    request->deadline_us = command_gate_deadline_us(call, timeout_us > 0 ? MIN(timeout_us, LONGEST_US) : LONGEST_US);
    services->requests = g_list_prepend(services->requests, request);
    if (watched != NULL && strcmp(action, "status") != 0) {
        service_act(watched, action, INTENT_COMMAND, request->deadline_us, on_watched_done, request);
        return;
    }
    request->backend = backend_new(request->spec, context->host, NULL);
    request->ticket = lane_enter(context->lanes, name, on_turn, request);
}

/* ---- list, enable, disable ---- */

static void answer_names(Request *request, char *const *units)
{
    const ClassContext *context = request->services->context;
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    g_auto(GStrv) scripts = lsb_list_scripts(context->host->init_dir);
    g_autoptr(GList) sorted = NULL;
    Value *agents = value_list();

    for (char **script = scripts; *script != NULL; script++)
        g_hash_table_add(names, *script);
    for (; units != NULL && *units != NULL; units++)
        g_hash_table_add(names, *units);
    sorted = g_list_sort(g_hash_table_get_keys(names), (GCompareFunc) strcmp);
    for (GList *i = sorted; i != NULL; i = i->next)
        value_append(agents, value_string(i->data));
    command_gate_return(context->gate, request->call, output("agents", agents), NULL, NULL);
    request_free(request);
}

static void on_units(char *const *units, void *user)
{
    Request *request = user;

    request->units = NULL;
    answer_names(request, units);
}

static void on_enabled(GVariant *reply, const GError *error, void *user)
{
    Request *request = user;

    if (request->services == NULL) {
        g_free(request);
        return;
    }
    answer_rc(request->services->context, request->call, reply != NULL ? 0 : 1, error != NULL ? error->message : NULL);
    request_free(request);
}

static Request *request_new(ServicesClass *services, QmfCall *call)
{
    Request *request = g_new0(Request, 1);

    *request = (Request){.services = services, .call = call};
    services->requests = g_list_prepend(services->requests, request);
    return request;
}

static void list(ServicesClass *services, QmfCall *call)
{
    Systemd *systemd = services->context->host->systemd;
    Request *request = request_new(services, call);

    if (systemd_here(systemd))
        request->units = systemd_list_services(systemd, on_units, request);
    else
        answer_names(request, NULL);
}

static void enable(ServicesClass *services, QmfCall *call, const char *name, bool on)
{
    Systemd *systemd = services->context->host->systemd;
    g_autofree char *unit = systemd_unit_name(name);
    const char *units[] = {unit, NULL};

    if (!systemd_here(systemd)) {
        answer_rc(services->context, call, OCF_INSTALLED, "there is no systemd here to enable services in");
        return;
    }
    if (on)
        systemd_call(systemd, "EnableUnitFiles", g_variant_new("(^asbb)", units, FALSE, FALSE), on_enabled, request_new(services, call));
    else
        systemd_call(systemd, "DisableUnitFiles", g_variant_new("(^asb)", units, FALSE), on_enabled, request_new(services, call));
}

static void on_method(QmfCall *call, void *user)
{
    ServicesClass *services = user;
    const char *method = qmf_call_method(call), *name = value_get_string(qmf_call_arguments(call), "name");

    if (strcmp(method, "list") == 0)
        list(services, call);
    else if (name == NULL || !safe_component(name))
        command_gate_raise(services->context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
    else if (strcmp(method, "start") == 0 || strcmp(method, "stop") == 0 || strcmp(method, "status") == 0)
        act(services, call, name, method);
    else if (strcmp(method, "enable") == 0 || strcmp(method, "disable") == 0)
        enable(services, call, name, strcmp(method, "enable") == 0);
    else
        command_gate_raise(services->context->gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
}

ServicesClass *services_class_new(const ClassContext *context)
{
    ServicesClass *services = g_new0(ServicesClass, 1);

    services->context = context;
    services->object = matahari_object(context, "Services", on_method, services);
    return services;
}

void services_class_free(ServicesClass *services)
{
    if (services == NULL)
        return;
    while (services->requests != NULL) {
        Request *request = services->requests->data;

        g_assert(request->backend != NULL || request->spec == NULL); /* watched ones ended with the watch list */
        command_gate_raise(services->context->gate, request->call, COMMAND_ERROR_INTERRUPTED, "the agent stops");
        if (request->spec != NULL || request->units != NULL) {
            request_free(request);
            continue;
        }
        services->requests = g_list_remove(services->requests, request); /* systemd's reply still comes, and finds nobody */
        request->services = NULL;
    }
    qmf_agent_remove_object(services->context->agent, services->object);
    g_free(services);
}
