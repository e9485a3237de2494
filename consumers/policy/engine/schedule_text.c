/* Calendars in words, and back. */
#include "consumers/policy/engine/schedule_private.h"

#include "lib/base/json.h"

#include <string.h>

static const char *const weekday_names[] = { "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", NULL };
static const char *const month_names[] = { "january", "february", "march", "april", "may", "june", "july", "august", "september",
                                           "october", "november", "december", NULL };

static bool wrong(GError **error, const char *text, const char *wanted)
{
    g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_TEXT, "\"%.64s\" is not %s", text, wanted);
    return false;
}

/* At least three letters of it; -1: none. */
static int name_index(const char *const *names, const char *text)
{
    size_t n = strlen(text);

    for (int i = 0; n >= 3 && names[i] != NULL; i++)
        if (n <= strlen(names[i]) && g_ascii_strncasecmp(names[i], text, n) == 0)
            return i;
    return -1;
}

static bool names_parse(const char *const *names, const char *text, unsigned *ret_bits, const char *wanted, GError **error)
{
    int n_names = (int) g_strv_length((char **) names);
    g_auto(GStrv) parts = g_strsplit(text, ",", 32);
    unsigned bits = 0;

    for (guint i = 0; parts[i] != NULL; i++) {
        g_auto(GStrv) ends = g_strsplit(parts[i], "-", 2);
        int from = ends[0] == NULL ? -1 : name_index(names, g_strstrip(ends[0]));
        int to = from < 0 || ends[1] == NULL ? from : name_index(names, g_strstrip(ends[1]));

        if (from < 0 || to < 0)
            return wrong(error, text, wanted);
        for (int k = from;; k = (k + 1) % n_names) { /* "sat-mon" goes round */
            bits |= 1u << k;
            if (k == to)
                break;
        }
    }
    if (bits == 0)
        return wrong(error, text, wanted);
    *ret_bits = bits;
    return true;
}

bool schedule_weekdays_parse(const char *text, unsigned *ret_weekdays, GError **error)
{
    return names_parse(weekday_names, text, ret_weekdays, "a list of weekdays, like mon-fri,sun", error);
}

bool schedule_months_parse(const char *text, unsigned *ret_months, GError **error)
{
    return names_parse(month_names, text, ret_months, "a list of months, like jan-mar,dec", error);
}

/* @n digits at *@text, and then @end. */
static bool take_digits(const char **text, guint n, char end, int *ret)
{
    int value = 0;

    for (guint i = 0; i < n; i++, (*text)++) {
        if (!g_ascii_isdigit(**text))
            return false;
        value = value * 10 + (**text - '0');
    }
    if (**text != end)
        return false;
    *text += end != '\0';
    *ret = value;
    return true;
}

bool schedule_minute_parse(const char *text, int *ret_minute, GError **error)
{
    const char *at = text;
    int hour, minute;

    if (!take_digits(&at, strlen(text) == 4 ? 1 : 2, ':', &hour) || !take_digits(&at, 2, '\0', &minute) || minute > 59 ||
        hour * 60 + minute > SCHEDULE_DAY_MINUTES)
        return wrong(error, text, "a time of day, like 06:30, 00:00 to 24:00");
    *ret_minute = hour * 60 + minute;
    return true;
}

bool schedule_date_parse(const char *text, int32_t *ret_date, GError **error)
{
    const char *at = text;
    int year, month, day;

    if (!take_digits(&at, 4, '-', &year) || !take_digits(&at, 2, '-', &month) || !take_digits(&at, 2, '\0', &day) ||
        !schedule_date_is_real(year * 10000 + month * 100 + day))
        return wrong(error, text, "a date, like 2026-12-24");
    *ret_date = year * 10000 + month * 100 + day;
    return true;
}

bool schedule_times_parse(const char *text, ScheduleRange *range, GError **error)
{
    g_auto(GStrv) ends = g_strsplit(text, "-", 2);
    int from, to;

    if (g_strv_length(ends) != 2 || !schedule_minute_parse(g_strstrip(ends[0]), &from, NULL) ||
        !schedule_minute_parse(g_strstrip(ends[1]), &to, NULL) || from == SCHEDULE_DAY_MINUTES)
        return wrong(error, text, "a span of the day, like 08:00-18:00 or, over midnight, 22:00-06:00");
    range->from_minute = from;
    range->to_minute = to;
    return true;
}

bool schedule_dates_parse(const char *text, ScheduleRange *range, GError **error)
{
    static const char wanted[] = "a date or a span of dates, like 2026-12-24, 2026-12-24..2026-12-26 or 2026-12-24..";
    g_auto(GStrv) ends = g_strsplit(text, "..", 2);
    int32_t from = 0, to = 0;
    guint n = g_strv_length(ends);

    if (n == 0 || (g_strstrip(ends[0])[0] != '\0' && !schedule_date_parse(ends[0], &from, NULL)) ||
        (n == 2 && g_strstrip(ends[1])[0] != '\0' && !schedule_date_parse(ends[1], &to, NULL)))
        return wrong(error, text, wanted);
    if (n == 1)
        to = from;
    if ((from == 0 && to == 0) || (to != 0 && from > to))
        return wrong(error, text, wanted);
    range->from_date = from;
    range->to_date = to;
    return true;
}

