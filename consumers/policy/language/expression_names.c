/* What the policy's expressions may name. One table, so that a misspelt field is found at load; a test compares it with the schema of the guest
 * agent's event and with docs/wire.md. */
#include "consumers/policy/language/expression.h"

#define NAME_BYTES 256  /* of names, ids and words; for the cost */
#define GROUPS_MAX 64

/* What the data of events may have, by docs/wire.md. */
static const struct {
    const char *label;
    const CelType *type;
} event_data_names[] = {
    { "event.name", &cel_string_type },        { "event.standard", &cel_string_type },     { "event.provider", &cel_string_type },
    { "event.agent", &cel_string_type },       { "event.previous", &cel_string_type },     { "event.intent", &cel_string_type },
    { "event.reason", &cel_string_type },      { "event.rc", &cel_int_type },              { "event.pid", &cel_int_type },
    { "event.exit_status", &cel_int_type },    { "event.signal", &cel_int_type },          { "event.sequence", &cel_int_type },
    { "event.boot_id", &cel_string_type },     { "event.occurred_us", &cel_int_type },     { "event.vm", &cel_string_type },
    { "event.hostname", &cel_string_type },    { "event.received_us", &cel_int_type },     { "event.repaired", &cel_bool_type },
    { "event.epoch", &cel_int_type },          { "event.host", &cel_string_type },         { "event.to", &cel_string_type },
    { "event.memory_bytes", &cel_int_type },   { "event.vcpus", &cel_int_type },           { "event.storage", &cel_list_of_string },
    { "event.place", &cel_string_type },
    { "event.address", &cel_string_type },     { "event.lease", &cel_bool_type },                { "event.channel", &cel_string_type },
    { "event.says", &cel_string_type },        { "event.by", &cel_string_type },           { "event.job", &cel_string_type },
    { "event.max_ms", &cel_int_type },         { "event.rack", &cel_string_type },         { "event.power", &cel_string_type },
    { "event.switch", &cel_string_type },      { "event.labels", &cel_list_of_string },    { "event.vms", &cel_list_of_string },
    { "event.lost", &cel_int_type },           { "event.total", &cel_int_type },           { "event.command", &cel_string_type },
    { "event.incident", &cel_string_type },    { "event.error", &cel_string_type },        { "event.text", &cel_string_type },
    { "event.ha", &cel_bool_type },           { "event.definition_hash", &cel_string_type },
    { "event.fences", &cel_list_of_string },   { "event.progress", &cel_map_of_dyn },
};

static const struct {
    const char *label;
    const CelType *type;
    NameTag tag;
} machine_names[] = {
    { "vm.state", &cel_string_type, NAME_VM_DATA },       { "vm.memory_bytes", &cel_int_type, NAME_VM_DATA },
    { "vm.vcpus", &cel_int_type, NAME_VM_DATA },          { "vm.address", &cel_string_type, NAME_VM_DATA },
    { "vm.reason", &cel_string_type, NAME_VM_DATA },      { "vm.storage", &cel_list_of_string, NAME_VM_DATA },
    { "host.state", &cel_string_type, NAME_HOST_DATA },   { "host.memory_bytes", &cel_int_type, NAME_HOST_DATA },
    { "host.vcpus", &cel_int_type, NAME_HOST_DATA },      { "host.power", &cel_string_type, NAME_HOST_DATA },
    { "host.rack", &cel_string_type, NAME_HOST_DATA },    { "host.switch", &cel_string_type, NAME_HOST_DATA },
    { "host.storage", &cel_list_of_string, NAME_HOST_DATA }, { "host.labels", &cel_list_of_string, NAME_HOST_DATA },
};

const char *const expression_samples[] = {
    "memory_available_bytes", "memory_unused_bytes", "memory_free_bytes", "memory_total_bytes", "memory_cached_bytes", "memory_rss_bytes",
    "memory_pressure",        "balloon_bytes",       "balloon_max_bytes", "balloon_min_bytes",  "swap_in",             "swap_out",
    "swap_free_bytes",        "swap_total_bytes",    "major_faults",      "minor_faults",       "cpu_percent",         "cpu_steal_percent",
    "cpu_pressure",           "io_pressure",         "load",              "ksm_run",            "ksm_pages_sharing",   "ksm_pages_to_scan",
    "ksm_sleep_ms",           NULL,
};

/* @object: "event", "vm", "host". */
static void add_samples(CelEnv *env, const char *object, NameTag tag)
{
    for (size_t i = 0; expression_samples[i] != NULL; i++) {
        g_autofree char *label = g_strdup_printf("%s.%s", object, expression_samples[i]);

        cel_env_add(env, label, &cel_double_type, tag);
    }
}

static CelEnv *env_new(ExpressionScope scope)
{
    static const struct {
        const char *label;
        const CelType *type;
    } tagged[] = {
#define X(id, name, kind) [NAME_##id] = { name, &cel_##kind##_type },
#define cel_list_of_string_type cel_list_of_string
        EXPRESSION_NAMES(X)
#undef X
    };
    CelEnv *env = cel_env_new(true);

    for (int tag = 0; tag < (int) G_N_ELEMENTS(tagged); tag++) {
        bool of_event = g_str_has_prefix(tagged[tag].label, "event."), of_window = g_str_has_prefix(tagged[tag].label, "window.");

        if ((of_event && scope != EXPRESSION_RULE) || (of_window && scope != EXPRESSION_TARGET))
            continue;
        cel_env_add(env, tagged[tag].label, tagged[tag].type, tag);
        cel_env_size(env, tagged[tag].label, NAME_BYTES, GROUPS_MAX);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(event_data_names) && scope == EXPRESSION_RULE; i++)
        cel_env_add(env, event_data_names[i].label, event_data_names[i].type, NAME_EVENT_DATA);
    for (size_t i = 0; i < G_N_ELEMENTS(machine_names); i++) {
        cel_env_add(env, machine_names[i].label, machine_names[i].type, machine_names[i].tag);
        cel_env_size(env, machine_names[i].label, NAME_BYTES, GROUPS_MAX);
    }
    if (scope == EXPRESSION_RULE)
        add_samples(env, "event", NAME_EVENT_DATA);
    add_samples(env, "vm", NAME_VM_DATA);
    add_samples(env, "host", NAME_HOST_DATA);
    return env;
}

CelEnv *expression_env(ExpressionScope scope)
{
    static CelEnv *envs[EXPRESSION_SCOPE_N];
    static gsize made;

    if (g_once_init_enter(&made)) {
        for (int i = 0; i < EXPRESSION_SCOPE_N; i++)
            envs[i] = env_new((ExpressionScope) i);
        g_once_init_leave(&made, 1);
    }
    return envs[scope];
}
