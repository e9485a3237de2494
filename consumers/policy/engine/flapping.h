/* Things that fail and recover again and again: mending them is suspended, watching them goes on. */
#ifndef MEND_POLICY_FLAPPING_H
#define MEND_POLICY_FLAPPING_H

#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/flap.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

typedef struct Flapper {   /* of an entity that has failed */
    EntityState *entity;
    Flap flap;
    char *to;              /* who was told that it flaps; NULL: nobody */
    DueTime due;           /* when it will have stopped by itself */
} Flapper;

void flapper_free(Flapper *flapper);
/* @entity's state was heard. Costs nothing while it has never failed. */
void flapping_seen(Stage *s, EntityState *entity, bool ill, bool well);
void flapping_due(Stage *s, Flapper *flapper);
/* When it will have stopped by itself; 0: it does not flap. */
int64_t flapping_until_us(const Engine *engine, const EntityState *entity);
guint flapping_permille(const EntityState *entity);
json_t *flapper_to_json(const Flapper *flapper);                                     /* (transfer full) */
void flapper_from_json(Engine *engine, EntityState *entity, const json_t *json);

#endif
