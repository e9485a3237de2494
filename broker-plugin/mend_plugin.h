/* The Mend plugin from inside: what its own files share, where the stages meet. Nobody else includes this.
 *
 *   plugin.c    life: create, start, reload, drain, destroy; the ticking; peers
 *   inflow.c    what agents say: ingress -> registry, liveness -> events
 *   outflow.c   what became of it: facts to mend.events and to the objects of our own agent
 *   desk.c      commands: the gate, results, expiry, queues, the seat
 */
#ifndef MEND_PLUGIN_PARTS_H
#define MEND_PLUGIN_PARTS_H

#include "broker-plugin/abi.h"
#include "broker-plugin/control/commands.h"
#include "broker-plugin/control/legacy.h"
#include "broker-plugin/control/queues.h"
#include "broker-plugin/control/watch.h"
#include "broker-plugin/events/digest.h"
#include "broker-plugin/events/outbox.h"
#include "broker-plugin/ingress/identity.h"
#include "broker-plugin/ingress/quarantine.h"
#include "broker-plugin/ingress/rate.h"
#include "broker-plugin/liveness/liveness.h"
#include "broker-plugin/plugin_settings.h"
#include "broker-plugin/registry/registry.h"
#include "broker-plugin/site.h"

#define PLUGIN_MAGIC 0x5b1e9c27u

#define METRICS(X)                                                                                      \
    X(INDICATIONS, "indications", "messages", "indications of agents taken")                            \
    X(QUARANTINED, "quarantined", "messages", "indications refused")                                    \
    X(HEARTBEATS, "heartbeats", "messages", "heartbeats and locate responses")                          \
    X(STALE, "stale", "messages", "doubled, overtaken, or of an instance that is no more")              \
    X(EVENTS, "events", "events", "published on mend.events")                                           \
    X(COALESCED, "coalesced", "events", "replaced by a newer one while the bus was busy")               \
    X(DROPPED, "dropped", "events", "given up: no room")                                                \
    X(REPAIRED, "repaired", "events", "known from a digest, not from an event")                         \
    X(ADMITTED, "commands_admitted", "commands", "let into a control queue")                            \
    X(REFUSED, "commands_refused", "commands", "kept out of a control queue")                           \
    X(EXPIRED, "commands_expired", "commands", "never answered in time")                                \
    X(STORE_FAILED, "store_failed", "writes", "the host would not keep something")
#define X(id, name, unit, help) METRIC_##id,
typedef enum { METRICS(X) METRIC_N } Metric;
#undef X

typedef struct Peer {
    mend_id id;
    char *user, *role, *address;
    char *spoke; /* once it is gone: the name it used */
    bool gone;
} Peer;

typedef struct Plugin {
    uint32_t magic;
    mend_host *host;
    PluginSettings settings;
    char *site_id, *reply_key;
    GHashTable *peers;        /* id -> Peer */
    GQueue gone;              /* those of them that are, longest first */
    Identity *identity;
    Quarantine *quarantine;
    Rate *rate, *noise;       /* of agents; of what is told about refusals */
    Registry *registry;
    Liveness *liveness;
    Entities *entities;
    Digest *digest;
    Outbox *outbox;
    Seat *seat;
    Commands *commands;
    Legacy *legacy;
    Watch *watch;
    Site *site;
    GHashTable *early;        /* agent -> array of its events, from before it said where it lives */
    GArray *subscriptions;    /* of mend_id */
    GSList *refusals;         /* of Refusal, on their way to be settled */
    mend_id tick;
    int64_t started_us, heartbeat_us, second_us;
    unsigned asked;           /* how often who is here was asked */
    unsigned shard;           /* whose turn it is to be saved */
    mend_task_fn drained;
    void *drained_user;
} Plugin;

static inline Plugin *plugin_from(void *user)
{
    Plugin *p = user;

    g_assert(p != NULL && p->magic == PLUGIN_MAGIC);
    return p;
}

void count(Plugin *p, Metric metric, int64_t delta);
const Peer *peer_of(const Plugin *p, mend_id id); /* NULL: not known */
/* Remembers that it was refused, and says so once. */
void quarantine(Plugin *p, const char *agent, const char *reason);
void save_registry(Plugin *p, unsigned most);

/* inflow.c */
int32_t on_indication_PL(void *user, mend_id delivery, const mend_msg *msg);
int32_t on_reply_PL(void *user, mend_id delivery, const mend_msg *msg); /* answers to our own questions */
void agent_moved_PL(const char *agent, LiveState from, LiveState to, const char *reason, void *user);
void agent_ask_PL(const char *agent, void *user);
void observer_fault_PL(bool fault, unsigned silent, unsigned total, void *user);
void observer_begin(Plugin *p); /* at the start: takes back a fault told before it */
void watch_record(Plugin *p, const AgentRecord *record);
void locate(Plugin *p, const char *agent /* NULL: everyone */);

/* outflow.c */
/* Consumes @fact. */
void tell(Plugin *p, Fact *fact);
Fact *agent_fact(Plugin *p, const char *kind, const char *agent, const char *reason);
OutboxSink outbox_sink(Plugin *p);
void show_record(Plugin *p, const AgentRecord *record);
void show_site(Plugin *p);
void show_quarantine(const QuarantineEntry *entry, bool gone, void *user);

/* desk.c */
int32_t on_gate_PL(void *user, mend_id delivery, const mend_msg *msg);
int32_t on_result_PL(void *user, mend_id delivery, const mend_msg *msg);
int32_t on_dead_letter_PL(void *user, mend_id delivery, const mend_msg *msg);
uint64_t claim_PL(mend_id peer, unsigned shard, const char *engine, char **ret_why, void *user);
LegacySink legacy_sink(Plugin *p);
bool watch_PL(mend_id peer, const Value *services, char **ret_why, void *user);
WatchSink watch_sink(Plugin *p);
void desk_tick(Plugin *p);
void desk_free(Plugin *p);
/* Gives it a control queue, and an adapter when it needs one. */
void serve_agent(Plugin *p, const AgentRecord *record);

#endif
