/* The two clocks and their text forms. Pure parts (policy engine, plugin stages) never include this: time is handed to them. */
#ifndef MEND_BASE_CLOCK_H
#define MEND_BASE_CLOCK_H

#include "lib/base/base.h"

int64_t clock_now_us(void);  /* monotonic: for durations and deadlines */
int64_t clock_wall_us(void); /* since 1970, UTC: for what people and other machines read */

/* "2012-02-14T08:30:00.123456Z" (RFC 3339). Caller frees. */
char *time_format(int64_t wall_us);
/* Reads what time_format writes and any RFC 3339 timestamp with Z or an offset. False: not a timestamp, @ret_wall_us untouched. */
bool time_parse(const char *text, int64_t *ret_wall_us);

/* "250ms", "10s", "1m30s", "2h", "1d", "0"; a bare number is refused. False: not a duration, @ret_us untouched. */
bool duration_parse(const char *text, int64_t *ret_us);
/* Shortest exact form: 90000000 -> "1m30s". Caller frees. */
char *duration_format(int64_t us);

#endif
