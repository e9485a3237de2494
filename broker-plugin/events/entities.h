/* What is true now: the last lasting fact about each entity. Bounded; pure. */
#ifndef MEND_EVENTS_ENTITIES_H
#define MEND_EVENTS_ENTITIES_H

#include "broker-plugin/events/fact.h"

typedef struct EntityState { /* borrowed views; changed only by the calls below */
    char *entity, *kind, *state, *source;
    int64_t since_us;        /* wall clock: when it got into this state */
    uint64_t sequence;       /* of the event that said so; 0: not published yet */
    json_t *data;
    uint64_t source_sequence;
    int64_t occurred_us;
} EntityState;

typedef enum { FACT_NEW, FACT_SAME, FACT_OLD, FACT_NO_ROOM, FACT_ASIDE } FactNews;

typedef struct Entities Entities;

Entities *entities_new(size_t max);
void entities_free(Entities *entities);
/* NEW: the state changed (or was said with other words worth telling). SAME: known. OLD: overtaken on the way, or doubled.
 * ASIDE: worth telling, but not what is true of the entity: a VM ended where it left, and was seen already where it went. */
FactNews entities_take(Entities *entities, const Fact *fact);
void entities_published(Entities *entities, const char *entity, uint64_t sequence);
const EntityState *entities_find(const Entities *entities, const char *entity);
void entities_forget(Entities *entities, const char *entity);
size_t entities_size(const Entities *entities);
/* Paths of the services said by @source. (transfer full) */
GPtrArray *entities_of_source(const Entities *entities, const char *source);

#endif
