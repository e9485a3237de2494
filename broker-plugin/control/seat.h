/* Who is the acting engine. Every claim gets a larger epoch, on disk before it is told; there is one seat, and the last claim has it
 * until its connection ends, or until its agent is lost: not every host sees connections end. */
#ifndef MEND_CONTROL_SEAT_H
#define MEND_CONTROL_SEAT_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

typedef struct Seat Seat;

#define SEAT_ERROR seat_error_quark()
GQuark seat_error_quark(void);
typedef enum { SEAT_ERROR_STORE } SeatError;

Seat *seat_new(mend_host *host);
void seat_free(Seat *seat);
void seat_open(Seat *seat); /* reads the epoch it got to */
bool seat_claim(Seat *seat, const char *engine, mend_id peer, uint64_t *ret_epoch, GError **error);
bool seat_peer_gone(Seat *seat, mend_id peer); /* true: it had the seat */
bool seat_engine_gone(Seat *seat, const char *engine); /* the same, by its name */
uint64_t seat_epoch(const Seat *seat);         /* 0: nobody ever claimed */
const char *seat_engine(const Seat *seat);     /* "": nobody acts */
mend_id seat_peer(const Seat *seat);

#endif
