/* The connection, against libvirt's own test driver, which needs no daemon; and against nothing at all. Intents. */
#include "agents/host/libvirt/connection.h"
#include "agents/host/libvirt/intents.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <glib/gstdio.h>

#define TEST_URI "test:///default"

typedef struct Seen {
    unsigned up, away, told;
    int n_found;
    char *why;
    GMainLoop *loop;
} Seen;

static int n_prepared, n_released; /* atomic */

static bool prepare(virConnectPtr connection, void **ret_found, GError **error)
{
    *ret_found = GINT_TO_POINTER(virConnectNumOfDomains(connection));
    g_atomic_int_inc(&n_prepared);
    return true;
}

static bool prepare_fails(virConnectPtr connection, void **ret_found, GError **error)
{
    g_atomic_int_inc(&n_prepared);
    g_set_error(error, g_quark_from_static_string("test"), 0, "not this time");
    return false;
}

static void up(void *user, void *found)
{
    Seen *seen = user;

    seen->up++;
    seen->n_found = GPOINTER_TO_INT(found);
    g_main_loop_quit(seen->loop);
}

static void away(void *user, const char *why)
{
    Seen *seen = user;

    seen->away++;
    g_free(seen->why);
    seen->why = g_strdup(why);
    g_main_loop_quit(seen->loop);
}

static void release(virConnectPtr connection, void *found) { g_atomic_int_inc(&n_released); }

static gboolean too_late(void *unused)
{
    g_error("nothing came");
    return G_SOURCE_REMOVE;
}

static void run(Seen *seen)
{
    guint source = g_timeout_add_seconds(20, too_late, NULL);

    g_main_loop_run(seen->loop);
    g_source_remove(source);
}

static void wait_released(void)
{
    int64_t until_us = clock_now_us() + 20 * US_PER_S;

    while (g_atomic_int_get(&n_released) < g_atomic_int_get(&n_prepared) && clock_now_us() < until_us)
        g_usleep(1000);
    g_assert_cmpint(n_released, ==, n_prepared);
}

static void test_what_is_prepared_is_released(void)
{
    Seen seen = { .loop = g_main_loop_new(NULL, FALSE) };
    ConnectionListener listener = { prepare, up, away, release, &seen };
    Connection *connection = connection_new(NULL, TEST_URI);
    virConnectPtr mine;

    connection_listen(connection, &listener);
    g_assert_null(connection_get(connection));
    g_assert_nonnull(connection_why(connection));
    connection_start(connection);
    run(&seen);
    g_assert_cmpuint(seen.up, ==, 1);
    g_assert_cmpint(seen.n_found, ==, 1);
    g_assert_null(connection_why(connection));
    mine = connection_get(connection);
    g_assert_nonnull(mine);
    connection_free(connection);
    wait_released();
    g_assert_cmpint(virConnectNumOfDomains(mine), ==, 1); /* a reference outlives the Connection */
    g_assert_cmpint(virConnectClose(mine), >=, 0); /* others may just be giving theirs back */
    g_assert_cmpuint(seen.away, ==, 0);
    g_main_loop_unref(seen.loop);
}

static void test_where_there_is_no_libvirt_it_says_so_once(void)
{
    g_autofree char *folder = g_dir_make_tmp("mend-XXXXXX", NULL);
    g_autofree char *uri = g_strdup_printf("qemu+unix:///system?socket=%s/none", folder);
    Seen seen = { .loop = g_main_loop_new(NULL, FALSE) };
    ConnectionListener listener = { prepare, up, away, release, &seen };
    Connection *connection = connection_new(NULL, uri);
    int64_t until_us = clock_now_us() + US_PER_S;

    connection_listen(connection, &listener);
    connection_start(connection);
    run(&seen);
    while (clock_now_us() < until_us) /* two more tries */
        g_main_context_iteration(NULL, FALSE);
    g_assert_cmpuint(seen.away, ==, 1);
    g_assert_cmpuint(seen.up, ==, 0);
    g_assert_nonnull(g_strstr_len(seen.why, -1, "/none"));
    connection_free(connection);
    g_free(seen.why);
    g_main_loop_unref(seen.loop);
    g_rmdir(folder);
}

static void test_a_listener_that_cannot_prepare_gives_it_up(void)
{
    Seen seen = { .loop = g_main_loop_new(NULL, FALSE) };
    ConnectionListener good = { prepare, up, away, release, &seen }, bad = { prepare_fails, NULL, NULL, release, NULL };
    Connection *connection = connection_new(NULL, TEST_URI);

    connection_listen(connection, &good);
    connection_listen(connection, &bad);
    connection_start(connection);
    run(&seen);
    g_assert_cmpuint(seen.up, ==, 0);
    g_assert_cmpstr(seen.why, ==, "not this time");
    connection_free(connection);
    wait_released();
    g_free(seen.why);
    g_main_loop_unref(seen.loop);
}

static void test_intents(void)
{
    g_autoptr(Intents) intents = intents_new();

    intents_note(intents, "vm1", "intent", "command", 100);
    intents_note(intents, "vm1", "to", "host2", 100);
    intents_note(intents, "vm1", "colour", "red", 100);
    g_assert_cmpstr(intents_get(intents, "vm1", "intent", 100), ==, "command");
    g_assert_cmpstr(intents_get(intents, "vm1", "to", 100), ==, "host2");
    g_assert_null(intents_get(intents, "vm1", "colour", 100));
    g_assert_null(intents_get(intents, "vm2", "intent", 100));
    g_assert_null(intents_get(intents, "vm1", "intent", 101 + INTENT_HOLDS_US));
    intents_note(intents, "vm1", "intent", "", 200);
    g_assert_null(intents_get(intents, "vm1", "intent", 200));
    g_assert_cmpstr(intents_get(intents, "vm1", "to", 200), ==, "host2");
    intents_forget(intents, "vm1", "to");
    g_assert_null(intents_get(intents, "vm1", "to", 200));
    for (unsigned i = 0; i <= INTENTS_MAX; i++) {
        g_autofree char *vm = g_strdup_printf("many%u", i);

        intents_note(intents, vm, "intent", "admin", 300);
    }
    g_assert_null(intents_get(intents, "many0", "intent", 300)); /* the oldest made room */
    g_assert_cmpstr(intents_get(intents, "many1", "intent", 300), ==, "admin");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_open("test", LOG_LEVEL_ERROR);
    g_test_add_func("/connection/what-is-prepared-is-released", test_what_is_prepared_is_released);
    g_test_add_func("/connection/no-libvirt", test_where_there_is_no_libvirt_it_says_so_once);
    g_test_add_func("/connection/cannot-prepare", test_a_listener_that_cannot_prepare_gives_it_up);
    g_test_add_func("/intents", test_intents);
    return g_test_run();
}
