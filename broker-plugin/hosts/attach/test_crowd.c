/* Who is here, by what a broker tells of connections. */
#include "broker-plugin/abi.h"
#include "broker-plugin/hosts/attach/attach_private.h"

static Attach *attach_fake(void)
{
    Attach *a = g_new0(Attach, 1);

    a->dialect = &attach_rabbitmq;
    a->context = g_main_context_ref_thread_default();
    a->crowd = crowd_new(a);
    return a;
}

static void attach_fake_free(Attach *a)
{
    crowd_free(a->crowd);
    g_main_context_unref(a->context);
    g_free(a);
}

static bool here(Attach *a, mend_id id)
{
    mend_peer peer = { .size = sizeof peer };

    return crowd_get(&a->table, id, &peer) == MEND_OK;
}

static void test_comes_and_goes(void)
{
    Attach *a = attach_fake();
    mend_peer peer = { .size = sizeof peer };
    mend_id id, again;

    crowd_opened("pid-1", "agent-1", "10.0.0.1:1", a);
    id = crowd_speaker(a->crowd, "agent-1", false);
    g_assert_cmpint(crowd_get(&a->table, id, &peer), ==, MEND_OK);
    g_assert_true(str_equal(peer.user, "agent-1") && str_equal(peer.role, "agent") && str_equal(peer.address, "10.0.0.1:1"));
    crowd_opened("pid-1", "agent-1", "10.0.0.1:1", a); /* told again */
    crowd_opened("pid-2", "agent-1", "10.0.0.1:9", a); /* a second connection */
    crowd_closed("pid-1", a);
    g_assert_true(here(a, id));
    crowd_closed("pid-2", a);
    g_assert_false(here(a, id));
    g_assert_cmpuint(crowd_speaker(a->crowd, "agent-1", false), ==, id); /* said before it went */
    crowd_opened("pid-3", "agent-1", "10.0.0.1:2", a);
    again = crowd_speaker(a->crowd, "agent-1", false);
    g_assert_cmpuint(again, !=, id);
    g_assert_true(here(a, again));
    crowd_closed("nobody's", a);
    g_assert_true(here(a, again));
    attach_fake_free(a);
}

static void test_who_speaks(void)
{
    Attach *a = attach_fake();
    mend_peer peer = { .size = sizeof peer };
    static const struct { const char *user, *role; } users[] = {
        { "host-7", "agent" }, { "engine", "engine" }, { "engine-b", "engine" }, { "engineer", "" }, { "operator", "operator" }, { "observer-2", "observer" },
        { "agent", "" }, { "guest", "" }, { "", "anonymous" },
    };

    g_assert_cmpuint(crowd_speaker(a->crowd, "mend", true), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(users); i++) {
        g_assert_cmpint(crowd_get(&a->table, crowd_speaker(a->crowd, users[i].user, false), &peer), ==, MEND_OK);
        g_assert_true(str_equal(peer.role, users[i].role));
    }
    g_assert_cmpuint(crowd_speaker(a->crowd, NULL, false), ==, crowd_speaker(a->crowd, "", false));
    a->dialect = &attach_generic; /* vouches for nobody */
    g_assert_cmpuint(crowd_speaker(a->crowd, "engine", false), ==, crowd_speaker(a->crowd, NULL, false));
    attach_fake_free(a);
}

static void test_not_told_for_a_while(void)
{
    Attach *a = attach_fake();
    mend_id other_node, back;

    crowd_opened("n2-1", "engine", "10.0.0.2:1", a);
    crowd_opened("n1-1", "agent-1", "10.0.0.3:1", a);
    other_node = crowd_speaker(a->crowd, "engine", false);
    back = crowd_speaker(a->crowd, "agent-1", false);
    crowd_unknown(a); /* our node died */
    g_assert_true(here(a, other_node) && here(a, back));
    crowd_opened("n2-1", "engine", "10.0.0.2:1", a); /* one more session of what was there before */
    g_assert_true(here(a, other_node));
    crowd_closed("n2-1", a);
    g_assert_false(here(a, other_node));
    crowd_opened("n2-2", "agent-1", "10.0.0.3:2", a); /* it came to another node: its old way is over */
    g_assert_true(here(a, back));
    crowd_closed("n2-2", a);
    g_assert_false(here(a, back));
    attach_fake_free(a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/crowd/comes-and-goes", test_comes_and_goes);
    g_test_add_func("/crowd/who-speaks", test_who_speaks);
    g_test_add_func("/crowd/not-told-for-a-while", test_not_told_for_a_while);
    return g_test_run();
}
