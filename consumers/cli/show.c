#include "consumers/cli/show.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 12
#define WIDTH_MAX 90

void show_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
}

static bool on_terminal(void)
{
    static int known = -1;

    if (known < 0)
        known = isatty(STDOUT_FILENO) && g_getenv("NO_COLOR") == NULL;
    return known == 1;
}

static const char *colour_of(const char *state)
{
    static const char *const good[] = { "running", "up", "healed", "resolved", "well", "done", NULL };
    static const char *const bad[] = { "failed", "lost", "needs-human", "fault", "quarantined", "expired", NULL };

    return g_strv_contains(good, state) ? "32" : g_strv_contains(bad, state) ? "31" : "33";
}

/* Columns a text takes on the screen: its characters. */
static size_t width_of(const char *text)
{
    return (size_t) g_utf8_strlen(text, -1);
}

/* What peers said is never believed to be harmless on a terminal. */
static void put_safe(const char *text, bool lines)
{
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);

        if (character == '\n' && lines)
            putchar('\n');
        else if (g_unichar_iscntrl(character) || g_unichar_type(character) == G_UNICODE_FORMAT)
            putchar(' ');
        else
            fwrite(c, 1, (size_t) (g_utf8_next_char(c) - c), stdout);
    }
}

void show_text(const char *text)
{
    put_safe(text, true);
}

static void put_cell(const char *text, size_t width, bool coloured)
{
    if (coloured && on_terminal())
        printf("\033[%sm", colour_of(text));
    put_safe(text, false);
    if (coloured && on_terminal())
        fputs("\033[0m", stdout);
    for (size_t i = width_of(text); i < width; i++)
        putchar(' ');
}

void show_row(const json_t *row, const size_t *widths, int state)
{
    size_t k;
    json_t *cell;

    json_array_foreach(row, k, cell) {
        bool last = k + 1 == json_array_size(row) || widths[k] == 0;

        put_cell(json_string_value(cell), last ? 0 : widths[k], (int) k == state);
        if (!last)
            fputs("  ", stdout);
    }
    putchar('\n');
}

static int state_column(const json_t *head)
{
    size_t k;
    json_t *cell;

    json_array_foreach(head, k, cell)
        if (strcmp(json_string_value(cell), "state") == 0)
            return (int) k;
    return -1;
}

void show_table(const json_t *rows)
{
    size_t widths[COLUMNS_MAX + 1] = { 0 }, i, k;
    int state = state_column(json_array_get(rows, 0));
    json_t *row, *cell;

    json_array_foreach(rows, i, row)
        json_array_foreach(row, k, cell)
            if (k < COLUMNS_MAX)
                widths[k] = MIN(MAX(widths[k], MAX(width_of(json_string_value(cell)), 1)), WIDTH_MAX);
    json_array_foreach(rows, i, row)
        show_row(row, widths, i == 0 ? -1 : state);
}

char *show_time(int64_t wall_us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(wall_us / US_PER_S), now = g_date_time_new_now_local();

    if (time == NULL)
        return g_strdup("?");
    bool today = g_date_time_get_day_of_year(time) == g_date_time_get_day_of_year(now) &&
                 g_date_time_get_year(time) == g_date_time_get_year(now);
    g_autofree char *text = g_date_time_format(time, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S");
    return g_strdup_printf("%s.%03d", text, (int) (wall_us / US_PER_MS % 1000));
}

char *show_since(int64_t wall_us)
{
    int64_t s = MAX(0, clock_wall_us() - wall_us) / US_PER_S;

    return wall_us <= 0       ? g_strdup("-")
           : s < 120          ? g_strdup_printf("%d s", (int) s)
           : s < 7200         ? g_strdup_printf("%d min", (int) (s / 60))
           : s < 48 * 3600    ? g_strdup_printf("%d h", (int) (s / 3600))
                              : g_strdup_printf("%d d", (int) (s / 86400));
}
