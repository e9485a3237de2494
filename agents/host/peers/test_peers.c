/* Two hosts on loopback: they see each other, and each sees when the other stops answering. */
#include "agents/host/host_stand.h"
#include "agents/host/peers/peers.h"

#include "lib/base/clock.h"

#include <glib/gstdio.h>
#include <string.h>

#define OTHER "22222222-3333-4444-8555-666666666666"

static Peers *listening(HostStand *stand, const char *const *all, const char *key)
{
    const PeersOptions options = { "127.0.0.1:0", all, key, 20 * US_PER_MS, 3 };
    g_autoptr(GError) error = NULL;
    Peers *peers = peers_new(stand->host, &options, &error);

    g_assert_no_error(error);
    return peers;
}

/* A host that speaks for OTHER: a stand has one name only. */
static HostStand *other_stand(void)
{
    HostStand *stand = host_stand_new();

    g_free(stand->identity->id);
    stand->identity->id = g_strdup(OTHER);
    return stand;
}

static void test_seen_and_missed(void)
{
    g_autoptr(HostStand) here = host_stand_new(), there = other_stand();
    Peers *other = listening(there, NULL, NULL);
    g_autofree char *peer = g_strdup_printf(OTHER "=127.0.0.1:%u", peers_port(other));
    const char *const all[] = { peer, NULL };
    g_autoptr(Peers) mine = listening(here, all, NULL);
    guint i = host_stand_wait(here, 0, "host_state", "says", "alive", 2000);
    const json_t *told = host_stand_event(here, i);

    g_assert_cmpstr(json_string_value(json_object_get(told, "id")), ==, OTHER);
    g_assert_cmpstr(json_string_value(json_object_get(told, "state")), ==, "evidence");
    g_assert_cmpstr(json_string_value(json_object_get(told, "channel")), ==, "peer");
    g_assert_cmpstr(json_string_value(json_object_get(told, "by")), ==, STAND_HOST);
    peers_free(other);
    host_stand_wait(here, i + 1, "host_state", "says", "gone", 2000);
}

/* One that does not have the key, or answers under another name, is as good as silent. */
static void test_not_believed(void)
{
    g_autoptr(HostStand) here = host_stand_new(), there = other_stand(), stranger = host_stand_new();
    g_autofree char *key = g_build_filename(here->folder, "key", NULL);
    g_autofree char *with_key = NULL, *without = NULL, *other_name = NULL;

    g_assert_true(g_file_set_contents(key, "0123456789abcdef0123456789abcdef", -1, NULL));
    g_assert_cmpint(g_chmod(key, 0600), ==, 0);
    g_autoptr(Peers) keyed = listening(there, NULL, key), keyless = listening(there, NULL, NULL), named = listening(stranger, NULL, key);
    with_key = g_strdup_printf(OTHER "=127.0.0.1:%u", peers_port(keyed));
    without = g_strdup_printf("33333333-3333-4444-8555-666666666666=127.0.0.1:%u", peers_port(keyless));
    other_name = g_strdup_printf("44444444-3333-4444-8555-666666666666=127.0.0.1:%u", peers_port(named));
    const char *const all[] = { with_key, without, other_name, NULL };
    g_autoptr(Peers) mine = listening(here, all, key);

    host_stand_wait(here, 0, "host_state", "id", "33333333-3333-4444-8555-666666666666", 2000);
    host_stand_wait(here, 0, "host_state", "id", "44444444-3333-4444-8555-666666666666", 2000);
    host_stand_wait(here, 0, "host_state", "id", OTHER, 2000);
    for (guint i = 0; i < here->events->len; i++) {
        const json_t *told = host_stand_event(here, i);
        bool is_other = strcmp(json_string_value(json_object_get(told, "id")), OTHER) == 0;

        g_assert_cmpstr(json_string_value(json_object_get(told, "says")), ==, is_other ? "alive" : "gone");
    }
}

static const struct {
    const char *peer, *said;
} wrong[] = {
    { "10.0.0.1", "want HOST=ADDRESS" },
    { "host-b=10.0.0.1", "want HOST=ADDRESS" },
    { OTHER "=", "want HOST=ADDRESS" },
    { OTHER "=host-b.example", "no IP address" },
};

static void test_wrong_settings(void)
{
    g_autoptr(HostStand) here = host_stand_new();

    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        const char *const all[] = { wrong[i].peer, NULL };
        const PeersOptions options = { "127.0.0.1:0", all, NULL, US_PER_S, 3 };
        g_autoptr(GError) error = NULL;

        g_assert_null(peers_new(here->host, &options, &error));
        g_assert_error(error, PEERS_ERROR, PEERS_ERROR_SETTING);
        g_assert_nonnull(strstr(error->message, wrong[i].said));
    }
}

static void test_open_key(void)
{
    g_autoptr(HostStand) here = host_stand_new();
    g_autofree char *key = g_build_filename(here->folder, "key", NULL);
    const PeersOptions options = { "127.0.0.1:0", NULL, key, US_PER_S, 3 };
    g_autoptr(GError) error = NULL;

    g_assert_true(g_file_set_contents(key, "0123456789abcdef0123456789abcdef", -1, NULL));
    g_assert_cmpint(g_chmod(key, 0644), ==, 0);
    g_assert_null(peers_new(here->host, &options, &error));
    g_assert_error(error, PEERS_ERROR, PEERS_ERROR_KEY);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peers/seen-and-missed", test_seen_and_missed);
    g_test_add_func("/peers/not-believed", test_not_believed);
    g_test_add_func("/peers/wrong-settings", test_wrong_settings);
    g_test_add_func("/peers/open-key", test_open_key);
    return g_test_run();
}
