/* What is known of the inside of one VM, each field from the best source that is fresh: a value is worth its source's rank until it is
 * older than that source said, then the youngest of all counts. Pure: the caller has the clock. Thread: any, one at a time. */
#ifndef MEND_HOST_CHANNEL_FACTS_H
#define MEND_HOST_CHANNEL_FACTS_H

#include "lib/amqp/value.h"

#define FACTS_FIELDS_MAX 64
#define FACT_BYTES_MAX   16384 /* of one value, as JSON; a longer list is cut */

typedef enum { FACT_OVIRT, FACT_QGA, FACT_GUEST, FACT_SOURCE_N } FactSource; /* rising rank */
const char *fact_source_name(FactSource source); /* "ovirt-guest-agent" "qga" "mend-guest" */

typedef struct Facts Facts;
Facts *facts_new(void);
void facts_free(Facts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Facts, facts_free)

/* @value: (transfer full). @fresh_us: until it is this old its source's rank counts. False: too many fields, or too large; nothing is kept. */
bool facts_set(Facts *facts, const char *field, FactSource source, Value *value, int64_t fresh_us, int64_t now_us);
void facts_drop(Facts *facts, FactSource source); /* that source is gone: what it said is no longer known from it */
/* Map: field → {value, source, age_ms}. (transfer full) */
Value *facts_map(const Facts *facts, int64_t now_us);
/* The best value of a field, borrowed; NULL: not known. */
const Value *facts_get(const Facts *facts, const char *field, int64_t now_us, FactSource *ret_source);

#endif
