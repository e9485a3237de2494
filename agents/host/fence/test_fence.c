/* The whole part, on a bus that records, with an agent that keeps each plug's power in a file. */
#include "agents/host/fence/fence.h"
#include "agents/host/host_stand.h"
#include "lib/base/clock.h"
#include "lib/base/uuid.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

#define SECRET "c0rrect-horse"
#define A      "11111111-2222-4333-8444-555555555501"
#define B      "11111111-2222-4333-8444-555555555502"
#define AGENT                                                                                                                               \
    "#!/bin/sh\ncd %s\n[ \"$1$2\" = -ometadata ] && { echo '<resource-agent name=\"fence_test\"><parameters><parameter name=\"ip\"/>"         \
    "<parameter name=\"password\"/><parameter name=\"plug\"/></parameters><actions><action name=\"off\"/><action name=\"on\"/>"              \
    "<action name=\"status\"/></actions></resource-agent>'; exit; }\n"                                                                     \
    "while IFS= read -r line; do case $line in action=*) a=${line#*=};; plug=*) p=${line#*=};; ip=*) ip=${line#*=};; esac; done\n"           \
    "echo \"$a $p\" >> asked\n[ -e dead-$ip ] && { echo 'ERROR: no way in with " SECRET "' >&2; exit 1; }\n"                               \
    "case $a in status) [ -e off-$p ] && { echo Status: OFF; exit 2; }; echo Status: ON;; off) sleep 0.1; touch off-$p;; on) rm -f off-$p;; esac\nexit 0\n"

typedef struct World {
    HostStand *stand;
    Fence *fence;
    char *folder;
} World;

static char *in(const World *world, const char *name) { return g_build_filename(world->folder, name, NULL); }

static void put(const World *world, const char *name, const char *text, unsigned mode)
{
    g_autofree char *path = in(world, name);
    g_autoptr(GError) error = NULL;

    g_file_set_contents(path, text, -1, &error);
    g_assert_no_error(error);
    g_chmod(path, (int) mode);
}

static char *get(const World *world, const char *name)
{
    g_autofree char *path = in(world, name);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : g_strdup("");
}

static World *world_new(const FenceOptions *more)
{
    World *world = g_new0(World, 1);
    g_autofree char *agent = NULL, *file = NULL, *path = NULL;
    FenceOptions options = *more;
    g_autoptr(GError) error = NULL;

    world->stand = host_stand_new();
    world->folder = g_dir_make_tmp("fence-XXXXXX", &error);
    g_assert_no_error(error);
    agent = g_strdup_printf(AGENT, world->folder);
    put(world, "fence_test", agent, 0700);
    put(world, "password", SECRET "\n", 0600);
    file = g_strdup_printf("fencing: 1\ndevices:\n"
                           "  - {name: bmc, agent: %1$s/fence_test, parameters: {ip: one}, password_file: password, plugs: {a: 1, %3$s: 9}, retries: 0}\n"
                           "  - {name: pdu, agent: %1$s/fence_test, parameters: {ip: two}, password_file: password, plugs: {a: 1, b: 2}, retries: 0}\n"
                           "hosts:\n  - {id: %2$s, name: a, levels: [bmc, pdu], addresses: [127.0.0.1]}\n  - {name: b, levels: [pdu]}\n"
                           "  - {id: %3$s, levels: [bmc]}\n", world->folder, A, STAND_HOST);
    put(world, "fencing.yaml", file, 0600);
    path = in(world, "fencing.yaml");
    if (options.file == NULL)
        options.file = path;
    world->fence = fence_new(world->stand->host, &options, &error);
    g_assert_no_error(error);
    return world;
}

static void assert_no_secret(World *world)
{
    for (guint i = 0; i < world->stand->events->len; i++) {
        g_autofree char *text = json_dumps(world->stand->events->pdata[i], 0);

        g_assert_null(strstr(text, SECRET));
    }
    for (guint i = 0; i < world->stand->answers->len; i++) {
        g_autofree char *text = json_dumps(world->stand->answers->pdata[i], 0);

        g_assert_null(strstr(text, SECRET));
    }
}

