#include "agents/host/host_stand.h"
#include "agents/host/storage/beat.h"
#include "agents/host/storage/health.h"
#include "agents/host/storage/paths.h"
#include "agents/host/storage/storage.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define OTHER "22222222-3333-4444-8555-666666666666"

static const HealthLimits limits = { 500 * US_PER_MS, 15 * US_PER_S, 3, 5 };

static void beats(Health *h, unsigned n, int64_t latency_us, int64_t *now_us)
{
    for (unsigned i = 0; i < n; i++) {
        *now_us += US_PER_S;
        health_beat(h, latency_us, *now_us);
        health_judge(h, *now_us);
    }
}

static void expect(const Health *h, HealthState state) { g_assert_cmpstr(health_name(h->state), ==, health_name(state)); }

static void test_errors_in_a_row_fail_and_beats_in_a_row_mend(void)
{
    Health h;
    int64_t now_us = 0;

    health_init(&h, &limits, now_us);
    g_assert_false(health_judge(&h, now_us));
    beats(&h, 10, US_PER_MS, &now_us);
    expect(&h, HEALTH_WELL);
    health_error(&h, EIO, "write: Input/output error", now_us);
    g_assert_true(health_judge(&h, now_us));
    expect(&h, HEALTH_DEGRADED);
    health_error(&h, EIO, "write: Input/output error", now_us);
    health_error(&h, EIO, "write: Input/output error", now_us);
    g_assert_true(health_judge(&h, now_us));
    expect(&h, HEALTH_FAILED);
    g_assert_cmpstr(h.reason, ==, "write: Input/output error");
    beats(&h, 2, US_PER_MS, &now_us);
    expect(&h, HEALTH_FAILED);
    beats(&h, 1, US_PER_MS, &now_us);
    expect(&h, HEALTH_DEGRADED);
    beats(&h, HEALTH_WINDOW, US_PER_MS, &now_us);
    expect(&h, HEALTH_WELL);
}

static void test_silence_is_a_failure(void)
{
    Health h;
    int64_t now_us = 0;

    health_init(&h, &limits, now_us);
    beats(&h, 5, US_PER_MS, &now_us);
    g_assert_false(health_judge(&h, now_us + 15 * US_PER_S));
    g_assert_true(health_judge(&h, now_us + 16 * US_PER_S));
    expect(&h, HEALTH_FAILED);
    g_assert_nonnull(strstr(h.reason, "no answer for 16 s"));
}

static void test_slow_is_degraded_until_it_is_quick_again(void)
{
    Health h;
    int64_t now_us = 0;

    health_init(&h, &limits, now_us);
    beats(&h, HEALTH_WINDOW, US_PER_MS, &now_us);
    beats(&h, 3, US_PER_S, &now_us);
    expect(&h, HEALTH_DEGRADED);
    beats(&h, HEALTH_WINDOW, 300 * US_PER_MS, &now_us); /* below the limit, above its half */
    expect(&h, HEALTH_DEGRADED);
    beats(&h, HEALTH_WINDOW, 100 * US_PER_MS, &now_us);
    expect(&h, HEALTH_WELL);
}

static void test_full_is_no_failure(void)
{
    Health h;
    int64_t now_us = 0;

    health_init(&h, &limits, now_us);
    beats(&h, 5, US_PER_MS, &now_us);
    for (int i = 0; i < 10; i++)
        health_error(&h, ENOSPC, "write: No space left on device", now_us);
    health_judge(&h, now_us);
    expect(&h, HEALTH_FULL);
    health_space(&h, 55, 1000);
    health_judge(&h, now_us);
    expect(&h, HEALTH_FULL); /* one percent more than the limit ends it */
    health_space(&h, 70, 1000);
    health_judge(&h, now_us);
    expect(&h, HEALTH_WELL);
}

static void test_lost_paths_are_degraded(void)
{
    Health h;
    int64_t now_us = 0;

    health_init(&h, &limits, now_us);
    health_paths(&h, 4, 3);
    beats(&h, 5, US_PER_MS, &now_us);
    expect(&h, HEALTH_DEGRADED);
    g_assert_cmpstr(h.reason, ==, "3 of 4 paths work");
}

