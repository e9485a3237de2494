/* A window ending at t holds the stamps in (t - window, t]. Since no question goes back behind the newest time heard of, only stamps
 * younger than the window's length need be kept, whatever the lateness: a late one that is older than that can be accepted and
 * forgotten in one step. Counting is a search in a sorted ring.
 *
 * exp2() and its relations differ in the last bit from one C library and processor to the next; half_weight() uses nothing but IEEE
 * multiplication and addition, so a replay elsewhere sees the same number. */
#include "consumers/policy/engine/count_window.h"

#include "lib/base/json.h"

#include <math.h>

G_DEFINE_QUARK(mend-count-window-error-quark, count_window_error)

void count_window_init(CountWindow *w, int64_t window_us, int64_t lateness_us, guint cap)
{
    *w = (CountWindow) { .window_us = MAX(window_us, 1), .lateness_us = MAX(lateness_us, 0), .cap = CLAMP(cap, 1, COUNT_WINDOW_CAP_MAX),
                         .newest_us = INT64_MIN, .exact_from_us = INT64_MIN };
}

void count_window_done(CountWindow *w)
{
    stamps_done(&w->at_us);
}

void count_window_advance(CountWindow *w, int64_t now_us)
{
    w->newest_us = MAX(w->newest_us, now_us);
    if (w->at_us.n == 0)
        return;
    int64_t out_us = time_before(w->newest_us, w->window_us);
    if (stamps_get(&w->at_us, 0) <= out_us)
        stamps_drop(&w->at_us, stamps_rank(&w->at_us, out_us));
}

CountVerdict count_window_add(CountWindow *w, int64_t at_us)
{
    if (w->newest_us != INT64_MIN && at_us < time_before(w->newest_us, w->lateness_us)) {
        w->refused++;
        return COUNT_LATE;
    }
    count_window_advance(w, at_us);
    if (at_us <= time_before(w->newest_us, w->window_us))
        return COUNT_ADDED;
    stamps_insert(&w->at_us, at_us);
    if (w->at_us.n > w->cap) {
        w->exact_from_us = MAX(w->exact_from_us, time_after(stamps_get(&w->at_us, 0), w->window_us));
        w->dropped++;
        stamps_drop(&w->at_us, 1);
    }
    return COUNT_ADDED;
}

guint count_window_count(CountWindow *w, int64_t now_us)
{
    count_window_advance(w, now_us);
    return w->at_us.n;
}

bool count_window_nth_us(CountWindow *w, int64_t now_us, guint i, int64_t *ret_us)
{
    if (i >= count_window_count(w, now_us))
        return false;
    *ret_us = stamps_get(&w->at_us, i);
    return true;
}

bool count_window_first_us(CountWindow *w, int64_t now_us, int64_t *ret_us)
{
    return count_window_nth_us(w, now_us, 0, ret_us);
}

bool count_window_last_us(CountWindow *w, int64_t now_us, int64_t *ret_us)
{
    guint n = count_window_count(w, now_us);

    return n > 0 && count_window_nth_us(w, now_us, n - 1, ret_us);
}

bool count_window_is_exact(CountWindow *w, int64_t now_us)
{
    count_window_advance(w, now_us);
    return w->newest_us >= w->exact_from_us;
}

int64_t count_window_next_change_us(CountWindow *w, int64_t now_us)
{
    return count_window_count(w, now_us) == 0 ? INT64_MAX : time_after(stamps_get(&w->at_us, 0), w->window_us);
}

double count_window_rate(CountWindow *w, int64_t now_us)
{
    return (double) count_window_count(w, now_us) * (double) US_PER_S / (double) w->window_us;
}

