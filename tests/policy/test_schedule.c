/* Calendars, against the wall clock as GDateTime shows it, minute by minute. */
#include "consumers/policy/engine/schedule.h"
#include "lib/base/json.h"

#include <string.h>

#define DAY_US (24 * US_PER_HOUR)

static Schedule *schedule_of(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) json = json_parse(text, strlen(text), "test", &error);
    Schedule *s = schedule_from_json(json, &error);

    g_assert_no_error(error);
    return s;
}

static int64_t at(const char *iso)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(iso, NULL);

    g_assert_nonnull(time);
    return g_date_time_to_unix(time) * US_PER_S;
}

/* "iso active" rows, each true to the microsecond before and after: what is said of a moment is said of the change at it. */
static void check_changes(const char *text, const char *start, bool active, const char *const *changes)
{
    g_autoptr(Schedule) s = schedule_of(text);
    int64_t now_us = at(start);

    g_assert_cmpint(schedule_active(s, now_us), ==, active);
    for (guint i = 0; changes[i] != NULL; i++) {
        int64_t change_us = schedule_next_change_us(s, now_us);

        g_assert_cmpint(change_us, ==, at(changes[i]));
        g_assert_cmpint(schedule_active(s, change_us - 1), ==, active);
        active = !active;
        g_assert_cmpint(schedule_active(s, change_us), ==, active);
        now_us = change_us;
    }
}

static void test_working_hours(void)
{
    check_changes("{\"zone\":\"Europe/Berlin\",\"ranges\":[{\"weekdays\":\"mon-fri\",\"times\":\"08:00-18:00\"}]}", "2026-11-20T12:00:00+01:00", true,
                  (const char *const[]) { "2026-11-20T18:00:00+01:00", "2026-11-23T08:00:00+01:00", "2026-11-23T18:00:00+01:00", NULL });
}

/* On 29 March 2026 it is 03:00 after 01:59:59; on 25 October it is 02:00 twice. */
static void test_both_changes_of_the_clock_in_berlin(void)
{
    static const char night[] = "{\"zone\":\"Europe/Berlin\",\"ranges\":[{\"times\":\"22:00-06:00\"}]}";
    static const char skipped[] = "{\"zone\":\"Europe/Berlin\",\"ranges\":[{\"times\":\"02:15-02:45\"}]}";
    static const char across[] = "{\"zone\":\"Europe/Berlin\",\"ranges\":[{\"times\":\"01:30-02:30\"}]}";
    static const char into[] = "{\"zone\":\"Europe/Berlin\",\"ranges\":[{\"times\":\"02:30-04:00\"}]}";

    /* over midnight and the change: 7 hours in spring, 9 in autumn */
    check_changes(night, "2026-03-28T21:00:00+01:00", false,
                  (const char *const[]) { "2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00", "2026-03-29T22:00:00+02:00", NULL });
    check_changes(night, "2026-10-24T21:00:00+02:00", false,
                  (const char *const[]) { "2026-10-24T22:00:00+02:00", "2026-10-25T06:00:00+01:00", "2026-10-25T22:00:00+01:00", NULL });
    check_changes(skipped, "2026-03-28T12:00:00+01:00", false,
                  (const char *const[]) { "2026-03-30T02:15:00+02:00", "2026-03-30T02:45:00+02:00", NULL });
    check_changes(skipped, "2026-10-25T00:00:00+02:00", false,
                  (const char *const[]) { "2026-10-25T02:15:00+02:00", "2026-10-25T02:45:00+02:00", "2026-10-25T02:15:00+01:00",
                                          "2026-10-25T02:45:00+01:00", "2026-10-26T02:15:00+01:00", NULL });
    check_changes(across, "2026-03-29T00:00:00+01:00", false, /* the clock jumps out of it */
                  (const char *const[]) { "2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T01:30:00+02:00", NULL });
    check_changes(across, "2026-10-25T00:00:00+02:00", false,
                  (const char *const[]) { "2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00",
                                          "2026-10-25T02:30:00+01:00", "2026-10-26T01:30:00+01:00", NULL });
    check_changes(into, "2026-03-29T00:00:00+01:00", false, /* and into it */
                  (const char *const[]) { "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00", NULL });
}

