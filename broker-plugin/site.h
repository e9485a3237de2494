/* The plugin as a QMF agent: what is true, as objects anyone may query, and the claim to the engine's seat (docs/wire.md).
 *
 * Thread: plugin loop. */
#ifndef MEND_PLUGIN_SITE_H
#define MEND_PLUGIN_SITE_H

#include "broker-plugin/plugin.h"
#include "lib/qmf/agent.h"

typedef struct Site Site;

typedef struct SiteSink {
    /* @peer asks for the seat of @shard (at most SHARDS_MAX). The answer is the epoch; 0: refused, *@ret_why says why (caller frees). */
    uint64_t (*claim)(mend_id peer, unsigned shard, const char *engine, char **ret_why, void *user);
    /* @peer says what is to be monitored where nobody else does it. False: refused, *@ret_why. */
    bool (*watch)(mend_id peer, const Value *services, char **ret_why, void *user);
    uint64_t (*sequence)(void *user);
    void *user;
} SiteSink;

/* NULL: the schema lacks a class of ours, @error. @id: UUID of the site, @epoch: of this agent. */
Site *site_new(mend_host *host, const char *id, uint32_t epoch, uint32_t heartbeat_s, const SiteSink *sink, GError **error);
void site_free(Site *site);
const char *site_name(const Site *site);
const QmfBinding *site_bindings(const Site *site);

/* A request, from @peer (0: not known). */
void site_receive(Site *site, QmfMessage *message, mend_id peer);
void site_heartbeat(Site *site);
void site_tick(Site *site, int64_t now_us);

/* Sets an object's properties, making it when it is new. @values (transfer full): map. @class: "Entity" "AgentRecord" "Quarantine" "Site". */
void site_put(Site *site, const char *class, const char *object, Value *values);
void site_remove(Site *site, const char *object);

#endif
