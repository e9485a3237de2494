/* An agent needs the bus only to talk: no broker at the start, or later, is a warning told once, and the connection is tried again. */
#include "agents/common/agent_bus.h"

#include "agents/common/footprint.h"
#include "lib/base/clock.h"
#include "lib/base/credentials.h"
#include "lib/base/log.h"
#include "lib/base/matahari_environment.h"

#define VENDOR         "matahariproject.org"
#define DEFAULT_BROKER "amqp://127.0.0.1:5672"
#define SETTLED_US     (10 * US_PER_S) /* after each connect */
#define LINGER_US      (500 * US_PER_MS)

struct AgentBus {
    AgentBusOptions options; /* callbacks, identity, ledger; its texts only while it is made */
    AmqpClient *client;
    QmfSession *session;
    QmfAgent *agent;
    CommandGate *gate;
    char *url, *last_problem;
    uint64_t heartbeats;
    bool online, started, closing;
};

/* ---- what every heartbeat says ---- */

static void set_uuids(AgentBus *bus)
{
    const Identity *id = bus->options.identity;
    const char *const uuids[][2] = {{"filesystem", id->filesystem}, {"hardware", id->hardware}, {"reboot", id->reboot},
                                    {"agent", id->agent},           {"custom", id->custom}};
    Value *map = value_map();

    for (size_t i = 0; i < G_N_ELEMENTS(uuids); i++)
        if (uuids[i][1] != NULL)
            value_set(map, uuids[i][0], value_string(uuids[i][1]));
    qmf_agent_set_attribute(bus->agent, "mend.uuid", map);
}

static void set_attributes(AgentBus *bus)
{
    const Identity *id = bus->options.identity;
    Value *capabilities = value_list();

    for (const char *const *word = bus->options.capabilities; *word != NULL; word++)
        value_append(capabilities, value_string(*word));
    qmf_agent_set_attribute(bus->agent, "hostname", value_string(id->hostname));
    qmf_agent_set_attribute(bus->agent, "uuid", value_string(id->machine_id));
    qmf_agent_set_attribute(bus->agent, "mend.vm", value_string(id->id));
    if (id->boot_id != NULL)
        qmf_agent_set_attribute(bus->agent, "mend.boot_id", value_string(id->boot_id));
    qmf_agent_set_attribute(bus->agent, "mend.next_due_ms", value_uint(VALUE_UINT32, (uint64_t) (bus->options.heartbeat_us / US_PER_MS)));
    qmf_agent_set_attribute(bus->agent, "mend.capabilities", capabilities);
    if (id->genid != NULL)
        qmf_agent_set_attribute(bus->agent, "mend.genid", value_string(id->genid));
    set_uuids(bus);
}

static void on_heartbeat(QmfAgent *agent, void *user)
{
    AgentBus *bus = user;

    qmf_agent_set_attribute(agent, "mend.sequence", value_uint(VALUE_UINT64, ++bus->heartbeats));
    set_uuids(bus); /* the custom one may be new */
    if (bus->started && bus->options.on_heartbeat != NULL)
        bus->options.on_heartbeat(agent, bus->options.user);
}

/* ---- the connection ---- */

static void set_online(AgentBus *bus, bool online)
{
    if (bus->online == online || !bus->started || bus->closing)
        return;
    bus->online = online;
    if (online)
        qmf_session_heartbeat(bus->session); /* who we are, before what happened */
    bus->options.on_online(online, bus->options.user);
}

static void on_state(AmqpClient *client, AmqpState state, const GError *why, void *user)
{
    AgentBus *bus = user;

    if (state == AMQP_STATE_OPEN && !bus->online) {
        log_notice("connected to %s", bus->url);
        footprint_trim_later(SETTLED_US);
    } else if (state == AMQP_STATE_WAITING && why != NULL && g_strcmp0(bus->last_problem, why->message) != 0) {
        log_warning("no bus: %s; all is watched on, the bus is tried again", why->message);
    }
    if (state == AMQP_STATE_OPEN || state == AMQP_STATE_WAITING) {
        g_free(bus->last_problem);
        bus->last_problem = state == AMQP_STATE_WAITING && why != NULL ? g_strdup(why->message) : NULL;
    }
    set_online(bus, state == AMQP_STATE_OPEN);
}

