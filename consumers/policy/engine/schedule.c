/* Active or not is read off the wall clock: the zone gives the offset, the rest is whole-number arithmetic on days and seconds.
 *
 * The next change is found by trying moments. What can change the answer are the edges of the ranges that start on a day near it, in every
 * offset that is in force around them, and the moments the offset itself changes; each day's are collected, sorted and asked. A wrong candidate
 * costs a question, so gaps, hours that come twice and zones that change at midnight need no case of their own. */
#include "consumers/policy/engine/schedule_private.h"

#include <string.h>

G_DEFINE_QUARK(mend-schedule-error-quark, schedule_error)

#define DAY_S 86400
#define LOOK_DAYS 400
#define TIME_LIMIT_S (INT64_C(1) << 40) /* 34,000 years */

struct Schedule {
    char *name, *zone_name;
    GTimeZone *zone;
    GArray *ranges, *except;             /* of ScheduleRange */
};

static bool zone_name_is_plain(const char *zone)
{
    size_t n = strspn(zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/:");

    return n > 0 && n <= 64 && zone[n] == '\0' && zone[0] != '/';
}

Schedule *schedule_new(const char *name, const char *zone_name, GError **error)
{
    if (zone_name == NULL)
        zone_name = "UTC";
    g_autoptr(GTimeZone) zone = zone_name_is_plain(zone_name) ? g_time_zone_new_identifier(zone_name) : NULL;

    if (zone == NULL) {
        g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_ZONE,
                    "there is no time zone \"%s\" here; \"Europe/Berlin\", \"UTC\" and \"+02:00\" are some", zone_name);
        return NULL;
    }
    Schedule *s = g_new0(Schedule, 1);
    s->name = g_strdup(name);
    s->zone_name = g_strdup(zone_name);
    s->zone = g_steal_pointer(&zone);
    s->ranges = g_array_new(FALSE, FALSE, sizeof(ScheduleRange));
    s->except = g_array_new(FALSE, FALSE, sizeof(ScheduleRange));
    return s;
}

void schedule_free(Schedule *s)
{
    if (s == NULL)
        return;
    g_free(s->name);
    g_free(s->zone_name);
    g_time_zone_unref(s->zone);
    g_array_unref(s->ranges);
    g_array_unref(s->except);
    g_free(s);
}

const char *schedule_name(const Schedule *s)
{
    return s->name;
}

const char *schedule_zone(const Schedule *s)
{
    return s->zone_name;
}

const GArray *schedule_ranges(const Schedule *s, bool except)
{
    return except ? s->except : s->ranges;
}

/* Days since 1970, and back; years are counted from March so that the leap day is the last. */
static int64_t day_of_date(int32_t date)
{
    int64_t year = date / 10000, month = date / 100 % 100, day = date % 100;

    year -= month <= 2;
    month = (month + 9) % 12;
    return 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719468;
}

static int32_t date_of_day(int64_t day)
{
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    int64_t d = of_year - (153 * month + 2) / 5 + 1, m = month < 10 ? month + 3 : month - 9;

    return (int32_t) ((year + era * 400 + (m <= 2)) * 10000 + m * 100 + d);
}

bool schedule_date_is_real(int32_t date)
{
    return date >= 10101 && date <= 99991231 && date / 100 % 100 >= 1 && date / 100 % 100 <= 12 && date_of_day(day_of_date(date)) == date;
}

static bool range_check(const ScheduleRange *r, const GArray *all, GError **error)
{
    const char *wrong = NULL;

    if (all->len >= SCHEDULE_RANGES_MAX)
        wrong = "are too many: 64 are allowed";
    else if (r->weekdays > 0x7f || r->months > 0xfff)
        wrong = "has a weekday or month that there is not";
    else if (r->from_minute < 0 || r->from_minute >= SCHEDULE_DAY_MINUTES || r->to_minute < 0 || r->to_minute > SCHEDULE_DAY_MINUTES)
        wrong = "begins or ends at a time that no day has";
    else if ((r->from_date != 0 && !schedule_date_is_real(r->from_date)) || (r->to_date != 0 && !schedule_date_is_real(r->to_date)))
        wrong = "has a date that no calendar has";
    else if (r->from_date != 0 && r->to_date != 0 && r->from_date > r->to_date)
        wrong = "ends on a date before the one it begins on";
    if (wrong != NULL)
        g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_RANGE, "range %u %s", all->len + 1, wrong);
    return wrong == NULL;
}

bool schedule_add(Schedule *s, const ScheduleRange *range, GError **error)
{
    if (!range_check(range, s->ranges, error))
        return false;
    g_array_append_vals(s->ranges, range, 1);
    return true;
}

