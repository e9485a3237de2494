/* Matahari's Host: facts and statistics of the machine, its five UUIDs, a heartbeat event, power. Its event carries what the original's
 * carries; libqmf2's own heartbeat (attributes) is the session's. */
#include "agents/guest/classes.h"
#include "agents/guest/host_facts.h"
#include "agents/guest/host_power.h"

#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <string.h>

#define RC_CANNOT_BE_SET 23 /* what the original answers for every lifetime but Custom */
#define UPDATE_INTERVAL_MAX_S 3600

struct HostClass {
    const ClassContext *context;
    QmfObject *object, *agent_object;
    const QmfClass *heartbeat;
    uint32_t sequence;
    guint source;
    bool online;
    HostPower *power;
};

static void set_facts(HostClass *host)
{
    HostFacts facts;
    const ClassContext *context = host->context;

    host_facts_read(&facts);
    qmf_object_set(host->object, "custom_uuid", value_string(context->identity->custom != NULL ? context->identity->custom
                                                                                               : "not-available"));
    qmf_object_set(host->object, "os", value_string(facts.os));
    qmf_object_set(host->object, "arch", value_string(facts.arch));
    qmf_object_set(host->object, "wordsize", value_int(VALUE_INT32, facts.wordsize));
    qmf_object_set(host->object, "memory", value_uint(VALUE_UINT64, facts.memory_kb));
    qmf_object_set(host->object, "swap", value_uint(VALUE_UINT64, facts.swap_kb));
    qmf_object_set(host->object, "cpu_count", value_int(VALUE_INT32, facts.cpu_count));
    qmf_object_set(host->object, "cpu_cores", value_int(VALUE_INT32, facts.cpu_cores));
    qmf_object_set(host->object, "cpu_model", value_string(facts.cpu_model));
    qmf_object_set(host->object, "cpu_flags", value_string(facts.cpu_flags));
    qmf_object_set(host->object, "update_interval", value_uint(VALUE_UINT32, context->update_interval_s));
    host_facts_done(&facts);
}

