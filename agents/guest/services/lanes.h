/* One operation at a time on one thing. Whoever wants to act on NAME enters its lane, is called when it is free, and leaves it when
 * done. First come, first served. Thread: the owner's main loop. */
#ifndef MEND_GUEST_LANES_H
#define MEND_GUEST_LANES_H

#include "lib/base/base.h"

typedef struct Lanes Lanes;
typedef struct LaneTicket LaneTicket;
typedef void (*LaneFn)(void *user);

Lanes *lanes_new(void);
void lanes_free(Lanes *lanes); /* every ticket must be gone */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lanes, lanes_free)

/* @begin: once, when it is this ticket's turn; never from inside the call. */
LaneTicket *lane_enter(Lanes *lanes, const char *name, LaneFn begin, void *user);
/* Gives the lane to the next one (which begins in a later turn of the loop), or gives up waiting. NULL is fine. */
void lane_leave(LaneTicket *ticket);
bool lane_has_turn(const LaneTicket *ticket);

#endif
