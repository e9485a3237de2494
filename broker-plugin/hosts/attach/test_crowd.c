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
    id = crowd_speaker(a->crowd, "agent-1", NULL, false);
    g_assert_cmpint(crowd_get(&a->table, id, &peer), ==, MEND_OK);
    g_assert_true(str_equal(peer.user, "agent-1") && str_equal(peer.role, "agent") && str_equal(peer.address, "10.0.0.1:1"));
    crowd_opened("pid-1", "agent-1", "10.0.0.1:1", a); /* told again */
    crowd_opened("pid-2", "agent-1", "10.0.0.1:9", a); /* a second connection */
    crowd_closed("pid-1", a);
    g_assert_true(here(a, id));
    crowd_closed("pid-2", a);
    g_assert_false(here(a, id));
    g_assert_cmpuint(crowd_speaker(a->crowd, "agent-1", NULL, false), ==, id); /* said before it went */
    crowd_opened("pid-3", "agent-1", "10.0.0.1:2", a);
    again = crowd_speaker(a->crowd, "agent-1", NULL, false);
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

    g_assert_cmpuint(crowd_speaker(a->crowd, "mend", NULL, true), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(users); i++) {
        g_assert_cmpint(crowd_get(&a->table, crowd_speaker(a->crowd, users[i].user, NULL, false), &peer), ==, MEND_OK);
        g_assert_true(str_equal(peer.role, users[i].role));
    }
    g_assert_cmpuint(crowd_speaker(a->crowd, NULL, NULL, false), ==, crowd_speaker(a->crowd, "", NULL, false));
    a->dialect = &attach_generic; /* vouches for nobody */
    g_assert_cmpuint(crowd_speaker(a->crowd, "engine", NULL, false), ==, crowd_speaker(a->crowd, NULL, NULL, false));
    attach_fake_free(a);
}