static void test_a_range_over_midnight_belongs_to_its_first_day(void)
{
    check_changes("{\"ranges\":[{\"weekdays\":\"sat\",\"times\":\"22:00-06:00\"}]}", "2026-11-20T00:00:00Z", false,
                  (const char *const[]) { "2026-11-21T22:00:00Z", "2026-11-22T06:00:00Z", "2026-11-28T22:00:00Z", NULL });
    check_changes("{\"ranges\":[{\"months\":\"dec\",\"times\":\"22:00-06:00\",\"dates\":\"2026-12-31..\"}]}", "2026-12-01T00:00:00Z", false,
                  (const char *const[]) { "2026-12-31T22:00:00Z", "2027-01-01T06:00:00Z", "2027-12-01T22:00:00Z", NULL });
    check_changes("{\"ranges\":[{\"weekdays\":\"mon\",\"times\":\"12:00-12:00\"}]}", "2026-11-22T00:00:00Z", false,
                  (const char *const[]) { "2026-11-23T12:00:00Z", "2026-11-24T12:00:00Z", NULL });
}

static void test_exclusions_and_several_ranges(void)
{
    check_changes("{\"zone\":\"Europe/Berlin\",\"ranges\":[{\"times\":\"08:00-12:00\"},{\"times\":\"12:00-13:00\"},{\"times\":\"20:00-24:00\"}],"
                  "\"except\":[{\"dates\":\"2026-12-24..2026-12-26\"},{\"times\":\"09:00-10:00\"}]}",
                  "2026-12-23T07:00:00+01:00", false,
                  (const char *const[]) { "2026-12-23T08:00:00+01:00", "2026-12-23T09:00:00+01:00", "2026-12-23T10:00:00+01:00",
                                          "2026-12-23T13:00:00+01:00", "2026-12-23T20:00:00+01:00", "2026-12-24T00:00:00+01:00",
                                          "2026-12-27T08:00:00+01:00", NULL });
    check_changes("{\"except\":[{\"dates\":\"2026-12-24\"}]}", "2026-12-01T00:00:00Z", true, /* always but then */
                  (const char *const[]) { "2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z", NULL });
}

static void test_what_never_changes_says_so(void)
{
    static const struct {
        const char *text;
        bool active;
    } rows[] = {
        { "{}", false },
        { "{\"ranges\":[{}]}", true },
        { "{\"ranges\":[{\"times\":\"07:00-07:00\"}]}", true },
        { "{\"ranges\":[{\"dates\":\"2020-01-01\"}]}", false },
        { "{\"except\":[{\"dates\":\"2020-01-01..2020-02-01\"}]}", true },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Schedule) s = schedule_of(rows[i].text);

        g_assert_cmpint(schedule_active(s, at("2026-11-23T00:00:00Z")), ==, rows[i].active);
        g_assert_cmpint(schedule_next_change_us(s, at("2026-11-23T00:00:00Z")), ==, INT64_MAX);
    }
    g_autoptr(Schedule) far = schedule_of("{\"ranges\":[{\"dates\":\"2030-01-01\"}]}");
    int64_t now_us = at("2026-11-23T00:00:00Z"), steps = 0;
    while (!schedule_active(far, now_us) && steps++ < 10) /* asked again each time, one comes there */
        now_us = schedule_next_change_us(far, now_us);
    g_assert_cmpint(now_us, ==, at("2030-01-01T00:00:00Z"));
    g_assert_cmpint(schedule_next_change_us(far, INT64_MAX), ==, INT64_MAX);
    schedule_active(far, INT64_MIN);
}

