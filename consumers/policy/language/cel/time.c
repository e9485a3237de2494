/* Civil time by the proleptic Gregorian calendar, counted in days since 1970-01-01; years 1 to 9999 as RFC 3339 has them. */
#include "consumers/policy/language/cel/time.h"

#include <stdio.h>
#include <string.h>

#define SECONDS_PER_DAY 86400
#define NS_PER_S INT64_C(1000000000)

struct CelZone {
    GTimeZone *zone; /* NULL: the offset */
    int64_t offset_s;
};

/* Howard Hinnant's days_from_civil: a year begins in March, so that the leap day is its last. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned of_era = (unsigned) (year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + (int64_t) (of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

typedef struct Civil {
    int64_t year;
    unsigned month, day; /* from 1 */
} Civil;

static Civil civil_from_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned of_era = (unsigned) (days - era * 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153;
    Civil civil = { (int64_t) year + era * 400, month < 10 ? month + 3 : month - 9, of_year - (153 * month + 2) / 5 + 1 };

    civil.year += civil.month <= 2;
    return civil;
}

static int64_t floor_days(int64_t seconds)
{
    return seconds >= 0 ? seconds / SECONDS_PER_DAY : -((-seconds + SECONDS_PER_DAY - 1) / SECONDS_PER_DAY);
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* --- reading --- */

typedef struct Reader {
    const char *at, *end;
} Reader;

/* Exactly @n digits. */
static bool read_digits(Reader *r, unsigned n, unsigned *ret)
{
    *ret = 0;
    for (; n > 0; n--, r->at++) {
        if (r->at >= r->end || !g_ascii_isdigit(*r->at))
            return false;
        *ret = *ret * 10 + (unsigned) (*r->at - '0');
    }
    return true;
}

static bool read_char(Reader *r, char wanted)
{
    if (r->at >= r->end || g_ascii_toupper(*r->at) != wanted)
        return false;
    r->at++;
    return true;
}

/* ".5": up to nine digits count, more are refused. */
static bool read_fraction(Reader *r, uint32_t *ret_ns)
{
    uint32_t scale = 100000000;

    *ret_ns = 0;
    if (!read_char(r, '.'))
        return true;
    if (r->at >= r->end || !g_ascii_isdigit(*r->at))
        return false;
    for (; r->at < r->end && g_ascii_isdigit(*r->at); r->at++, scale /= 10) {
        if (scale == 0)
            return false;
        *ret_ns += (uint32_t) (*r->at - '0') * scale;
    }
    return true;
}

static bool read_offset(Reader *r, int64_t *ret_s)
{
    unsigned hours, minutes;
    int64_t sign = 1;

    *ret_s = 0;
    if (read_char(r, 'Z'))
        return r->at == r->end;
    if (read_char(r, '-'))
        sign = -1;
    else if (!read_char(r, '+'))
        return false;
    if (!read_digits(r, 2, &hours) || !read_char(r, ':') || !read_digits(r, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_s = sign * (int64_t) (hours * 3600 + minutes * 60);
    return r->at == r->end;
}

bool cel_time_parse(const char *text, size_t length, int64_t *ret_seconds, uint32_t *ret_ns)
{
    Reader r = { text, text + length };
    unsigned year, month, day, hour, minute, second;
    int64_t offset_s;

    if (!read_digits(&r, 4, &year) || !read_char(&r, '-') || !read_digits(&r, 2, &month) || !read_char(&r, '-') || !read_digits(&r, 2, &day) ||
        !read_char(&r, 'T') || !read_digits(&r, 2, &hour) || !read_char(&r, ':') || !read_digits(&r, 2, &minute) || !read_char(&r, ':') ||
        !read_digits(&r, 2, &second) || !read_fraction(&r, ret_ns) || !read_offset(&r, &offset_s))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 || second > 59)
        return false;
    *ret_seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + (int64_t) (hour * 3600 + minute * 60 + second) - offset_s;
    return *ret_seconds >= CEL_TIME_SECONDS_MIN && *ret_seconds <= CEL_TIME_SECONDS_MAX;
}

static const struct {
    const char *name;
    int64_t ns;
} units[] = {
    { "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 }, { "ms", 1000000 },
    { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
};

static int64_t read_unit(Reader *r)
{
    size_t best = 0;
    int64_t ns = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(units); i++) { /* "m" is the beginning of "ms" */
        size_t length = strlen(units[i].name);

        if (length > best && (size_t) (r->end - r->at) >= length && memcmp(r->at, units[i].name, length) == 0) {
            best = length;
            ns = units[i].ns;
        }
    }
    r->at += best;
    return ns;
}

/* The digits after a dot, as the part of @unit_ns they stand for; what is less than a nanosecond is dropped. */
static uint64_t fraction_ns(const char *at, const char *end, uint64_t unit_ns)
{
    uint64_t ns = 0;

    for (; at < end && unit_ns > 0; at++) {
        unit_ns /= 10;
        ns += (uint64_t) (*at - '0') * unit_ns;
    }
    return ns;
}

/* "1.5h" is added to @sum. */
static bool read_term(Reader *r, uint64_t *sum)
{
    const char *begin = r->at, *dot = NULL;
    guint64 whole = 0, ns, unit_ns;

    for (; r->at < r->end && g_ascii_isdigit(*r->at); r->at++)
        if (!g_uint64_checked_mul(&whole, whole, 10) || !g_uint64_checked_add(&whole, whole, (guint64) (*r->at - '0')))
            return false;
    const char *point = r->at;
    if (read_char(r, '.')) {
        dot = r->at;
        while (r->at < r->end && g_ascii_isdigit(*r->at))
            r->at++;
    }
    const char *digits_end = r->at;
    if (point == begin && (dot == NULL || digits_end == dot))
        return false;
    unit_ns = (guint64) read_unit(r);
    if (unit_ns == 0 || !g_uint64_checked_mul(&ns, whole, unit_ns))
        return false;
    if (dot != NULL)
        ns += fraction_ns(dot, digits_end, unit_ns);
    return g_uint64_checked_add(&ns, ns, *sum) && (*sum = ns) <= (uint64_t) INT64_MAX + 1;
}

bool cel_duration_parse(const char *text, size_t length, int64_t *ret_ns)
{
    Reader r = { text, text + length };
    bool negative = read_char(&r, '-');
    uint64_t sum = 0;

    if (!negative)
        read_char(&r, '+');
    if (r.end - r.at == 1 && *r.at == '0') {
        *ret_ns = 0;
        return true;
    }
    if (r.at == r.end)
        return false;
    while (r.at < r.end)
        if (!read_term(&r, &sum))
            return false;
    if (!negative && sum > INT64_MAX)
        return false;
    *ret_ns = negative ? -(int64_t) (sum - (sum > 0)) - (sum > 0) : (int64_t) sum; /* also the least of them */
    return true;
}

/* --- writing --- */

/* ".5" ".000001" "" : without trailing zeroes; what was written. */
static int put_fraction(char *at, uint32_t ns)
{
    char digits[10];
    int length = 9;

    if (ns == 0)
        return 0;
    g_snprintf(digits, sizeof digits, "%09u", ns);
    while (digits[length - 1] == '0')
        digits[--length] = '\0';
    return sprintf(at, ".%s", digits);
}

size_t cel_time_format(int64_t seconds, uint32_t ns, char *buffer)
{
    int64_t days = floor_days(seconds);
    unsigned of_day = (unsigned) (seconds - days * SECONDS_PER_DAY);
    Civil civil = civil_from_days(days);
    int length = sprintf(buffer, "%04d-%02u-%02uT%02u:%02u:%02u", (int) civil.year, civil.month, civil.day, of_day / 3600,
                         of_day / 60 % 60, of_day % 60);

    length += put_fraction(buffer + length, ns);
    return (size_t) (length + sprintf(buffer + length, "Z"));
}

size_t cel_duration_format(int64_t ns, char *buffer)
{
    uint64_t all = ns < 0 ? 0 - (uint64_t) ns : (uint64_t) ns;
    int length = sprintf(buffer, "%s%" G_GUINT64_FORMAT, ns < 0 ? "-" : "", all / (uint64_t) NS_PER_S);

    length += put_fraction(buffer + length, (uint32_t) (all % (uint64_t) NS_PER_S));
    return (size_t) (length + sprintf(buffer + length, "s"));
}

/* --- zones --- */

/* "+01:00" "-02:30" "02:00": CEL allows the sign to be left out. */
static bool fixed_offset(const char *name, size_t length, int64_t *ret_s)
{
    Reader r = { name, name + length };
    unsigned hours, minutes;
    bool negative = read_char(&r, '-');

    if (!negative)
        read_char(&r, '+');
    if (!read_digits(&r, 2, &hours) || !read_char(&r, ':') || !read_digits(&r, 2, &minutes) || r.at != r.end || hours > 23 || minutes > 59)
        return false;
    *ret_s = (negative ? -1 : 1) * (int64_t) (hours * 3600 + minutes * 60);
    return true;
}

CelZone *cel_zone_new(const char *name, size_t length, GError **error)
{
    g_autofree char *text = g_strndup(name, length);
    g_autofree CelZone *zone = g_new0(CelZone, 1);

    if (fixed_offset(name, length, &zone->offset_s) || strcmp(text, "UTC") == 0 || strcmp(text, "Z") == 0)
        return g_steal_pointer(&zone);
    /* GLib takes TZ rules and files too: only names of the zone data base are wanted */
    if (length > 0 && g_ascii_isalpha(text[0]) && strstr(text, "..") == NULL)
        zone->zone = g_time_zone_new_identifier(text);
    if (zone->zone == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "\"%s\" is no time zone: UTC, Europe/Berlin or +01:00 is wanted", text);
        return NULL;
    }
    return g_steal_pointer(&zone);
}

void cel_zone_free(CelZone *zone)
{
    if (zone == NULL)
        return;
    g_clear_pointer(&zone->zone, g_time_zone_unref);
    g_free(zone);
}

static int64_t zone_offset_s(const CelZone *zone, int64_t seconds)
{
    if (zone == NULL || zone->zone == NULL)
        return zone == NULL ? 0 : zone->offset_s;
    int interval = g_time_zone_find_interval(zone->zone, G_TIME_TYPE_UNIVERSAL, seconds);
    return interval < 0 ? 0 : g_time_zone_get_offset(zone->zone, interval);
}

int64_t cel_time_get(CelTimePart part, int64_t seconds, uint32_t ns, const CelZone *zone)
{
    int64_t local = seconds + zone_offset_s(zone, seconds), days = floor_days(local), of_day = local - days * SECONDS_PER_DAY;
    Civil civil = civil_from_days(days);

    switch (part) {
    case CEL_PART_FULL_YEAR:    return civil.year;
    case CEL_PART_MONTH:        return (int64_t) civil.month - 1;
    case CEL_PART_DATE:         return civil.day;
    case CEL_PART_DAY_OF_MONTH: return (int64_t) civil.day - 1;
    case CEL_PART_DAY_OF_WEEK:  return ((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    case CEL_PART_DAY_OF_YEAR:  return days - days_from_civil(civil.year, 1, 1);
    case CEL_PART_HOURS:        return of_day / 3600;
    case CEL_PART_MINUTES:      return of_day / 60 % 60;
    case CEL_PART_SECONDS:      return of_day % 60;
    default:                    return ns / 1000000; /* MILLISECONDS */
    }
}