static void test_not_told_for_a_while(void)
{
    Attach *a = attach_fake();
    mend_id other_node, back;

    crowd_opened("n2-1", "engine", "10.0.0.2:1", a);
    crowd_opened("n1-1", "agent-1", "10.0.0.3:1", a);
    other_node = crowd_speaker(a->crowd, "engine", NULL, false);
    back = crowd_speaker(a->crowd, "agent-1", NULL, false);
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

/* Agents that log in as one user, or as none: each lives as long as the connection that receives under its name. */
static void test_voices(void)
{
    Attach *a = attach_fake();
    mend_peer peer = { .size = sizeof peer };
    mend_id one, two, user;

    a->dialect = &attach_qpidd;
    a->lab = true;
    crowd_opened("c1", "anonymous", "10.0.0.1:1", a);
    crowd_opened("c2", "anonymous", "10.0.0.2:1", a);
    user = crowd_speaker(a->crowd, NULL, "v:service:1", false); /* before its name was told */
    crowd_named("c1", "v:service:1", a);
    crowd_named("c2", "v:service:2", a);
    crowd_named("c9", "v:service:3", a); /* of a connection that is not there */
    one = crowd_speaker(a->crowd, NULL, "v:service:1", false);
    two = crowd_speaker(a->crowd, NULL, "v:service:2", false);
    g_assert_true(one != two && one != user && two != user);
    g_assert_cmpuint(crowd_speaker(a->crowd, NULL, "v:service:3", false), ==, user);
    g_assert_cmpint(crowd_get(&a->table, two, &peer), ==, MEND_OK);
    g_assert_true(str_equal(peer.user, "") && str_equal(peer.role, "anonymous") && str_equal(peer.address, "10.0.0.2:1"));
    crowd_closed("c1", a);
    g_assert_true(!here(a, one) && here(a, two) && here(a, user));
    g_assert_cmpuint(crowd_speaker(a->crowd, NULL, "v:service:1", false), ==, one); /* said before it went */
    crowd_opened("c3", "anonymous", "10.0.0.1:2", a);
    crowd_named("c3", "v:service:1", a); /* started again */
    g_assert_true(here(a, crowd_speaker(a->crowd, NULL, "v:service:1", false)));
    crowd_unknown(a);
    g_assert_cmpuint(crowd_speaker(a->crowd, NULL, "v:service:2", false), ==, two); /* as it was, until something else is told */
    crowd_opened("c4", "anonymous", "10.0.0.9:1", a); /* we are back, and are told anew who is here */
    crowd_opened("c2", "anonymous", "10.0.0.2:1", a);
    crowd_named("c2", "v:service:2", a);
    g_assert_cmpuint(crowd_speaker(a->crowd, NULL, "v:service:2", false), ==, two);
    crowd_closed("c2", a);
    g_assert_false(here(a, two));
    attach_fake_free(a);
}

/* Moved to another connection while the old one is not known to be dead: it never seems gone. */
static void test_voice_moves(void)
{
    Attach *a = attach_fake();
    mend_id before, after, silent;

    a->dialect = &attach_qpidd;
    a->lab = true;
    crowd_opened("c1", "matahari", "10.0.0.1:1", a);
    crowd_named("c1", "v:service:1", a);
    before = crowd_speaker(a->crowd, "matahari", "v:service:1", false);
    crowd_opened("c2", "matahari", "10.0.0.1:2", a);
    crowd_named("c2", "v:service:1", a);
    after = crowd_speaker(a->crowd, "matahari", "v:service:1", false);
    g_assert_cmpuint(crowd_speaker(a->crowd, "other", "v:service:1", false), !=, after);
    silent = crowd_speaker(a->crowd, NULL, "v:service:1", false); /* with no user-id, as those agents speak */
    g_assert_true(silent != after && here(a, silent));
    g_assert_true(before != after && here(a, after));
    crowd_closed("c1", a);
    g_assert_true(!here(a, before) && here(a, after));
    g_assert_cmpuint(crowd_speaker(a->crowd, "matahari", "v:service:1", false), ==, after);
    crowd_closed("c2", a);
    g_assert_false(here(a, after) || here(a, silent));
    attach_fake_free(a);
}

/* A name that somebody binds is no proof of anything: only what that connection's own user says is tied to it. */
static void test_voice_of_another(void)
{
    Attach *a = attach_fake();
    mend_id honest;

    a->dialect = &attach_qpidd;
    crowd_opened("c1", "agent-1", "10.0.0.1:1", a);
    crowd_opened("c2", "mallory", "10.6.6.6:6", a);
    honest = crowd_speaker(a->crowd, "agent-1", NULL, false);
    crowd_named("c2", "v:mend-guest:1", a);
    g_assert_cmpuint(crowd_speaker(a->crowd, "agent-1", "v:mend-guest:1", false), ==, honest);
    crowd_closed("c2", a);
    g_assert_true(here(a, honest));
    g_assert_cmpuint(crowd_speaker(a->crowd, "agent-1", "v:mend-guest:1", false), ==, honest);
    crowd_named("c1", "v:mend-guest:1", a); /* checked names stay with the peer that showed them */
    g_assert_cmpuint(crowd_speaker(a->crowd, "agent-1", "v:mend-guest:1", false), ==, honest);
    for (int i = 0; i < 200; i++) { /* more names than an agent has */
        g_autofree char *name = g_strdup_printf("v:x:%d", i);

        crowd_named("c1", name, a);
    }
    crowd_closed("c1", a);
    g_assert_false(here(a, honest));
    attach_fake_free(a);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/crowd/comes-and-goes", test_comes_and_goes);
    g_test_add_func("/crowd/who-speaks", test_who_speaks);
    g_test_add_func("/crowd/not-told-for-a-while", test_not_told_for_a_while);
    g_test_add_func("/crowd/voices", test_voices);
    g_test_add_func("/crowd/voice-moves", test_voice_moves);
    g_test_add_func("/crowd/voice-of-another", test_voice_of_another);
    return g_test_run();
}
