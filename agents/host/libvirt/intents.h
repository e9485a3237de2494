/* What Mend itself, or somebody through Mend, is about to do to a VM: so that its events are told with the intent they had and not taken
 * for failures. A note holds for INTENT_HOLDS_US, or until it is taken back.
 * Thread: the main loop's. Knows no clock: the time is given. */
#ifndef MEND_HOST_INTENTS_H
#define MEND_HOST_INTENTS_H

#include "lib/base/base.h"

#define INTENT_HOLDS_US (10 * US_PER_MINUTE) /* a guest may take its time to shut down */
#define INTENTS_MAX 4096                     /* VMs with a note; beyond, the oldest is forgotten */

typedef struct Intents Intents;

Intents *intents_new(void);
void intents_free(Intents *intents); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Intents, intents_free)

/* @what: "intent", @value: admin command user update … : who wants what happens next to @vm; "": nobody any more (the command failed).
 * @what: "to", @value: UUID of the host it moves to; "": it does not. Another @what is ignored. */
void intents_note(Intents *intents, const char *vm, const char *what, const char *value, int64_t now_us);
/* NULL: no such note. Borrowed, until the next note. */
const char *intents_get(const Intents *intents, const char *vm, const char *what, int64_t now_us);
/* What was noted has come to be. */
void intents_forget(Intents *intents, const char *vm, const char *what);

#endif
