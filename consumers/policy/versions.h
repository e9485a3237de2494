/* The policies that were in force, the last VERSIONS_MAX of them: what `mend policy versions` lists and `mend policy rollback` goes back to. Part of a
 * machine: kept in its snapshots and filled again by replay, so they are there after a restart. Thread: the owner's. */
#ifndef MEND_POLICY_VERSIONS_H
#define MEND_POLICY_VERSIONS_H

#include "consumers/policy/engine/policy.h"

#define VERSIONS_MAX 20
#define VERSIONS_MAX_BYTES (8u << 20) /* of texts; the newest two stay whatever they have */

typedef struct Version {
    int64_t number;       /* grows by one, from 1 */
    int64_t at_us;        /* the engine's time it came into force */
    char *name, *text, *version; /* as Policy has them */
    char *from;           /* "start" (the default policy), "file", "load", "rollback" */
    char *who;            /* load, rollback: who asked; "" */
} Version;

typedef struct Versions Versions;

Versions *versions_new(void);
void versions_free(Versions *versions);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Versions, versions_free)

/* @from, @who may be NULL: not known. */
void versions_add(Versions *versions, const Policy *policy, int64_t at_us, const char *from, const char *who);
size_t versions_size(const Versions *versions);
const Version *versions_at(const Versions *versions, size_t i); /* oldest first; the last is in force */
const Version *versions_number(const Versions *versions, int64_t number); /* NULL: not kept */
/* The newest with another text than the one in force; NULL: none. */
const Version *versions_before(const Versions *versions);
/* The newest that came from the file; NULL: none is kept. */
const Version *versions_of_file(const Versions *versions);

json_t *versions_to_json(const Versions *versions); /* (transfer full) */
/* NULL (an older snapshot has none) and what is damaged give an empty list: they are history, and nothing is decided by them. */
Versions *versions_from_json(const json_t *json);

#endif
