#include "broker-plugin/control/seat.h"

#include "broker-plugin/abi.h"

#include <inttypes.h>
#include <stdlib.h>

#define STATE_KEY "control.epoch"

struct Seat {
    mend_host *host;
    uint64_t epoch;
    char *engine;
    mend_id peer;
    bool taken;
};

G_DEFINE_QUARK(mend-seat-error-quark, seat_error)

Seat *seat_new(mend_host *host)
{
    Seat *seat = g_new0(Seat, 1);

    seat->host = host;
    return seat;
}

void seat_free(Seat *seat)
{
    if (seat == NULL)
        return;
    g_free(seat->engine);
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
}

bool seat_claim(Seat *seat, const char *engine, mend_id peer, uint64_t *ret_epoch, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, seat->epoch + 1);
    mend_rc rc = (seat->host->caps & MEND_CAP_STATE) != 0 ? seat->host->state_put(seat->host, str_of(STATE_KEY), str_of(text)) : MEND_OK;

    if (rc != MEND_OK) {
        g_set_error(error, SEAT_ERROR, SEAT_ERROR_STORE, "the epoch cannot be kept (%s), so it is not given", rc_name(rc));
        return false;
    }
    g_free(seat->engine);
    seat->engine = g_strdup(engine);
    seat->peer = peer;
    seat->taken = true;
    *ret_epoch = ++seat->epoch;
    return true;
}

bool seat_engine_gone(Seat *seat, const char *engine)
{
    if (!seat->taken || g_strcmp0(seat->engine, engine) != 0)
        return false;
    seat->taken = false;
    seat->peer = 0;
    return true;
}

bool seat_peer_gone(Seat *seat, mend_id peer)
{
    if (!seat->taken || peer == 0 || seat->peer != peer)
        return false;
    seat->taken = false;
    seat->peer = 0;
    return true;
}

uint64_t seat_epoch(const Seat *seat) { return seat->epoch; }
const char *seat_engine(const Seat *seat) { return seat->taken ? seat->engine : ""; }
mend_id seat_peer(const Seat *seat) { return seat->peer; }
