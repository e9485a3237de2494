/* File systems frozen by the guest agent, and thawed again whatever happens: by freeze_end(), by the clock, or by the agent's next life,
 * which finds a note on disk. A freeze that was asked for and not answered counts as frozen: the guest may do it late.
 * Thread: any but the main loop's; every call may block as long as said. */
#ifndef MEND_HOST_FREEZE_H
#define MEND_HOST_FREEZE_H

#include "lib/base/base.h"

#include <libvirt/libvirt.h>

typedef struct Freeze Freeze;

/* Blocks at most @max_us. NULL: nothing is frozen, @ret_why (transfer full) says why; no agent that answers, most often.
 * @thawed runs in the main loop once they are thawed, also when this gives NULL. */
Freeze *freeze_begin(virDomainPtr domain, const char *folder, const char *vm, int64_t max_us, void (*thawed)(void *user), void *user, char **ret_why);
/* Thaws. True: they were frozen until now; false: the clock came first. Blocks a few seconds at most; a guest that does not answer is asked
 * on, behind this. @freeze is gone. */
bool freeze_end(Freeze *freeze);

/* Thaws what an earlier life left frozen. True: thawed, or the VM is off. False: its agent does not answer now. */
bool freeze_thaw_now(virDomainPtr domain);

#endif
