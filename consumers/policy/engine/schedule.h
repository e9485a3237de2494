/* Calendars: "weekdays from 22:00 to 06:00 in Berlin, but not in December". Immutable once built (schedule_add() is for the reader of the
 * policy only), so any thread may ask.
 *
 * A schedule is active while the clock on the wall in its zone shows a time of one of its ranges and of none of its exclusions. So on the
 * night an hour is skipped, a range inside that hour does not happen, and on the night it comes twice, it happens twice; a range
 * that spans the change is an hour shorter or longer. A range whose `to` is not after its `from` runs over midnight and belongs to the day it starts on:
 * weekdays, dates and months are asked of that day. The zone's rules are read once, at schedule_new(). */
#ifndef MEND_POLICY_SCHEDULE_H
#define MEND_POLICY_SCHEDULE_H

#include "lib/base/base.h"

#define SCHEDULE_ERROR schedule_error_quark()
GQuark schedule_error_quark(void);
typedef enum {
    SCHEDULE_ERROR_ZONE,     /* no such zone: "Europe/Berlin", "UTC", "+02:00" are */
    SCHEDULE_ERROR_TEXT,     /* not a time, date, weekday, month */
    SCHEDULE_ERROR_RANGE,    /* a range that can never be, or too many of them */
    SCHEDULE_ERROR_MALFORMED /* schedule_from_json() */
} ScheduleError;

#define SCHEDULE_RANGES_MAX 64
#define SCHEDULE_DAY_MINUTES 1440

typedef struct ScheduleRange {
    unsigned weekdays;       /* bit 0 Monday … bit 6 Sunday; 0: any */
    unsigned months;         /* bit 0 January … bit 11 December; 0: any */
    int32_t from_date, to_date;     /* 20261224, inclusive; 0: open */
    int from_minute, to_minute;     /* of the day; 0 to 1440: all of it. to <= from: over midnight */
} ScheduleRange;
#define SCHEDULE_RANGE_ALWAYS { .to_minute = SCHEDULE_DAY_MINUTES }

typedef struct Schedule Schedule;

/* @zone NULL: "UTC". Errors: SCHEDULE_ERROR_ZONE. */
Schedule *schedule_new(const char *name, const char *zone, GError **error);
/* Without any range a schedule with exclusions is active outside of them; with neither it never is. Errors: SCHEDULE_ERROR_RANGE. */
bool schedule_add(Schedule *schedule, const ScheduleRange *range, GError **error);
bool schedule_exclude(Schedule *schedule, const ScheduleRange *range, GError **error);
void schedule_free(Schedule *schedule);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Schedule, schedule_free)

const char *schedule_name(const Schedule *schedule);
const char *schedule_zone(const Schedule *schedule);

/* @now_us: since 1970, UTC. */
bool schedule_active(const Schedule *schedule, int64_t now_us);
/* The next moment after @now_us at which schedule_active() answers differently, to the microsecond. When there is none within
 * 400 days but may be later, a moment to ask again; INT64_MAX: it never changes again. */
int64_t schedule_next_change_us(const Schedule *schedule, int64_t now_us);

/* For readers: "mon-fri,sun"; "jan-mar,dec"; "22:00" (24:00 only as an end); "2026-12-24"; "22:00-06:00"; "2026-12-24..2026-12-26" or one
 * date. English short or long names, any case. Errors: SCHEDULE_ERROR_TEXT with what is expected. */
bool schedule_weekdays_parse(const char *text, unsigned *ret_weekdays, GError **error);
bool schedule_months_parse(const char *text, unsigned *ret_months, GError **error);
bool schedule_minute_parse(const char *text, int *ret_minute, GError **error);
bool schedule_date_parse(const char *text, int32_t *ret_date, GError **error);
bool schedule_times_parse(const char *text, ScheduleRange *range, GError **error);
bool schedule_dates_parse(const char *text, ScheduleRange *range, GError **error);

/* {"name","zone","ranges":[{"weekdays":"mon-fri","months":"jan","times":"22:00-06:00","dates":"2026-12-24..2026-12-26"}],"except":[…]}: what may
 * stand in a policy file, too. (transfer full) */
json_t *schedule_to_json(const Schedule *schedule);
Schedule *schedule_from_json(const json_t *json, GError **error);

#endif
