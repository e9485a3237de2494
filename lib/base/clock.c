#include "lib/base/clock.h"

#include <stdio.h>
#include <string.h>

int64_t clock_now_us(void)
{
    return g_get_monotonic_time();
}

int64_t clock_wall_us(void)
{
    return g_get_real_time();
}

char *time_format(int64_t wall_us)
{
    int64_t seconds = wall_us / US_PER_S, rest = wall_us % US_PER_S;

    if (rest < 0) {
        rest += US_PER_S;
        seconds--;
    }
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(seconds);
    if (time == NULL)
        return g_strdup("invalid-time");
    g_autofree char *whole = g_date_time_format(time, "%Y-%m-%dT%H:%M:%S");
    return g_strdup_printf("%s.%06dZ", whole, (int) rest);
}

bool time_parse(const char *text, int64_t *ret_wall_us)
{
    g_autoptr(GDateTime) time = text == NULL ? NULL : g_date_time_new_from_iso8601(text, NULL);

    if (time == NULL || strchr(text, ':') == NULL)
        return false;
    *ret_wall_us = g_date_time_to_unix(time) * US_PER_S + g_date_time_get_microsecond(time);
    return true;
}

static const struct {
    const char *name;
    int64_t us;
} duration_units[] = { { "d", 24 * US_PER_HOUR }, { "h", US_PER_HOUR }, { "m", US_PER_MINUTE },
                       { "s", US_PER_S },         { "ms", US_PER_MS },  { "us", 1 } };

/* The unit at the head of @text: the longest that fits, so that "ms" is not read as minutes. */
static int64_t unit_take(const char **text)
{
    size_t letters = strspn(*text, "abcdefghijklmnopqrstuvwxyz");

    for (size_t i = 0; i < G_N_ELEMENTS(duration_units); i++)
        if (strlen(duration_units[i].name) == letters && strncmp(*text, duration_units[i].name, letters) == 0) {
            *text += letters;
            return duration_units[i].us;
        }
    return 0;
}

bool duration_parse(const char *text, int64_t *ret_us)
{
    int64_t total = 0;

    if (text == NULL || *text == '\0')
        return false;
    if (strcmp(text, "0") == 0) {
        *ret_us = 0;
        return true;
    }
    while (*text != '\0') {
        char *end;

        if (!g_ascii_isdigit(*text))
            return false;
        double amount = g_ascii_strtod(text, &end);
        text = end;
        int64_t unit = unit_take(&text);
        if (unit == 0 || amount > (double) (INT64_MAX / 4) / (double) unit)
            return false;
        total += (int64_t) (amount * (double) unit + 0.5);
        if (total > INT64_MAX / 4)
            return false;
    }
    *ret_us = total;
    return true;
}

char *duration_format(int64_t us)
{
    if (us == 0)
        return g_strdup("0");
    GString *text = g_string_new(us < 0 ? "-" : NULL);
    uint64_t rest = us < 0 ? (uint64_t) -us : (uint64_t) us;

    for (size_t i = 0; i < G_N_ELEMENTS(duration_units); i++) {
        uint64_t unit = (uint64_t) duration_units[i].us;

        if (rest >= unit)
            g_string_append_printf(text, "%" G_GUINT64_FORMAT "%s", rest / unit, duration_units[i].name);
        rest %= unit;
    }
    return g_string_free(text, FALSE);
}
