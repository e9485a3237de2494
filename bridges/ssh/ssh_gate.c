#include "bridges/ssh/ssh_gate.h"

struct SshGate {
    unsigned places;
    GQueue waiting; /* of SshPass */
};

SshGate *ssh_gate_new(unsigned at_once)
{
    SshGate *gate = g_new0(SshGate, 1);

    gate->places = at_once;
    g_queue_init(&gate->waiting);
    return gate;
}

void ssh_gate_free(SshGate *gate)
{
    if (gate == NULL)
        return;
    g_assert(g_queue_is_empty(&gate->waiting));
    g_free(gate);
}

void ssh_gate_enter(SshGate *gate, SshPass *pass, void (*turn)(void *user), void *user)
{
    g_assert(!pass->inside && !pass->waits);
    *pass = (SshPass){ .turn = turn, .user = user };
    if (gate != NULL && gate->places == 0) {
        pass->waits = true;
        g_queue_push_tail(&gate->waiting, pass);
        return;
    }
    pass->inside = true;
    if (gate != NULL)
        gate->places--;
    turn(user);
}

void ssh_gate_leave(SshGate *gate, SshPass *pass)
{
    SshPass *next;

    if (pass->waits)
        g_queue_remove(&gate->waiting, pass);
    pass->waits = false;
    if (!pass->inside)
        return;
    pass->inside = false;
    if (gate == NULL)
        return;
    next = g_queue_pop_head(&gate->waiting);
    if (next == NULL) {
        gate->places++;
        return;
    }
    next->waits = false;
    next->inside = true;
    next->turn(next->user);
}