bool schedule_exclude(Schedule *s, const ScheduleRange *range, GError **error)
{
    if (!range_check(range, s->except, error))
        return false;
    g_array_append_vals(s->except, range, 1);
    return true;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t offset_s(const Schedule *s, int64_t at_s)
{
    return g_time_zone_get_offset(s->zone, g_time_zone_find_interval(s->zone, G_TIME_TYPE_UNIVERSAL, at_s));
}

static bool starts_on(const ScheduleRange *r, int64_t day)
{
    if (r->weekdays != 0 && !(r->weekdays >> ((day % 7 + 10) % 7) & 1)) /* day 0 was a Thursday */
        return false;
    if (r->months == 0 && r->from_date == 0 && r->to_date == 0)
        return true;
    int32_t date = date_of_day(day);
    return (r->months == 0 || r->months >> (date / 100 % 100 - 1) & 1) && (r->from_date == 0 || date >= r->from_date) &&
           (r->to_date == 0 || date <= r->to_date);
}

static bool covers(const GArray *ranges, int64_t day, int64_t second)
{
    for (guint i = 0; i < ranges->len; i++) {
        const ScheduleRange *r = &g_array_index(ranges, ScheduleRange, i);
        int64_t from_s = r->from_minute * 60, to_s = r->to_minute * 60;

        if (to_s > from_s ? second >= from_s && second < to_s && starts_on(r, day)
                          : (second >= from_s && starts_on(r, day)) || (second < to_s && starts_on(r, day - 1)))
            return true;
    }
    return false;
}

static bool active_at(const Schedule *s, int64_t at_s)
{
    int64_t local_s = at_s + offset_s(s, at_s), day = floor_div(local_s, DAY_S), second = local_s - day * DAY_S;

    return (s->ranges->len > 0 ? covers(s->ranges, day, second) : s->except->len > 0) && !covers(s->except, day, second);
}

static int64_t second_of(int64_t now_us)
{
    return CLAMP(floor_div(now_us, US_PER_S), -TIME_LIMIT_S, TIME_LIMIT_S);
}

bool schedule_active(const Schedule *s, int64_t now_us)
{
    return active_at(s, second_of(now_us));
}

/* In which second between them the offset becomes another, if it does. */
static void put_zone_change(const Schedule *s, GArray *moments, int64_t from_s, int64_t to_s)
{
    int64_t before = offset_s(s, from_s);

    if (offset_s(s, to_s) == before)
        return;
    while (to_s - from_s > 1) {
        int64_t middle = from_s + (to_s - from_s) / 2;

        if (offset_s(s, middle) == before)
            from_s = middle;
        else
            to_s = middle;
    }
    g_array_append_val(moments, to_s);
}

static void put_edges(const Schedule *s, GArray *moments, const GArray *ranges, int64_t day)
{
    for (guint i = 0; i < ranges->len; i++) {
        const ScheduleRange *r = &g_array_index(ranges, ScheduleRange, i);

        if (!starts_on(r, day))
            continue;
        int to_minute = r->to_minute > r->from_minute ? r->to_minute : r->to_minute + SCHEDULE_DAY_MINUTES;
        int64_t edges[] = { day * DAY_S + r->from_minute * 60, day * DAY_S + to_minute * 60 };
        for (guint e = 0; e < 2; e++) {
            int64_t early = edges[e] - offset_s(s, edges[e] - DAY_S), late = edges[e] - offset_s(s, edges[e] + DAY_S);

            g_array_append_val(moments, early);
            if (late != early)
                g_array_append_val(moments, late);
        }
    }
}

static gint compare_seconds(gconstpointer a, gconstpointer b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

/* It is over, or it is always: neither can change anything after @day. */
static bool is_settled(const ScheduleRange *r, int64_t day)
{
    bool always = r->weekdays == 0 && r->months == 0 && r->from_date == 0 && r->to_date == 0 &&
                  (r->from_minute == r->to_minute || (r->from_minute == 0 && r->to_minute == SCHEDULE_DAY_MINUTES));

    return always || (r->to_date != 0 && date_of_day(day - 3) > r->to_date);
}

int64_t schedule_next_change_us(const Schedule *s, int64_t now_us)
{
    int64_t now_s = second_of(now_us), first_day = floor_div(now_s, DAY_S);
    bool active = active_at(s, now_s), settled = true;
    g_autoptr(GArray) moments = g_array_new(FALSE, FALSE, sizeof(int64_t));

    for (guint i = 0; i < s->ranges->len; i++)
        settled &= is_settled(&g_array_index(s->ranges, ScheduleRange, i), first_day);
    for (guint i = 0; i < s->except->len; i++)
        settled &= is_settled(&g_array_index(s->except, ScheduleRange, i), first_day);
    if (settled)
        return INT64_MAX;
    for (int64_t day = first_day; day < first_day + LOOK_DAYS; day++) { /* days of UTC; local ones are up to a day off, ranges two long */
        g_array_set_size(moments, 0);
        for (int64_t start = day - 2; start <= day + 1; start++) {
            put_edges(s, moments, s->ranges, start);
            put_edges(s, moments, s->except, start);
        }
        if (moments->len == 0)
            continue;
        put_zone_change(s, moments, day * DAY_S - 1, (day + 1) * DAY_S);
        g_array_sort(moments, compare_seconds);
        for (guint i = 0; i < moments->len; i++) {
            int64_t at_s = g_array_index(moments, int64_t, i);

            if (at_s > now_s && at_s >= day * DAY_S && at_s < (day + 1) * DAY_S && active_at(s, at_s) != active)
                return at_s * US_PER_S;
        }
    }
    return (first_day + LOOK_DAYS) * DAY_S * US_PER_S;
}
