/* Who is the acting engine: of the site (shard 0), and of each shard where there are some. Every claim gets a larger epoch, one row of
 * numbers for all seats, on disk before it is told; the last claim of a seat has it until its connection ends, or until its agent is lost:
 * not every host sees connections end. */
#ifndef MEND_CONTROL_SEAT_H
#define MEND_CONTROL_SEAT_H

#include "broker-plugin/plugin.h"
#include "lib/model/shard.h"

typedef struct Seat Seat;

#define SEAT_ERROR seat_error_quark()
GQuark seat_error_quark(void);
typedef enum { SEAT_ERROR_STORE } SeatError;

Seat *seat_new(mend_host *host, unsigned shards); /* at most SHARDS_MAX */
void seat_free(Seat *seat);
void seat_open(Seat *seat); /* reads the epoch it got to */
unsigned seat_shards(const Seat *seat);
/* @shard <= seat_shards(), in all of these. */
bool seat_claim(Seat *seat, unsigned shard, const char *engine, mend_id peer, uint64_t *ret_epoch, GError **error);
bool seat_peer_gone(Seat *seat, mend_id peer, int64_t now_us); /* true: it had one */
bool seat_engine_gone(Seat *seat, const char *engine, int64_t now_us); /* the same, by its name */
uint64_t seat_epoch(const Seat *seat, unsigned shard);         /* of the site, 0: nobody ever claimed */
const char *seat_engine(const Seat *seat, unsigned shard);     /* "": nobody acts */
mend_id seat_peer(const Seat *seat, unsigned shard);
/* Who had it last, NULL: nobody; *@ret_us: when it became free. NULL, too, while it is taken. */
const char *seat_before(const Seat *seat, unsigned shard, int64_t *ret_us);

#endif
