/* Regular expressions against PCRE where both mean the same, and in bounded time where PCRE has none; times against GLib's. */
#include "consumers/policy/language/cel/regex.h"
#include "consumers/policy/language/cel/time.h"

#include <string.h>

static bool matches(const char *pattern, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CelRegex) regex = cel_regex_new(pattern, strlen(pattern), &error);

    g_assert_no_error(error);
    return cel_regex_matches(regex, text, strlen(text));
}

static void test_matches(void)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        { "", "", true },          { "b", "abc", true },           { "^b", "abc", false },          { "c$", "abc", true },
        { "^a.*c$", "abc", true }, { "a|b|", "x", true },          { "^(ab)+$", "ababab", true },   { "^(ab){2}$", "ababab", false },
        { "^(ab){2,}$", "ababab", true }, { "^a{,2}$", "a{,2}", true }, { "[^a-c]", "abcd", true }, { "^[\\d-]+$", "12-3", true },
        { "[]a]", "]", true },     { "[[:upper:]]", "aB", true },  { "[[:^alpha:]]", "ab", false }, { "\\pL", "1\xc3\xa4", true },
        { "^\\p{Greek}+$", "\xce\xb1\xce\xb2", true }, { "\\P{L}", "ab", false }, { "(?i)STRASSE", "Strasse", true }, { "(?i)k", "\xe2\x84\xaa", true },
        { "(?i:a)b", "Ab", true }, { "(?i:a)b", "AB", false },     { "(?m)^b$", "a\nb\nc", true },  { "^b$", "a\nb\nc", false },
        { "a.c", "a\nc", false },  { "(?s)a.c", "a\nc", true },    { "\\bcat\\b", "a cat.", true }, { "\\bcat\\b", "concat", false },
        { "\\Bcat", "concat", true }, { "\\Qa.b\\E", "a.b", true }, { "\\Qa.b\\E", "axb", false }, { "\\x41\\x{42}\\103", "ABC", true },
        { "a+?b*?c??", "aab", true }, { "(?P<name>x)y", "xy", true }, { "\\Aab\\z", "ab", true }, { "\\s", "a\vb", false },
        { ".", "\xff", true },     { "^..$", "\xc3\xa4\xc3\xb6", true }, { "(?i)[^a]", "A", false }, { "(|a)*b", "aab", true },
        { "\\p{Old_Italic}", "\xf0\x90\x8c\x80", true }, { "\\p{Phags_Pa}", "a", false }, { "^\\Qab\\E+$", "abbb", true }, { "^\\Qa*|)\\E$", "a*|)", true },
        { "^\\Qab\\E+$", "abab", false }, { "(?i)i", "\xc4\xb0", false }, { "(?i)\xc3\x9f", "\xe1\xba\x9e", true }, { "(?i)\\p{Lu}", "a", true },
        { "[\\pN\\pL]", "-", false }, { "[^\\pL\\PL]", "a", false }, { "(a{10}){100}b", "b", false }, { "(?P<a>x)(?P<b>y)", "xy", true },
        { "x{0}y", "y", true },    { "(?U)a+", "aa", true },       { "\\w+@\\w+", "me@home", true }, { "a{3", "a{3", true },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        if (matches(cases[i].pattern, cases[i].text) != cases[i].matches)
            g_error("%s on \"%s\": %d is wanted", cases[i].pattern, cases[i].text, cases[i].matches);
}

static void test_refused(void)
{
    static const char *const cases[] = { "(", ")", "a)", "[a", "[b-a]", "*a", "a**", "a{2}{3}", "a{1001}", "a{3,2}", "\\1", "(a)\\1", "(?=a)", "(?!a)",
                                         "(?<=a)", "(?<!a)", "(?>a)", "\\", "\\y", "\\p{Klingon}", "\\pX", "[[:nope:]]", "(?z)", "(?P<a-b>x)",
                                         "\\x{110000}", "((((a{100}){100}){100}){100})", "(?i", "a\\Z",
                                         "((a{0}){1000}){1000}", "(((|){1000}){1000}){1000}", "(a{40}){26}", "(?P<a>x)(?P<a>y)", "(?i)*", "\\p{greek}" };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CelRegex) regex = cel_regex_new(cases[i], strlen(cases[i]), &error);

        if (regex != NULL)
            g_error("%s should be refused", cases[i]);
        g_assert_nonnull(error);
    }
}

