/* Who is there: every way to come, to fall silent, to go and to come back. */
#include "tests/plugin/world.h"

#include "lib/base/json.h"
#include "lib/base/log.h"

#include <string.h>

extern const mend_plugin mend_plugin_v1;

static char *of(const Guest *g, const char *kind) { return g_strdup_printf("%s agent/%s", kind, g->name); }

static bool has(World *w, const Guest *g, const char *kind)
{
    g_autofree char *event = of(g, kind);

    return world_has(w, event);
}

static void beat_for(World *w, Guest *g, unsigned beats)
{
    for (unsigned i = 0; i < beats; i++) {
        guest_heartbeat(g);
        world_advance(w, 5 * US_PER_S);
    }
}

static void test_late_lost_back(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    g->answers = false;
    beat_for(w, g, 4);
    g_assert_false(has(w, g, "agent.late"));
    world_advance(w, 3 * US_PER_S); /* 8 s after the last */
    g_assert_true(has(w, g, "agent.late"));
    g_assert_false(has(w, g, "agent.lost"));
    world_advance(w, 6500 * US_PER_MS); /* 14.5 s */
    g_assert_false(has(w, g, "agent.lost"));
    world_advance(w, US_PER_S);
    g_assert_true(has(w, g, "agent.lost"));
    world_clear(w);
    guest_heartbeat(g);
    g_assert_true(has(w, g, "agent.up"));
}

static void test_one_that_answers_is_not_lost(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    beat_for(w, g, 2);
    world_advance(w, 60 * US_PER_S); /* no heartbeat gets through, but questions are answered */
    g_assert_true(has(w, g, "agent.late"));
    g_assert_false(has(w, g, "agent.lost"));
}

static void test_closed_is_told_at_once_and_lost_later(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autofree char *closed = of(g, "agent.closed");
    int64_t now_us;

    guest_heartbeat(g);
    now_us = sim_host_now_us(w->sim);
    sim_host_peer_close(w->sim, g->peer, MEND_PEER_LOST);
    g->peer = 0;
    world_pump(w);
    g_assert_true(world_has(w, closed));
    g_assert_cmpint(sim_host_now_us(w->sim), ==, now_us); /* no time passed */
    g_assert_cmpstr(json_string_or(world_body(w, closed), "reason", ""), ==, "connection lost");
    world_advance(w, 14 * US_PER_S);
    g_assert_false(has(w, g, "agent.lost"));
    world_advance(w, 2 * US_PER_S);
    g_assert_true(has(w, g, "agent.lost"));
}

static void test_a_new_connection_before_the_old_one_ends(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    mend_id old = g->peer;

    guest_heartbeat(g);
    guest_connect(g);
    guest_heartbeat(g);
    sim_host_peer_close(w->sim, old, MEND_PEER_LOST);
    world_pump(w);
    g_assert_false(has(w, g, "agent.closed"));
    g_assert_cmpuint(world_count(w, "agent.quarantined"), ==, 0);
}

static void test_restarted_rebooted_reverted_moved_are_different(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autofree char *vm = g_strdup_printf("vm/%s", g->id), *rebooted = g_strdup_printf("vm.rebooted %s", vm), *reverted = g_strdup_printf("vm.reverted %s", vm);

    g->genid = g_strdup("gen-1");
    beat_for(w, g, 2);
    world_clear(w);
    g->epoch = 2; /* restarted */
    g->sequence = 0;
    guest_heartbeat(g);
    g_assert_true(has(w, g, "agent.restarted"));
    g_assert_false(world_has(w, rebooted));
    world_clear(w);
    g->epoch = 3; /* rebooted, so restarted too */
    g->boot_id[0] = 'c';
    g->sequence = 0;
    guest_heartbeat(g);
    g_assert_true(world_has(w, rebooted));
    g_assert_true(has(w, g, "agent.restarted"));
    world_clear(w);
    g->epoch = 2; /* back to a snapshot of the life before: everything is older, the generation is new */
    g->boot_id[0] = 'b';
    g->genid[4] = '2';
    guest_heartbeat(g);
    g_assert_true(world_has(w, reverted));
    g_assert_false(world_has(w, rebooted));
    world_clear(w);
    sim_host_peer_close(w->sim, g->peer, MEND_PEER_CLOSED);
    g->peer = sim_host_peer_open(w->sim, "agent-00000000-0000-4000-8000-000000000001", "agent", "192.168.9.9:1");
    guest_heartbeat(g);
    g_assert_true(has(w, g, "agent.moved"));
    g_assert_false(has(w, g, "agent.restarted"));
}

static void test_an_old_message_on_a_slow_path_is_no_restart(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);

    g->epoch = 5;
    beat_for(w, g, 2);
    world_clear(w);
    g->epoch = 4;
    guest_beat(g, 9);
    g->epoch = 5;
    guest_beat(g, 3);
    g_assert_cmpuint(w->events->len, ==, 0);
}

