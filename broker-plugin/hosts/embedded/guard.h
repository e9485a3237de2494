/* Keeps proton's assertions to the connection they are about.
 *
 * Proton asserts on some of what a peer may send (0.37: a transfer without a delivery-id), and Debian builds it with assertions on, so
 * one frame would end the broker. Within guard_run() a failed assertion comes back here instead. Thread: any. */
#ifndef MEND_EMBEDDED_GUARD_H
#define MEND_EMBEDDED_GUARD_H

#include "lib/base/base.h"

/* Runs @work, which must only call into proton: its frames may be left by longjmp. False: an assertion failed, and the proton objects
 * it touched may only be destroyed, again under guard. */
bool guard_run(void (*work)(void *user), void *user);
/* What failed last on this thread, for the log. */
const char *guard_reason(void);

#endif
