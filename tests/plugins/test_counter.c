#include "broker-plugin/abi.h"
#include "broker-plugin/loader.h"
#include "tests/sim-host/sim_host.h"

static SimHost *sim_with_counter(void)
{
    const LoaderHost all = { MEND_ABI_MINOR, SIM_CAPS };
    g_autoptr(GError) error = NULL;
    const mend_plugin *plugin = loader_open(g_getenv("MEND_COUNTER"), &all, NULL, &error);
    SimHost *sim = sim_host_new(1);

    g_assert_no_error(error);
    sim_host_load(sim, plugin, NULL, &error);
    g_assert_no_error(error);
    return sim;
}

static void say(SimHost *sim, const char *subject)
{
    const mend_msg msg = { .size = sizeof msg, .address = str_of("qmf.default.topic"), .subject = str_of(subject) };

    sim_host_send(sim, &msg);
}

static void test_it_counts_and_tells(void)
{
    g_autoptr(SimHost) sim = sim_with_counter();
    g_autoptr(SimMessage) summary = NULL;

    say(sim, "agent.ind.heartbeat");
    say(sim, "agent.ind.event");
    say(sim, "console.request");
    sim_host_advance(sim, US_PER_S);
    summary = sim_host_receive(sim, "counter.summary");
    g_assert_nonnull(summary);
    g_assert_cmpstr(summary->msg.body.ptr, ==, "agent 2\nconsole 1\n");
    g_assert_cmpint(sim_host_counter(sim, "counted"), ==, 3);
    g_assert_true(sim_host_unload(sim, US_PER_S));
}

static void test_subjects_do_not_fill_memory(void)
{
    g_autoptr(SimHost) sim = sim_with_counter();
    g_autoptr(SimMessage) summary = NULL;

    for (unsigned i = 0; i < 1000; i++) {
        g_autofree char *subject = g_strdup_printf("word%u.x", i);

        say(sim, subject);
    }
    sim_host_advance(sim, US_PER_S);
    summary = sim_host_receive(sim, "counter.summary");
    g_assert_true(g_str_has_suffix(summary->msg.body.ptr, "* 936\n"));
}

static void test_a_busy_bus_is_waited_for(void)
{
    g_autoptr(SimHost) sim = sim_with_counter();
    g_autoptr(SimMessage) summary = NULL;

    sim_host_set_busy(sim, "counter");
    say(sim, "agent.x");
    sim_host_advance(sim, 3 * US_PER_S);
    g_assert_cmpuint(sim_host_queue_size(sim, "counter.summary"), ==, 0);
    sim_host_set_busy(sim, NULL);
    sim_host_advance(sim, US_PER_S);
    summary = sim_host_receive(sim, "counter.summary");
    g_assert_cmpstr(summary->msg.body.ptr, ==, "agent 1\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plugins/counter/counts", test_it_counts_and_tells);
    g_test_add_func("/plugins/counter/bounded", test_subjects_do_not_fill_memory);
    g_test_add_func("/plugins/counter/busy", test_a_busy_bus_is_waited_for);
    return g_test_run();
}
