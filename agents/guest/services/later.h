/* An answer known at once and told later: completions never run inside the call that asked. */
#ifndef MEND_GUEST_LATER_H
#define MEND_GUEST_LATER_H

#include "agents/guest/services/backend.h"

typedef struct Later Later;

/* Calls @done with @rc and @text in the next turn of the main loop. *@slot holds the pending answer and is cleared before @done. */
void later_answer(Later **slot, int rc, const char *text, ActionDone done, void *user);
void later_cancel(Later **slot); /* nothing pending is fine */

#endif
