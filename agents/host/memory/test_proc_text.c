#include "agents/host/memory/proc_text.h"

static void test_meminfo(void)
{
    MemInfo info;

    g_assert_true(meminfo_parse("MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\nBuffers:  10 kB\nCached:  2048 kB\n"
                                "SwapCached:  77 kB\nAnonPages:  5 kB\nSwapTotal:  4096 kB\nSwapFree:  4000 kB\n", &info));
    g_assert_cmpint(info.total, ==, 16384 * 1024);
    g_assert_cmpint(info.available, ==, 8192 * 1024);
    g_assert_cmpint(info.cached, ==, 2048 * 1024); /* not SwapCached */
    g_assert_cmpint(info.swap_unused, ==, 4000 * 1024);
    g_assert_true(meminfo_parse("MemTotal: 5 kB\nMemFree: 1 kB", &info));
    g_assert_cmpint(info.available, ==, -1);
    g_assert_false(meminfo_parse("MemTotal: x kB\nMemFree: 1 kB", &info));
    g_assert_false(meminfo_parse("", &info));
}

static void test_vmstat(void)
{
    VmStat stat;

    vmstat_parse("nr_free_pages 5\npswpin 7\npswpout 9\npswpinx 8\n", &stat);
    g_assert_cmpint(stat.swap_in, ==, 7);
    g_assert_cmpint(stat.swap_out, ==, 9);
    vmstat_parse("", &stat);
    g_assert_cmpint(stat.swap_in, ==, -1);
}

static void test_process(void)
{
    ProcessStat stat;

    g_assert_true(process_stat_parse("4321 (qemu (x) kvm) S 1 2 3 0 -1 4194560 1000 0 20 0 300 400 0 0 20 0 5 0 777 8589934592 131072 18446744073709551615 1\n",
                                     &stat));
    g_assert_cmpstr(stat.name, ==, "qemu (x) kvm");
    g_assert_cmpint(stat.minor_faults, ==, 1000);
    g_assert_cmpint(stat.major_faults, ==, 20);
    g_assert_cmpint(stat.cpu_ticks, ==, 700);
    g_assert_cmpint(stat.start_ticks, ==, 777);
    g_assert_cmpint(stat.virtual_bytes, ==, INT64_C(8589934592));
    g_assert_cmpint(stat.resident_pages, ==, 131072);
    g_assert_false(process_stat_parse("4321 (qemu) S 1 2 3", &stat));
    g_assert_false(process_stat_parse(")(", &stat));
    g_assert_false(process_stat_parse("", &stat));
}

static void test_own(void)
{
    g_autofree char *text = NULL, *memory = NULL;
    ProcessStat stat;
    MemInfo info;

    g_assert_true(g_file_get_contents("/proc/self/stat", &text, NULL, NULL));
    g_assert_true(process_stat_parse(text, &stat));
    g_assert_cmpint(stat.minor_faults, >, 0);
    g_assert_cmpint(stat.resident_pages, >, 0);
    g_assert_true(g_file_get_contents("/proc/meminfo", &memory, NULL, NULL));
    g_assert_true(meminfo_parse(memory, &info));
    g_assert_cmpint(info.total, >, info.unused);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/proc-text/meminfo", test_meminfo);
    g_test_add_func("/proc-text/vmstat", test_vmstat);
    g_test_add_func("/proc-text/process", test_process);
    g_test_add_func("/proc-text/own", test_own);
    return g_test_run();
}
