#include "bridges/common/sign_vm.h"

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

#define PACKAGE      "org.matahariproject.mend"
#define SERVICES_MAX 500
#define FIRING_MAX   1000 /* of one service */
#define KEPT_MAX     (4 << 20)

typedef struct SignService {
    char *name, *text;
    GHashTable *firing; /* fingerprints */
    QmfObject *object;
    bool failed, previous, untold;
    uint64_t sequence;
    int64_t since_us;
} SignService;

struct SignVm {
    BridgeAgent *agent;
    const QmfClass *class, *event;
    GHashTable *services; /* name → SignService */
    QmfObject *guest;
    uint64_t sequence;
    bool online;
};

static Value *values_of(const SignService *service)
{
    Value *v = value_map();
    const char *const texts[][2] = { { "name", service->name }, { "standard", "alert" }, { "provider", "" }, { "agent", "alertmanager" },
                                     { "state", service->failed ? "failed" : "running" }, { "previous", service->previous ? "failed" : "running" },
                                     { "intent", "none" }, { "reason", service->text } };

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        value_set(v, texts[i][0], value_string(texts[i][1]));
    value_set(v, "rc", value_int(VALUE_INT32, service->failed ? 1 : 0));
    value_set(v, "sequence", value_uint(VALUE_UINT64, service->sequence));
    value_set(v, "occurred_us", value_int(VALUE_INT64, service->since_us));
    return v;
}

static void tell(SignVm *vm, SignService *service)
{
    g_autoptr(Value) values = NULL;
    const char *key;
    const Value *item;

    service->sequence = ++vm->sequence;
    service->untold = false;
    values = values_of(service);
    for (size_t i = 0; value_entry(values, i, &key, &item); i++)
        qmf_object_set(service->object, key, value_ref((Value *) item));
    qmf_agent_raise_event(bridge_agent_qmf(vm->agent), vm->event, service->failed ? 3 : -1, g_steal_pointer(&values));
}

static void on_online(bool online, void *user)
{
    SignVm *vm = user;
    GHashTableIter iter;
    void *value;

    vm->online = online;
    g_hash_table_iter_init(&iter, vm->services);
    while (online && g_hash_table_iter_next(&iter, NULL, &value))
        if (((SignService *) value)->untold)
            tell(vm, value);
}

static void on_heartbeat(QmfAgent *agent, void *user)
{
    const SignVm *vm = user;
    Value *digest = value_map();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, vm->services);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        value_set(digest, ((const SignService *) value)->name, value_string(((const SignService *) value)->failed ? "failed" : "running"));
    qmf_agent_set_attribute(agent, "mend.services", digest);
    qmf_agent_set_attribute(agent, "mend.event_sequence", value_uint(VALUE_UINT64, vm->sequence));
}

static void on_method(QmfCall *call, void *user)
{
    command_gate_raise(bridge_agent_gate(((SignVm *) user)->agent), call, COMMAND_ERROR_UNKNOWN,
                       "this is a sign: nothing is started or stopped by it; a rule of its own says what to do (vm.reboot, service.restart of another service, notify)");
}

/* ---- services ---------------------------------------------------------------------------------------------------------------------- */

static void service_free(void *data)
{
    SignService *service = data;

    g_free(service->name);
    g_free(service->text);
    g_hash_table_unref(service->firing);
    g_free(service);
}

static SignService *ensure(SignVm *vm, const char *name)
{
    SignService *service = g_hash_table_lookup(vm->services, name);
    g_autofree char *object = g_strconcat("service:", name, NULL);

    if (service != NULL || g_hash_table_size(vm->services) >= SERVICES_MAX)
        return service;
    service = g_new0(SignService, 1);
    service->name = g_strdup(name);
    service->text = g_strdup("nothing was said of it");
    service->firing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    service->since_us = clock_wall_us();
    service->untold = true;
    service->object = qmf_agent_add_object(bridge_agent_qmf(vm->agent), vm->class, object, values_of(service));
    g_hash_table_insert(vm->services, service->name, service);
    return service;
}

