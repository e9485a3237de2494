/* One VM's QEMU guest agent as a source of facts and a sign of life: what to ask next and what an answer means. Asking is the caller's
 * (libvirt owns the socket and its sync). Pure: the caller's clock. Thread: any, one at a time.
 *
 *   UNKNOWN --answer--> ALIVE --"frozen"--> FROZEN --"thawed"--> ALIVE
 *      ^                 |  ^                  |
 *      |     silences    v  | answer           | QGA_FROZEN_MAX_US of silence
 *      |                GONE <-----------------+
 *      +-- the port is closed in the guest (from all): nobody is there to ask, which says nothing of the guest;
 *          and from ALIVE when it could not be asked for as long as it takes to be gone: libvirt is away, the VM paused */
#ifndef MEND_HOST_CHANNEL_QGA_H
#define MEND_HOST_CHANNEL_QGA_H

#include "lib/amqp/value.h"

#include <glib.h>

#define QGA_PING_US       (5 * US_PER_S)
#define QGA_PING_LIMIT_S  1  /* for an answer to the ping */
#define QGA_ASK_LIMIT_S   5  /* to all others */
#define QGA_SILENCES      3  /* in a row: gone */
#define QGA_FROZEN_MAX_US (10 * US_PER_MINUTE)

typedef enum { QGA_UNKNOWN, QGA_ALIVE, QGA_FROZEN, QGA_GONE, QGA_STATE_N } QgaState;
const char *qga_state_name(QgaState state);

typedef enum {
    QGA_ANSWERED,
    QGA_SILENT,   /* no answer in time, or the agent is known not to answer */
    QGA_REFUSED,  /* an error from the agent; its text */
    QGA_NOT_ASKED /* libvirt was away, the VM paused or off: says nothing */
} QgaOutcome;

typedef struct QgaHooks {
    void (*fact)(const char *field, Value *value /* (transfer full) */, int64_t fresh_us, void *user);
    void (*state)(QgaState state, void *user); /* it changed */
    void *user;
} QgaHooks;

typedef struct Qga Qga;
Qga *qga_new(const QgaHooks *hooks);
void qga_free(Qga *qga); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qga, qga_free)

/* The guest has the port open, or not (any more). */
void qga_set_connected(Qga *qga, bool connected, int64_t now_us);
/* The command to ask now, as JSON for the agent, and how long its answer may take; NULL: nothing now, or a question is out. Static. */
const char *qga_next(Qga *qga, int64_t now_us, int *ret_limit_s);
/* What became of it. @answer: the agent's JSON ({"return": …}), or an error's text. */
void qga_answer(Qga *qga, QgaOutcome outcome, const char *answer, int64_t now_us);
/* Somebody freezes its file systems now: silence is no death until @until_us. */
void qga_freezing(Qga *qga, int64_t until_us);
QgaState qga_state(const Qga *qga);
bool qga_can(const Qga *qga, const char *command); /* "guest-exec": the agent says it would */

#endif
