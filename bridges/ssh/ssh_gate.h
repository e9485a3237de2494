/* At most N at once; who has no place waits in order. Thread: the main loop's. */
#ifndef MEND_BRIDGES_SSH_GATE_H
#define MEND_BRIDGES_SSH_GATE_H

#include "bridges/ssh/ssh_link.h"

typedef struct SshPass { /* zeroed at first; lies in its owner */
    bool inside, waits;
    void (*turn)(void *user);
    void *user;
} SshPass;

/* @turn: once, when there is a place; from inside the call when there is one now. @gate may be NULL: there is. */
void ssh_gate_enter(SshGate *gate, SshPass *pass, void (*turn)(void *user), void *user);
void ssh_gate_leave(SshGate *gate, SshPass *pass); /* inside, waiting or neither; the next one's turn comes from inside */

#endif
