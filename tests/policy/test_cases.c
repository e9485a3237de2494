/* Golden cases: a folder is a test. policy.yaml (absent: the default policy) and events.json go in, commands.json is what must come
 * out. MEND_ACCEPT_GOLDEN=1 rewrites commands.json; the difference is then for people to review. */
#include "consumers/policy/play.h"

#include <string.h>

static void check_case(gconstpointer folder)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *difference = NULL;
    bool accept = g_strcmp0(g_getenv("MEND_ACCEPT_GOLDEN"), "1") == 0;

    g_autofree char *actual = play_case(folder, &(PlayOptions){ 0 }, &error);
    g_assert_no_error(error);
    g_autofree char *in_pieces = play_case(folder, &(PlayOptions){ .restore_each = true }, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(in_pieces, ==, actual); /* whatever the engine knows is in its snapshot */
    play_check(folder, &(PlayOptions){ 0 }, accept, &difference, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(difference, ==, NULL);
}

int main(int argc, char **argv)
{
    const char *source = g_getenv("MEND_SOURCE_DIR");
    g_autofree char *folder = g_build_filename(source == NULL ? "." : source, "tests/policy/cases", NULL);
    g_autoptr(GDir) cases = g_dir_open(folder, 0, NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    g_test_init(&argc, &argv, NULL);
    g_assert_nonnull(cases);
    for (const char *name; (name = g_dir_read_name(cases)) != NULL;) {
        g_autofree char *test = g_strdup_printf("/policy/cases/%s", name);

        g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
        g_test_add_data_func(test, paths->pdata[paths->len - 1], check_case);
    }
    g_assert_cmpuint(paths->len, >=, 20);
    return g_test_run();
}
