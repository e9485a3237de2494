/* Matahari's further classes, each made only when its switch is on: what is off costs nothing. Thread: the owner's main loop. */
#ifndef MEND_GUEST_EXTRAS_H
#define MEND_GUEST_EXTRAS_H

#include "agents/guest/classes.h"
#include "agents/guest/guest_settings.h"

typedef struct Extras Extras;

/* Both are borrowed and outlive it. NULL: error, a setting of them is wrong. */
Extras *extras_new(const ClassContext *context, const GuestSettings *settings, GError **error);
void extras_set_online(Extras *extras, bool online);
void extras_free(Extras *extras); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Extras, extras_free)

#endif
