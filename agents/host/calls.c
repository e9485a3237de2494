/* Methods of Hypervisor, each with one handler and one way to answer, so that every answer has the same outputs. */
#include "agents/host/host_private.h"

#include "lib/base/clock.h"

#define PACKAGE         "org.matahariproject.mend"
#define TIMEOUT_US      (60 * US_PER_S) /* of a call that names none */
#define TIMEOUT_MAX_US  (24 * US_PER_HOUR)

typedef struct Method {
    HostMethodFn fn;
    void *user;
} Method;

struct HostCall {
    Host *host;
    QmfCall *call;
    int64_t deadline_us;
};

static void on_method(QmfCall *call, void *user)
{
    Host *host = user;
    const Method *method = g_hash_table_lookup(host->methods, qmf_call_method(call));
    int64_t timeout_us = value_get_int(qmf_call_arguments(call), "timeout_ms", 0) * US_PER_MS;
    HostCall *mine;

    if (method == NULL) {
        command_gate_raise(host->gate, call, COMMAND_ERROR_UNKNOWN, "this host agent runs without that part");
        return;
    }
    mine = g_new(HostCall, 1);
    *mine = (HostCall) { host, call, command_gate_deadline_us(call, timeout_us <= 0 ? TIMEOUT_US : MIN(timeout_us, TIMEOUT_MAX_US)) };
    method->fn(mine, method->user);
}

void calls_attach(Host *host)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), PACKAGE, "Hypervisor");
    Value *values = value_map();

    host->methods = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    value_set(values, "host", value_string(host->identity->id));
    value_set(values, "hostname", value_string(host->identity->hostname));
    value_set(values, "boot_id", value_string(host->identity->boot_id));
    qmf_agent_add_class(host->agent, class);
    host->object = qmf_agent_add_object(host->agent, class, "Hypervisor", values);
    qmf_agent_on_method(host->agent, class, on_method, host);
}

void host_on_method(Host *host, const char *name, HostMethodFn fn, void *user)
{
    Method *method = g_new(Method, 1);

    *method = (Method) { fn, user };
    g_hash_table_insert(host->methods, g_strdup(name), method);
}

const Value *host_call_arguments(const HostCall *call) { return qmf_call_arguments(call->call); }
const char *host_call_method(const HostCall *call) { return qmf_call_method(call->call); }
int64_t host_call_deadline_us(const HostCall *call) { return call->deadline_us; }

int64_t host_call_limit_us(HostCall *call, int64_t own_us)
{
    if (value_get_int(qmf_call_arguments(call->call), "timeout_ms", 0) <= 0)
        call->deadline_us = command_gate_deadline_us(call->call, own_us);
    return call->deadline_us;
}

const char *host_call_name(const HostCall *call)
{
    const char *name = value_get_string(qmf_call_arguments(call->call), "name");

    return name != NULL ? name : "";
}

static void answer(HostCall *call, const char *error, const char *state, Value *values, const char *text)
{
    Value *outputs = value_map();

    value_set(outputs, "rc", value_int(VALUE_INT32, error != NULL));
    value_set(outputs, "state", value_string(state != NULL ? state : ""));
    value_set(outputs, "text", value_string(text != NULL ? text : ""));
    value_set(outputs, "values", values != NULL ? values : value_map());
    command_gate_return(call->host->gate, call->call, outputs, error, text);
    g_free(call);
}

void host_call_done(HostCall *call, const char *state, Value *values, const char *text)
{
    answer(call, NULL, state, values, text);
}

void host_call_failed(HostCall *call, const char *error, Value *values, const char *text)
{
    answer(call, error, NULL, values, text);
}

void host_call_refused(HostCall *call, const char *error, const char *text)
{
    command_gate_raise(call->host->gate, call->call, error, text);
    g_free(call);
}

void host_call_declined(HostCall *call, const char *text)
{
    command_gate_decline(call->host->gate, call->call, text);
    g_free(call);
}