/* The oracle reads hour, minute and date from GDateTime and knows only the words of the header. */
static bool oracle_covers(const ScheduleRange *r, GDateTime *time)
{
    int minute = g_date_time_get_hour(time) * 60 + g_date_time_get_minute(time);

    for (int back = 0; back < 2; back++) {
        int from = r->from_minute, to = r->to_minute > r->from_minute ? r->to_minute : r->to_minute + SCHEDULE_DAY_MINUTES;
        int of_day = minute + back * SCHEDULE_DAY_MINUTES, year, month, day;
        GDate date;

        g_date_time_get_ymd(time, &year, &month, &day);
        g_date_set_dmy(&date, day, month, year);
        if (back > 0)
            g_date_subtract_days(&date, 1);
        int32_t ymd = g_date_get_year(&date) * 10000 + g_date_get_month(&date) * 100 + g_date_get_day(&date);
        if (of_day >= from && of_day < to && (r->weekdays == 0 || r->weekdays >> (g_date_get_weekday(&date) - 1) & 1) &&
            (r->months == 0 || r->months >> (g_date_get_month(&date) - 1) & 1) && (r->from_date == 0 || ymd >= r->from_date) &&
            (r->to_date == 0 || ymd <= r->to_date))
            return true;
    }
    return false;
}

static ScheduleRange random_range(GRand *rand)
{
    ScheduleRange r = { .from_minute = g_rand_int_range(rand, 0, SCHEDULE_DAY_MINUTES), .to_minute = g_rand_int_range(rand, 0, SCHEDULE_DAY_MINUTES + 1) };

    if (g_rand_int_range(rand, 0, 3) == 0) /* around the change of the clock */
        r.from_minute = g_rand_int_range(rand, 0, 300);
    if (g_rand_boolean(rand))
        r.weekdays = g_rand_int_range(rand, 1, 128);
    if (g_rand_int_range(rand, 0, 4) == 0)
        r.months = g_rand_int_range(rand, 1, 4096);
    if (g_rand_int_range(rand, 0, 4) == 0)
        r.from_date = 20260324 + g_rand_int_range(rand, 0, 8);
    if (g_rand_int_range(rand, 0, 4) == 0)
        r.to_date = 20261020 + g_rand_int_range(rand, 0, 12);
    return r;
}

static void test_random_calendars_against_the_clock(void)
{
    static const char *const zones[] = { "Europe/Berlin", "America/New_York", "Australia/Lord_Howe" /* half an hour */, "UTC",
                                         "America/Santiago" /* changes at midnight */, "Asia/Kolkata", "Pacific/Apia", "-03:30" };
    for (guint32 seed = 1; seed <= 120; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        const char *zone = zones[seed % G_N_ELEMENTS(zones)];
        g_autoptr(Schedule) s = schedule_new("c", zone, NULL);
        g_autoptr(GTimeZone) tz = g_time_zone_new_identifier(zone);
        ScheduleRange ranges[3], except[2];
        guint n_ranges = g_rand_int_range(rand, 0, 4), n_except = g_rand_int_range(rand, 0, 3);

        for (guint i = 0; i < n_ranges; i++) {
            ranges[i] = random_range(rand);
            g_assert_true(schedule_add(s, &ranges[i], NULL));
        }
        for (guint i = 0; i < n_except; i++) {
            except[i] = random_range(rand);
            g_assert_true(schedule_exclude(s, &except[i], NULL));
        }
        /* the days around the changes of spring and autumn: Berlin, New York, Lord Howe, Santiago */
        static const char *const starts[] = { "2026-03-27T00:00:00Z", "2026-10-23T00:00:00Z", "2026-04-03T12:00:00Z", "2026-09-04T12:00:00Z" };
        int64_t start_us = at(starts[seed / 8 % G_N_ELEMENTS(starts)]), change_us = schedule_next_change_us(s, start_us);
        bool active = schedule_active(s, start_us);
        for (int64_t now_us = start_us; now_us < start_us + 4 * DAY_US; now_us += US_PER_MINUTE) {
            g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(now_us / US_PER_S);
            g_autoptr(GDateTime) local = g_date_time_to_timezone(utc, tz);
            bool expected = n_ranges == 0 && n_except > 0;

            for (guint i = 0; i < n_ranges; i++)
                expected |= oracle_covers(&ranges[i], local);
            for (guint i = 0; i < n_except; i++)
                expected &= !oracle_covers(&except[i], local);
            g_assert_cmpint(schedule_active(s, now_us), ==, expected);
            if (expected != active) {
                g_assert_cmpint(change_us, ==, now_us);
                change_us = schedule_next_change_us(s, now_us);
                active = expected;
            } else {
                g_assert_cmpint(change_us, >, now_us);
            }
        }
        g_autoptr(json_t) json = schedule_to_json(s);
        g_autoptr(Schedule) again = schedule_from_json(json, NULL);
        g_autoptr(json_t) json_again = schedule_to_json(again);
        g_assert_true(json_equal(json, json_again));
        g_assert_cmpint(schedule_next_change_us(s, start_us), ==, schedule_next_change_us(again, start_us));
    }
}

