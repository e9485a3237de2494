/* Flapping, by Icinga 2's measure: of the last 20 checks those that changed the state count, the newest 1.18, the oldest 0.80, evenly
 * in between; their sum divided by 20 is the flapping value. It flaps above the high threshold, and until it is below the low one
 * (Icinga's own page: changes weighing 0.84 0.86 0.88 0.90 0.98 1.06 1.12 1.18 give 39.1 %; defaults 30 and 25).
 *
 * Icinga sees a result every check interval, changed or not; we see changes. So every full @sample_us without one counts as a check that
 * found nothing new, and a thing that stays as it is stops flapping by itself. Kept in whole hundredths: no rounding anywhere.
 * Plain data; no clock. */
#ifndef MEND_POLICY_FLAP_H
#define MEND_POLICY_FLAP_H

#include "lib/base/base.h"

#define FLAP_ERROR flap_error_quark()
GQuark flap_error_quark(void);
typedef enum { FLAP_ERROR_MALFORMED } FlapError;

#define FLAP_CHECKS 20
#define FLAP_HIGH_PERMILLE 300
#define FLAP_LOW_PERMILLE 250
#define FLAP_SAMPLE_US US_PER_MINUTE

typedef struct FlapLimits {
    guint high_permille, low_permille; /* low <= high */
    int64_t sample_us;                 /* 0: only what is told counts */
} FlapLimits;
extern const FlapLimits flap_limits_default;

typedef struct Flap {
    uint32_t changes;        /* bit 0: the newest check changed the state … bit 19: the oldest */
    uint32_t state;          /* hash of the last state's name; 0: none yet */
    int64_t at_us;           /* the last check that counted */
    bool flapping;
} Flap;                      /* all zero: nothing seen */

/* A state was seen at @at_us (the first one is no change). true: ->flapping has changed. Times that go back count as the newest. */
bool flap_add(Flap *flap, const FlapLimits *limits, const char *state, int64_t at_us);
/* The same for the checks that found nothing new up to @now_us. */
bool flap_advance(Flap *flap, const FlapLimits *limits, int64_t now_us);
/* 391 for 39.1 %. */
guint flap_permille(const Flap *flap);
/* When flap_advance() will find that it flaps no more; INT64_MAX: not by itself, or it does not flap. */
int64_t flap_ends_us(const Flap *flap, const FlapLimits *limits);

json_t *flap_to_json(const Flap *flap); /* (transfer full) */
bool flap_from_json(Flap *ret_flap, const json_t *json, GError **error);

#endif
