/* Jump consistent hashing (Lamping and Veach, 2014) over FNV-1a: no table, no seed, the same everywhere. */
#include "lib/model/shard.h"

static uint64_t fnv1a(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
        hash = (hash ^ *c) * UINT64_C(1099511628211);
    hash ^= hash >> 33; /* names that differ only at their end must differ in the upper bits, too */
    hash *= UINT64_C(0xff51afd7ed558ccd);
    return hash ^ (hash >> 33);
}

unsigned shard_of(const char *group, unsigned shards)
{
    uint64_t key = fnv1a(group);
    int64_t at = -1, next = 0;

    if (shards == 0)
        return SHARD_SITE;
    while (next < (int64_t) shards) {
        at = next;
        key = key * UINT64_C(2862933555777941757) + 1;
        next = (int64_t) ((double) (at + 1) * ((double) (INT64_C(1) << 31) / (double) ((key >> 33) + 1)));
    }
    return (unsigned) at + 1;
}
