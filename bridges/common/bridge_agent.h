/* What a bridge is on the bus for one machine it speaks for: an agent with a name, a registry entry, credentials, a heartbeat and a
 * command ledger of its own, as if it ran there. That the connection to the machine is down is not the agent's end: it says so.
 * Thread: the main loop's. */
#ifndef MEND_BRIDGES_BRIDGE_AGENT_H
#define MEND_BRIDGES_BRIDGE_AGENT_H

#include "agents/common/agent_bus.h"
#include "bridges/common/bridge.h"

typedef struct BridgeAgent BridgeAgent;

typedef struct BridgeAgentOptions { /* borrowed; texts are copied, @capabilities and callbacks are static */
    const char *vendor;      /* in its name; NULL: ours */
    const char *product;     /* "mend-host", "mend-ssh" */
    const char *user_prefix; /* of its SASL user: "agent-", "host-" (docs/wire.md) */
    const char *id;          /* UUID of the machine */
    const char *hostname;    /* NULL: not known */
    const char *const *capabilities; /* NULL-terminated. With "bridge" among them the agent is no sign of life of its VM (docs/wire.md) */
    void (*on_online)(bool online, void *user);
    void (*on_heartbeat)(QmfAgent *agent, void *user); /* may be NULL */
    void *user;
} BridgeAgentOptions;

/* Its credentials: the file USER ("agent-ID") in the folder --credentials, or --credentials itself when that is a file; else those of a
 * broker on this machine. Its data: the folder ID in the bridge's. It talks from bridge_agent_start() on. NULL: error. */
BridgeAgent *bridge_agent_new(Bridge *bridge, const BridgeAgentOptions *options, GError **error);
void bridge_agent_start(BridgeAgent *agent); /* once it has its classes and objects */
/* The last answers leave (half a second); the bridge waits for it (bridge_hold). */
void bridge_agent_close(BridgeAgent *agent);
void bridge_agent_free(BridgeAgent *agent); /* NULL is fine */

/* Borrowed, as long as the agent is there. */
AgentBus *bridge_agent_bus(const BridgeAgent *agent);
QmfAgent *bridge_agent_qmf(const BridgeAgent *agent);
CommandGate *bridge_agent_gate(const BridgeAgent *agent);
Identity *bridge_agent_identity(const BridgeAgent *agent);
const char *bridge_agent_data(const BridgeAgent *agent); /* folder */

/* Learnt from the machine, or changed: goes out with the next heartbeat. NULL: left as it is. */
void bridge_agent_set_life(BridgeAgent *agent, const char *boot_id, const char *hostname);
/* Whether the machine, or the system that speaks for it, is reached: the attributes mend.reach ("well" "degraded") and mend.reach_text.
 * @why: NULL: well; else for people, with what to do. Logged when it changes. */
void bridge_agent_set_reach(BridgeAgent *agent, const char *why);

#endif
