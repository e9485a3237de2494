/* From beats and errors of one storage domain to its state, with hysteresis. Pure: the time is given. */
#ifndef MEND_HOST_STORAGE_HEALTH_H
#define MEND_HOST_STORAGE_HEALTH_H

#include "lib/base/base.h"

typedef enum { HEALTH_UNKNOWN, HEALTH_WELL, HEALTH_DEGRADED, HEALTH_FULL, HEALTH_FAILED, HEALTH_N } HealthState;

#define HEALTH_WINDOW 32 /* cycles */

typedef struct HealthLimits {
    int64_t slow_us;      /* a 95th percentile above it is degraded, until it is below half of it; one slow beat alone never is */
    int64_t silent_us;    /* no word for so long: failed */
    unsigned errors;      /* in a row: failed, until as many beats in a row */
    unsigned full_percent; /* free space below it: full, until one percent above */
    unsigned error_percent; /* of the window; more errors are degraded */
    unsigned paths;       /* fewer that work are degraded; 0: any that does not */
} HealthLimits;

typedef struct Health {
    HealthLimits limits;
    int64_t latency_us[HEALTH_WINDOW]; /* -1: an error */
    unsigned n, next, errors_in_row, beats_in_row;
    int64_t heard_us;     /* the last word of any kind */
    uint64_t free_bytes, total_bytes;
    unsigned paths, paths_up; /* 0: none known */
    HealthState state;
    char reason[256];     /* of the state, for people */
} Health;

void health_init(Health *health, const HealthLimits *limits, int64_t now_us);
void health_beat(Health *health, int64_t latency_us, int64_t now_us);
void health_error(Health *health, int error /* errno */, const char *what, int64_t now_us);
void health_space(Health *health, uint64_t free_bytes, uint64_t total_bytes);
void health_paths(Health *health, unsigned paths, unsigned up);
/* After any of these, and now and then. True: the state is another one than before. */
bool health_judge(Health *health, int64_t now_us);
int64_t health_percentile_us(const Health *health, unsigned percent); /* of the beats in the window; -1: none */
const char *health_name(HealthState state); /* "well" … as in docs/wire.md */

#endif
