/* Rules that look at more than one event: count, absent, sequence, and any with once_within. Each has a matcher (correlate.h) that is fed with
 * every event its patterns match, whether or not something is open for the entity.
 *
 * A rule that fires takes part where it stands in the file: before the first plain rule that applies, it has the event; behind it, it has not. When an
 * incident is open for the entity, a rule that fires and stands before the incident's takes the entity over.
 *
 * The time of a match is the event's, if it is not ahead of now nor more than WATCH_TRUST_US behind; else now. What somebody stopped on purpose
 * matches nothing, but answers an `absent`. A match without a value for one of group_by belongs to no group and is not counted. Calendars
 * are no matter here: they hold back what is done (gate.h), not what is seen. */
#ifndef MEND_POLICY_WATCH_H
#define MEND_POLICY_WATCH_H

#include "consumers/policy/engine/correlate.h"
#include "consumers/policy/engine/due.h"
#include "consumers/policy/engine/policy.h"
#include "lib/model/event.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

#define WATCH_LATENESS_US (5 * US_PER_S) /* of COUNT and SEQUENCE; at most the rule's within */
#define WATCH_TRUST_US US_PER_HOUR

typedef struct Watch {
    char *rule;
    guint index;               /* of the rule in the policy */
    Correlate *matcher;
    DueTime due;
} Watch;
void watch_free(Watch *watch);

/* What the event at hand has made fire: the first rule of the file. */
typedef struct Fired {
    const Rule *rule;          /* NULL: none */
    json_t *values;            /* owned */
} Fired;
void fired_clear(Fired *fired);

/* Takes up the policy's rules; a matcher goes on when its rule has the same numbers as before. */
void watches_of_policy(Engine *engine);
/* Feeds all but the plain rules that are only throttled. (transfer full) */
Fired watches_event(Stage *s, EntityState *entity, const Event *event);
/* A throttled plain rule matches: false: it is too early for another, which is recorded. @values gets what was kept back before. */
bool watch_lets(Stage *s, const Rule *rule, EntityState *entity, const Event *event, json_t *values);
/* Something is open for @entity: @fired (consumed) takes over, opens anew, or is recorded as not done. */
void watch_take_over(Stage *s, EntityState *entity, const Event *event, Fired *fired);
void watch_due(Stage *s, Watch *watch);

json_t *watches_to_json(const Engine *engine); /* (transfer full) */
void watches_from_json(Engine *engine, const json_t *json);

#endif
