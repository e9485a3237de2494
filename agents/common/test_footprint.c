#include "agents/common/footprint.h"

#include <string.h>

static long rss_kb(void)
{
    g_autofree char *status = NULL;

    g_assert_true(g_file_get_contents("/proc/self/status", &status, NULL, NULL));
    return strtol(strstr(status, "VmRSS:") + strlen("VmRSS:"), NULL, 10);
}

static void test_it_gives_back_and_everything_still_works(void)
{
    static const char *const words[] = {"kept", "across", "the", "trim", NULL};
    g_autofree char *before = g_strjoinv(" ", (char **) words), *after = NULL, *sum = NULL;
    long held, left;

    for (size_t i = 0; i < 20000; i++)
        g_free(g_strdup_printf("%zu", i)); /* the heap and the library have been used */
    held = rss_kb();
    footprint_trim();
    left = rss_kb();
    g_test_message("%ld kB, then %ld kB", held, left);
    g_assert_cmpint(left, <, held);
    after = g_strjoinv(" ", (char **) words);
    g_assert_cmpstr(after, ==, before);
    sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, "x", 1);
    g_assert_true(g_str_has_prefix(sum, "2d711642b726b044"));
    footprint_trim();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/footprint/it gives back and everything still works", test_it_gives_back_and_everything_still_works);
    return g_test_run();
}
