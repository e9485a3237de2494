/* MOM's rule files: any bytes are read, checked and run, in bounded time and memory. */
#include "consumers/policy/mom/play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(MomRules) rules = mom_rules_new();
    g_autoptr(MomPlay) play = mom_play_new(rules);
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(json_t) cycle = json_pack("{s:{s:i,s:f}, s:[{s:s, s:{s:i}, s:[{s:s}]}, {s:s}]}", "host", "mem_free", 5, "mem_available", 2.5, "guests",
                                        "name", "a", "stats", "balloon_cur", 5, "io_tune", "name", "vda", "name", "b");

    mom_rules_add(rules, "fuzz", (const char *) data, size, NULL);
    mom_rules_check(rules, warnings);
    for (int i = 0; i < 2; i++)
        json_decref(mom_play(play, cycle, NULL));
    return 0;
}
