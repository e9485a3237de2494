/* An agent's way to the bus: the connection with its credentials, the QMF session, heartbeats with the attributes every agent of Mend
 * sends (docs/wire.md), the control queue and the gate before its methods. Thread: the owner's main loop. */
#ifndef MEND_AGENTS_AGENT_BUS_H
#define MEND_AGENTS_AGENT_BUS_H

#include "agents/common/command_gate.h"
#include "agents/common/identity.h"
#include "lib/qmf/session.h"

typedef struct AgentBus AgentBus;

#define AGENT_CREDENTIALS "/etc/mend/credentials"

typedef struct AgentBusOptions { /* borrowed; identity and ledger outlive the bus, texts are copied */
    const char *vendor;       /* NULL: ours */
    const char *product;      /* "mend-guest" */
    const char *broker;       /* URL; NULL: from MATAHARI_BROKER and MATAHARI_PORT, from the credentials, or amqp://127.0.0.1:5672 */
    const char *credentials;  /* file; NULL: AGENT_CREDENTIALS when it exists and no site is named, else those of @site */
    const char *site;         /* folder of a broker on this machine; NULL: $MEND_DATA or the usual one */
    const char *user_prefix;  /* of its name: "agent-" */
    bool anonymous;
    int64_t heartbeat_us;
    const char *const *capabilities; /* NULL-terminated */
    const Identity *identity;
    CommandLedger *ledger;
    void (*on_online)(bool online, void *user); /* only when it changes, and only between start and close */
    void (*on_heartbeat)(QmfAgent *agent, void *user); /* just before each; may be NULL */
    void *user;
} AgentBusOptions;

/* Connects in the background, for ever. NULL: error (no credentials). */
AgentBus *agent_bus_new(const AgentBusOptions *options, GError **error);
QmfAgent *agent_bus_agent(const AgentBus *bus);
CommandGate *agent_bus_gate(const AgentBus *bus);
const char *agent_bus_url(const AgentBus *bus);
/* Once the agent has its classes and objects. */
void agent_bus_start(AgentBus *bus);
/* The last answers get half a second to leave; then @closed. @on_online is not called any more. */
void agent_bus_close(AgentBus *bus, void (*closed)(void *user), void *user);
void agent_bus_free(AgentBus *bus); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AgentBus, agent_bus_free)

#endif
