/* Are the devices there when they are needed? Each is asked for the status of each of its hosts, again and again, at times that differ from
 * agent to agent. What they say is also evidence about those hosts. Thread: main loop. */
#ifndef MEND_HOST_FENCE_HEALTH_H
#define MEND_HOST_FENCE_HEALTH_H

#include "agents/host/fence/device.h"

typedef struct HealthReport { /* borrowed during the call */
    const FenceHost *host;
    const char *says;       /* "off" "alive", or "unknown": no level answered whole */
    const char *reason;     /* NULL: every device works. "degraded": some do not, yet a level does. "unreachable": no level works */
    const char *text;       /* for people */
} HealthReport;
typedef void (*HealthFn)(const HealthReport *report, void *user);

typedef struct Health Health;
/* @file and what @asker asks outlive it. @report after each look at a host. */
Health *health_new(const FencingFile *file, const FenceAsker *asker, int64_t first_us, int64_t interval_us, HealthFn report, void *user);
void health_free(Health *health); /* NULL is fine */
/* Somebody needs the devices now: looks at work are given up, and taken up again later. */
void health_yield(Health *health);
/* Looks at @host now, once, whatever the interval is. */
void health_look(Health *health, const FenceHost *host);

#endif
