/* Who is here: one record per agent, and what the records say about each other (clones, moves, a new instance of the same thing).
 * Pure: no clock, no host. Records are handed out borrowed and are changed only here. */
#ifndef MEND_REGISTRY_REGISTRY_H
#define MEND_REGISTRY_REGISTRY_H

#include "broker-plugin/registry/record.h"

#define REGISTRY_SHARDS 64 /* documents the records are kept in; a change rewrites one */

typedef struct Registry Registry;

typedef struct Sighting { /* an agent was heard; borrowed */
    const char *agent;
    const Value *attributes; /* of a heartbeat or locate response; NULL: some other message */
    mend_id peer;            /* 0: not known */
    const char *user, *role, *address;
    int64_t wall_us;
} Sighting;

typedef struct Changes { /* what a sighting told that was not known */
    bool joined;             /* never seen before */
    bool restarted;          /* its epoch grew, or it is a new instance of the same product on the same machine */
    bool rebooted, reverted, moved;
    bool cloned;             /* newly found: @clone is the other one */
    bool stale;              /* said by an instance that is no more: nothing was taken from it */
    char *previous_boot, *previous_address, *replaced, *clone; /* owned */
} Changes;

void changes_clear(Changes *changes);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Changes, changes_clear)

#define REGISTRY_ERROR registry_error_quark()
GQuark registry_error_quark(void);
typedef enum { REGISTRY_ERROR_FULL } RegistryError;

Registry *registry_new(size_t max_agents);
void registry_free(Registry *registry);
/* NULL: full. Else the record, and *@ret. */
const AgentRecord *registry_seen(Registry *registry, const Sighting *sighting, Changes *ret, GError **error);
/* Its peer went, or it fell silent; the record stays. */
void registry_gone(Registry *registry, const char *agent, int64_t wall_us);
void registry_set_state(Registry *registry, const char *agent, const char *state);
void registry_set_interval(Registry *registry, const char *agent, uint32_t interval_ms);
void registry_set_served(Registry *registry, const char *agent, const char *owner);
void registry_forget(Registry *registry, const char *agent);

const AgentRecord *registry_find(const Registry *registry, const char *agent);
size_t registry_size(const Registry *registry);
void registry_foreach(const Registry *registry, void (*fn)(const AgentRecord *record, void *user), void *user);
/* Names of those gone since before @wall_us. (transfer full) */
GPtrArray *registry_gone_before(const Registry *registry, int64_t wall_us);

/* Text of a shard ("" when empty), and the bit set of shards changed since the last call. */
uint64_t registry_take_dirty(Registry *registry);
void registry_mark_dirty(Registry *registry, unsigned shard);
char *registry_shard_text(const Registry *registry, unsigned shard);
/* Takes the records of a shard's text; broken ones are left out. How many were. */
size_t registry_load_shard(Registry *registry, const char *text, size_t n_bytes);

#endif
