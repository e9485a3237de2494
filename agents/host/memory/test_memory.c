/* The part on a /proc and a KSM of the test's own, and on this machine's. */
#include "agents/host/host_stand.h"
#include "agents/host/memory/memory.h"

#include "lib/base/json.h"

#include <glib/gstdio.h>
#include <string.h>

#define VM "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"

typedef struct World {
    HostStand *stand;
    char *folder;
    GPtrArray *paths; /* made, to be removed the other way round */
} World;

static char *make(World *w, const char *name, const char *text, gssize length)
{
    char *path = g_build_filename(w->folder, name, NULL);

    if (text == NULL)
        g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    else
        g_assert_true(g_file_set_contents(path, text, length, NULL));
    g_ptr_array_add(w->paths, path);
    return path;
}

static void process(World *w, guint minor, guint major, guint ticks)
{
    g_autofree char *qemu = g_strdup_printf("77 (qemu-system-x86) S 1 2 3 0 -1 4194560 %u 0 %u 0 300 400 0 0 20 0 5 0 777 1048576 10 1\n", minor, major),
                    *ksmd = g_strdup_printf("9 (ksmd) S 1 2 3 0 -1 4194560 0 0 0 0 %u 0 0 0 20 0 5 0 7 0 0 1\n", ticks),
                    *vmstat = g_strdup_printf("pswpin %u\npswpout 5\n", minor);

    make(w, "proc/77/stat", qemu, -1);
    make(w, "proc/9/stat", ksmd, -1);
    make(w, "proc/vmstat", vmstat, -1);
}

static void world_make(World *w, gconstpointer data)
{
    static const char arguments[] = "/usr/bin/qemu-system-x86_64\0-name\0guest=web\0-uuid\0" VM "\0-m\0" "512";

    w->stand = host_stand_new();
    w->folder = g_dir_make_tmp("mend-memory-XXXXXX", NULL);
    w->paths = g_ptr_array_new_with_free_func(g_free);
    make(w, "proc", NULL, 0);
    make(w, "proc/77", NULL, 0);
    make(w, "proc/9", NULL, 0);
    make(w, "ksm", NULL, 0);
    make(w, "proc/meminfo", "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nBuffers: 10 kB\nCached: 20 kB\nSwapTotal: 50 kB\nSwapFree: 30 kB\n", -1);
    make(w, "proc/77/cmdline", arguments, sizeof arguments);
    process(w, 1000, 20, 5);
    make(w, "ksm/run", "0\n", -1);
    make(w, "ksm/pages_to_scan", "100\n", -1);
    make(w, "ksm/sleep_millisecs", "20\n", -1);
    make(w, "ksm/pages_sharing", "5\n", -1);
}

static void world_gone(World *w, gconstpointer data)
{
    host_stand_free(w->stand);
    for (guint i = w->paths->len; i-- > 0;)
        g_remove(w->paths->pdata[i]);
    g_rmdir(w->folder);
    g_ptr_array_unref(w->paths);
    g_free(w->folder);
}

static Memory *start(World *w, int64_t interval_us)
{
    g_autofree char *proc = g_build_filename(w->folder, "proc", NULL), *ksm = g_build_filename(w->folder, "ksm", NULL);

    return memory_new(w->stand->host, &(MemoryOptions){ .interval_us = interval_us, .proc = proc, .ksm = ksm });
}

static int64_t of(const json_t *event, const char *key)
{
    return json_int_or(json_object_get(event, "sample"), key, -1);
}

