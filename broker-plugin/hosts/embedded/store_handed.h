/* Which message was handed out how often: a table in a shared memory map, so that noting it costs a few stores and no system call,
 * and yet outlives the process. Thread: one at a time (the store's lock). */
#ifndef MEND_EMBEDDED_STORE_HANDED_H
#define MEND_EMBEDDED_STORE_HANDED_H

#include "lib/base/base.h"

typedef struct Handed Handed;

/* What the last run left may be: exact, or (the machine went down, the table was full) a lower bound. */
Handed *handed_open(const char *path, bool *ret_exact, GError **error);
/* Marks it complete. NULL is fine. */
void handed_close(Handed *handed);
/* Count of @record; 0: never. */
uint32_t handed_get(const Handed *handed, uint64_t record);
void handed_set(Handed *handed, uint64_t record, uint32_t count); /* 0 removes */
/* Removes the records for which @keep says no. */
void handed_sweep(Handed *handed, bool (*keep)(void *user, uint64_t record), void *user);

#endif
