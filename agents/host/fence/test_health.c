#include "agents/host/fence/health.h"
#include "lib/base/clock.h"

#include <string.h>

#define TEXT                                                                                                                            \
    "fencing: 1\ndevices: [{name: bmc, agent: fence_x}, {name: p1, agent: fence_x}, {name: p2, agent: fence_x}]\n"                        \
    "hosts: [{name: h, levels: [bmc, [p1, p2]]}]\n"

typedef struct World {
    FencingFile *file;
    Health *health;
    const char *says; /* of bmc, p1, p2: 1 on, 0 off, x fails, - never answers */
    unsigned reports, asked;
    char *line;
    GPtrArray *waiting;
} World;

typedef struct Waiting {
    World *world;
    char say;
    FenceAnswerFn fn;
    void *user;
    guint source;
} Waiting;

static gboolean on_time(void *user)
{
    Waiting *waiting = user;
    const FenceAnswer answer = { waiting->say == '1' ? FENCE_SAYS_ON : waiting->say == '0' ? FENCE_SAYS_OFF : FENCE_SAYS_FAILED, false, "wrong password" };

    g_ptr_array_remove(waiting->world->waiting, waiting);
    waiting->fn(&answer, waiting->user);
    g_free(waiting);
    return G_SOURCE_REMOVE;
}

static void ask(void *self, const FenceDevice *device, const FenceHost *host, FenceAction action, int64_t deadline_us, FenceAnswerFn fn, void *user)
{
    World *world = self;
    Waiting *waiting = g_new0(Waiting, 1);
    size_t at = strcmp(device->name, "bmc") == 0 ? 0 : strcmp(device->name, "p1") == 0 ? 1 : 2;

    g_assert_cmpint(action, ==, FENCE_STATUS); /* a look never changes anything */
    world->asked++;
    *waiting = (Waiting) { world, world->says[at], fn, user, 0 };
    g_ptr_array_add(world->waiting, waiting);
    if (waiting->say != '-')
        waiting->source = g_idle_add(on_time, waiting);
}

static void forget(void *self, void *user)
{
    World *world = self;

    for (guint i = world->waiting->len; i-- > 0;) {
        Waiting *waiting = world->waiting->pdata[i];

        if (waiting->user != user)
            continue;
        g_clear_handle_id(&waiting->source, g_source_remove);
        g_ptr_array_remove_index(world->waiting, i);
        g_free(waiting);
    }
}

static void on_report(const HealthReport *report, void *user)
{
    World *world = user;

    world->reports++;
    g_free(world->line);
    world->line = g_strdup_printf("%s %s: %s", report->says, report->reason != NULL ? report->reason : "well", report->text);
}

static void world_init(World *world, const char *says, int64_t interval_us)
{
    const FenceAsker asker = { ask, forget, world, 0 };
    g_autoptr(GError) error = NULL;

    world->file = fencing_file_parse("f", TEXT, strlen(TEXT), &error);
    g_assert_no_error(error);
    world->says = says;
    world->waiting = g_ptr_array_new();
    world->health = health_new(world->file, &asker, US_PER_MS, interval_us, on_report, world);
}

static void world_done(World *world)
{
    health_free(world->health);
    g_assert_cmpuint(world->waiting->len, ==, 0);
    g_ptr_array_unref(world->waiting);
    fencing_file_free(world->file);
    g_free(world->line);
}

static void assert_report(const char *says, const char *line)
{
    World world = { 0 };

    world_init(&world, says, US_PER_HOUR);
    while (world.reports == 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpstr(world.line, ==, line);
    world_done(&world);
}

static void test_reports(void)
{
    assert_report("111", "alive well: its fence devices work; it has power");
    assert_report("000", "off well: its fence devices work; it is off");
    assert_report("100", "alive well: its fence devices work; it has power"); /* the first level is believed */
    assert_report("x01", "alive degraded: it can be fenced, but not by all its devices: bmc (level 1): wrong password");
    assert_report("x00", "off degraded: it can be fenced, but not by all its devices: bmc (level 1): wrong password");
    assert_report("1x0", "alive degraded: it can be fenced, but not by all its devices: p1 (level 2): wrong password");
    assert_report("xx0", "unknown unreachable: nothing could power it off now: bmc (level 1): wrong password; p1 (level 2): wrong password");
}

static void test_again_and_again(void)
{
    World world = { 0 };

    world_init(&world, "111", 5 * US_PER_MS);
    while (world.reports < 4)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpuint(world.asked, >=, 12);
    world_done(&world);
}

static void test_never(void)
{
    World world = { 0 };

    world_init(&world, "111", 0);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpuint(world.asked, ==, 0);
    health_look(world.health, world.file->hosts->pdata[0]);
    while (world.reports == 0)
        g_main_context_iteration(NULL, TRUE);
    world_done(&world);
}

static void test_yield(void)
{
    World world = { 0 };

    world_init(&world, "1-1", US_PER_HOUR);
    while (world.asked < 3)
        g_main_context_iteration(NULL, TRUE);
    health_yield(world.health);
    g_assert_cmpuint(world.waiting->len, ==, 0); /* nobody is in the way of an order */
    world_done(&world);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/health/reports", test_reports);
    g_test_add_func("/fence/health/again", test_again_and_again);
    g_test_add_func("/fence/health/never", test_never);
    g_test_add_func("/fence/health/yield", test_yield);
    return g_test_run();
}
