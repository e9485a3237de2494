/* Gives back what start-up needed and running does not: a guest's memory belongs to its services. */
#ifndef MEND_AGENTS_FOOTPRINT_H
#define MEND_AGENTS_FOOTPRINT_H

#include "lib/base/base.h"

/* Returns free heap, and unmaps pages of program files that are unchanged (they come back from the page cache when they are needed
 * again: code of the TLS library after the handshake, of the parsers after the settings). Takes about a millisecond. */
void footprint_trim(void);
/* Once, @after_us from now, in the default main context. */
void footprint_trim_later(int64_t after_us);

#endif
