/* Which host's agent fences another one, and what agents say of the devices they have for that. */
#ifndef MEND_POLICY_PROXY_H
#define MEND_POLICY_PROXY_H

#include "consumers/policy/engine/facts.h"

/* A host that is heard, has devices for @host, and shares as little with it as can be: not its switch, power feed, rack. One whose devices
 * do not work for @host comes after all whose do. One that never said what it can fence may be able to. NULL: none, *ret_why
 * (transfer full) says what to do. */
EntityState *proxy_choose(Engine *engine, const EntityState *host, char **ret_why);

/* host.fenceable, host.unfenceable about @host: kept, and told to people and the policy's rules when it changes. */
void proxy_fenceable(Stage *s, EntityState *host, const Event *event);

/* A message of a crash dump in progress. */
void proxy_dump_heard(HostState *host, int64_t now_us);
/* Until when @host is left alone for its crash dump; 0: it is not, or was for long enough. */
int64_t proxy_dump_until_us(const HostState *host, int64_t now_us);

/* @host's session ends now. A BMC that said off while the host was heard for long is another machine's: it is not believed. */
void proxy_doubt_bmc(HostState *host, int64_t now_us);

#endif
