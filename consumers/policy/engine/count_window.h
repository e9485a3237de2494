/* How many things happened in the last while, exactly: a sliding window of time stamps that may arrive out of order, up to a stated
 * lateness. "Within T" means less than T ago everywhere in the engine: what is exactly T old is out, so that a timer set for the end
 * of a window finds it over.
 *
 * Bounded: at most @cap stamps. When more fall into window and lateness the oldest go, the answers become lower bounds
 * (count_window_is_exact() says so, CountWindow.dropped how many went), and they are exact again once the last dropped stamp would be
 * out by itself. Plain data; no clock: now_us is given and does not go back (an older one is taken as the newest seen). Thread: the owner's. */
#ifndef MEND_POLICY_COUNT_WINDOW_H
#define MEND_POLICY_COUNT_WINDOW_H

#include "consumers/policy/engine/stamps.h"

#define COUNT_WINDOW_ERROR count_window_error_quark()
GQuark count_window_error_quark(void);
typedef enum { COUNT_WINDOW_ERROR_MALFORMED } CountWindowError;

#define COUNT_WINDOW_CAP 4096       /* what is enough for people's rules */
#define COUNT_WINDOW_CAP_MAX 65536

typedef struct CountWindow {
    int64_t window_us, lateness_us;
    guint cap;
    int64_t newest_us;              /* the latest time it has heard of; INT64_MIN: none */
    int64_t exact_from_us;          /* what ends before this has lost stamps; INT64_MIN: nothing was dropped */
    uint64_t refused, dropped;      /* too late; over the cap */
    Stamps at_us;                   /* what may still be in a window */
} CountWindow;

typedef enum { COUNT_ADDED, COUNT_LATE /* older than lateness before the newest: refused */, COUNT_N } CountVerdict;

/* @cap is brought into 1…COUNT_WINDOW_CAP_MAX, @window_us to at least 1, @lateness_us to at least 0. */
void count_window_init(CountWindow *window, int64_t window_us, int64_t lateness_us, guint cap);
void count_window_done(CountWindow *window);

CountVerdict count_window_add(CountWindow *window, int64_t at_us);
/* Forgets what no question and no late arrival can need at @now_us. The questions below call it. */
void count_window_advance(CountWindow *window, int64_t now_us);

guint count_window_count(CountWindow *window, int64_t now_us);
/* false: none in the window, @ret_us untouched. */
bool count_window_first_us(CountWindow *window, int64_t now_us, int64_t *ret_us);
bool count_window_last_us(CountWindow *window, int64_t now_us, int64_t *ret_us);
/* The stamp number @i of the window, oldest first. */
bool count_window_nth_us(CountWindow *window, int64_t now_us, guint i, int64_t *ret_us);
/* Nothing that would be in the window was dropped: the count is the count, not "at least". */
bool count_window_is_exact(CountWindow *window, int64_t now_us);
/* When the count falls by itself (the oldest stamp leaves); INT64_MAX: it is empty. */
int64_t count_window_next_change_us(CountWindow *window, int64_t now_us);

/* Per second, over the whole window. */
double count_window_rate(CountWindow *window, int64_t now_us);
/* Per second, each stamp weighing half as much for every @half_life_us of its age; a steady rate r tends to r. */
double count_window_ewma(CountWindow *window, int64_t now_us, int64_t half_life_us);
/* How the rate changes, per second and second: least squares over the counts of COUNT_WINDOW_PARTS equal parts of the window. > 0: rising. */
#define COUNT_WINDOW_PARTS 8
double count_window_slope(CountWindow *window, int64_t now_us);

/* {"window_us","lateness_us","cap","newest_us","exact_from_us","refused","dropped","at_us":[…]}. (transfer full) */
json_t *count_window_to_json(const CountWindow *window);
/* @window is not initialised before; on an error (COUNT_WINDOW_ERROR_MALFORMED, what and where) it needs no done. */
bool count_window_from_json(CountWindow *ret_window, const json_t *json, GError **error);

#endif
