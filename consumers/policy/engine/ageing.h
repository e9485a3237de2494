/* How long to wait before trying again, and how failures are forgotten: each by itself, as old as it is.
 *
 * (Pacemaker forgets all failures together, when the newest is older than failure-timeout; one failure now and then keeps old ones alive for ever.
 * The test has the vector. Ours are counted by a CountWindow: count_window.h.) */
#ifndef MEND_POLICY_AGEING_H
#define MEND_POLICY_AGEING_H

#include "lib/base/base.h"

/* Before attempt @attempt (0 is the first: immediate, 0): first * factor^(attempt-1), at most max. factor_permille 2000 doubles; below
 * 1000 counts as 1000. Whole numbers: the same everywhere; never overflows. */
int64_t backoff_us(guint attempt, int64_t first_us, guint factor_permille, int64_t max_us);
/* @delay_us, shortened by up to @percent of it: which part follows from @seed and @attempt, so that many that failed together do not come
 * back together, and a replay finds the same. Seed: the incident's id. */
int64_t backoff_jitter_us(int64_t delay_us, guint percent, const char *seed, guint attempt);
/* The hash behind it, 64-bit FNV-1a with a final mix: for others that need dice that fall the same way each time. */
uint64_t hash_text(const char *text, uint64_t number);

#endif