/* Every fifth lost, some doubled, some overtaken: nobody is lost. */
static void test_a_bad_line_loses_nobody(void)
{
    for (unsigned seed = 1; seed <= 5; seed++) {
        g_autoptr(World) w = world_new(seed, NULL);
        g_autoptr(GRand) dice = g_rand_new_with_seed(seed);

        for (unsigned i = 0; i < 4; i++)
            world_guest(w, i + 1);
        for (unsigned n = 0; n < 1000; n++) {
            for (guint i = 0; i < w->guests->len; i++) {
                Guest *g = g_ptr_array_index(w->guests, i);
                double fate = g_rand_double(dice);

                g->answers = g_rand_double(dice) >= 0.2; /* questions and answers are lost as well */
                g->sequence++;
                if (fate < 0.2)
                    continue;
                guest_beat(g, g->sequence);
                if (fate > 0.9)
                    guest_beat(g, g->sequence);
                if (fate > 0.8 && fate < 0.9 && g->sequence > 1)
                    guest_beat(g, g->sequence - 1);
            }
            world_advance(w, 5 * US_PER_S);
        }
        g_assert_cmpuint(world_count(w, "agent.up"), >=, 4);
        g_assert_cmpuint(world_count(w, "agent.lost"), ==, 0);
        g_assert_cmpuint(world_count(w, "observer.fault"), ==, 0);
    }
}

static void connect_many(World *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        guest_heartbeat(world_guest(w, i + 1));
        world_advance(w, 5 * US_PER_S / n);
    }
}

static void round_of(World *w, guint from)
{
    for (guint i = from; i < w->guests->len; i++) {
        guest_heartbeat(g_ptr_array_index(w->guests, i));
        world_advance(w, 5 * US_PER_S / w->guests->len);
    }
    world_advance(w, 5 * US_PER_S * from / w->guests->len);
}

static void test_when_many_go_silent_the_observer_is_ill(void)
{
    g_autoptr(World) w = world_new(1, NULL);

    connect_many(w, 20);
    round_of(w, 0);
    for (guint i = 0; i < 12; i++)
        ((Guest *) g_ptr_array_index(w->guests, i))->answers = false;
    for (unsigned k = 0; k < 12; k++) /* 12 of 20 are silent for a minute */
        round_of(w, 12);
    g_assert_cmpuint(world_count(w, "observer.fault"), ==, 1);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 0);
    round_of(w, 1); /* all but one come back */
    round_of(w, 1);
    g_assert_cmpuint(world_count(w, "observer.well"), ==, 1);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 0);
    for (unsigned k = 0; k < 5; k++)
        round_of(w, 1);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 1);
}

/* The engine holds back from fault to well: a crash between the two must not leave it there. */
static void test_a_fault_does_not_outlive_a_crash(void)
{
    g_autoptr(World) w = world_new(1, NULL);

    connect_many(w, 10);
    for (guint i = 0; i < 10; i++)
        ((Guest *) g_ptr_array_index(w->guests, i))->answers = false;
    world_advance(w, 30 * US_PER_S);
    g_assert_cmpuint(world_count(w, "observer.fault"), ==, 1);
    g_assert_cmpuint(world_count(w, "observer.well"), ==, 0);
    world_restart(w, NULL);
    world_pump(w);
    g_assert_cmpuint(world_count(w, "observer.well"), ==, 1);
    world_restart(w, NULL);
    world_pump(w);
    g_assert_cmpuint(world_count(w, "observer.well"), ==, 1);
}

static void test_a_few_that_go_silent_are_lost(void)
{
    g_autoptr(World) w = world_new(1, NULL);

    connect_many(w, 20);
    for (guint i = 0; i < 4; i++)
        ((Guest *) g_ptr_array_index(w->guests, i))->answers = false;
    for (unsigned k = 0; k < 6; k++)
        round_of(w, 4);
    g_assert_cmpuint(world_count(w, "observer.fault"), ==, 0);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 4);
}

static void test_after_a_restart_they_are_unknown_until_heard_or_lost(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *one = world_guest(w, 1), *two = world_guest(w, 2);
    g_autofree char *name = NULL, *again = NULL;
    uint64_t epoch;

    guest_heartbeat(one);
    guest_heartbeat(two);
    epoch = world_claim(w, w->engine, NULL);
    name = world_plugin_name(w);
    world_advance(w, 2 * US_PER_S); /* kept */
    world_restart(w, NULL);
    world_clear(w);
    g_assert_cmpuint(world_claim(w, w->engine, NULL), ==, epoch + 1);
    guest_connect(one);
    guest_heartbeat(one);
    g_assert_true(has(w, one, "agent.up"));
    world_advance(w, 20 * US_PER_S);
    g_assert_false(has(w, two, "agent.lost"));
    world_advance(w, 15 * US_PER_S);
    g_assert_true(has(w, two, "agent.lost"));
    again = world_plugin_name(w);
    g_assert_cmpstr(name, ==, again);
}

