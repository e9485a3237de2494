#include "lib/base/charge.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/settings.h"
#include "lib/base/uuid.h"

#include <glib/gstdio.h>

static void test_durations_go_both_ways(void)
{
    static const struct {
        const char *text;
        int64_t us;
        const char *again;
    } rows[] = { { "250ms", 250000, "250ms" }, { "1m30s", 90000000, "1m30s" }, { "2h", 7200000000, "2h" },
                 { "0", 0, "0" }, { "1.5s", 1500000, "1s500ms" }, { "1d", 86400000000, "1d" } };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        int64_t us = -1;

        g_assert_true(duration_parse(rows[i].text, &us));
        g_assert_cmpint(us, ==, rows[i].us);
        g_autofree char *again = duration_format(us);
        g_assert_cmpstr(again, ==, rows[i].again);
    }
}

static void test_what_is_no_duration_is_refused(void)
{
    static const char *const wrong[] = { "", "10", "s", "1x", "-1s", "1s ", "9999999999d", "1msec", NULL };

    for (size_t i = 0; wrong[i] != NULL; i++) {
        int64_t us = 7;

        g_assert_false(duration_parse(wrong[i], &us));
        g_assert_cmpint(us, ==, 7);
    }
}

static void test_times_go_both_ways(void)
{
    int64_t us = 0;

    g_assert_true(time_parse("2012-02-14T08:30:00.123456Z", &us));
    g_autofree char *text = time_format(us);
    g_assert_cmpstr(text, ==, "2012-02-14T08:30:00.123456Z");
    g_assert_true(time_parse("2012-02-14T09:30:00+01:00", &us));
    g_assert_cmpint(us % US_PER_S, ==, 0);
    g_assert_false(time_parse("yesterday", &us));
    g_assert_false(time_parse("2012-02-14", &us));
}

static void test_a_charge_over_the_limit_takes_nothing(void)
{
    Budget site = { .limit = { [CHARGE_BYTES] = 100 } }, peer = { .limit = { [CHARGE_BYTES] = 80 }, .parent = &site };
    g_autoptr(GError) error = NULL;

    g_assert_true(charge_take(&peer, CHARGE_BYTES, 60, NULL));
    g_assert_false(charge_take(&peer, CHARGE_BYTES, 30, &error));
    g_assert_cmpstr(error->message, ==, "limit of 80 bytes reached");
    g_assert_cmpint(charge_held(&site, CHARGE_BYTES), ==, 60);
    g_assert_true(charge_take(&site, CHARGE_BYTES, 40, NULL));
    g_assert_false(charge_take(&peer, CHARGE_BYTES, 1, NULL));
    g_assert_cmpint(charge_held(&peer, CHARGE_BYTES), ==, 60);
    charge_give(&peer, CHARGE_BYTES, 60);
    g_assert_cmpint(charge_held(&site, CHARGE_BYTES), ==, 40);
}

static void test_uuids_have_one_form(void)
{
    g_autofree char *plain = uuid_canonical("DDDD5059AAF37D2D12330D450F478D70"), *fresh = uuid_new();

    g_assert_cmpstr(plain, ==, "dddd5059-aaf3-7d2d-1233-0d450f478d70");
    g_assert_null(uuid_canonical("not-a-uuid"));
    g_assert_null(uuid_canonical(NULL));
    g_assert_cmpuint(strlen(fresh), ==, UUID_TEXT_SIZE - 1);
}

