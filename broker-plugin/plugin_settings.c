#include "broker-plugin/plugin_settings.h"

#include "broker-plugin/config_check.h"
#include "lib/base/json.h"
#include "lib/base/uuid.h"

#include <string.h>

/* Rows: key, what, unit in the name; the schema below and the reader are both made from them. */
#define INTEGERS(X)                                                                                                            \
    X(max_agents, 20000, 1, 1000000, 1, "agents remembered")                                                                   \
    X(max_entities, 200000, 1, 10000000, 1, "entities whose state is held")                                                    \
    X(max_quarantine, 1000, 1, 100000, 1, "reasons for refusal kept for people")                                               \
    X(max_message_bytes, 262144, 1024, 16777216, 1, "largest indication looked at")                                            \
    X(max_commands, 10000, 1, 1000000, 1, "commands on their way")                                                             \
    X(shards, 0, 0, 64, 1, "seats for engines beside the site's, each for a part of the services; only with mend attach")                 \
    X(fault_agents, 5, 1, 1000000, 1, "fewer silent agents than this are never an observer's fault")
#define SECONDS(X)                                                                                                             \
    X(restart_grace, "30", 0, 86400, "after a start, how long agents known before may stay away")                              \
    X(control_keep, "86400", 0, 31536000, "how long a control queue outlives its agent")                                       \
    X(fault_window, "10", 0, 3600, "silence beginning within this counts as at once")                                          \
    X(heartbeat, "10", 1, 3600, "of the plugin's own agent")                                                                   \
    X(watch_interval, "10", 0.05, 3600, "between two looks at a service of an agent that knows only QMF")
#define NUMBERS(X)                                                                                                             \
    X(rate_per_s, "200", 1, 1000000, "indications of one agent")                                                               \
    X(rate_burst, "1000", 1, 1000000, "indications of one agent at once")                                                      \
    X(late, "1.5", 1, 1000, "intervals without a heartbeat until late")                                                        \
    X(threshold, "3", 1, 1000, "intervals without a heartbeat until lost")                                                     \
    X(phi_lost, "8", 1, 100, "with mode phi: lost when a longer silence has the chance 10^-phi")                               \
    X(fault_share, "0.4", 0.01, 1, "share of silent agents that makes the observer the suspect")

#define NUMBER_ROW(type, key, fallback, min, max, text) \
    "\"" key "\":{\"type\":\"" type "\",\"minimum\":" #min ",\"maximum\":" #max ",\"default\":" fallback ",\"description\":\"" text "\"},"
#define INTEGER_ROW(name, fallback, min, max, unit, text) NUMBER_ROW("integer", #name, #fallback, min, max, text)
#define SECONDS_ROW(name, fallback, min, max, text) NUMBER_ROW("number", #name "_s", fallback, min, max, text)
#define PLAIN_ROW(name, fallback, min, max, text) NUMBER_ROW("number", #name, fallback, min, max, text)

const char plugin_config_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    INTEGERS(INTEGER_ROW) SECONDS(SECONDS_ROW) NUMBERS(PLAIN_ROW)
    "\"identity\":{\"enum\":[\"check\",\"off\"],\"default\":\"check\",\"description\":\"off: any peer may be any agent; for laboratories\"},"
    "\"site\":{\"type\":\"string\",\"description\":\"UUID of the site; made at the first start when it is not given\"},"
    "\"legacy\":{\"type\":\"boolean\",\"default\":true,\"description\":\"commands for agents that only know QMF are carried out by method calls\"},"
    "\"mode\":{\"enum\":[\"fixed\",\"phi\"],\"default\":\"fixed\"},"
    "\"classes\":{\"type\":\"object\",\"description\":\"by product of the agent's name\",\"additionalProperties\":{\"type\":\"object\","
    "\"additionalProperties\":false,\"properties\":{"
    "\"late\":{\"type\":\"number\",\"minimum\":1,\"maximum\":1000},\"threshold\":{\"type\":\"number\",\"minimum\":1,\"maximum\":1000},"
    "\"phi\":{\"type\":\"number\",\"minimum\":1,\"maximum\":100},\"mode\":{\"enum\":[\"fixed\",\"phi\"]}}}}}}";

static double number_or(const json_t *json, const char *key, double fallback)
{
    const json_t *value = json_object_get(json, key);

    return json_is_number(value) ? json_number_value(value) : fallback;
}

bool plugin_settings_parse(const char *text, size_t n_bytes, PluginSettings *ret, GError **error)
{
    g_autoptr(json_t) schema = json_parse(plugin_config_schema, strlen(plugin_config_schema), "plugin_config_schema", error);
    g_autoptr(json_t) json = NULL;

    if (schema == NULL)
        return false;
    json = n_bytes > 0 ? json_parse(text, n_bytes, "configuration", error) : json_object();
    if (json == NULL || !config_check(schema, json, error))
        return false;
#define READ_INTEGER(name, fallback, min, max, unit, meaning) ret->name = json_int_or(json, #name, fallback);
#define READ_SECONDS(name, fallback, min, max, meaning) ret->name##_us = (int64_t) (number_or(json, #name "_s", g_ascii_strtod(fallback, NULL)) * (double) US_PER_S);
#define READ_NUMBER(name, fallback, min, max, meaning) ret->name = number_or(json, #name, g_ascii_strtod(fallback, NULL));
    INTEGERS(READ_INTEGER)
    SECONDS(READ_SECONDS)
    NUMBERS(READ_NUMBER)
    ret->check_identity = strcmp(json_string_or(json, "identity", "check"), "check") == 0;
    ret->legacy = json_bool_or(json, "legacy", true);
    ret->site = NULL;
    if (json_object_get(json, "site") != NULL && (ret->site = uuid_canonical(json_string_or(json, "site", ""))) == NULL) {
        g_set_error(error, CONFIG_ERROR, CONFIG_ERROR_VALUE, "site: \"%s\" is no UUID", json_string_or(json, "site", ""));
        return false;
    }
    ret->phi = strcmp(json_string_or(json, "mode", "fixed"), "phi") == 0;
    ret->classes = json_incref(json_object_get(json, "classes"));
    return true;
}

void plugin_settings_done(PluginSettings *settings)
{
    g_clear_pointer(&settings->classes, json_decref);
    g_clear_pointer(&settings->site, g_free);
}