/* What a copy of many disks may follow from is not one hiccup. */
static void test_one_hiccup_is_not_degraded(void)
{
    const HealthLimits some = { 500 * US_PER_MS, 15 * US_PER_S, 3, 5, .error_percent = 5, .paths = 2 };
    Health h;
    int64_t now_us = 0;

    health_init(&h, &some, now_us);
    beats(&h, 1, 2 * US_PER_S, &now_us);
    expect(&h, HEALTH_WELL);
    beats(&h, 3, US_PER_MS, &now_us);
    health_error(&h, EIO, "write", now_us);
    health_judge(&h, now_us);
    expect(&h, HEALTH_WELL);
    beats(&h, 3, US_PER_MS, &now_us);
    health_error(&h, EIO, "write", now_us);
    g_assert_true(health_judge(&h, now_us));
    expect(&h, HEALTH_DEGRADED);
    g_assert_cmpstr(h.reason, ==, "2 of the last 9 tries failed");
    beats(&h, HEALTH_WINDOW, US_PER_MS, &now_us);
    expect(&h, HEALTH_WELL);
    health_paths(&h, 4, 2);
    beats(&h, 1, US_PER_MS, &now_us);
    expect(&h, HEALTH_WELL);
    health_paths(&h, 4, 1);
    beats(&h, 1, US_PER_MS, &now_us);
    expect(&h, HEALTH_DEGRADED);
    health_paths(&h, 1, 1); /* it has no more */
    beats(&h, 1, US_PER_MS, &now_us);
    expect(&h, HEALTH_WELL);
}

static void put_file(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL), *in = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(in, 0755), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* A volume on a multipath device on four disks, as /sys shows it. */
static void test_paths_of_a_volume(void)
{
    g_autoptr(HostStand) here = host_stand_new();
    unsigned paths = 0, up = 0;

    put_file(here->folder, "dm/uuid", "LVM-abc\n");
    put_file(here->folder, "slaves/dm-0/dm/uuid", "mpath-3600a0b8000\n");
    put_file(here->folder, "slaves/dm-0/slaves/sda/device/state", "running\n");
    put_file(here->folder, "slaves/dm-0/slaves/sdb/device/state", "offline\n");
    put_file(here->folder, "slaves/dm-0/slaves/sdc/device/state", "transport-offline\n");
    put_file(here->folder, "slaves/dm-0/slaves/nvme0c0n1/device/state", "live\n");
    paths_below(here->folder, &paths, &up);
    g_assert_cmpuint(paths, ==, 4);
    g_assert_cmpuint(up, ==, 2);
}

static void test_a_torn_beat_is_none(void)
{
    Beat beat = { .host = OTHER, .boot_id = "b", .counter = 7, .wall_us = -1 }, read;
    char block[BLOCK_BYTES];

    beat_write(&beat, block);
    g_assert_true(beat_read(block, &read));
    g_assert_cmpstr(read.host, ==, OTHER);
    g_assert_cmpuint(read.counter, ==, 7);
    for (size_t i = 0; block[i] != '\n'; i++) {
        char before = block[i];

        block[i] ^= 1;
        g_assert_false(beat_read(block, &read));
        block[i] = before;
    }
}

/* ---- with real probes on a real folder ---- */

static Storage *storage_on(HostStand *stand, const char *folder)
{
    g_autofree char *program = g_build_filename(g_getenv("MEND_BUILD_DIR"), "tests", "storage_probe", NULL);
    g_autofree char *domain = g_strdup_printf("nfs=%s", folder);
    const char *const domains[] = { domain, NULL };
    const StorageOptions options = { domains, program, 50 * US_PER_MS, 600 * US_PER_MS, 2 * US_PER_S, US_PER_S, 0 };
    g_autoptr(GError) error = NULL;
    Storage *storage = storage_new(stand->host, &options, &error);

    g_assert_no_error(error);
    return storage;
}

static void test_hosts_see_each_other(void)
{
    g_autoptr(HostStand) here = host_stand_new(), there = host_stand_new();
    g_autofree char *shared = g_build_filename(here->folder, "shared", NULL), *id = storage_id("nfs");
    guint i;

    g_mkdir(shared, 0755);
    g_free(there->identity->id);
    there->identity->id = g_strdup(OTHER);
    Storage *other = storage_on(there, shared);
    g_autoptr(Storage) mine = storage_on(here, shared);

    i = host_stand_wait(here, 0, "storage_state", "state", "well", 5000);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(here, i), "id")), ==, id);
    i = host_stand_wait(here, 0, "host_state", "says", "alive", 5000);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(here, i), "id")), ==, OTHER);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(here, i), "channel")), ==, "storage");
    storage_free(other);
    host_stand_wait(here, i + 1, "host_state", "says", "gone", 5000);
}