static void keep(const SignVm *vm)
{
    g_autoptr(json_t) all = json_object();
    g_autofree char *path = g_build_filename(bridge_agent_data(vm->agent), "alerts.json", NULL), *text = NULL;
    g_autoptr(GError) error = NULL;
    GHashTableIter iter, each;
    void *value, *fingerprint;

    g_hash_table_iter_init(&iter, vm->services);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SignService *service = value;
        json_t *firing = json_array();

        g_hash_table_iter_init(&each, service->firing);
        while (g_hash_table_iter_next(&each, &fingerprint, NULL))
            json_array_append_new(firing, json_string(fingerprint));
        json_object_set_new(all, service->name, json_pack("{s:o, s:s}", "firing", firing, "text", service->text));
    }
    text = json_text(all);
    if (!file_write(path, text, strlen(text), 0600, &error))
        log_warning("which alerts fire is not kept: %s", error->message);
}

static void judge(SignVm *vm, SignService *service, const char *text)
{
    bool failed = g_hash_table_size(service->firing) > 0;

    if (failed != service->failed) {
        service->previous = service->failed;
        service->failed = failed;
        service->since_us = clock_wall_us();
        service->untold = true;
        g_free(service->text);
        service->text = g_strdup(text);
        log_notice("%s: %s: %s", bridge_agent_identity(vm->agent)->hostname, service->name, text);
    }
    if (service->untold && vm->online)
        tell(vm, service);
}

bool sign_vm_take(SignVm *vm, const char *name, const char *fingerprint, bool fires, const char *text)
{
    SignService *service = ensure(vm, name);

    if (service == NULL || (fires && g_hash_table_size(service->firing) >= FIRING_MAX && !g_hash_table_contains(service->firing, fingerprint)))
        return false;
    if (fires)
        g_hash_table_add(service->firing, g_strdup(fingerprint));
    else
        g_hash_table_remove(service->firing, fingerprint);
    judge(vm, service, text);
    keep(vm);
    return true;
}

static void load(SignVm *vm)
{
    g_autofree char *path = g_build_filename(bridge_agent_data(vm->agent), "alerts.json", NULL), *text = file_read_line(path, KEPT_MAX, NULL);
    g_autoptr(json_t) all = text != NULL ? json_parse(text, strlen(text), path, NULL) : NULL;
    const char *name;
    json_t *kept;

    json_object_foreach(all, name, kept) {
        SignService *service = ensure(vm, name);
        const json_t *firing = json_object_get(kept, "firing");

        for (size_t i = 0; service != NULL && i < json_array_size(firing); i++)
            if (json_is_string(json_array_get(firing, i)))
                g_hash_table_add(service->firing, g_strdup(json_string_value(json_array_get(firing, i))));
        if (service != NULL)
            judge(vm, service, json_string_or(kept, "text", ""));
    }
}

/* ---- life -------------------------------------------------------------------------------------------------------------------------- */

SignVm *sign_vm_new(Bridge *bridge, const SignVmOptions *o, GError **error)
{
    static const char *const capabilities[] = { "control-queue", "service-events", "commands", "bridge", NULL };
    SignVm *vm = g_new0(SignVm, 1);
    const BridgeAgentOptions options = { .product = o->product, .user_prefix = "agent-", .id = o->id, .hostname = o->name, .capabilities = capabilities,
                                         .on_online = on_online, .on_heartbeat = on_heartbeat, .user = vm };
    const QmfClass *guest = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "Guest");

    vm->services = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, service_free);
    vm->agent = bridge_agent_new(bridge, &options, error);
    if (vm->agent == NULL) {
        sign_vm_free(vm);
        return NULL;
    }
    vm->class = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "Service");
    vm->event = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "service_state");
    qmf_agent_add_class(bridge_agent_qmf(vm->agent), vm->class);
    qmf_agent_add_class(bridge_agent_qmf(vm->agent), vm->event);
    qmf_agent_add_class(bridge_agent_qmf(vm->agent), guest);
    qmf_agent_on_method(bridge_agent_qmf(vm->agent), guest, on_method, vm);
    vm->guest = qmf_agent_add_object(bridge_agent_qmf(vm->agent), guest, "Guest", value_map());
    load(vm);
    return vm;
}

void sign_vm_start(SignVm *vm) { bridge_agent_start(vm->agent); }
void sign_vm_close(SignVm *vm) { bridge_agent_close(vm->agent); }
void sign_vm_set_reach(SignVm *vm, const char *why) { bridge_agent_set_reach(vm->agent, why); }

void sign_vm_free(SignVm *vm)
{
    if (vm == NULL)
        return;
    bridge_agent_free(vm->agent);
    g_hash_table_unref(vm->services);
    g_free(vm);
}