static void set_load(HostClass *host)
{
    HostLoad load = host_load_read();
    Value *averages = value_map(), *processes = value_map();
    static const char *const minutes[] = {"1", "5", "15"};
    const struct {
        const char *name;
        int n;
    } counts[] = {{"total", load.total},     {"idle", load.idle},       {"zombie", load.zombie},
                  {"running", load.running}, {"stopped", load.stopped}, {"sleeping", load.sleeping}};

    for (size_t i = 0; i < G_N_ELEMENTS(minutes); i++)
        value_set(averages, minutes[i], value_double(VALUE_DOUBLE, load.load[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++)
        value_set(processes, counts[i].name, value_int(VALUE_INT32, counts[i].n));
    qmf_object_set(host->object, "last_updated", value_uint(VALUE_UINT64, (uint64_t) clock_wall_us() * 1000));
    qmf_object_set(host->object, "sequence", value_uint(VALUE_UINT32, host->sequence));
    qmf_object_set(host->object, "free_mem", value_uint(VALUE_UINT64, load.free_memory_kb));
    qmf_object_set(host->object, "free_swap", value_uint(VALUE_UINT64, load.free_swap_kb));
    qmf_object_set(host->object, "load", averages);
    qmf_object_set(host->object, "process_statistics", processes);
}

static void beat(HostClass *host)
{
    Value *values;

    host->sequence++; /* counts on while the bus is away: a gap is the truth */
    set_load(host);
    if (!host->online)
        return;
    values = value_map();
    value_set(values, "timestamp", value_uint(VALUE_UINT64, (uint64_t) (clock_wall_us() / US_PER_S)));
    value_set(values, "sequence", value_uint(VALUE_UINT32, host->sequence));
    value_set(values, "hostname", value_string(host->context->identity->hostname));
    value_set(values, "uuid", value_string(host->context->identity->machine_id));
    qmf_agent_raise_event(host->context->agent, host->heartbeat, -1, values);
}

static gboolean on_beat(void *user)
{
    beat(user);
    return G_SOURCE_CONTINUE;
}

static void set_interval(HostClass *host, uint32_t interval_s)
{
    g_clear_handle_id(&host->source, g_source_remove);
    if (interval_s > 0)
        host->source = g_timeout_add_seconds(interval_s, on_beat, host);
}

static void set_update_interval(uint32_t interval_s, void *user)
{
    HostClass *host = user;

    qmf_object_set(host->object, "update_interval", value_uint(VALUE_UINT32, interval_s));
    set_interval(host, interval_s);
}

/* ---- methods ---- */

static const char *uuid_of(const Identity *identity, const char *lifetime)
{
    const struct {
        const char *lifetime, *uuid;
    } uuids[] = {{"Filesystem", identity->machine_id}, {"Hardware", identity->hardware}, {"Reboot", identity->reboot},
                 {"Agent", identity->agent},           {"Custom", identity->custom}};

    if (lifetime == NULL || *lifetime == '\0')
        lifetime = "Filesystem";
    for (size_t i = 0; i < G_N_ELEMENTS(uuids); i++)
        if (g_ascii_strcasecmp(uuids[i].lifetime, lifetime) == 0)
            return uuids[i].uuid != NULL ? uuids[i].uuid : "not-available";
    return "invalid-lifetime";
}

static void set_uuid(HostClass *host, QmfCall *call)
{
    const ClassContext *context = host->context;
    const char *lifetime = value_get_string(qmf_call_arguments(call), "lifetime");
    const char *uuid = value_get_string(qmf_call_arguments(call), "uuid");
    g_autoptr(GError) error = NULL;

    if (uuid == NULL || *uuid == '\0') {
        command_gate_raise(context->gate, call, COMMAND_ERROR_ARGUMENT, MH_INVALID_ARGUMENTS);
    } else if (lifetime == NULL || g_ascii_strcasecmp(lifetime, "Custom") != 0) {
        command_gate_return(context->gate, call, output("rc", value_int(VALUE_INT32, RC_CANNOT_BE_SET)), COMMAND_ERROR_ARGUMENT,
                            "only the lifetime Custom can be set");
    } else if (!identity_set_custom(context->identity, context->data, uuid, &error)) {
        command_gate_raise(context->gate, call, COMMAND_ERROR_FAILED, error->message);
    } else {
        qmf_object_set(host->object, "custom_uuid", value_string(uuid));
        command_gate_return(context->gate, call, output("rc", value_int(VALUE_INT32, 0)), NULL, NULL);
    }
}

static void on_method(QmfCall *call, void *user)
{
    HostClass *host = user;
    const char *method = qmf_call_method(call);
    CommandGate *gate = host->context->gate;

    if (strcmp(method, "get_uuid") == 0) {
        const char *lifetime = value_get_string(qmf_call_arguments(call), "lifetime");

        command_gate_return(gate, call, output("uuid", value_string(uuid_of(host->context->identity, lifetime))), NULL, NULL);
    } else if (strcmp(method, "set_uuid") == 0) {
        set_uuid(host, call);
    } else if (strcmp(method, "identify") == 0) { /* a beep; a virtual machine has nobody to hear it */
        command_gate_return(gate, call, NULL, NULL, NULL);
    } else if (!host_power_method(host->power, call)) {
        command_gate_raise(gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
    }
}

static void on_agent_method(QmfCall *call, void *user)
{
    command_gate_raise(((const ClassContext *) user)->gate, call, COMMAND_ERROR_UNKNOWN, MH_NOT_IMPLEMENTED);
}

/* Matahari's agents have an object of class Agent under a random name. */
static QmfObject *agent_object(const ClassContext *context)
{
    g_autofree char *name = uuid_new();
    const QmfClass *class = matahari_class("Agent");
    Value *values = value_map();

    value_set(values, "hostname", value_string(context->identity->hostname));
    value_set(values, "uuid", value_string(context->identity->machine_id));
    qmf_agent_add_class(context->agent, class);
    qmf_agent_on_method(context->agent, class, on_agent_method, (void *) context);
    return qmf_agent_add_object(context->agent, class, name, values);
}

HostClass *host_class_new(const ClassContext *context)
{
    HostClass *host = g_new0(HostClass, 1);
    const Writable interval = {"Host", "update_interval", UPDATE_INTERVAL_MAX_S, set_update_interval, host};

    host->context = context;
    host->heartbeat = matahari_class("heartbeat");
    host->object = matahari_object(context, "Host", on_method, host);
    host->agent_object = agent_object(context);
    qmf_agent_add_class(context->agent, host->heartbeat);
    set_facts(host);
    set_load(host);
    host->power = host_power_new(context);
    set_interval(host, context->update_interval_s);
    g_array_append_val(context->writables, interval);
    return host;
}

void host_class_free(HostClass *host)
{
    if (host == NULL)
        return;
    g_clear_handle_id(&host->source, g_source_remove);
    host_power_free(host->power);
    qmf_agent_remove_object(host->context->agent, host->object);
    qmf_agent_remove_object(host->context->agent, host->agent_object);
    g_free(host);
}

void host_class_set_online(HostClass *host, bool online)
{
    bool first = online && !host->online && host->sequence == 0 && host->source != 0;

    host->online = online;
    if (first)
        beat(host); /* the original's first comes at once */
}
