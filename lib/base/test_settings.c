#include "lib/base/settings.h"

#include <glib/gstdio.h>

typedef struct Sample {
    char *listen;
    bool lab;
    int64_t threads, idle_us, queue_bytes;
    char **services;
} Sample;

static const Setting rows[] = {
    { "listen", SETTING_STRING, offsetof(Sample, listen), 0, 0, "127.0.0.1:5672", "HOST:PORT where to listen" },
    { "lab", SETTING_BOOL, offsetof(Sample, lab), 0, 0, NULL, "no authentication" },
    { "threads", SETTING_INTEGER, offsetof(Sample, threads), 1, 64, "2", "I/O threads" },
    { "idle", SETTING_DURATION, offsetof(Sample, idle_us), US_PER_S, US_PER_HOUR, "30s", "silence allowed" },
    { "queue-bytes", SETTING_BYTES, offsetof(Sample, queue_bytes), 4096, INT64_C(1) << 40, "64MiB", "most a queue may hold" },
    { "service", SETTING_LIST, offsetof(Sample, services), 0, 0, NULL, "a service to watch" },
};

static bool read_words(Sample *sample, const char *words, char ***rest, GError **error)
{
    g_auto(GStrv) argv = g_strsplit(words, " ", -1);

    return settings_read(rows, G_N_ELEMENTS(rows), sample, argv, rest, error);
}

static void test_options_of_every_type_are_read(void)
{
    Sample sample = { 0 };
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(read_words(&sample, "mend --listen=[::1]:1 --lab --idle 2m up --service a --service b --queue-bytes 1MiB", &rest, &error));
    g_assert_cmpstr(sample.listen, ==, "[::1]:1");
    g_assert_true(sample.lab);
    g_assert_cmpint(sample.threads, ==, 2);
    g_assert_cmpint(sample.idle_us, ==, 120 * US_PER_S);
    g_assert_cmpint(sample.queue_bytes, ==, 1 << 20);
    g_assert_cmpstr(sample.services[1], ==, "b");
    g_assert_cmpstr(rest[0], ==, "up");
    g_assert_null(rest[1]);
    settings_done(rows, G_N_ELEMENTS(rows), &sample);
}

static void check_refusal(const char *words, const char *message)
{
    Sample sample = { .threads = 7 };
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(read_words(&sample, words, &rest, &error));
    g_assert_cmpstr(error->message, ==, message);
    g_assert_cmpint(sample.threads, ==, 7); /* nothing was applied */
    g_assert_null(sample.listen);
}

static void test_wrong_options_are_named(void)
{
    check_refusal("mend --lisen x", "unknown setting \"lisen\"; did you mean \"listen\"?");
    check_refusal("mend --threads 0", "threads: 0 is out of range, it may be 1 to 64");
    check_refusal("mend --threads two", "threads: \"two\" is not a whole number");
    check_refusal("mend --idle 10", "idle: \"10\" is not a duration such as 10s or 250ms");
    check_refusal("mend --lab=maybe", "lab: \"maybe\" is neither true nor false");
    check_refusal("mend --listen", "--listen needs a value");
    check_refusal("mend --listen x --queue-bytes 9TiB", "queue-bytes: \"9TiB\" is not a size such as 65536 or 16MiB");
}

static void check_file(const char *text, const char *tail)
{
    g_autofree char *folder = g_dir_make_tmp("mend-XXXXXX", NULL), *path = g_build_filename(folder, "s.yaml", NULL);
    g_autofree char *words = g_strdup_printf("mend --settings %s --threads 3", path);
    g_auto(GStrv) rest = NULL;
    g_autoptr(GError) error = NULL;
    Sample sample = { 0 };

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    bool ok = read_words(&sample, words, &rest, &error);
    if (tail == NULL) {
        g_assert_no_error(error);
        g_assert_true(ok);
        g_assert_cmpint(sample.threads, ==, 3); /* the option wins over the file */
        g_assert_cmpstr(sample.services[0], ==, "systemd:nginx");
        g_assert_cmpint(sample.idle_us, ==, 5 * US_PER_S);
    } else {
        g_assert_false(ok);
        g_autofree char *wanted = g_strconcat(path, tail, NULL);
        g_assert_cmpstr(error->message, ==, wanted);
    }
    settings_done(rows, G_N_ELEMENTS(rows), &sample);
    g_unlink(path);
    g_rmdir(folder);
}

static void test_a_file_is_read_under_the_options(void)
{
    check_file("# ours\nthreads: 9\nidle: 5s\nservice:\n  - systemd:nginx\n  - lsb:x\n", NULL);
}

static void test_a_wrong_file_is_named_with_line_and_column(void)
{
    check_file("threads: 9\n\nidel: 5s\n", ":3:1: unknown setting \"idel\"; did you mean \"idle\"?");
    check_file("threads: 9\nidle: soon\n", ":2:7: idle: \"soon\" is not a duration such as 10s or 250ms");
    check_file("threads: [1, 2]\n", ":1:10: threads: one value is wanted here");
    check_file("- a\n", ":1:1: a mapping \"name: value\" is wanted");
}

static void test_the_dump_is_a_settings_file(void)
{
    Sample sample = { 0 };

    settings_defaults(rows, G_N_ELEMENTS(rows), &sample);
    g_autofree char *text = settings_dump(rows, G_N_ELEMENTS(rows), &sample);
    g_assert_nonnull(strstr(text, "# silence allowed\nidle: 30s\n"));
    g_assert_nonnull(strstr(text, "listen: \"127.0.0.1:5672\"\n"));
    settings_done(rows, G_N_ELEMENTS(rows), &sample);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/base/settings/options of every type are read", test_options_of_every_type_are_read);
    g_test_add_func("/base/settings/wrong options are named", test_wrong_options_are_named);
    g_test_add_func("/base/settings/a file is read under the options", test_a_file_is_read_under_the_options);
    g_test_add_func("/base/settings/a wrong file is named with line and column", test_a_wrong_file_is_named_with_line_and_column);
    g_test_add_func("/base/settings/the dump is a settings file", test_the_dump_is_a_settings_file);
    return g_test_run();
}
