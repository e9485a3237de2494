/* Times of the language: RFC 3339 timestamps of the years 1 to 9999, durations in 64 bits of nanoseconds, time zones. Pure but for
 * cel_zone_new(), which reads the machine's zone files. Thread: any. */
#ifndef MEND_CEL_TIME_H
#define MEND_CEL_TIME_H

#include "lib/base/base.h"

#define CEL_TIME_SECONDS_MIN INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define CEL_TIME_SECONDS_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define CEL_TIME_TEXT_MAX 40

/* False: not of the form, or out of range. */
bool cel_time_parse(const char *text, size_t length, int64_t *ret_seconds, uint32_t *ret_ns);
/* "1h30m" "-1.5s" "100ms" "0" */
bool cel_duration_parse(const char *text, size_t length, int64_t *ret_ns);
/* As UTC with a Z, the fraction without trailing zeroes; ends with 0; the length without it. @buffer: CEL_TIME_TEXT_MAX. */
size_t cel_time_format(int64_t seconds, uint32_t ns, char *buffer);
/* "1.5s" */
size_t cel_duration_format(int64_t ns, char *buffer);

typedef struct CelZone CelZone;
/* "UTC", "Europe/Berlin", "+01:00", "-02:30". NULL: error. */
CelZone *cel_zone_new(const char *name, size_t length, GError **error);
void cel_zone_free(CelZone *zone);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CelZone, cel_zone_free)

typedef enum {
    CEL_PART_FULL_YEAR,
    CEL_PART_MONTH,        /* 0 … 11 */
    CEL_PART_DATE,         /* 1 … 31 */
    CEL_PART_DAY_OF_MONTH, /* 0 … 30 */
    CEL_PART_DAY_OF_WEEK,  /* 0 Sunday … 6 */
    CEL_PART_DAY_OF_YEAR,  /* 0 … 365 */
    CEL_PART_HOURS,
    CEL_PART_MINUTES,
    CEL_PART_SECONDS,
    CEL_PART_MILLISECONDS, /* 0 … 999 */
} CelTimePart;
/* @zone: NULL: UTC. */
int64_t cel_time_get(CelTimePart part, int64_t seconds, uint32_t ns, const CelZone *zone);

#endif
