/* Fail the n-th call of the host, for every n: nothing is lost, nothing falls. */
#include "tests/plugin/world.h"

#include "lib/base/log.h"

#include <string.h>

extern const mend_plugin mend_plugin_v1;

static void play(World *w)
{
    Guest *g = world_guest(w, 1);

    for (unsigned i = 0; i < 3; i++) {
        guest_heartbeat(g);
        guest_service(g, "nginx", i % 2 ? "running" : "failed", "none");
        world_advance(w, 5 * US_PER_S);
    }
    guest_heartbeat(g);
    guest_service(g, "redis", "failed", "none");
    world_advance(w, 5 * US_PER_S);
    guest_heartbeat(g);
}

static void test_no_state_is_lost_whatever_fails(void)
{
    unsigned n = 1;

    for (;; n++) {
        g_autoptr(World) w = world_new(n, NULL);
        Guest *g;
        g_autofree char *nginx = NULL, *redis = NULL, *queue = NULL;

        sim_host_fail_call(w->sim, n);
        play(w);
        g = g_ptr_array_index(w->guests, 0);
        nginx = g_strdup_printf("service.failed service/%s/nginx", g->id);
        redis = g_strdup_printf("service.failed service/%s/redis", g->id);
        queue = g_strdup_printf("mend.control.%s", g->name);
        g_assert_true(world_has(w, nginx));
        g_assert_true(world_has(w, redis));
        g_assert_cmpuint(world_count(w, "agent.up"), ==, 1);
        g_assert_true(sim_host_has_node(w->sim, queue));
        g_assert_cmpuint(sim_host_failures(w->sim), ==, 0);
        g_assert_true(sim_host_unload(w->sim, 10 * US_PER_S));
        if (sim_host_failed_call(w->sim) == NULL)
            break; /* nothing was left to fail */
    }
    g_assert_cmpuint(n, >, 50);
}

/* A start that cannot be is refused with a reason and leaves nothing behind; the next one works. */
static void test_a_start_that_fails_is_clean(void)
{
    unsigned refused = 0;

    for (unsigned n = 1; n < 60; n++) {
        g_autoptr(SimHost) sim = sim_host_new(n);
        g_autoptr(GError) error = NULL;

        sim_host_fail_call(sim, n);
        if (!sim_host_load(sim, &mend_plugin_v1, NULL, &error)) {
            refused++;
            g_assert_nonnull(strstr(error->message, "mend: start answered EFAULT: cannot "));
            g_assert_cmpuint(sim_host_timers(sim), ==, 0);
            g_assert_true(sim_host_load(sim, &mend_plugin_v1, NULL, NULL));
        }
    }
    g_assert_cmpuint(refused, >=, 8);
}

static void test_a_bad_configuration_changes_nothing(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autoptr(GError) error = NULL;

    guest_heartbeat(g);
    g_assert_false(runner_reload(sim_host_runner(w->sim), "{\"threshold\":\"many\"}", &error));
    g_assert_nonnull(strstr(error->message, "threshold: string found"));
    g_clear_error(&error);
    g_assert_true(runner_reload(sim_host_runner(w->sim), "{\"threshold\":6}", &error));
    g->answers = false;
    world_advance(w, 28 * US_PER_S);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 0);
    world_advance(w, 4 * US_PER_S);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 1);
}

/* The same seed, the same world: byte for byte. */
static void test_a_world_repeats_itself(void)
{
    g_autoptr(World) one = world_new(7, NULL), two = world_new(7, NULL);

    play(one);
    play(two);
    g_assert_cmpuint(sim_host_published(one->sim)->len, ==, sim_host_published(two->sim)->len);
    for (guint i = 0; i < sim_host_published(one->sim)->len; i++) {
        const SimMessage *a = g_ptr_array_index(sim_host_published(one->sim), i), *b = g_ptr_array_index(sim_host_published(two->sim), i);

        g_assert_cmpmem(a->msg.body.ptr, a->msg.body.len, b->msg.body.ptr, b->msg.body.len);
        g_assert_cmpstr(a->msg.message_id.ptr, ==, b->msg.message_id.ptr);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/plugin/faults/nth-call", test_no_state_is_lost_whatever_fails);
    g_test_add_func("/plugin/faults/start", test_a_start_that_fails_is_clean);
    g_test_add_func("/plugin/faults/reload", test_a_bad_configuration_changes_nothing);
    g_test_add_func("/plugin/faults/repeats", test_a_world_repeats_itself);
    return g_test_run();
}
