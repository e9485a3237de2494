/* What is said of storage domains: by a host of its own path, or of the domain everywhere. A domain that one host cannot reach serves the
 * others; it serves nowhere when that was said, or when every host that is up and uses it has said so. */
#ifndef MEND_POLICY_STORAGE_H
#define MEND_POLICY_STORAGE_H

#include "lib/model/event.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;
typedef struct StorageState StorageState;

StorageState *storage_state_new(void);
void storage_state_free(StorageState *state);
json_t *storage_state_to_json(const StorageState *state);
/* @otherwise: the entity's state, where nothing else is kept. */
void storage_state_from_json(StorageState *state, const json_t *json, const char *otherwise);

void storage_numbers_anew(StorageState *state);
/* False: it is older than what is known of that host's path, or of all. What is said of a host nobody knows is not kept. */
bool storage_hear(Engine *engine, EntityState *storage, const Event *event);
/* What follows from a word that was new: who waited looks again, and what still runs where the path is lost or the domain degraded is told of
 * (vm.path-lost, vm.storage-degraded). */
void storage_heard(Stage *s, EntityState *storage, const Event *event);

/* The first of @vm's domains that has failed or is full on @host (NULL: everywhere); NULL: all serve, as far as is known. */
const EntityState *storage_ill_for(const Engine *engine, const EntityState *vm, const EntityState *host);
/* @event tells of the domain, not of the path of one host only: that is for the VMs there. */
bool storage_follows(const Engine *engine, const EntityState *storage, const Event *event);
/* One of @vm's that is degraded as @host has it: slow, failing now and then, or with paths gone, and it serves. NULL: none. */
const EntityState *storage_degraded_for(const Engine *engine, const EntityState *vm, const EntityState *host);
/* Some host that is up, other than @but, says that it is well. NULL: none. */
const EntityState *storage_well_at(const Engine *engine, const EntityState *storage, const EntityState *but);
bool storage_lost_path(const EntityState *storage, const EntityState *host); /* it has failed there */
int64_t storage_since_us(const EntityState *storage, const EntityState *host); /* when what holds there was first said */

#endif
