/* When a rule fires: the matcher in time of one rule, for all its groups. It is told "something matched pattern i at time t, key k" and
 * says whether the rule fires now; it knows nothing of events, entities or ladders.
 *
 *   ONCE      every match of pattern 0 fires
 *   COUNT     fires when @count matches lie within T; then not again until there were fewer, or @once_within_us has passed
 *   ABSENT    after a match of 0 none of 1 came within T: fires at the end of T, by correlate_next_due(). One firing answers all matches
 *             of 0 up to then. A match of 1 answers those of 0 before it or in the same microsecond
 *   SEQUENCE  0, then 1, … then @patterns-1, each later than the one before, all within T. Firings do not overlap: each needs matches of its own
 *
 * @once_within_us throttles any of them: a firing less than that after the last one is counted, not made.
 * "Within T" is less than T later; at exactly T it is over.
 *
 * Time is that of the match (ahead of now counts as now). Order of arrival does not matter up to @lateness_us before the newest match of the
 * group: COUNT and SEQUENCE have fired as often as they would have, had all come in order (COUNT: at least as often, since what has fired
 * cannot be taken back; and two firings that one late match completes at once are one). Later ones are refused and counted. ABSENT takes late ones
 * as long as it has not fired, and for that waits @lateness_us longer (0: fires at the end of T). The lateness is at most T.
 *
 * Bounded: CORRELATE_KEYS_MAX groups and CORRELATE_STAMPS_MAX remembered matches in all: the group longest without a match goes, counted in
 * evicted; and a number of matches in a group (CorrelateCounts.crowded): then what came before its newest is refused as late.
 * Deterministic: no order of a hash table shows. Thread: the owner's. */
#ifndef MEND_POLICY_CORRELATE_H
#define MEND_POLICY_CORRELATE_H

#include "lib/base/base.h"

#define CORRELATE_ERROR correlate_error_quark()
GQuark correlate_error_quark(void);
typedef enum { CORRELATE_ERROR_MALFORMED, CORRELATE_ERROR_LIMIT } CorrelateError;

#define CORRELATE_PATTERNS_MAX 8
#define CORRELATE_COUNT_MAX 1000
#define CORRELATE_WITHIN_MAX_US (400 * 24 * US_PER_HOUR)
#define CORRELATE_KEYS_MAX 10000
#define CORRELATE_STAMPS_MAX (1u << 20)
#define CORRELATE_KEY_BYTES_MAX 1024      /* of a longer key the beginning and a hash of all of it are kept */

#define CORRELATE_FORMS(X) X(ONCE, "once") X(COUNT, "count") X(ABSENT, "absent") X(SEQUENCE, "sequence")
#define X(id, text) CORRELATE_##id,
typedef enum { CORRELATE_FORMS(X) CORRELATE_FORM_N } CorrelateForm;
#undef X

typedef struct CorrelateSpec {
    CorrelateForm form;
    guint patterns;          /* ONCE, COUNT: 1; ABSENT: 2; SEQUENCE: 2…CORRELATE_PATTERNS_MAX */
    guint count;             /* COUNT: 1…CORRELATE_COUNT_MAX */
    int64_t within_us;       /* all but ONCE: > 0 */
    int64_t once_within_us;  /* 0: no throttle */
    int64_t lateness_us;
} CorrelateSpec;

/* CORRELATE_ERROR_LIMIT, saying which number is wrong and what it may be: for the reader of a policy, too. */
bool correlate_spec_check(const CorrelateSpec *spec, GError **error);
bool correlate_spec_equal(const CorrelateSpec *a, const CorrelateSpec *b);

typedef struct Correlate Correlate;

/* NULL with CORRELATE_ERROR_LIMIT as correlate_spec_check(). */
Correlate *correlate_new(const CorrelateSpec *spec, GError **error);
void correlate_free(Correlate *correlate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Correlate, correlate_free)
const CorrelateSpec *correlate_spec(const Correlate *correlate);

typedef enum {
    CORRELATE_NOT_YET,
    CORRELATE_FIRED,
    CORRELATE_SUPPRESSED,    /* would have, but for once_within */
    CORRELATE_LATE,          /* refused: older than the lateness allows */
    CORRELATE_VERDICT_N
} CorrelateVerdict;

typedef struct CorrelateAnswer {
    CorrelateVerdict verdict;
    const char *key;         /* borrowed until the next call */
    int64_t first_us, at_us; /* the first match it stands on; the moment it fired: the completing match, ABSENT: the end of T */
    guint count;             /* matches it stands on: COUNT: in the window (at least; the cap of a group bounds it); SEQUENCE: patterns */
    uint64_t suppressed;     /* FIRED: firings kept back since the one before; SUPPRESSED: so far */
    json_t *note;            /* ABSENT: what was given with the match of 0 that was not answered. Borrowed until the next call */
} CorrelateAnswer;

/* @key is UTF-8. @note (may be NULL, a reference is taken when it is needed) is kept for ABSENT's pattern 0 and handed back when it fires. @pattern out of
 * range is NOT_YET. */
void correlate_add(Correlate *correlate, guint pattern, const char *key, int64_t at_us, int64_t now_us, json_t *note, CorrelateAnswer *ret);

/* When correlate_next_due() has something to say; INT64_MAX: nothing waits. */
int64_t correlate_due_us(const Correlate *correlate);
/* Takes one ABSENT whose time has come, the oldest first: FIRED or SUPPRESSED. false: none. Call until false. */
bool correlate_next_due(Correlate *correlate, int64_t now_us, CorrelateAnswer *ret);

/* The group @key waits and counts no more (its entity is gone, an operator has closed it). Its throttle stays. */
void correlate_forget(Correlate *correlate, const char *key);

typedef struct CorrelateCounts {
    guint keys, stamps;      /* now */
    uint64_t fired, suppressed, late, evicted, crowded; /* ever */
} CorrelateCounts;
CorrelateCounts correlate_counts(const Correlate *correlate);
/* Of the group @key: matches remembered (SEQUENCE: the furthest position reached so far) and the throttle's end (0: none), for
 * `mend why-not`. false: it has none. */
bool correlate_look(const Correlate *correlate, const char *key, int64_t now_us, guint *ret_count, int64_t *ret_throttled_until_us);

/* All of it, with the spec; goes on exactly. Groups are in the order of their last match. (transfer full) */
json_t *correlate_to_json(const Correlate *correlate);
/* CORRELATE_ERROR_MALFORMED with the place, CORRELATE_ERROR_LIMIT. */
Correlate *correlate_from_json(const json_t *json, GError **error);

#endif
