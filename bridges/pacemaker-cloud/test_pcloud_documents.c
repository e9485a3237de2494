#include "bridges/pacemaker-cloud/pcloud_documents.h"

#include <string.h>

#define MARK "--- # mend-bridge pacemaker-cloud: "

static void gives(char *text /* (transfer full) */, const char *wanted)
{
    g_assert_cmpstr(text, ==, wanted);
    g_free(text);
}

static void test_in_and_out(void)
{
    static const char own[] = "mend: 1 # mine\nrules: [default]";
    static const char one[] = "mend: 1 # mine\nrules: [default]\n" MARK "blog\nmend: 1\n";
    static const char two[] = "mend: 1 # mine\nrules: [default]\n" MARK "blog\nmend: 1\n" MARK "blog2\nx: 2\n";
    g_auto(GStrv) names = pcloud_documents_names(two);

    gives(pcloud_documents_with(own, "blog", "mend: 1"), one);
    gives(pcloud_documents_with(one, "blog2", "x: 2\n"), two);
    gives(pcloud_documents_with(two, "blog", "mend: 1\n"), two); /* as it was: nothing is to be loaded */
    gives(pcloud_documents_with(two, "blog", "y: 3\n"), "mend: 1 # mine\nrules: [default]\n" MARK "blog\ny: 3\n" MARK "blog2\nx: 2\n");
    gives(pcloud_documents_without(two, "blog2"), one);
    gives(pcloud_documents_without(one, "blog"), "mend: 1 # mine\nrules: [default]\n");
    gives(pcloud_documents_without(own, "blog"), own);
    g_assert_cmpuint(g_strv_length(names), ==, 2);
    g_assert_cmpstr(names[1], ==, "blog2");
}

static void test_others_documents_stay(void)
{
    static const char text[] = "mend: 1\n" MARK "blog\nmend: 1\n--- # somebody's\nmend: 1\n";

    gives(pcloud_documents_without(text, "blog"), "mend: 1\n--- # somebody's\nmend: 1\n");
    gives(pcloud_documents_with(text, "blog", "z: 1"), "mend: 1\n" MARK "blog\nz: 1\n--- # somebody's\nmend: 1\n");
}

static void test_the_default_policy(void)
{
    g_autofree char *text = pcloud_documents_with("", "blog", "a: b\n"), *without = pcloud_documents_without(text, "blog");

    g_assert_true(g_str_has_suffix(text, "\nmend: 1\n" MARK "blog\na: b\n"));
    g_assert_true(g_str_has_suffix(without, "\nmend: 1\n"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pacemaker-cloud/documents/in-and-out", test_in_and_out);
    g_test_add_func("/pacemaker-cloud/documents/others", test_others_documents_stay);
    g_test_add_func("/pacemaker-cloud/documents/default", test_the_default_policy);
    return g_test_run();
}