static void test_words(void)
{
    unsigned bits;
    int minute;
    int32_t date;
    ScheduleRange r = { 0 };

    g_assert_true(schedule_weekdays_parse("mon-fri, Sunday", &bits, NULL) && bits == 0x5f);
    g_assert_true(schedule_weekdays_parse("sat-mon", &bits, NULL) && bits == 0x61);
    g_assert_true(schedule_months_parse("Nov-Feb,june", &bits, NULL) && bits == 0xc23);
    g_assert_true(schedule_minute_parse("24:00", &minute, NULL) && minute == 1440);
    g_assert_true(schedule_minute_parse("6:05", &minute, NULL) && minute == 365);
    g_assert_true(schedule_date_parse("2028-02-29", &date, NULL) && date == 20280229);
    g_assert_true(schedule_times_parse("22:00 - 06:00", &r, NULL) && r.from_minute == 1320 && r.to_minute == 360);
    g_assert_true(schedule_dates_parse("..2026-12-26", &r, NULL) && r.from_date == 0 && r.to_date == 20261226);
    static const char *const bad[] = {
        "{\"ranges\":[{\"weekdays\":\"mo-fri\"}]}",  "{\"ranges\":[{\"weekdays\":\"\"}]}",        "{\"ranges\":[{\"weekdays\":\"mon-\"}]}",
        "{\"ranges\":[{\"months\":\"mon\"}]}",       "{\"ranges\":[{\"times\":\"24:00-06:00\"}]}", "{\"ranges\":[{\"times\":\"8-18\"}]}",
        "{\"ranges\":[{\"times\":\"08:60-18:00\"}]}", "{\"ranges\":[{\"times\":\"08:00\"}]}",      "{\"ranges\":[{\"dates\":\"2026-02-29\"}]}",
        "{\"ranges\":[{\"dates\":\"2026-13-01\"}]}", "{\"ranges\":[{\"dates\":\"..\"}]}",         "{\"ranges\":[{\"dates\":\"2026-03-02..2026-03-01\"}]}",
        "{\"ranges\":[{\"hours\":\"8\"}]}",          "{\"ranges\":[{\"weekdays\":5}]}",           "{\"ranges\":[5]}",
        "{\"ranges\":{}}",                           "{\"zone\":\"Europe/Atlantis\"}",            "{\"zone\":\"../../../etc/passwd\"}",
        "{\"zone\":\"/etc/passwd\"}",                "{\"zone\":\"\"}",                           "[]",
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) json = json_loads(bad[i], 0, NULL);

        g_assert_null(schedule_from_json(json, &error));
        g_assert_nonnull(error);
    }
    g_autoptr(Schedule) s = schedule_new("full", NULL, NULL);
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < SCHEDULE_RANGES_MAX; i++)
        g_assert_true(schedule_add(s, &(ScheduleRange) SCHEDULE_RANGE_ALWAYS, NULL));
    g_assert_false(schedule_add(s, &(ScheduleRange) SCHEDULE_RANGE_ALWAYS, &error));
    g_assert_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_RANGE);
    g_assert_false(schedule_exclude(s, &(ScheduleRange) { .weekdays = 0x80 }, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/schedule/working-hours", test_working_hours);
    g_test_add_func("/schedule/berlin", test_both_changes_of_the_clock_in_berlin);
    g_test_add_func("/schedule/midnight", test_a_range_over_midnight_belongs_to_its_first_day);
    g_test_add_func("/schedule/exclusions", test_exclusions_and_several_ranges);
    g_test_add_func("/schedule/never", test_what_never_changes_says_so);
    g_test_add_func("/schedule/random", test_random_calendars_against_the_clock);
    g_test_add_func("/schedule/words", test_words);
    return g_test_run();
}