static void test_numbers_grow_over_a_crash(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *g = world_guest(w, 1);
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (unsigned life = 0; life < 4; life++) {
        guest_heartbeat(g);
        for (unsigned n = 0; n < 10; n++)
            guest_service(g, "nginx", n % 2 ? "running" : "failed", "none");
        for (guint i = 0; i < sim_host_published(w->sim)->len; i++) {
            const SimMessage *m = g_ptr_array_index(sim_host_published(w->sim), i);

            for (size_t k = 0; k < m->msg.n_props; k++)
                if (strcmp(m->msg.props[k].key.ptr, "cloudEvents_sequence") == 0)
                    g_assert_true(g_hash_table_add(used, g_strdup(m->msg.props[k].str.ptr)));
        }
        world_clear(w);
        if (life == 2)
            sim_host_unload(w->sim, US_PER_S); /* an orderly end, too */
        if (life == 2)
            sim_host_load(w->sim, &mend_plugin_v1, NULL, NULL);
        else
            world_restart(w, NULL);
        world_clear(w);
        guest_connect(g);
    }
    g_assert_cmpuint(g_hash_table_size(used), >, 40);
}

static void test_clones_are_seen(void)
{
    g_autoptr(World) w = world_new(1, NULL);
    Guest *one = world_guest(w, 1), *two = world_guest(w, 2), *other = world_guest(w, 3);

    one->filesystem = g_strdup("f1");
    two->filesystem = g_strdup("f1");
    other->filesystem = g_strdup("f3");
    one->hardware = g_strdup("h1");
    two->hardware = g_strdup("h2");
    other->hardware = g_strdup("h3");
    guest_heartbeat(one);
    guest_heartbeat(other);
    g_assert_cmpuint(world_count(w, "agent.cloned"), ==, 0);
    guest_heartbeat(two);
    g_assert_true(has(w, one, "agent.cloned"));
    g_assert_true(has(w, two, "agent.cloned"));
    g_assert_cmpuint(world_count(w, "agent.cloned"), ==, 2);
    beat_for(w, one, 3);
    g_assert_cmpuint(world_count(w, "agent.cloned"), ==, 2); /* told once */
}

static void test_phi_bears_a_jittery_line(void)
{
    g_autoptr(World) w = world_new(1, "{\"classes\":{\"mend-guest\":{\"mode\":\"phi\",\"phi\":8}}}");
    Guest *g = world_guest(w, 1);
    g_autoptr(GRand) dice = g_rand_new_with_seed(3);

    g->answers = false;
    for (unsigned n = 0; n < 2000; n++) {
        double off = 0;

        for (int i = 0; i < 12; i++)
            off += g_rand_double(dice); /* about normal, sd 1 */
        guest_heartbeat(g);
        world_advance(w, (int64_t) MAX(0.5, 5 + 2 * (off - 6)) * US_PER_S);
    }
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 0);
    world_advance(w, 60 * US_PER_S);
    g_assert_cmpuint(world_count(w, "agent.lost"), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/plugin/liveness/late-lost-back", test_late_lost_back);
    g_test_add_func("/plugin/liveness/answers", test_one_that_answers_is_not_lost);
    g_test_add_func("/plugin/liveness/closed", test_closed_is_told_at_once_and_lost_later);
    g_test_add_func("/plugin/liveness/new-connection", test_a_new_connection_before_the_old_one_ends);
    g_test_add_func("/plugin/liveness/four-stories", test_restarted_rebooted_reverted_moved_are_different);
    g_test_add_func("/plugin/liveness/stale", test_an_old_message_on_a_slow_path_is_no_restart);
    g_test_add_func("/plugin/liveness/bad-line", test_a_bad_line_loses_nobody);
    g_test_add_func("/plugin/liveness/observer", test_when_many_go_silent_the_observer_is_ill);
    g_test_add_func("/plugin/liveness/fault-crash", test_a_fault_does_not_outlive_a_crash);
    g_test_add_func("/plugin/liveness/few", test_a_few_that_go_silent_are_lost);
    g_test_add_func("/plugin/liveness/restart", test_after_a_restart_they_are_unknown_until_heard_or_lost);
    g_test_add_func("/plugin/liveness/numbers", test_numbers_grow_over_a_crash);
    g_test_add_func("/plugin/liveness/clones", test_clones_are_seen);
    g_test_add_func("/plugin/liveness/phi", test_phi_bears_a_jittery_line);
    return g_test_run();
}
