/* A pattern and, after a zero byte, a text. Beyond not crashing: a pattern matches the same when it is grouped, repeated once, or has something
 * optional beside it, and so does the text read as a time or a duration when it is written again. */
#include "consumers/policy/language/cel/regex.h"
#include "consumers/policy/language/cel/time.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORK_MAX 20000000

static CelRegex *grouped(const char *before, const uint8_t *pattern, size_t length, const char *after)
{
    g_autoptr(GString) text = g_string_new(before);

    g_string_append_len(text, (const char *) pattern, (gssize) length);
    g_string_append(text, after);
    return cel_regex_new(text->str, text->len, NULL);
}

static void check_pattern(const uint8_t *pattern, size_t length, const char *text, size_t text_length)
{
    static const char *const around[][2] = { { "(?:", ")" }, { "(?:", "){1}" }, { "(?:", ")z*" }, { "x*?(?:", ")" } };
    g_autoptr(GError) error = NULL;
    g_autoptr(CelRegex) regex = cel_regex_new((const char *) pattern, length, &error);

    g_assert_true((regex == NULL) == (error != NULL));
    if (regex == NULL || cel_regex_size(regex) * (text_length + 1) > WORK_MAX)
        return;
    bool matches = cel_regex_matches(regex, text, text_length);
    for (size_t i = 0; i < G_N_ELEMENTS(around); i++) {
        g_autoptr(CelRegex) other = grouped(around[i][0], pattern, length, around[i][1]);

        /* refused: nested too deep or too long by what was added, or \\Q quotes it; and a lone ) closes the group */
        if (other != NULL && memmem(pattern, length, "\\Q", 2) == NULL)
            g_assert_cmpint(cel_regex_matches(other, text, text_length), ==, matches);
    }
}

static void check_times(const char *text, size_t length)
{
    char written[CEL_TIME_TEXT_MAX];
    int64_t seconds, ns, again;
    uint32_t part, part_again;

    if (cel_time_parse(text, length, &seconds, &part)) {
        g_assert_true(seconds >= CEL_TIME_SECONDS_MIN && seconds <= CEL_TIME_SECONDS_MAX && part < 1000000000);
        g_assert_true(cel_time_parse(written, cel_time_format(seconds, part, written), &again, &part_again));
        g_assert_true(again == seconds && part_again == part);
    }
    if (cel_duration_parse(text, length, &ns)) {
        g_assert_true(cel_duration_parse(written, cel_duration_format(ns, written), &again));
        g_assert_cmpint(again, ==, ns);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(CelZone) zone = cel_zone_new(text, length, &error);
    g_assert_true((zone == NULL) == (error != NULL));
    for (CelTimePart which = CEL_PART_FULL_YEAR; zone != NULL && which <= CEL_PART_MILLISECONDS; which++)
        g_assert_cmpint(ABS(cel_time_get(which, CEL_TIME_SECONDS_MIN, 0, zone)), <, 10000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    size_t length = end == NULL ? size : (size_t) (end - data);
    const char *text = end == NULL ? "" : (const char *) end + 1;

    check_pattern(data, length, text, end == NULL ? 0 : size - length - 1);
    check_times((const char *) data, length);
    return 0;
}