static void test_a_folder_that_goes_is_a_failure(void)
{
    g_autoptr(HostStand) here = host_stand_new();
    g_autofree char *shared = g_build_filename(here->folder, "shared", NULL), *away = g_strconcat(shared, ".away", NULL);
    guint i;

    g_mkdir(shared, 0755);
    g_autoptr(Storage) mine = storage_on(here, shared);

    i = host_stand_wait(here, 0, "storage_state", "state", "well", 5000);
    g_assert_cmpint(g_rename(shared, away), ==, 0);
    i = host_stand_wait(here, i + 1, "storage_state", "state", "failed", 5000);
    g_assert_nonnull(strstr(json_string_value(json_object_get(host_stand_event(here, i), "reason")), "No such file"));
    g_assert_cmpint(g_rename(away, shared), ==, 0);
    host_stand_wait(here, i + 1, "storage_state", "state", "well", 10000);
}

static void test_an_empty_folder_in_its_place_is_a_failure(void)
{
    g_autoptr(HostStand) here = host_stand_new();
    g_autofree char *shared = g_build_filename(here->folder, "shared", NULL), *away = g_strconcat(shared, ".away", NULL);
    guint i;

    g_mkdir(shared, 0755);
    g_autoptr(Storage) mine = storage_on(here, shared);

    i = host_stand_wait(here, 0, "storage_state", "state", "well", 15000);
    g_assert_cmpint(g_rename(shared, away), ==, 0);
    g_mkdir(shared, 0755); /* where it was mounted */
    do
        i = host_stand_wait(here, i + 1, "storage_state", "state", "failed", 15000);
    while (strstr(json_string_value(json_object_get(host_stand_event(here, i), "reason")), "is it mounted?") == NULL);
    g_assert_cmpint(g_rmdir(shared), ==, 0); /* nothing was written there */
    g_assert_cmpint(g_rename(away, shared), ==, 0);
    do /* between the two it may have failed in another way */
        i = host_stand_wait(here, i + 1, "storage_state", NULL, NULL, 15000);
    while (strcmp(json_string_value(json_object_get(host_stand_event(here, i), "state")), "well") != 0);
}

static void test_settings(void)
{
    static const char *const wrong[] = { "nfs", "=/srv", "nfs=srv", "nfs=/srv,uuid=x", "nfs=/srv,colour=blue" };
    g_autoptr(HostStand) here = host_stand_new();

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        const char *const domains[] = { wrong[i], NULL };
        const StorageOptions options = { domains, "/bin/false", US_PER_S, US_PER_S, US_PER_S, US_PER_S, 5 };
        g_autoptr(GError) error = NULL;

        g_assert_null(storage_new(here->host, &options, &error));
        g_assert_error(error, STORAGE_ERROR, STORAGE_ERROR_SETTING);
        g_assert_nonnull(strstr(error->message, wrong[i]));
    }
}

static void test_paths_to_ids(void)
{
    g_autoptr(HostStand) here = host_stand_new();
    g_autofree char *outer = storage_id("outer");
    const char *const domains[] = { "outer=/srv/a", "inner=/srv/a/b,uuid=" OTHER ",failover=outer", NULL };
    const StorageOptions options = { domains, "/bin/false", US_PER_S, US_PER_S, US_PER_S, US_PER_S, 5 };
    g_autoptr(GError) error = NULL;
    g_autoptr(Storage) storage = storage_new(here->host, &options, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(storage_of_path(storage, "/srv/a/disk"), ==, outer);
    g_assert_cmpstr(storage_of_path(storage, "/srv/a/b/disk"), ==, OTHER);
    g_assert_null(storage_of_path(storage, "/srv/ab/disk"));
    g_assert_cmpstr(storage_folder(storage, OTHER), ==, "/srv/a/b");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/storage/health/errors", test_errors_in_a_row_fail_and_beats_in_a_row_mend);
    g_test_add_func("/storage/health/silence", test_silence_is_a_failure);
    g_test_add_func("/storage/health/slow", test_slow_is_degraded_until_it_is_quick_again);
    g_test_add_func("/storage/health/full", test_full_is_no_failure);
    g_test_add_func("/storage/health/paths", test_lost_paths_are_degraded);
    g_test_add_func("/storage/health/hiccup", test_one_hiccup_is_not_degraded);
    g_test_add_func("/storage/multipath", test_paths_of_a_volume);
    g_test_add_func("/storage/beat", test_a_torn_beat_is_none);
    g_test_add_func("/storage/hosts", test_hosts_see_each_other);
    g_test_add_func("/storage/failed", test_a_folder_that_goes_is_a_failure);
    g_test_add_func("/storage/not-mounted", test_an_empty_folder_in_its_place_is_a_failure);
    g_test_add_func("/storage/settings", test_settings);
    g_test_add_func("/storage/paths", test_paths_to_ids);
    return g_test_run();
}
