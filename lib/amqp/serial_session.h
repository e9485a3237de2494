/* Sessions over frames: what makes of a serial port something that opens and closes. The guest opens, the host answers; each end chooses a
 * random number for each session and takes only frames that carry it, so nothing of an earlier life of either end is ever taken for news.
 *
 *   guest:  CLOSED --open()--> OPENING --OPENED--> OPEN            host:  CLOSED --OPEN--> ASKED --accept()--> OPEN
 *             ^                   |                  |                      ^                |                   |
 *             +-- CLOSE, close() -+------------------+                      +-- CLOSE, close(), another OPEN ----+
 *
 * The guest repeats OPEN (serial_session_tick) until it is answered, since nobody may be there to hear it. A host that begins says HELLO:
 * a guest whose session was with an earlier host ends it then.
 * Pure: bytes in, bytes out, numbers from the caller. Hooks run inside the calls; they may call the session, not free it. */
#ifndef MEND_AMQP_SERIAL_SESSION_H
#define MEND_AMQP_SERIAL_SESSION_H

#include "lib/amqp/serial_frame.h"

#define SERIAL_REPEAT_US US_PER_S
#define SERIAL_TEXT_MAX 256 /* bytes of a reason */

typedef enum { SERIAL_CLOSED, SERIAL_OPENING /* guest */, SERIAL_ASKED /* host */, SERIAL_IS_OPEN } SerialState;

typedef struct SerialHooks {
    uint64_t (*number)(void *user); /* a new random number, not 0 */
    void (*asked)(void *user);      /* host: answer by accept or close, now or later */
    void (*opened)(void *user);     /* guest */
    void (*data)(const uint8_t *bytes, size_t n, void *user);
    void (*closed)(const char *why, void *user); /* by the other end; ASKED, OPENING or OPEN before, CLOSED now */
    void *user;
} SerialHooks;

typedef struct SerialSession {
    bool host;
    SerialState state;
    uint64_t own, peer;
    SerialHooks hooks;
    GByteArray *out;  /* to be written, in order; the caller takes from it */
    SerialReader reader;
    uint64_t stale;   /* frames of other sessions */
} SerialSession;

/* A host says HELLO at once. */
void serial_session_init(SerialSession *session, bool host, const SerialHooks *hooks);
void serial_session_done(SerialSession *session);

void serial_session_open(SerialSession *session);   /* guest, CLOSED */
void serial_session_tick(SerialSession *session);   /* guest: every SERIAL_REPEAT_US while OPENING */
void serial_session_accept(SerialSession *session); /* host, ASKED */
/* Tells the other end why (NULL: no reason). Nothing when closed already; the hook is not called. */
void serial_session_close(SerialSession *session, const char *why);
/* At most SERIAL_PAYLOAD_MAX; only when open. */
void serial_session_send(SerialSession *session, const uint8_t *bytes, size_t n);
/* What came. Never fails. */
void serial_session_feed(SerialSession *session, const uint8_t *bytes, size_t n);

#endif
