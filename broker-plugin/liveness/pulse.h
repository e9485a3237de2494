/* The rhythm of one agent's heartbeats: how long a silence is ordinary for it. */
#ifndef MEND_LIVENESS_PULSE_H
#define MEND_LIVENESS_PULSE_H

#include "lib/base/base.h"

typedef struct Pulse {
    int64_t interval_us;      /* promised between heartbeats */
    int64_t last_us;          /* monotonic, of the last sign of life */
    uint64_t sequence;        /* of the last heartbeat; 0: unknown */
    double sent, missed;      /* recent heartbeats by their numbers, and how many of them never came; both fade */
    double mean_us, variance; /* of the time between heartbeats; fade */
    unsigned n_intervals;
} Pulse;

/* False: a number already passed (doubled, or overtaken on the way): no sign of life now. @sequence 0: unnumbered, always new. */
bool pulse_beat(Pulse *pulse, uint64_t sequence, int64_t now_us);
void pulse_restart(Pulse *pulse); /* numbers begin again */
/* How many intervals of silence prove something when @threshold do on a line that loses nothing. */
double pulse_patience(const Pulse *pulse, double threshold);
/* -log10 of the chance that an agent with this rhythm is silent for so long and still well. */
double pulse_phi(const Pulse *pulse, int64_t now_us);

#endif