static void random_pattern(GRand *dice, GString *out, int depth)
{
    static const char *const atoms[] = { "a", "b", "c", ".", "[ab]", "[^a]", "\\w", "\\bb", "^", "$", "ab" };
    int kind = g_rand_int_range(dice, 0, depth <= 0 ? 1 : 6);

    if (kind <= 1) {
        g_string_append(out, atoms[g_rand_int_range(dice, 0, G_N_ELEMENTS(atoms))]);
    } else if (kind == 2) {
        random_pattern(dice, out, depth - 1);
        random_pattern(dice, out, depth - 1);
    } else if (kind == 3) {
        g_string_append(out, "(?:");
        random_pattern(dice, out, depth - 1);
        g_string_append_c(out, '|');
        random_pattern(dice, out, depth - 1);
        g_string_append_c(out, ')');
    } else {
        static const char *const repeats[] = { "*", "+", "?", "{2}", "{1,3}", "{0,2}", "*?" };

        g_string_append(out, "(?:");
        random_pattern(dice, out, depth - 1);
        g_string_append_c(out, ')');
        g_string_append(out, repeats[g_rand_int_range(dice, 0, G_N_ELEMENTS(repeats))]);
    }
}

static void test_like_pcre(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(20261123);

    for (unsigned i = 0; i < 20000; i++) {
        g_autoptr(GString) pattern = g_string_new(NULL);
        char text[9] = { 0 };

        random_pattern(dice, pattern, 4);
        for (int k = g_rand_int_range(dice, 0, 8); k > 0; k--)
            text[k - 1] = "abc "[g_rand_int_range(dice, 0, 4)];
        g_autoptr(GRegex) other = g_regex_new(pattern->str, G_REGEX_DOLLAR_ENDONLY, 0, NULL);
        if (other == NULL)
            continue;
        if (matches(pattern->str, text) != g_regex_match(other, text, 0, NULL))
            g_error("%s on \"%s\": PCRE says otherwise", pattern->str, text);
    }
}

static void test_linear(void)
{
    static const char *const patterns[] = { "(a*)*b", "(a|aa)+$x", "(a+)+c", "((a?){30}){3}b", "(.*)(.*)(.*)(.*)x" };
    g_autofree char *text = g_strnfill(100000, 'a');

    for (size_t i = 0; i < G_N_ELEMENTS(patterns); i++) {
        int64_t begin_us = g_get_monotonic_time();

        g_assert_false(matches(patterns[i], text));
        g_assert_cmpint(g_get_monotonic_time() - begin_us, <, 5 * G_USEC_PER_SEC);
    }
}

/* A pattern may be made for every element of a list: what is long to make is refused, or cheap. */
static void test_making_is_bounded(void)
{
    static const char *const parts[] = { "\\pL", "(?i:\\pL)", "[^\\PL]", "(?i)k", "a{1000}", "(", "|" };
    int64_t begin_us = g_get_monotonic_time();

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autoptr(GString) pattern = g_string_new(NULL);

        while (pattern->len + strlen(parts[i]) <= 4096)
            g_string_append(pattern, parts[i]);
        for (int k = 0; k < 3; k++) {
            g_autoptr(CelRegex) regex = cel_regex_new(pattern->str, pattern->len, NULL);

            g_assert_true(regex == NULL || cel_regex_size(regex) <= 100001);
        }
    }
    g_assert_cmpint(g_get_monotonic_time() - begin_us, <, 5 * G_USEC_PER_SEC);
}

