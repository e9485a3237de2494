/* Numeric control: from samples of a number to a new set point, within limits. Smoothing and limits only: what is wanted for the smoothed
 * number is the policy's expression, in between.
 *
 *   sample ──▶ control_sample() ──▶ control_window(): average, last ──▶ (expression) ──▶ control_decide(): clamp, dead band, step
 *
 * Set points are whole numbers (bytes, µs), and everything after the expression is computed in them: the same on every machine.
 * Plain data; no clock. */
#ifndef MEND_POLICY_CONTROL_H
#define MEND_POLICY_CONTROL_H

#include "lib/base/base.h"

#define CONTROL_ERROR control_error_quark()
GQuark control_error_quark(void);
typedef enum { CONTROL_ERROR_MALFORMED } ControlError;

#define CONTROL_SAMPLES_MAX 64
#define CONTROL_STALE_INTERVALS 2  /* a last sample older than so many intervals: hands off */

typedef struct ControlLimits {
    int64_t every_us;              /* the cycle, and the interval samples are expected at; > 0 */
    guint samples;                 /* averaged: 1…CONTROL_SAMPLES_MAX */
    guint ewma_permille;           /* > 0: instead, weight of the newest sample */
    int64_t min, max;              /* of the set point; min <= max */
    int64_t step;                  /* at most so much away from the current one; 0: any */
    guint step_permille;           /* of the current one; 0: any. With both, the smaller holds */
    int64_t dead_band;             /* a change smaller than this is not worth it */
} ControlLimits;

/* What one rule remembers of one entity. */
typedef struct ControlState {
    double values[CONTROL_SAMPLES_MAX]; /* a ring */
    guint head, n;                 /* oldest; how many */
    double ewma;
    int64_t sampled_us;            /* of the newest; 0: none */
    int64_t set_us, set_to;        /* the last set point that was decided; set_us 0: none */
    guint told;                    /* ControlOutcome, or a reason of the owner's, that was told last */
} ControlState;                    /* all zero: new */

/* false: not a finite number, or not newer than the last: left out. */
bool control_sample(ControlState *state, const ControlLimits *limits, double value, int64_t at_us);

typedef struct ControlWindow {
    guint count;
    double average, last;
} ControlWindow;

typedef enum {
    CONTROL_SET, CONTROL_NO_SAMPLE, CONTROL_STALE, CONTROL_NOT_A_NUMBER, CONTROL_SAME, CONTROL_DEAD_BAND, CONTROL_THIS_CYCLE /* set in this cycle already */,
    CONTROL_OUTCOME_N
} ControlOutcome;
const char *control_outcome_text(ControlOutcome outcome); /* for people: "the last sample is too old" */

/* CONTROL_SET: *ret is filled and the expression may be asked; else why not (NO_SAMPLE, STALE). */
ControlOutcome control_window(const ControlState *state, const ControlLimits *limits, int64_t now_us, ControlWindow *ret);

/* @wanted: what the expression says; @current: the set point in force, as the entity reports it or as last set. CONTROL_SET: *ret_value is the new one.
 * Changes nothing: say control_set() when it goes out. */
ControlOutcome control_decide(const ControlLimits *limits, int64_t current, double wanted, int64_t *ret_value);

/* One control per target and cycle, whichever rule it comes from. Target: "vm/ID vm.set-memory". */
typedef struct ControlBook ControlBook;
ControlBook *control_book_new(void);
void control_book_free(ControlBook *book);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ControlBook, control_book_free)
/* false: THIS_CYCLE: set less than @every_us ago; *ret_by (borrowed, may be NULL) says by which rule. */
bool control_book_may_set(const ControlBook *book, const char *target, int64_t every_us, int64_t now_us, const char **ret_by);
void control_book_set(ControlBook *book, const char *target, const char *rule, int64_t every_us, int64_t now_us);
/* The states of the rules for the entities live here, too: made when there is none, CONTROL_STATES_MAX at most (NULL beyond). */
#define CONTROL_STATES_MAX 100000
ControlState *control_book_state(ControlBook *book, const char *rule, const char *entity);
ControlState *control_book_find(const ControlBook *book, const char *rule, const char *entity); /* NULL: none */
/* Of rules that are not in @rules (NULL-terminated) any more, and of the entity. */
void control_book_keep_rules(ControlBook *book, const char *const *rules);
void control_book_forget(ControlBook *book, const char *entity);

json_t *control_book_to_json(const ControlBook *book); /* (transfer full) */
ControlBook *control_book_from_json(const json_t *json, GError **error);

#endif
