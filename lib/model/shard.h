/* Which shard a group of things belongs to. A group is an application ("app/shop") or, outside of applications, a VM ("vm/ID"). Pure: engines
 * and the plugin come to the same number without asking each other. */
#ifndef MEND_MODEL_SHARD_H
#define MEND_MODEL_SHARD_H

#include "lib/base/base.h"

#define SHARDS_MAX 64
#define SHARD_SITE 0 /* what is nobody's shard: everything when there are none */

/* 1 to @shards; SHARD_SITE when @shards is 0. One shard more moves only its own part of the groups. */
unsigned shard_of(const char *group, unsigned shards);

#endif
