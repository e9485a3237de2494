/* Orders against devices that only exist here: what they are asked, in which order, and what comes of it. */
#include "agents/host/fence/order.h"
#include "lib/base/clock.h"

#include <string.h>

#define FILE_TEXT                                                                                                                    \
    "fencing: 1\ndevices:\n"                                                                                                         \
    "  - {name: bmc, agent: fence_x, retries: 0}\n  - {name: p1, agent: fence_x, retries: 1}\n  - {name: p2, agent: fence_x}\n"       \
    "hosts:\n  - {name: h, levels: [bmc, [p1, p2]]}\n  - {name: one, levels: [p1]}\n  - {name: two, levels: [[p1, p2]]}\n"

typedef struct Power { /* what a device is like */
    const char *name;
    bool dead, stubborn, hopeless; /* does not answer; does nothing; cannot be asked at all */
    bool off;
    unsigned flaky;                /* how many of its answers fail first */
    unsigned slow;                 /* how many looks it still says the old state */
} Power;

typedef struct World {
    FencingFile *file;
    Power power[3];
    GString *asked;
    GPtrArray *sources;
    bool ended, done, already, late;
    unsigned level;
    char *state, *text;
} World;

typedef struct Waiting {
    World *world;
    Power *power;
    FenceAction action;
    FenceAnswerFn fn;
    void *user;
    guint source;
} Waiting;

static FenceSays act(Power *power, FenceAction action)
{
    if (power->dead || power->hopeless || power->flaky > 0) {
        power->flaky -= power->flaky > 0;
        return FENCE_SAYS_FAILED;
    }
    if (action == FENCE_STATUS && power->slow > 0) {
        power->slow--;
        return power->off ? FENCE_SAYS_ON : FENCE_SAYS_OFF;
    }
    if (action == FENCE_STATUS)
        return power->off ? FENCE_SAYS_OFF : FENCE_SAYS_ON;
    if (!power->stubborn)
        power->off = action == FENCE_OFF;
    return FENCE_SAYS_DONE;
}

static gboolean on_time(void *user)
{
    Waiting *waiting = user;
    const FenceAnswer answer = { act(waiting->power, waiting->action), waiting->power->hopeless, "it is not there" };

    g_ptr_array_remove_fast(waiting->world->sources, waiting);
    waiting->fn(&answer, waiting->user);
    g_free(waiting);
    return G_SOURCE_REMOVE;
}

static void ask(void *self, const FenceDevice *device, const FenceHost *host, FenceAction action, int64_t deadline_us, FenceAnswerFn fn, void *user)
{
    World *world = self;
    Waiting *waiting = g_new0(Waiting, 1);

    g_string_append_printf(world->asked, "%s%s.%s", world->asked->len > 0 ? " " : "", device->name, fence_action_names[action]);
    *waiting = (Waiting) { world, NULL, action, fn, user, 0 };
    for (size_t i = 0; i < G_N_ELEMENTS(world->power); i++)
        if (strcmp(world->power[i].name, device->name) == 0)
            waiting->power = &world->power[i];
    waiting->source = g_idle_add(on_time, waiting);
    g_ptr_array_add(world->sources, waiting);
}

static void forget(void *self, void *user)
{
    World *world = self;

    for (guint i = world->sources->len; i-- > 0;) {
        Waiting *waiting = world->sources->pdata[i];

        if (waiting->user != user)
            continue;
        g_source_remove(waiting->source);
        g_ptr_array_remove_index_fast(world->sources, i);
        g_free(waiting);
    }
}

static void on_ended(const OrderResult *result, void *user)
{
    World *world = user;

    world->ended = true;
    world->done = result->done;
    world->already = result->already;
    world->late = result->late;
    world->level = result->level;
    world->state = g_strdup(result->state);
    world->text = g_strdup(result->text);
}

static World *world_new(void)
{
    World *world = g_new0(World, 1);
    g_autoptr(GError) error = NULL;

    world->file = fencing_file_parse("f", FILE_TEXT, strlen(FILE_TEXT), &error);
    g_assert_no_error(error);
    world->power[0].name = "bmc";
    world->power[1].name = "p1";
    world->power[2].name = "p2";
    world->asked = g_string_new(NULL);
    world->sources = g_ptr_array_new();
    return world;
}