static void world_free(World *world)
{
    GDir *dir = g_dir_open(world->folder, 0, NULL);
    const char *name;

    assert_no_secret(world);
    fence_free(world->fence);
    host_stand_free(world->stand);
    while ((name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = in(world, name);

        g_remove(path);
    }
    g_dir_close(dir);
    g_rmdir(world->folder);
    g_free(world->folder);
    g_free(world);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static const FenceOptions quiet = { .check_us = 0, .kdump_max_us = US_PER_MINUTE };

static json_t *call(World *world, const char *method, const char *name, const char *hostname, const char *word)
{
    return host_stand_call(world->stand, method, json_pack("{s:s, s:s, s:s*}", "name", name, "hostname", hostname, "method", word), 20000);
}

static const char *value_of(const json_t *answer, const char *key)
{
    return json_string_value(json_object_get(json_object_get(answer, "values"), key));
}

static void assert_told(World *world, guint from, const char *channel, const char *says)
{
    guint at = host_stand_wait(world->stand, from, "host_state", "channel", channel, 10000);

    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world->stand, at), "says")), ==, says);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world->stand, at), "id")), ==, A);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world->stand, at), "by")), ==, STAND_HOST);
}

static void test_off_on_status(void)
{
    g_autoptr(World) world = world_new(&quiet);
    g_autoptr(json_t) off = call(world, "host_fence", A, "", "off"), again = NULL, status = NULL, on = NULL;

    g_assert_cmpstr(value_of(off, "state"), ==, "off");
    g_assert_cmpstr(value_of(off, "text"), ==, "a is off, verified by level 1");
    assert_told(world, 0, "bmc", "off");
    again = call(world, "host_fence", A, "", "");
    g_assert_cmpstr(value_of(again, "text"), ==, "a is off already, verified by level 1");
    status = host_stand_call(world->stand, "host_status", json_pack("{s:s}", "name", A), 20000);
    g_assert_cmpstr(value_of(status, "state"), ==, "off");
    on = call(world, "host_fence", "11111111-2222-4333-8444-55555555550" "1", "", "reboot");
    g_assert_cmpstr(value_of(on, "state"), ==, "on");
}

static void test_dead_bmc(void)
{
    g_autoptr(World) world = world_new(&quiet);
    g_autoptr(json_t) off = NULL, failed = NULL;

    put(world, "dead-one", "", 0600);
    off = call(world, "host_fence", A, "", "off");
    g_assert_cmpstr(value_of(off, "text"), ==, "a is off, verified by level 2; before that: bmc (level 1): no way in with [secret]");
    put(world, "dead-two", "", 0600);
    failed = call(world, "host_fence", A, "", "off");
    g_assert_cmpstr(json_string_value(json_object_get(failed, "state")), ==, "failed");
    g_assert_cmpstr(json_string_value(json_object_get(failed, "error")), ==, "failed");
    g_assert_cmpstr(value_of(failed, "state"), ==, ""); /* nothing is claimed */
    g_assert_cmpuint(json_object_size(json_object_get(json_object_get(json_object_get(failed, "values"), "values"), "failed")), ==, 2);
}

static void assert_refused(World *world, const char *name, const char *word, const char *error, const char *part)
{
    g_autoptr(json_t) answer = call(world, "host_fence", name, "", word);

    g_assert_cmpstr(json_string_value(json_object_get(answer, "state")), ==, "refused");
    g_assert_cmpstr(json_string_value(json_object_get(answer, "error")), ==, error);
    g_assert_nonnull(strstr(value_of(answer, "error_text"), part));
}

static void test_refusals(void)
{
    g_autoptr(World) world = world_new(&quiet);
    g_autofree char *asked = NULL;

    assert_refused(world, B, "off", "not-found", "/fencing.yaml there, and reload mend-host (SIGHUP)");
    assert_refused(world, STAND_HOST, "off", "bad-argument", "a host does not fence itself");
    assert_refused(world, A, "explode", "bad-argument", "none of off, on, reboot, status");
    asked = get(world, "asked");
    g_assert_cmpstr(asked, ==, "");
}