static void test_sample(World *w, gconstpointer data)
{
    g_autoptr(Memory) memory = start(w, 20 * US_PER_MS);
    guint i = host_stand_wait(w->stand, 0, "host_state", "state", "sample", 5000);
    const json_t *told = host_stand_event(w->stand, i);

    g_assert_cmpint(of(told, "memory_bytes"), ==, 1000 * 1024);
    g_assert_cmpint(of(told, "memory_free_bytes"), ==, 130 * 1024);
    g_assert_cmpint(of(told, "memory_available_bytes"), ==, 400 * 1024);
    g_assert_cmpint(of(told, "swap_used_bytes"), ==, 20 * 1024);
    g_assert_cmpint(of(told, "swap_in"), ==, 0);
    g_assert_cmpint(of(told, "ksm_pages_sharing"), ==, 5);
    g_assert_cmpint(of(told, "ksm_shareable_bytes"), ==, 1048576);
    g_assert_cmpint(of(told, "ksm_pages_volatile"), ==, -1); /* this kernel does not say */
    g_assert_cmpint(of(told, "cpus"), >, 0);
    process(w, 1007, 22, 6);
    int64_t swapped = 0, minor = 0, major = 0;
    while (swapped == 0 || minor == 0) { /* one look, or two when the numbers change in the middle of one */
        g_autoptr(Value) sample = value_map();

        i = host_stand_wait(w->stand, i + 1, "host_state", "state", "sample", 5000);
        swapped += of(host_stand_event(w->stand, i), "swap_in");
        memory_add_vm_numbers(memory, "AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE", sample);
        minor += value_get_int(sample, "host_minor_faults", 0);
        major += value_get_int(sample, "host_major_faults", 0);
    }
    g_assert_cmpint(swapped, ==, 7);
    g_assert_cmpint(minor, ==, 7);
    g_assert_cmpint(major, ==, 2);
}

static void check_refused(World *w, json_t *arguments, const char *error, const char *text)
{
    g_autoptr(json_t) answer = host_stand_call(w->stand, "host_set_ksm", arguments, 5000);

    g_assert_cmpstr(json_string_or(answer, "error", NULL), ==, error);
    g_assert_cmpstr(json_string_or(json_object_get(answer, "values"), "error_text", NULL), ==, text);
}

static void test_set_ksm(World *w, gconstpointer data)
{
    g_autoptr(Memory) memory = start(w, 0);
    g_autoptr(json_t) answer = host_stand_call(w->stand, "host_set_ksm", json_pack("{s:s, s:i, s:i}", "name", STAND_HOST, "run", 1, "pages_to_scan", 700), 5000);
    const json_t *values = json_object_get(json_object_get(answer, "values"), "values");
    g_autofree char *path = g_build_filename(w->folder, "ksm", "pages_to_scan", NULL), *text = NULL;

    g_assert_cmpstr(json_string_or(answer, "state", NULL), ==, "done");
    g_assert_cmpint(json_int_or(values, "run", -1), ==, 1);
    g_assert_cmpint(json_int_or(values, "pages_to_scan", -1), ==, 700);
    g_assert_cmpint(json_int_or(values, "sleep_ms", -1), ==, 20);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "700\n");
    check_refused(w, json_pack("{s:s, s:i}", "name", VM, "run", 1), "not-found", "this is another host: KSM is set by the host's own agent");
    check_refused(w, json_pack("{s:s}", "name", STAND_HOST), "bad-argument", "nothing to set: run, pages_to_scan, sleep_ms or merge_across_nodes is wanted");
    check_refused(w, json_pack("{s:s, s:i}", "name", STAND_HOST, "run", 5), "bad-argument", "run = 5: 0 to 2 is wanted");
    check_refused(w, json_pack("{s:s, s:i}", "name", STAND_HOST, "run", -1), "bad-argument", "run: a number, 0 or more, is wanted");
}

/* The part goes while a look is at work. */
static void test_gone_meanwhile(World *w, gconstpointer data)
{
    for (int i = 0; i < 20; i++)
        memory_free(start(w, 10 * US_PER_S));
}

static void test_here(void)
{
    g_autoptr(HostStand) stand = host_stand_new();
    g_autoptr(Memory) memory = memory_new(stand->host, &(MemoryOptions){ .interval_us = US_PER_S });
    const json_t *told = host_stand_event(stand, host_stand_wait(stand, 0, "host_state", "state", "sample", 5000));

    g_assert_cmpint(of(told, "memory_bytes"), >, of(told, "memory_available_bytes"));
    g_assert_cmpint(of(told, "memory_available_bytes"), >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/memory/sample", World, NULL, world_make, test_sample, world_gone);
    g_test_add("/memory/set-ksm", World, NULL, world_make, test_set_ksm, world_gone);
    g_test_add("/memory/gone-meanwhile", World, NULL, world_make, test_gone_meanwhile, world_gone);
    g_test_add_func("/memory/here", test_here);
    return g_test_run();
}
