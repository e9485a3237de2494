/* Hosts on which much fails get no new VMs for a while; never more than a share of them. */
#ifndef MEND_POLICY_QUARANTINE_H
#define MEND_POLICY_QUARANTINE_H

#include "consumers/policy/engine/due.h"
#include "lib/base/json.h"

typedef struct Engine Engine;
typedef struct EntityState EntityState;
typedef struct Stage Stage;

typedef struct Failure {
    char *path;            /* of what failed: a VM, or the host itself */
    int64_t at_us;
} Failure;

typedef struct Trouble {   /* of one host */
    EntityState *host;
    GPtrArray *failures;   /* of Failure, oldest first; of a VM at most one */
    int64_t until_us;      /* in quarantine; 0: it is not */
    DueTime due;           /* at until_us */
} Trouble;

void trouble_free(Trouble *trouble);
/* @path failed on @host, or is the host itself. */
void quarantine_failure(Stage *s, EntityState *host, const char *path, const char *state);
/* 0: not in quarantine. */
int64_t quarantine_until_us(const Engine *engine, const EntityState *host);
bool quarantine_release(Stage *s, const char *path, const char *who); /* false: it is in none */
void quarantine_due(Stage *s, Trouble *trouble);
json_t *quarantine_to_json(const Engine *engine); /* (transfer full) */
void quarantine_from_json(Engine *engine, const json_t *json);

#endif