static void test_by_name(void)
{
    g_autoptr(World) world = world_new(&quiet);
    g_autoptr(json_t) off = call(world, "host_fence", B, "b", "off");

    g_assert_cmpstr(value_of(off, "state"), ==, "off"); /* known by its name alone, and told with the id it was asked by */
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world->stand, world->stand->events->len - 1), "id")), ==, B);
}

static void test_no_file(void)
{
    FenceOptions options = quiet;
    options.file = "/nonexistent/fencing.yaml";
    g_autoptr(World) world = world_new(&options);

    assert_refused(world, A, "off", "not-found", "/nonexistent/fencing.yaml: No such file or directory");
}

static void test_two_at_once(void)
{
    g_autoptr(World) world = world_new(&quiet);
    g_autofree char *one = host_stand_begin(world->stand, "host_fence", json_pack("{s:s}", "name", A)), *asked = NULL;
    g_autofree char *other = host_stand_begin(world->stand, "host_fence", json_pack("{s:s}", "name", A));
    g_autoptr(json_t) first = host_stand_end(world->stand, one, 20000), second = host_stand_end(world->stand, other, 20000);

    g_assert_cmpstr(value_of(first, "state"), ==, "off");
    g_assert_cmpstr(value_of(second, "state"), ==, "off");
    asked = get(world, "asked");
    g_assert_cmpstr(asked, ==, "status 1\noff 1\nstatus 1\n");
}

static void test_fences_are_told(void)
{
    g_autoptr(World) world = world_new(&quiet);
    guint at;

    host_tell(world->stand->host, "host", STAND_HOST, "up", NULL);
    at = host_stand_wait(world->stand, 0, "host_state", "state", "up", 5000);
    const json_t *fences = json_object_get(host_stand_event(world->stand, at), "fences");
    g_assert_cmpuint(json_array_size(fences), ==, 2); /* not itself */
    g_assert_cmpstr(json_string_value(json_array_get(fences, 0)), ==, A);
    g_assert_cmpstr(json_string_value(json_array_get(fences, 1)), ==, "b");
}

static bool is_taken(void *user)
{
    const World *world = user;
    const json_t *up;

    for (guint i = world->stand->events->len; i-- > 0;) {
        up = host_stand_event(world->stand, i);
        if (json_object_get(up, "fences") != NULL)
            return json_array_size(json_object_get(up, "fences")) == 1;
    }
    return false;
}

static void test_a_new_file_is_taken_whole(void)
{
    g_autoptr(World) world = world_new(&quiet);
    g_autofree char *without_b = g_strdup_printf("fencing: 1\ndevices:\n  - {name: pdu, agent: %s/fence_test, parameters: {ip: two}, "
                                                 "password_file: password, plugs: {a: 1}, retries: 0}\nhosts:\n  - {id: %s, name: a, levels: [pdu]}\n",
                                                 world->folder, A);
    host_tell(world->stand->host, "host", STAND_HOST, "up", NULL);
    g_autofree char *begun = host_stand_begin(world->stand, "host_fence", json_pack("{s:s}", "name", A));

    put(world, "fencing.yaml", without_b, 0600);
    fence_reload(world->fence);
    g_autoptr(json_t) off = host_stand_end(world->stand, begun, 20000);
    g_assert_cmpstr(value_of(off, "state"), ==, "off"); /* by the devices it was begun with */
    host_stand_until(is_taken, world, 10000);
    assert_refused(world, "b", "off", "not-found", "/fencing.yaml there");
    put(world, "fencing.yaml", "fencing: 1\nhosts: 5\n", 0600);
    fence_reload(world->fence);
    g_autoptr(json_t) again = call(world, "host_status", A, "a", NULL);
    g_assert_cmpstr(value_of(again, "state"), ==, "off");
}