static void world_free(World *world)
{
    g_assert_cmpuint(world->sources->len, ==, 0);
    g_ptr_array_unref(world->sources);
    g_string_free(world->asked, TRUE);
    fencing_file_free(world->file);
    g_free(world->state);
    g_free(world->text);
    g_free(world);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static FenceOrder *begin(World *world, const char *host, OrderKind kind, unsigned ms)
{
    const FenceAsker asker = { ask, forget, world, US_PER_MS };

    return fence_order_new(&asker, fencing_file_host(world->file, host, NULL), kind, clock_now_us() + ms * US_PER_MS, on_ended, world);
}

static void run(World *world, const char *host, OrderKind kind, unsigned ms)
{
    begin(world, host, kind, ms);
    while (!world->ended)
        g_main_context_iteration(NULL, TRUE);
}

static void test_off_is_verified(void)
{
    g_autoptr(World) world = world_new();

    run(world, "h", ORDER_OFF, 5000);
    g_assert_cmpstr(world->asked->str, ==, "bmc.status bmc.off bmc.status");
    g_assert_true(world->done && !world->already);
    g_assert_cmpstr(world->state, ==, "off");
    g_assert_cmpstr(world->text, ==, "h is off, verified by level 1");
}

static void test_already_off_is_off(void)
{
    g_autoptr(World) world = world_new();

    world->power[0].off = true;
    run(world, "h", ORDER_OFF, 5000);
    g_assert_cmpstr(world->asked->str, ==, "bmc.status");
    g_assert_true(world->done && world->already);
}

static void test_dead_device_leads_to_the_next_level(void)
{
    g_autoptr(World) world = world_new();

    world->power[0].dead = true;
    run(world, "h", ORDER_OFF, 5000);
    g_assert_cmpstr(world->asked->str, ==, "bmc.status p1.status p2.status p1.off p2.off p1.status p2.status");
    g_assert_true(world->done);
    g_assert_cmpuint(world->level, ==, 2);
    g_assert_cmpstr(world->text, ==, "h is off, verified by level 2; before that: bmc (level 1): it is not there");
}

static void test_all_of_a_level(void)
{
    g_autoptr(World) world = world_new();

    world->power[2].stubborn = true;
    run(world, "two", ORDER_OFF, 150);
    g_assert_false(world->done);
    g_assert_null(world->state);
    g_assert_true(g_str_has_suffix(world->text, "no device did it for two: p2 (level 1): it still says on"));
}

static void test_nothing_works(void)
{
    g_autoptr(World) world = world_new();

    world->power[0].dead = world->power[1].dead = true;
    run(world, "h", ORDER_OFF, 5000);
    g_assert_false(world->done);
    g_assert_cmpstr(world->text, ==, "no device did it for h: bmc (level 1): it is not there; p1 (level 2): it is not there");
    /* p1 has one retry, bmc none */
    g_assert_cmpstr(world->asked->str, ==, "bmc.status p1.status p2.status p1.status");
}

static void test_a_lost_answer_is_asked_for_again(void)
{
    g_autoptr(World) world = world_new();

    world->power[1].flaky = 1;
    run(world, "one", ORDER_OFF, 5000);
    g_assert_true(world->done);
    g_assert_cmpstr(world->asked->str, ==, "p1.status p1.status p1.off p1.status");
}

static void test_hopeless_is_not_asked_again(void)
{
    g_autoptr(World) world = world_new();

    world->power[1].hopeless = true;
    run(world, "one", ORDER_OFF, 5000);
    g_assert_false(world->done);
    g_assert_cmpstr(world->asked->str, ==, "p1.status");
}

static void test_slow_power_supply(void)
{
    g_autoptr(World) world = world_new();
    FenceOrder *order = begin(world, "one", ORDER_OFF, 5000);

    while (strstr(world->asked->str, "p1.off") == NULL)
        g_main_context_iteration(NULL, TRUE);
    world->power[1].slow = 3;
    while (!world->ended)
        g_main_context_iteration(NULL, TRUE);
    g_assert_nonnull(order);
    g_assert_true(world->done);
    g_assert_cmpstr(world->asked->str, ==, "p1.status p1.off p1.status p1.status p1.status p1.status");
}

static void test_reboot_is_off_all_then_on_all(void)
{
    g_autoptr(World) world = world_new();

    run(world, "two", ORDER_REBOOT, 5000);
    g_assert_true(world->done);
    g_assert_cmpstr(world->state, ==, "on");
    g_assert_cmpstr(world->asked->str, ==, "p1.status p2.status p1.off p2.off p1.status p2.status p1.on p2.on p1.status p2.status");
}

static void test_reboot_that_stays_off(void)
{
    g_autoptr(World) world = world_new();
    FenceOrder *order = begin(world, "two", ORDER_REBOOT, 300);

    while (strstr(world->asked->str, "p1.on") == NULL)
        g_main_context_iteration(NULL, TRUE);
    world->power[1].stubborn = true;
    while (!world->ended)
        g_main_context_iteration(NULL, TRUE);
    g_assert_nonnull(order);
    g_assert_false(world->done);
    g_assert_cmpstr(world->state, ==, "off"); /* what was proven stays proven */
    g_assert_true(world->power[1].off);
}

static void test_on_and_status(void)
{
    g_autoptr(World) world = world_new();

    world->power[0].dead = world->power[1].off = true;
    run(world, "h", ORDER_STATUS, 5000);
    g_assert_true(world->done);
    g_assert_cmpstr(world->state, ==, "on"); /* one of two supplies is enough to run */
    world->ended = false;
    g_string_truncate(world->asked, 0);
    g_clear_pointer(&world->state, g_free);
    g_clear_pointer(&world->text, g_free);
    run(world, "h", ORDER_ON, 5000);
    g_assert_cmpstr(world->asked->str, ==, "bmc.status p1.status p2.status p1.on p1.status p2.status");
    g_assert_cmpstr(world->state, ==, "on");
}

static void test_the_deadline_holds(void)
{
    g_autoptr(World) world = world_new();
    int64_t began_us = clock_now_us();

    world->power[0].stubborn = world->power[1].stubborn = world->power[2].stubborn = true;
    run(world, "h", ORDER_OFF, 300);
    g_assert_false(world->done);
    g_assert_true(world->late);
    g_assert_cmpint(clock_now_us() - began_us, <, 2 * US_PER_S);
    g_assert_nonnull(strstr(world->asked->str, "p2.off")); /* the first level left time for the second */
}

static void test_free_in_the_middle(void)
{
    g_autoptr(World) world = world_new();
    FenceOrder *order = begin(world, "h", ORDER_OFF, 5000);

    while (world->asked->len == 0)
        g_main_context_iteration(NULL, TRUE);
    fence_order_free(order);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_false(world->ended);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/order/off-is-verified", test_off_is_verified);
    g_test_add_func("/fence/order/already-off", test_already_off_is_off);
    g_test_add_func("/fence/order/next-level", test_dead_device_leads_to_the_next_level);
    g_test_add_func("/fence/order/all-of-a-level", test_all_of_a_level);
    g_test_add_func("/fence/order/nothing-works", test_nothing_works);
    g_test_add_func("/fence/order/lost-answer", test_a_lost_answer_is_asked_for_again);
    g_test_add_func("/fence/order/hopeless", test_hopeless_is_not_asked_again);
    g_test_add_func("/fence/order/slow", test_slow_power_supply);
    g_test_add_func("/fence/order/reboot", test_reboot_is_off_all_then_on_all);
    g_test_add_func("/fence/order/reboot-stays-off", test_reboot_that_stays_off);
    g_test_add_func("/fence/order/on-and-status", test_on_and_status);
    g_test_add_func("/fence/order/deadline", test_the_deadline_holds);
    g_test_add_func("/fence/order/free", test_free_in_the_middle);
    return g_test_run();
}
