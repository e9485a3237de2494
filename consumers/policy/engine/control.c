/* Why the order is clamp, then dead band, then step: the dead band looks at what is wanted in the end, not at the first step towards it (else a
 * step smaller than the band would stop all movement); the step may pass by the clamp only on its way back into it, when the current set point is outside
 * because the limits have changed. */
#include "consumers/policy/engine/control.h"

#include "lib/base/json.h"

#include <math.h>
#include <string.h>

G_DEFINE_QUARK(mend-control-error-quark, control_error)

#define WHOLE_MAX 9007199254740992.0 /* 2^53: beyond it a double is no longer every whole number */

static const char *const outcome_texts[] = {
    [CONTROL_SET] = "a new set point",
    [CONTROL_NO_SAMPLE] = "there is no sample yet",
    [CONTROL_STALE] = "the last sample is too old",
    [CONTROL_NOT_A_NUMBER] = "the target is not a number that can be set",
    [CONTROL_SAME] = "it is set so already",
    [CONTROL_DEAD_BAND] = "the change would be within the dead band",
    [CONTROL_THIS_CYCLE] = "it was set in this cycle already",
};
G_STATIC_ASSERT(G_N_ELEMENTS(outcome_texts) == CONTROL_OUTCOME_N);

const char *control_outcome_text(ControlOutcome outcome)
{
    return outcome_texts[outcome];
}

static guint samples_of(const ControlLimits *limits)
{
    return CLAMP(limits->samples, 1, CONTROL_SAMPLES_MAX);
}

bool control_sample(ControlState *s, const ControlLimits *limits, double value, int64_t at_us)
{
    if (!isfinite(value) || (s->n > 0 && at_us <= s->sampled_us))
        return false;
    double weight = MIN(limits->ewma_permille, 1000) / 1000.0;
    s->ewma = s->n == 0 ? value : s->ewma + weight * (value - s->ewma);
    while (s->n >= samples_of(limits)) { /* more than one when the policy now wants fewer */
        s->head = (s->head + 1) % CONTROL_SAMPLES_MAX;
        s->n--;
    }
    s->values[(s->head + s->n++) % CONTROL_SAMPLES_MAX] = value;
    s->sampled_us = at_us;
    return true;
}

ControlOutcome control_window(const ControlState *s, const ControlLimits *limits, int64_t now_us, ControlWindow *ret)
{
    double sum = 0;

    if (s->n == 0)
        return CONTROL_NO_SAMPLE;
    if (now_us - s->sampled_us > CONTROL_STALE_INTERVALS * limits->every_us)
        return CONTROL_STALE;
    guint n = MIN(s->n, samples_of(limits)), skip = s->n - n;
    for (guint i = 0; i < n; i++)
        sum += s->values[(s->head + skip + i) % CONTROL_SAMPLES_MAX];
    *ret = (ControlWindow) { .count = n, .average = limits->ewma_permille > 0 ? s->ewma : sum / n,
                             .last = s->values[(s->head + s->n - 1) % CONTROL_SAMPLES_MAX] };
    return CONTROL_SET;
}

static int64_t distance(int64_t a, int64_t b)
{
    int64_t d;
    return __builtin_sub_overflow(MAX(a, b), MIN(a, b), &d) ? INT64_MAX : d;
}

/* How far one step may go from @current; INT64_MAX: any way. */
static int64_t step_max(const ControlLimits *limits, int64_t current)
{
    int64_t step = limits->step > 0 ? limits->step : INT64_MAX;

    if (limits->step_permille == 0)
        return step;
    int64_t size = current == INT64_MIN ? INT64_MAX : ABS(current), part;
    if (__builtin_mul_overflow(size / 1000, (int64_t) limits->step_permille, &part))
        return step;
    part += size % 1000 * limits->step_permille / 1000;
    return MIN(step, MAX(part, 1)); /* from a small number there must be a way, too */
}

ControlOutcome control_decide(const ControlLimits *limits, int64_t current, double wanted, int64_t *ret_value)
{
    if (!isfinite(wanted))
        return CONTROL_NOT_A_NUMBER;
    wanted = CLAMP(wanted, -WHOLE_MAX, WHOLE_MAX);
    int64_t value = (int64_t) (wanted < 0 ? wanted - 0.5 : wanted + 0.5);
    value = CLAMP(value, limits->min, limits->max);
    if (value == current)
        return CONTROL_SAME;
    bool outside = current < limits->min || current > limits->max;
    if (!outside && distance(value, current) < limits->dead_band)
        return CONTROL_DEAD_BAND;
    int64_t step = step_max(limits, current);
    if (distance(value, current) > step)
        value = value > current ? current + step : current - step;
    *ret_value = value;
    return CONTROL_SET;
}