static void test_health(void)
{
    static const FenceOptions often = { .check_us = 50 * US_PER_MS, .first_check_us = US_PER_MS };
    g_autoptr(World) world = world_new(&often);
    guint at = host_stand_wait(world->stand, 0, "host_state", "state", "fenceable", 20000);

    assert_told(world, 0, "bmc", "alive");
    put(world, "dead-one", "", 0600);
    at = host_stand_wait(world->stand, at + 1, "host_state", "reason", "degraded", 20000);
    put(world, "dead-two", "", 0600);
    at = host_stand_wait(world->stand, at + 1, "host_state", "reason", "unreachable", 20000);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world->stand, at), "state")), ==, "unfenceable");
    g_assert_nonnull(strstr(json_string_value(json_object_get(host_stand_event(world->stand, at), "text")), "no way in with [secret]"));
}

/* Our own plug says off: the file has somebody else's for us. */
static void test_wrong_device(void)
{
    static const FenceOptions often = { .check_us = 50 * US_PER_MS, .first_check_us = US_PER_MS };
    g_autoptr(World) world = world_new(&often);
    guint at;

    put(world, "off-9", "", 0600);
    at = host_stand_wait(world->stand, 0, "host_state", "reason", "wrong-device", 20000);
    g_assert_cmpstr(json_string_value(json_object_get(host_stand_event(world->stand, at), "id")), ==, STAND_HOST);
    for (guint i = 0; i < world->stand->events->len; i++) /* and that is no evidence about anybody */
        g_assert_false(g_strcmp0(json_string_value(json_object_get(host_stand_event(world->stand, i), "id")), STAND_HOST) == 0 &&
                       json_object_get(host_stand_event(world->stand, i), "channel") != NULL);
}

static void send_dump(const World *world)
{
    g_autoptr(GSocket) socket = g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, NULL);
    g_autoptr(GSocketAddress) to = g_inet_socket_address_new_from_string("127.0.0.1", fence_kdump_port(world->fence));
    const uint32_t message[2] = { 0x1B302A40, 1 };

    g_assert_cmpint(g_socket_send_to(socket, to, (const char *) message, sizeof message, NULL, NULL), ==, 8);
}

static void test_dump_is_waited_for(const void *max_us)
{
    FenceOptions options = { .kdump = true, .kdump_address = "127.0.0.1", .kdump_max_us = *(const int64_t *) max_us };
    g_autoptr(World) world = world_new(&options);
    g_autoptr(json_t) answer = NULL;
    g_autofree char *asked = NULL;

    send_dump(world);
    assert_told(world, 0, "kdump", "alive");
    answer = host_stand_call(world->stand, "host_fence", json_pack("{s:s, s:i}", "name", A, "timeout_ms", 2500), 20000);
    asked = get(world, "asked");
    if (options.kdump_max_us > US_PER_S) {
        g_assert_cmpstr(json_string_value(json_object_get(answer, "error")), ==, "timeout");
        g_assert_cmpstr(asked, ==, "");
    } else {
        g_assert_cmpstr(value_of(answer, "state"), ==, "off"); /* the limit is over: it is powered off all the same */
    }
}

int main(int argc, char **argv)
{
    static const int64_t long_us = US_PER_MINUTE, short_us = US_PER_S / 5;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fence/part/off-on-status", test_off_on_status);
    g_test_add_func("/fence/part/dead-bmc", test_dead_bmc);
    g_test_add_func("/fence/part/refusals", test_refusals);
    g_test_add_func("/fence/part/by-name", test_by_name);
    g_test_add_func("/fence/part/no-file", test_no_file);
    g_test_add_func("/fence/part/two-at-once", test_two_at_once);
    g_test_add_func("/fence/part/fences", test_fences_are_told);
    g_test_add_func("/fence/part/reload", test_a_new_file_is_taken_whole);
    g_test_add_func("/fence/part/health", test_health);
    g_test_add_func("/fence/part/wrong-device", test_wrong_device);
    g_test_add_data_func("/fence/part/dump-long", &long_us, test_dump_is_waited_for);
    g_test_add_data_func("/fence/part/dump-short", &short_us, test_dump_is_waited_for);
    return g_test_run();
}
