#include "broker-plugin/control/seat.h"

#include "broker-plugin/abi.h"

#include <inttypes.h>
#include <stdlib.h>

#define STATE_KEY "control.epoch"

typedef struct Chair {
    uint64_t epoch;
    char *engine; /* NULL: nobody had it */
    mend_id peer;
    bool taken;
    int64_t freed_us;
} Chair;

struct Seat {
    mend_host *host;
    uint64_t epoch; /* the newest of all */
    unsigned shards;
    Chair chairs[SHARDS_MAX + 1];
};

G_DEFINE_QUARK(mend-seat-error-quark, seat_error)

Seat *seat_new(mend_host *host, unsigned shards)
{
    Seat *seat = g_new0(Seat, 1);

    seat->host = host;
    seat->shards = MIN(shards, SHARDS_MAX);
    return seat;
}

void seat_free(Seat *seat)
{
    if (seat == NULL)
        return;
    for (unsigned i = 0; i <= seat->shards; i++)
        g_free(seat->chairs[i].engine);
    g_free(seat);
}

void seat_open(Seat *seat)
{
    g_autofree char *text = NULL;
    mend_str kept;

    if ((seat->host->caps & MEND_CAP_STATE) != 0 && seat->host->state_get(seat->host, str_of(STATE_KEY), &kept) == MEND_OK)
        text = str_dup(kept);
    if (text != NULL)
        seat->epoch = strtoull(text, NULL, 10);
    else if ((seat->host->caps & MEND_CAP_STATE) == 0)
        seat->epoch = (uint64_t) (seat->host->wall_us(seat->host) / US_PER_S); /* nowhere to keep it: grows with the clock */
    for (unsigned i = 0; i <= seat->shards; i++)
        seat->chairs[i].epoch = seat->epoch; /* what was given before the start is over with the next claim */
}

unsigned seat_shards(const Seat *seat) { return seat->shards; }

bool seat_claim(Seat *seat, unsigned shard, const char *engine, mend_id peer, uint64_t *ret_epoch, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, seat->epoch + 1);
    mend_rc rc = (seat->host->caps & MEND_CAP_STATE) != 0 ? seat->host->state_put(seat->host, str_of(STATE_KEY), str_of(text)) : MEND_OK;
    Chair *chair = &seat->chairs[shard];

    if (rc != MEND_OK) {
        g_set_error(error, SEAT_ERROR, SEAT_ERROR_STORE, "the epoch cannot be kept (%s), so it is not given", rc_name(rc));
        return false;
    }
    g_free(chair->engine);
    *chair = (Chair) { .epoch = ++seat->epoch, .engine = g_strdup(engine), .peer = peer, .taken = true };
    *ret_epoch = chair->epoch;
    return true;
}

static void leave(Chair *chair, int64_t now_us)
{
    chair->taken = false;
    chair->peer = 0;
    chair->freed_us = now_us;
}

bool seat_engine_gone(Seat *seat, const char *engine, int64_t now_us)
{
    bool any = false;

    for (unsigned i = 0; i <= seat->shards; i++)
        if (seat->chairs[i].taken && g_strcmp0(seat->chairs[i].engine, engine) == 0) {
            leave(&seat->chairs[i], now_us);
            any = true;
        }
    return any;
}

bool seat_peer_gone(Seat *seat, mend_id peer, int64_t now_us)
{
    bool any = false;

    for (unsigned i = 0; i <= seat->shards; i++)
        if (seat->chairs[i].taken && peer != 0 && seat->chairs[i].peer == peer) {
            leave(&seat->chairs[i], now_us);
            any = true;
        }
    return any;
}

uint64_t seat_epoch(const Seat *seat, unsigned shard) { return seat->chairs[shard].epoch; }
const char *seat_engine(const Seat *seat, unsigned shard) { return seat->chairs[shard].taken ? seat->chairs[shard].engine : ""; }
mend_id seat_peer(const Seat *seat, unsigned shard) { return seat->chairs[shard].peer; }

const char *seat_before(const Seat *seat, unsigned shard, int64_t *ret_us)
{
    const Chair *chair = &seat->chairs[shard];

    *ret_us = chair->freed_us;
    return chair->taken ? NULL : chair->engine;
}