static void test_a_file_is_whole_or_not_there(void)
{
    g_autofree char *folder = g_dir_make_tmp("mend-XXXXXX", NULL), *path = g_build_filename(folder, "epoch", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(file_write(path, "41\n", 3, 0600, &error));
    g_assert_true(file_write(path, "42\n", 3, 0600, &error));
    g_autofree char *text = file_read_line(path, 16, &error);
    g_assert_cmpstr(text, ==, "42");
    g_assert_null(file_read_line(path, 1, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_unlink(path);
    g_assert_null(file_read_line(path, 16, &error));
    g_rmdir(folder);
}

static json_t *some_json(GRand *dice, int depth)
{
    static const char *const texts[] = { "", "plain", "a \"quoted\" \\ word / slash", "\b\f\n\r\t", "\x01\x1f\x7f", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" };
    static const json_int_t integers[] = { 0, -1, 10, 4096, INT64_MAX, INT64_MIN };
    static const double reals[] = { 0, -0.0, 1, 0.1, -1.5e-9, 1e22, 1.7976931348623157e308, 5e-324, 123456789.125 };
    json_t *all;

    switch (g_rand_int_range(dice, 0, depth > 5 ? 4 : 6)) {
    case 0:  return json_string(texts[g_rand_int_range(dice, 0, G_N_ELEMENTS(texts))]);
    case 1:  return json_integer(integers[g_rand_int_range(dice, 0, G_N_ELEMENTS(integers))]);
    case 2:  return json_real(reals[g_rand_int_range(dice, 0, G_N_ELEMENTS(reals))]);
    case 3:  return g_rand_boolean(dice) ? json_null() : json_boolean(g_rand_boolean(dice));
    case 4:
        all = json_array();
        for (int n = g_rand_int_range(dice, 0, 6); n > 0; n--)
            json_array_append_new(all, some_json(dice, depth + 1));
        return all;
    default:
        all = json_object();
        for (int n = g_rand_int_range(dice, 0, 40); n > 0; n -= depth + 2) {
            g_autofree char *key = g_strdup_printf("%s%d", texts[g_rand_int_range(dice, 0, G_N_ELEMENTS(texts))], g_rand_int_range(dice, 0, 30));

            json_object_set_new(all, key, some_json(dice, depth + 1));
        }
        return all;
    }
}

static void test_canonical_json_is_jansson_s(void)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(11);

    for (int i = 0; i < 2000; i++) {
        g_autoptr(json_t) value = some_json(dice, 0);
        g_autofree char *ours = json_text(value), *theirs = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

        g_assert_cmpstr(ours, ==, theirs);
    }
    g_autoptr(json_t) nul = json_stringn("a\0b", 3);
    g_autofree char *text = json_text(nul);
    g_assert_cmpstr(text, ==, "\"a\\u0000b\"");
    g_assert_null(json_text(NULL));
}

static void test_json_errors_say_where(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) value = json_parse("{\"a\":\n  1,,}", 11, "event", &error);

    g_assert_null(value);
    g_assert_true(g_str_has_prefix(error->message, "event:2:"));
}

static void test_the_nearest_word_is_offered(void)
{
    static const char *const known[] = { "listen", "data", "max-queue-bytes", NULL };

    g_assert_cmpstr(nearest_word("lisen", known), ==, "listen");
    g_assert_cmpstr(nearest_word("max-queue-byte", known), ==, "max-queue-bytes");
    g_assert_null(nearest_word("frobnicate", known));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/clock/durations go both ways", test_durations_go_both_ways);
    g_test_add_func("/base/clock/what is no duration is refused", test_what_is_no_duration_is_refused);
    g_test_add_func("/base/clock/times go both ways", test_times_go_both_ways);
    g_test_add_func("/base/charge/a charge over the limit takes nothing", test_a_charge_over_the_limit_takes_nothing);
    g_test_add_func("/base/uuid/one form", test_uuids_have_one_form);
    g_test_add_func("/base/file/whole or not there", test_a_file_is_whole_or_not_there);
    g_test_add_func("/base/json/the canonical form is jansson's", test_canonical_json_is_jansson_s);
    g_test_add_func("/base/json/errors say where", test_json_errors_say_where);
    g_test_add_func("/base/word/the nearest is offered", test_the_nearest_word_is_offered);
    return g_test_run();
}
