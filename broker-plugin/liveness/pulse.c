/* Two ways to learn from the past.
 *
 * Loss. Heartbeats are numbered, so the ones that never came can be counted. With a chance p that one is lost, n in a row are lost
 * with p^n: patience is the n for which that is one in a million, at least the threshold and at most four times it. On a line that
 * loses nothing the threshold stands as it was set.
 *
 * Phi (Hayashibara and others, 2004). The times between heartbeats are taken as normally distributed; phi says how unlikely the
 * silence is by now. The tail of the normal distribution is that of the logistic approximation, good to 1 % where it matters. */
#include "broker-plugin/liveness/pulse.h"

#include <math.h>

#define FADE 0.98              /* about the last fifty heartbeats count */
#define LOSS_WORTH_COUNTING 0.01
#define CHANCE 1e-6
#define PATIENCE_MOST 4.0
#define DEVIATION_LEAST 0.1    /* of the interval: no line is perfect */
#define DEVIATION_FIRST 0.5    /* until its rhythm is known */
#define INTERVALS_ENOUGH 16

static void count_loss(Pulse *p, uint64_t sequence)
{
    uint64_t skipped = MIN(sequence - p->sequence - 1, 20);

    p->sent = p->sent * FADE + (double) skipped + 1;
    p->missed = p->missed * FADE + (double) skipped;
}

static void count_interval(Pulse *p, double took_us)
{
    double off = took_us - p->mean_us, weight = p->n_intervals < 50 ? 1.0 / (p->n_intervals + 1) : 1 - FADE;

    p->mean_us += weight * off;
    p->variance = (1 - weight) * (p->variance + weight * off * off);
    p->n_intervals++;
}

bool pulse_beat(Pulse *p, uint64_t sequence, int64_t now_us)
{
    if (sequence != 0) {
        if (p->sequence != 0 && sequence <= p->sequence)
            return false;
        if (p->sequence != 0)
            count_loss(p, sequence);
        if (p->sequence != 0)
            count_interval(p, (double) (now_us - p->last_us));
        p->sequence = sequence;
    }
    p->last_us = now_us;
    return true;
}

void pulse_restart(Pulse *p)
{
    p->sequence = 0;
    p->n_intervals = 0;
    p->mean_us = p->variance = 0;
}

double pulse_patience(const Pulse *p, double threshold)
{
    double loss = p->sent > 4 ? p->missed / p->sent : 0;

    if (loss < LOSS_WORTH_COUNTING)
        return threshold;
    return CLAMP(ceil(log(CHANCE) / log(MIN(loss, 0.9))), threshold, threshold * PATIENCE_MOST);
}

double pulse_phi(const Pulse *p, int64_t now_us)
{
    double silent = (double) (now_us - p->last_us), mean = p->mean_us, deviation, y, tail;

    if (p->n_intervals < INTERVALS_ENOUGH)
        mean = (double) p->interval_us;
    deviation = p->n_intervals < INTERVALS_ENOUGH ? (double) p->interval_us * DEVIATION_FIRST
                                                  : MAX(sqrt(p->variance), (double) p->interval_us * DEVIATION_LEAST);
    y = (silent - mean) / deviation;
    tail = exp(-y * (1.5976 + 0.070566 * y * y));
    if (!isfinite(tail))
        return 0;
    tail = tail / (1 + tail);
    return tail > 0 ? -log10(tail) : 300;
}
