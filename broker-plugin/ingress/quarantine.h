/* What was refused and why: a bounded list for people, the least recent leaving first. Peers fill it, so it must not grow. */
#ifndef MEND_INGRESS_QUARANTINE_H
#define MEND_INGRESS_QUARANTINE_H

#include "lib/base/base.h"

typedef struct Quarantine Quarantine;

typedef struct QuarantineEntry {
    char *agent, *reason;
    uint64_t count;
    int64_t last_us; /* wall clock */
} QuarantineEntry;

typedef void (*QuarantineFn)(const QuarantineEntry *entry, bool gone, void *user); /* changed, or about to be forgotten */

Quarantine *quarantine_new(size_t max, QuarantineFn changed, void *user);
void quarantine_free(Quarantine *quarantine);
/* True: this agent was not refused for this reason before (as far as is remembered). Texts are cut to what an operator can read. */
bool quarantine_note(Quarantine *quarantine, const char *agent, const char *reason, int64_t wall_us);
size_t quarantine_size(const Quarantine *quarantine);

#endif
