#include "lib/model/shard.h"

static void test_every_group_has_a_shard_and_keeps_it(void)
{
    unsigned in[SHARDS_MAX + 1] = { 0 }, moved = 0;

    g_assert_cmpuint(shard_of("vm/a", 0), ==, SHARD_SITE);
    g_assert_cmpuint(shard_of("vm/a", 1), ==, 1);
    for (unsigned i = 0; i < 10000; i++) {
        g_autofree char *group = g_strdup_printf("vm/6a1f0c3e-0000-4000-8000-%012u", i);
        unsigned of_4 = shard_of(group, 4), of_5 = shard_of(group, 5);

        g_assert_true(of_4 >= 1 && of_4 <= 4);
        g_assert_true(of_5 == of_4 || of_5 == 5); /* what moves moves to the new one */
        in[of_4]++;
        moved += of_5 != of_4;
    }
    for (unsigned k = 1; k <= 4; k++)
        g_assert_true(in[k] > 2200 && in[k] < 2800);
    g_assert_true(moved > 1700 && moved < 2300);
}

/* Part of what engines of different versions agree on: never to change. */
static void test_known_shards(void)
{
    g_assert_cmpuint(shard_of("app/shop", 2), ==, 1);
    g_assert_cmpuint(shard_of("vm/6a1f0c3e-0000-4000-8000-000000000001", 2), ==, 1);
    g_assert_cmpuint(shard_of("vm/6a1f0c3e-0000-4000-8000-000000000002", 2), ==, 2);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/model/shard/kept", test_every_group_has_a_shard_and_keeps_it);
    g_test_add_func("/model/shard/known", test_known_shards);
    return g_test_run();
}
