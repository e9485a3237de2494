/* How far a long run is: one line on stderr, redrawn five times a second, only when stderr is a terminal; else nothing at all.
 *   replay  [##########..........]  52 %  523,000 of 1,000,000, 812,000/s, 1 s left
 * Thread: one. */
#ifndef MEND_CLI_PROGRESS_H
#define MEND_CLI_PROGRESS_H

#include "lib/base/base.h"

typedef struct Progress Progress;

Progress *progress_new(const char *what, int64_t total); /* total 0: not known */
void progress_set(Progress *progress, int64_t done);     /* cheap: looks at the clock every time, draws seldom */
void progress_set_total(Progress *progress, int64_t done, int64_t total);
void progress_free(Progress *progress);                  /* takes the line away; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Progress, progress_free)

/* "1,234,567". Caller frees. */
char *count_format(int64_t count);

#endif
