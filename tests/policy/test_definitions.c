#include "consumers/policy/definitions.h"

#include <glib/gstdio.h>
#include <string.h>

#define HASH_ONE "4b3fcda3c44c7ef1f7f1e0fc7fdf7a7b0cbec3a6d4c9c5b8e3a7e6d1c2b3a4f5" /* of nothing we have */

static char *hash_of(const char *text)
{
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}

static char *folder_new(void)
{
    return g_dir_make_tmp("mend-definitions-XXXXXX", NULL);
}

static void test_what_is_put_is_there_after_a_restart(void)
{
    g_autofree char *folder = folder_new(), *hash = hash_of("<domain/>"), *other = hash_of("<domain type='kvm'/>");
    g_autoptr(Definitions) d = definitions_open(folder, NULL);

    g_assert_true(definitions_put(d, hash, "<domain/>", NULL));
    g_assert_true(definitions_put(d, hash, "<domain/>", NULL));
    g_assert_true(definitions_put(d, other, "<domain type='kvm'/>", NULL));
    g_assert_cmpuint(definitions_size(d), ==, 2);
    g_autoptr(Definitions) again = definitions_open(folder, NULL);
    g_autofree char *text = definitions_get(again, hash);
    g_assert_cmpstr(text, ==, "<domain/>");
    g_autoptr(GHashTable) wanted = g_hash_table_new(g_str_hash, g_str_equal);
    g_hash_table_add(wanted, other);
    definitions_keep(again, wanted);
    g_assert_false(definitions_has(again, hash));
    g_assert_true(definitions_has(again, other));
    g_autoptr(Definitions) third = definitions_open(folder, NULL);
    g_assert_cmpuint(definitions_size(third), ==, 1);
}

static void test_what_is_not_its_hash_s_is_refused(void)
{
    g_autofree char *folder = folder_new(), *hash = hash_of("<domain/>"), *upper = g_ascii_strup(hash, -1);
    g_autofree char *large = g_strnfill(DEFINITION_BYTES_MAX + 1, 'x'), *of_large = hash_of(large);
    const char *const wrong[][2] = { { HASH_ONE, "<domain/>" }, { upper, "<domain/>" }, { "../../etc/passwd", "<domain/>" }, { "", "" },
                                     { of_large, large } };
    g_autoptr(Definitions) d = definitions_open(folder, NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(definitions_put(d, wrong[i][0], wrong[i][1], &error));
        g_assert_error(error, DEFINITIONS_ERROR, DEFINITIONS_ERROR_HASH);
    }
    g_assert_cmpuint(definitions_size(d), ==, 0);
    g_assert_null(definitions_get(d, hash));
    g_assert_null(definitions_get(d, NULL));
}

static void test_a_damaged_file_is_forgotten(void)
{
    g_autofree char *folder = folder_new(), *hash = hash_of("<domain/>"), *path = g_strdup_printf("%s/%s.xml", folder, hash);
    g_autoptr(Definitions) d = definitions_open(folder, NULL);

    g_assert_true(definitions_put(d, hash, "<domain/>", NULL));
    g_assert_true(g_file_set_contents(path, "<dom", -1, NULL));
    g_assert_null(definitions_get(d, hash));
    g_assert_false(definitions_has(d, hash));
    g_assert_true(definitions_put(d, hash, "<domain/>", NULL)); /* asked for again */
    g_autofree char *text = definitions_get(d, hash);
    g_assert_cmpstr(text, ==, "<domain/>");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/definitions/what is put is there after a restart", test_what_is_put_is_there_after_a_restart);
    g_test_add_func("/definitions/what is not its hash's is refused", test_what_is_not_its_hash_s_is_refused);
    g_test_add_func("/definitions/a damaged file is forgotten", test_a_damaged_file_is_forgotten);
    return g_test_run();
}
