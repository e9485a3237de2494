/* The twenty checks are twenty bits, the newest lowest. A check's weight is 118 hundredths for the newest and 2 less for each older one (80 for
 * the oldest); the value in percent is the sum of hundredths divided by 20, in permille divided by 2. */
#include "consumers/policy/engine/flap.h"

#include "consumers/policy/engine/ageing.h"
#include "lib/base/json.h"

G_DEFINE_QUARK(mend-flap-error-quark, flap_error)

#define ALL_CHECKS ((UINT32_C(1) << FLAP_CHECKS) - 1)

const FlapLimits flap_limits_default = { .high_permille = FLAP_HIGH_PERMILLE, .low_permille = FLAP_LOW_PERMILLE, .sample_us = FLAP_SAMPLE_US };

static guint weight_sum(uint32_t changes) /* in hundredths */
{
    guint sum = 0;

    for (guint i = 0; i < FLAP_CHECKS; i++)
        sum += changes >> i & 1 ? 118 - 2 * i : 0;
    return sum;
}

guint flap_permille(const Flap *flap)
{
    return weight_sum(flap->changes) / 2;
}

/* true: it has changed whether it flaps. */
static bool take_check(Flap *flap, const FlapLimits *limits, bool changed)
{
    flap->changes = (flap->changes << 1 | changed) & ALL_CHECKS;
    guint sum = weight_sum(flap->changes);
    bool flapping = flap->flapping ? sum >= 2 * limits->low_permille : sum > 2 * limits->high_permille;
    bool news = flapping != flap->flapping;
    flap->flapping = flapping;
    return news;
}

bool flap_advance(Flap *flap, const FlapLimits *limits, int64_t now_us)
{
    if (limits->sample_us <= 0 || flap->state == 0 || now_us <= flap->at_us)
        return false;
    bool was = flap->flapping;
    int64_t checks = (now_us - flap->at_us) / limits->sample_us;
    for (int64_t i = 0; i < MIN(checks, FLAP_CHECKS); i++)
        take_check(flap, limits, false);
    flap->at_us += checks * limits->sample_us;
    return flap->flapping != was;
}

bool flap_add(Flap *flap, const FlapLimits *limits, const char *state, int64_t at_us)
{
    uint32_t hash = (uint32_t) hash_text(state, 0) | 1; /* never 0 */
    bool first = flap->state == 0, was = flap->flapping;

    flap_advance(flap, limits, at_us);
    take_check(flap, limits, !first && hash != flap->state);
    flap->state = hash;
    flap->at_us = first ? at_us : MAX(flap->at_us, at_us);
    return flap->flapping != was;
}

int64_t flap_ends_us(const Flap *flap, const FlapLimits *limits)
{
    Flap later = *flap;

    if (!flap->flapping || limits->sample_us <= 0)
        return INT64_MAX;
    for (guint i = 0; i < FLAP_CHECKS; i++) {
        later.at_us += limits->sample_us;
        if (take_check(&later, limits, false))
            return later.at_us;
    }
    return INT64_MAX; /* the low threshold is 0 */
}

json_t *flap_to_json(const Flap *flap)
{
    return json_pack("{s:I, s:I, s:I, s:b}", "changes", (json_int_t) flap->changes, "state", (json_int_t) flap->state, "at_us", flap->at_us,
                     "flapping", flap->flapping);
}

bool flap_from_json(Flap *ret_flap, const json_t *json, GError **error)
{
    int64_t changes = json_int_or(json, "changes", -1), state = json_int_or(json, "state", -1), at_us;

    if (changes < 0 || changes > ALL_CHECKS || state < 0 || state > UINT32_MAX || !json_get_int(json, "at_us", &at_us, NULL) ||
        !json_is_boolean(json_object_get(json, "flapping"))) {
        g_set_error(error, FLAP_ERROR, FLAP_ERROR_MALFORMED, "flap: wants changes (20 bits), state, at_us and flapping");
        return false;
    }
    *ret_flap = (Flap) { .changes = (uint32_t) changes, .state = (uint32_t) state, .at_us = at_us,
                         .flapping = json_bool_or(json, "flapping", false) };
    return true;
}