/* 2 to the power of -x, x >= 0. */
static double half_weight(double x)
{
    static const double terms[] = { /* ln(2)^k / k! */
        1.0, 0.69314718055994531, 0.24022650695910072, 0.055504108664821580, 0.0096181291076284772, 0.0013333558146428443,
        0.00015403530393381609, 0.000015252733804059841, 0.0000013215486790144308, 0.00000010178086009239699,
    };
    if (!(x < 1000))
        return 0;
    int whole = (int) x + 1;
    double part = (double) whole - x, sum = 0; /* 2^-x = 2^part / 2^whole, 0 < part <= 1 */

    for (guint k = G_N_ELEMENTS(terms); k-- > 0;)
        sum = sum * part + terms[k];
    return ldexp(sum, -whole);
}

double count_window_ewma(CountWindow *w, int64_t now_us, int64_t half_life_us)
{
    guint n = count_window_count(w, now_us);
    double half_life = (double) MAX(half_life_us, 1), sum = 0;

    for (guint i = 0; i < n; i++)
        sum += half_weight((double) time_before(w->newest_us, stamps_get(&w->at_us, i)) / half_life);
    double seen = 1 - half_weight((double) w->window_us / half_life); /* the part of all weight that lies in the window */
    return sum * 0.69314718055994531 * (double) US_PER_S / half_life / seen;
}

double count_window_slope(CountWindow *w, int64_t now_us)
{
    guint n = count_window_count(w, now_us);
    int64_t sum = 0;

    for (guint i = 0; i < n; i++) { /* the newest part is the last */
        double age = (double) time_before(w->newest_us, stamps_get(&w->at_us, i)) / (double) w->window_us;
        int part = COUNT_WINDOW_PARTS - 1 - MIN((int) (age * COUNT_WINDOW_PARTS), COUNT_WINDOW_PARTS - 1);
        sum += 2 * part - (COUNT_WINDOW_PARTS - 1);
    }
    /* least squares over x = 0…7: sum of (x - 3.5) * count / 42, per part; a part is so long: */
    double part_s = (double) w->window_us / COUNT_WINDOW_PARTS / (double) US_PER_S;
    return (double) sum / 84.0 / (part_s * part_s);
}
G_STATIC_ASSERT(COUNT_WINDOW_PARTS == 8); /* 84 is of 8 */

json_t *count_window_to_json(const CountWindow *w)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "window_us", w->window_us, "lateness_us", w->lateness_us, "cap",
                     (json_int_t) w->cap, "newest_us", w->newest_us, "exact_from_us", w->exact_from_us, "refused", (json_int_t) w->refused,
                     "dropped", (json_int_t) w->dropped, "at_us", stamps_to_json(&w->at_us));
}

bool count_window_from_json(CountWindow *ret_window, const json_t *json, GError **error)
{
    CountWindow w;
    int64_t window_us, lateness_us, cap, refused, dropped, newest_us, exact_from_us;

    if (json_get_int(json, "window_us", &window_us, NULL) && json_get_int(json, "lateness_us", &lateness_us, NULL) &&
        json_get_int(json, "cap", &cap, NULL) && json_get_int(json, "refused", &refused, NULL) &&
        json_get_int(json, "dropped", &dropped, NULL) && json_get_int(json, "newest_us", &newest_us, NULL) &&
        json_get_int(json, "exact_from_us", &exact_from_us, NULL)) {
        count_window_init(&w, window_us, lateness_us, (guint) CLAMP(cap, 1, COUNT_WINDOW_CAP_MAX));
        w.refused = (uint64_t) refused;
        w.dropped = (uint64_t) dropped;
        w.exact_from_us = exact_from_us;
        if (stamps_from_json(&w.at_us, json_object_get(json, "at_us"), w.cap)) {
            count_window_advance(&w, w.at_us.n == 0 ? newest_us : MAX(newest_us, stamps_last(&w.at_us)));
            *ret_window = w;
            return true;
        }
    }
    g_set_error(error, COUNT_WINDOW_ERROR, COUNT_WINDOW_ERROR_MALFORMED,
                "window: wants whole numbers window_us, lateness_us, cap, newest_us, exact_from_us, refused, dropped, and at_us: at most cap "
                "ascending ones");
    return false;
}