static char *names_text(const char *const *names, unsigned bits)
{
    GString *text = g_string_new(NULL);

    for (int i = 0; names[i] != NULL; i++) {
        if (!(bits >> i & 1))
            continue;
        int to = i;
        while (names[to + 1] != NULL && bits >> (to + 1) & 1)
            to++;
        g_string_append_printf(text, "%s%.3s", text->len == 0 ? "" : ",", names[i]);
        if (to > i)
            g_string_append_printf(text, "-%.3s", names[to]);
        i = to;
    }
    return g_string_free(text, FALSE);
}

static void append_date(GString *text, int32_t date)
{
    if (date != 0)
        g_string_append_printf(text, "%04d-%02d-%02d", date / 10000, date / 100 % 100, date % 100);
}

static json_t *range_to_json(const ScheduleRange *r)
{
    json_t *object = json_object();
    g_autofree char *weekdays = names_text(weekday_names, r->weekdays), *months = names_text(month_names, r->months);
    g_autoptr(GString) dates = g_string_new(NULL);
    char times[32];

    g_snprintf(times, sizeof times, "%02d:%02d-%02d:%02d", r->from_minute / 60, r->from_minute % 60, r->to_minute / 60, r->to_minute % 60);
    json_object_set_new(object, "times", json_string(times));
    if (r->weekdays != 0)
        json_object_set_new(object, "weekdays", json_string(weekdays));
    if (r->months != 0)
        json_object_set_new(object, "months", json_string(months));
    if (r->from_date == 0 && r->to_date == 0)
        return object;
    append_date(dates, r->from_date);
    if (r->to_date != r->from_date)
        g_string_append(dates, "..");
    append_date(dates, r->to_date == r->from_date ? 0 : r->to_date);
    json_object_set_new(object, "dates", json_string(dates->str));
    return object;
}

json_t *schedule_to_json(const Schedule *s)
{
    json_t *object = json_pack("{s:s, s:s}", "name", schedule_name(s), "zone", schedule_zone(s));

    for (guint except = 0; except < 2; except++) {
        const GArray *ranges = schedule_ranges(s, except);
        json_t *all = json_array();

        for (guint i = 0; i < ranges->len; i++)
            json_array_append_new(all, range_to_json(&g_array_index(ranges, ScheduleRange, i)));
        json_object_set_new(object, except ? "except" : "ranges", all);
    }
    return object;
}

static bool field_parse(const char *key, const char *text, ScheduleRange *range, GError **error)
{
    if (strcmp(key, "weekdays") == 0)
        return schedule_weekdays_parse(text, &range->weekdays, error);
    if (strcmp(key, "months") == 0)
        return schedule_months_parse(text, &range->months, error);
    if (strcmp(key, "times") == 0)
        return schedule_times_parse(text, range, error);
    if (strcmp(key, "dates") == 0)
        return schedule_dates_parse(text, range, error);
    g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_MALFORMED, "is unknown; there are weekdays, months, times, dates");
    return false;
}

static bool ranges_from_json(Schedule *s, const json_t *json, bool except, GError **error)
{
    const char *where = except ? "except" : "ranges", *key;
    const json_t *all = json_object_get(json, where);
    json_t *value;

    if (all != NULL && !json_is_array(all)) {
        g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_MALFORMED, "%s: must be a list", where);
        return false;
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        ScheduleRange range = SCHEDULE_RANGE_ALWAYS;
        json_t *one = json_array_get(all, i);

        if (!json_is_object(one)) {
            g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_MALFORMED, "%s[%zu]: must be an object", where, i);
            return false;
        }
        json_object_foreach(one, key, value) {
            if (!json_is_string(value)) {
                g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_MALFORMED, "%s[%zu].%s: must be a text", where, i, key);
                return false;
            }
            if (!field_parse(key, json_string_value(value), &range, error)) {
                g_prefix_error(error, "%s[%zu].%s: ", where, i, key);
                return false;
            }
        }
        if (!(except ? schedule_exclude : schedule_add)(s, &range, error))
            return false;
    }
    return true;
}

Schedule *schedule_from_json(const json_t *json, GError **error)
{
    if (!json_is_object(json)) {
        g_set_error(error, SCHEDULE_ERROR, SCHEDULE_ERROR_MALFORMED, "a calendar must be an object");
        return NULL;
    }
    g_autoptr(Schedule) s = schedule_new(json_string_or(json, "name", ""), json_string_or(json, "zone", "UTC"), error);

    if (s == NULL || !ranges_from_json(s, json, false, error) || !ranges_from_json(s, json, true, error))
        return NULL;
    return g_steal_pointer(&s);
}
