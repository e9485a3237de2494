#include "bridges/common/bridge_agent.h"

#include "lib/base/log.h"

struct BridgeAgent {
    Bridge *bridge;
    char *data, *why;
    Identity *identity;
    CommandLedger *ledger;
    AgentBus *bus;
    bool closing, reach_said;
};

/* The file of @user in the folder of --credentials, --credentials itself, or NULL. Caller frees. */
static char *credentials_file(const BridgeSettings *settings, const char *user)
{
    if (settings->credentials == NULL)
        return NULL;
    if (!g_file_test(settings->credentials, G_FILE_TEST_IS_DIR))
        return g_strdup(settings->credentials);
    return g_build_filename(settings->credentials, user, NULL);
}

static bool open_bus(BridgeAgent *agent, const BridgeAgentOptions *options, GError **error)
{
    const BridgeSettings *settings = bridge_settings(agent->bridge);
    g_autofree char *user = g_strconcat(options->user_prefix, agent->identity->id, NULL);
    g_autofree char *credentials = credentials_file(settings, user);
    const AgentBusOptions bus = { .vendor = options->vendor,
                                  .product = options->product,
                                  .broker = settings->broker,
                                  .credentials = credentials,
                                  .site = settings->site,
                                  .user_prefix = options->user_prefix,
                                  .anonymous = settings->anonymous,
                                  .heartbeat_us = settings->heartbeat_us,
                                  .capabilities = options->capabilities,
                                  .identity = agent->identity,
                                  .ledger = agent->ledger,
                                  .on_online = options->on_online,
                                  .on_heartbeat = options->on_heartbeat,
                                  .user = options->user };

    agent->bus = agent_bus_new(&bus, error);
    return agent->bus != NULL;
}

BridgeAgent *bridge_agent_new(Bridge *bridge, const BridgeAgentOptions *options, GError **error)
{
    BridgeAgent *agent = g_new0(BridgeAgent, 1);

    agent->bridge = bridge;
    agent->data = g_build_filename(bridge_data(bridge), options->id, NULL);
    agent->identity = identity_of_other(agent->data, options->id, options->hostname, error);
    if (agent->identity == NULL || (agent->ledger = command_ledger_open(agent->data, error)) == NULL || !open_bus(agent, options, error)) {
        g_prefix_error(error, "%s %s: ", options->product, options->hostname != NULL ? options->hostname : options->id);
        bridge_agent_free(agent);
        return NULL;
    }
    return agent;
}

void bridge_agent_start(BridgeAgent *agent) { agent_bus_start(agent->bus); }

static void on_closed(void *user) { bridge_release(((BridgeAgent *) user)->bridge); }

void bridge_agent_close(BridgeAgent *agent)
{
    if (agent->closing)
        return;
    agent->closing = true;
    bridge_hold(agent->bridge);
    agent_bus_close(agent->bus, on_closed, agent);
}

void bridge_agent_free(BridgeAgent *agent)
{
    if (agent == NULL)
        return;
    agent_bus_free(agent->bus);
    command_ledger_close(agent->ledger);
    identity_free(agent->identity);
    g_free(agent->data);
    g_free(agent->why);
    g_free(agent);
}

AgentBus *bridge_agent_bus(const BridgeAgent *agent) { return agent->bus; }
QmfAgent *bridge_agent_qmf(const BridgeAgent *agent) { return agent_bus_agent(agent->bus); }
CommandGate *bridge_agent_gate(const BridgeAgent *agent) { return agent_bus_gate(agent->bus); }
Identity *bridge_agent_identity(const BridgeAgent *agent) { return agent->identity; }
const char *bridge_agent_data(const BridgeAgent *agent) { return agent->data; }

static void learn(BridgeAgent *agent, char **slot, const char *attribute, const char *text)
{
    if (text == NULL || g_strcmp0(*slot, text) == 0)
        return;
    g_free(*slot);
    *slot = g_strdup(text);
    qmf_agent_set_attribute(bridge_agent_qmf(agent), attribute, value_string(text));
}

void bridge_agent_set_life(BridgeAgent *agent, const char *boot_id, const char *hostname)
{
    learn(agent, &agent->identity->boot_id, "mend.boot_id", boot_id);
    learn(agent, &agent->identity->hostname, "hostname", hostname);
}

void bridge_agent_set_reach(BridgeAgent *agent, const char *why)
{
    QmfAgent *qmf = bridge_agent_qmf(agent);

    if (g_strcmp0(agent->why, why) == 0 && agent->reach_said)
        return;
    agent->reach_said = true;
    if (why != NULL)
        log_warning("%s is out of reach: %s", agent->identity->hostname, why);
    else if (agent->why != NULL)
        log_notice("%s is reached again", agent->identity->hostname);
    g_free(agent->why);
    agent->why = g_strdup(why);
    qmf_agent_set_attribute(qmf, "mend.reach", value_string(why == NULL ? "well" : "degraded"));
    qmf_agent_set_attribute(qmf, "mend.reach_text", value_string(why == NULL ? "" : why));
}