static void test_times(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(7);
    static const char *const zones[] = { "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Australia/Lord_Howe", "UTC" };

    for (unsigned i = 0; i < 20000; i++) {
        int64_t seconds = (int64_t) (g_rand_double(dice) * (double) (CEL_TIME_SECONDS_MAX - CEL_TIME_SECONDS_MIN)) + CEL_TIME_SECONDS_MIN;
        const char *name = zones[i % G_N_ELEMENTS(zones)];
        g_autoptr(CelZone) zone = cel_zone_new(name, strlen(name), NULL);
        g_autoptr(GTimeZone) other = g_time_zone_new_identifier(name);
        char text[CEL_TIME_TEXT_MAX];
        uint32_t ns = i % 3 == 0 ? 0 : g_rand_int_range(dice, 0, 1000000000), again_ns;
        int64_t again;

        if (seconds < CEL_TIME_SECONDS_MIN + 86400 || seconds > CEL_TIME_SECONDS_MAX - 86400)
            continue;
        g_assert_true(cel_time_parse(text, cel_time_format(seconds, ns, text), &again, &again_ns));
        g_assert_cmpint(again, ==, seconds);
        g_assert_cmpuint(again_ns, ==, ns);
        g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(seconds), there = g_date_time_to_timezone(utc, other);
        g_assert_cmpint(cel_time_get(CEL_PART_FULL_YEAR, seconds, ns, zone), ==, g_date_time_get_year(there));
        g_assert_cmpint(cel_time_get(CEL_PART_DAY_OF_YEAR, seconds, ns, zone), ==, g_date_time_get_day_of_year(there) - 1);
        g_assert_cmpint(cel_time_get(CEL_PART_DAY_OF_WEEK, seconds, ns, zone), ==, g_date_time_get_day_of_week(there) % 7);
        g_assert_cmpint(cel_time_get(CEL_PART_DATE, seconds, ns, zone), ==, g_date_time_get_day_of_month(there));
        g_assert_cmpint(cel_time_get(CEL_PART_HOURS, seconds, ns, zone), ==, g_date_time_get_hour(there));
        g_assert_cmpint(cel_time_get(CEL_PART_MINUTES, seconds, ns, zone), ==, g_date_time_get_minute(there));
    }
}

static void check_duration(const char *text, const char *shown)
{
    char buffer[CEL_TIME_TEXT_MAX];
    int64_t ns;
    bool fine = cel_duration_parse(text, strlen(text), &ns);

    if (shown == NULL) {
        g_assert_false(fine);
        return;
    }
    g_assert_true(fine);
    cel_duration_format(ns, buffer);
    g_assert_cmpstr(buffer, ==, shown);
}

static void test_durations(void)
{
    int64_t seconds;
    uint32_t ns;

    check_duration("1h30m", "5400s");
    check_duration("-1.5s", "-1.5s");
    check_duration("100ms", "0.1s");
    check_duration("0", "0s");
    check_duration("1000000s", "1000000s");
    check_duration("1.000000001s", "1.000000001s");
    check_duration("2us3ns", "0.000002003s");
    check_duration("\xc2\xb5s", NULL);
    check_duration("9223372036s", "9223372036s");
    check_duration("9223372037s", NULL);
    check_duration("320000000000s", NULL);
    check_duration("", NULL);
    check_duration("1", NULL);
    check_duration("1s ", NULL);
    check_duration("s", NULL);
    check_duration("-", NULL);
    check_duration("1d", NULL);
    static const char *const wrong[] = { "2009-02-30T00:00:00Z", "2009-02-13T23:31:60Z", "2009-02-13T24:00:00Z", "2009-02-13", "2009-02-13T23:31:30",
                                         "0000-12-31T23:59:59Z", "0001-01-01T00:00:00+00:01", "2009-02-13T23:31:30.Z", "2009-02-13T23:31:30Zx",
                                         "10000-01-01T00:00:00Z", "2009-02-13T23:31:30.1234567890Z" };
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_false(cel_time_parse(wrong[i], strlen(wrong[i]), &seconds, &ns));
    g_assert_true(cel_time_parse("1970-01-01T01:00:00.5+01:00", 27, &seconds, &ns));
    g_assert_cmpint(seconds, ==, 0);
    g_assert_cmpuint(ns, ==, 500000000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/regex/matches", test_matches);
    g_test_add_func("/regex/refused", test_refused);
    g_test_add_func("/regex/like-pcre", test_like_pcre);
    g_test_add_func("/regex/linear", test_linear);
    g_test_add_func("/regex/making-is-bounded", test_making_is_bounded);
    g_test_add_func("/time/times", test_times);
    g_test_add_func("/time/durations", test_durations);
    return g_test_run();
}
