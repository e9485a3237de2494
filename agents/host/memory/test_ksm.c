/* KSM's files in a folder of the test's own. What only a kernel does (busy, refused) is in test_ksm_here. */
#include "agents/host/memory/ksm.h"

#include <glib/gstdio.h>

static const char *const all[] = { "run", "pages_to_scan", "sleep_millisecs", "merge_across_nodes", "pages_shared", "pages_sharing" };

typedef struct Folder {
    char *path;
} Folder;

static void put(const Folder *f, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(f->path, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void folder_make(Folder *f, gconstpointer data)
{
    f->path = g_dir_make_tmp("mend-ksm-XXXXXX", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++)
        put(f, all[i], i == 1 ? "100\n" : i == 2 ? "20\n" : "0\n");
}

static void folder_gone(Folder *f, gconstpointer data)
{
    for (gsize i = 0; i < G_N_ELEMENTS(all); i++) {
        g_autofree char *path = g_build_filename(f->path, all[i], NULL);
        g_unlink(path);
    }
    g_rmdir(f->path);
    g_free(f->path);
}

static void test_set(Folder *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Ksm now;

    g_assert_true(ksm_write(f->path, (int64_t[]){ 1, 500, -1, 1 }, &now, &error));
    g_assert_no_error(error);
    g_assert_true(ksm_read(f->path, &now));
    g_assert_cmpint(now.values[KSM_RUN], ==, 1);
    g_assert_cmpint(now.values[KSM_PAGES_TO_SCAN], ==, 500);
    g_assert_cmpint(now.values[KSM_SLEEP], ==, 20);
    g_assert_cmpint(now.values[KSM_MERGE], ==, 1);
    g_assert_cmpint(now.values[KSM_VOLATILE], ==, -1);
}

static void check_refused(Folder *f, const int64_t wanted[KSM_SETTABLE], const char *text)
{
    g_autoptr(GError) error = NULL;
    Ksm now;

    g_assert_false(ksm_write(f->path, wanted, &now, &error));
    g_assert_error(error, KSM_ERROR, KSM_ERROR_RANGE);
    g_assert_cmpstr(error->message, ==, text);
    g_assert_true(ksm_read(f->path, &now));
    g_assert_cmpint(now.values[KSM_RUN], ==, 0); /* nothing was written, also not what was right */
}

static void test_range(Folder *f, gconstpointer data)
{
    check_refused(f, (int64_t[]){ 3, -1, -1, -1 }, "run = 3: 0 to 2 is wanted");
    check_refused(f, (int64_t[]){ 1, 0, -1, -1 }, "pages_to_scan = 0: 1 to 1000000 is wanted");
    check_refused(f, (int64_t[]){ 1, -1, 3600001, -1 }, "sleep_millisecs = 3600001: 0 to 3600000 is wanted");
    check_refused(f, (int64_t[]){ 1, -1, -1, 2 }, "merge_across_nodes = 2: 0 to 1 is wanted");
}

static void test_missing(Folder *f, gconstpointer data)
{
    g_autofree char *merge = g_build_filename(f->path, "merge_across_nodes", NULL), *run = g_build_filename(f->path, "run", NULL),
                    *text = g_strdup_printf("%s/merge_across_nodes: this kernel has no such setting", f->path);
    g_autoptr(GError) error = NULL;
    Ksm now;

    g_unlink(merge);
    check_refused(f, (int64_t[]){ 1, -1, -1, 1 }, text);
    g_unlink(run);
    g_assert_false(ksm_read(f->path, &now));
    g_assert_false(ksm_write(f->path, (int64_t[]){ 1, -1, -1, -1 }, &now, &error));
}

/* A full disk, a read-only sysfs: the error says which file, and what holds is read. */
static void test_write_fails(Folder *f, gconstpointer data)
{
    g_autofree char *run = g_build_filename(f->path, "run", NULL);
    g_autoptr(GError) error = NULL;
    Ksm now;

    g_unlink(run);
    g_assert_cmpint(g_mkdir(run, 0700), ==, 0); /* can be neither read nor written */
    g_assert_false(ksm_write(f->path, (int64_t[]){ 1, -1, -1, -1 }, &now, &error));
    g_rmdir(run);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/ksm/set", Folder, NULL, folder_make, test_set, folder_gone);
    g_test_add("/ksm/range", Folder, NULL, folder_make, test_range, folder_gone);
    g_test_add("/ksm/missing", Folder, NULL, folder_make, test_missing, folder_gone);
    g_test_add("/ksm/write-fails", Folder, NULL, folder_make, test_write_fails, folder_gone);
    return g_test_run();
}