static void on_problem(const char *what, const GError *error, void *user)
{
    if (!((AgentBus *) user)->closing)
        log_debug("%s: %s", what, error->message);
}

static Credentials *find_credentials(const AgentBusOptions *o, GError **error)
{
    g_autofree char *user = g_strconcat(o->user_prefix, o->identity->id, NULL);
    Credentials *credentials;

    if (o->credentials != NULL)
        return credentials_read(o->credentials, error);
    if (o->site == NULL && g_getenv("MEND_DATA") == NULL && g_file_test(AGENT_CREDENTIALS, G_FILE_TEST_EXISTS))
        return credentials_read(AGENT_CREDENTIALS, error);
    credentials = credentials_find(user, o->site, error);
    if (credentials == NULL)
        g_prefix_error(error, "no way to say who we are: ");
    return credentials;
}

static void open_session(AgentBus *bus, AmqpClientOptions *options)
{
    const AgentBusOptions *o = &bus->options;
    const QmfAgentOptions agent = {o->vendor != NULL ? o->vendor : VENDOR, o->product, o->identity->id, o->identity->epoch, (uint32_t) (o->heartbeat_us / US_PER_S)};
    g_autofree char *container = g_strdup_printf("%s-%s-%u", o->product, o->identity->id, o->identity->epoch), *queue = NULL;

    options->container_id = container;
    bus->client = amqp_client_new(options);
    bus->session = qmf_session_new(bus->client);
    qmf_session_on_problem(bus->session, on_problem, bus);
    qmf_session_on_heartbeat(bus->session, on_heartbeat, bus);
    bus->agent = qmf_session_agent(bus->session, &agent);
    bus->gate = command_gate_new(bus->agent, o->ledger);
    set_attributes(bus);
    queue = g_strconcat("mend.control.", qmf_agent_name(bus->agent), NULL);
    qmf_session_agent_add_queue(bus->session, queue);
}

AgentBus *agent_bus_new(const AgentBusOptions *options, GError **error)
{
    g_autoptr(Credentials) credentials = options->anonymous ? NULL : find_credentials(options, error);
    AmqpClientOptions client = {.on_state = on_state, .reconnect = true};
    g_autofree char *environment = matahari_environment_url();
    AgentBus *bus;

    if (!options->anonymous && credentials == NULL)
        return NULL;
    bus = g_new0(AgentBus, 1);
    bus->options = *options;
    bus->url = g_strdup(options->broker != NULL                                ? options->broker
                        : environment != NULL                             ? environment
                        : credentials != NULL && credentials->url != NULL ? credentials->url
                                                                               : DEFAULT_BROKER);
    client.state_user = bus;
    client.url = bus->url;
    if (credentials != NULL) {
        client.user = credentials->user;
        client.password = credentials->password;
        client.ca_file = credentials->ca_file;
    }
    open_session(bus, &client);
    return bus;
}

QmfAgent *agent_bus_agent(const AgentBus *bus) { return bus->agent; }
CommandGate *agent_bus_gate(const AgentBus *bus) { return bus->gate; }
const char *agent_bus_url(const AgentBus *bus) { return bus->url; }

void agent_bus_start(AgentBus *bus)
{
    bus->started = true;
    qmf_session_agent_start(bus->session);
}

void agent_bus_close(AgentBus *bus, void (*closed)(void *user), void *user)
{
    bus->closing = true;
    amqp_client_close(bus->client, LINGER_US, closed, user);
}

void agent_bus_free(AgentBus *bus)
{
    if (bus == NULL)
        return;
    bus->closing = true;
    qmf_session_free(bus->session);
    command_gate_free(bus->gate);
    amqp_client_free(bus->client);
    g_free(bus->url);
    g_free(bus->last_problem);
    g_free(bus);
}
