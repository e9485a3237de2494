#include "agents/host/fence/kdump.h"
#include "lib/base/clock.h"

#include <gio/gio.h>
#include <string.h>

#define TEXT "fencing: 1\ndevices: [{name: d, agent: fence_x}]\nhosts: [{name: h, levels: [d], addresses: [127.0.0.1, 127.0.0.2]}, {name: g, levels: [d]}]\n"

typedef struct World {
    FencingFile *file;
    Kdump *kdump;
    GSocket *socket;
    unsigned begun, over;
    const FenceHost *host;
} World;

static void on_dump(const FenceHost *host, bool begun, void *user)
{
    World *world = user;

    world->host = host;
    world->begun += begun;
    world->over += !begun;
}

static void world_init(World *world, const char *address)
{
    g_autoptr(GError) error = NULL;

    world->file = fencing_file_parse("f", TEXT, strlen(TEXT), &error);
    g_assert_no_error(error);
    world->kdump = kdump_new(world->file, address, 0, 200 * US_PER_MS, on_dump, world, &error);
    g_assert_no_error(error);
    world->socket = g_socket_new(G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, &error);
    g_assert_no_error(error);
}

static void world_done(World *world)
{
    kdump_free(world->kdump);
    fencing_file_free(world->file);
    g_object_unref(world->socket);
}

static void send_words(World *world, uint32_t magic, uint32_t version, size_t n_bytes)
{
    g_autoptr(GSocketAddress) to = g_inet_socket_address_new_from_string("127.0.0.1", kdump_port(world->kdump));
    uint32_t words[3] = { magic, version, 0 };
    g_autoptr(GError) error = NULL;

    g_socket_send_to(world->socket, to, (const char *) words, n_bytes, NULL, &error);
    g_assert_no_error(error);
}

static gboolean on_time(void *user)
{
    *(bool *) user = true;
    return G_SOURCE_REMOVE;
}

static void run_for(unsigned ms)
{
    bool over = false;

    g_timeout_add(ms, on_time, &over);
    while (!over)
        g_main_context_iteration(NULL, TRUE);
}

static void test_a_dump(const void *address)
{
    World world = { 0 };

    world_init(&world, address);
    g_assert_cmpint(kdump_since_us(world.kdump, world.file->hosts->pdata[0]), ==, 0);
    send_words(&world, 0x1B302A40, 1, 8);
    send_words(&world, GUINT32_SWAP_LE_BE(0x1B302A40), GUINT32_SWAP_LE_BE(1), 8); /* the other byte order, at once: not told again */
    while (world.begun == 0)
        g_main_context_iteration(NULL, TRUE);
    run_for(20);
    g_assert_cmpuint(world.begun, ==, 1);
    g_assert_true(world.host == world.file->hosts->pdata[0]);
    g_assert_cmpint(kdump_since_us(world.kdump, world.host), >, 0);
    g_assert_cmpint(kdump_since_us(world.kdump, world.file->hosts->pdata[1]), ==, 0);
    while (world.over == 0)
        g_main_context_iteration(NULL, TRUE);
    g_assert_cmpint(kdump_since_us(world.kdump, world.host), ==, 0);
    world_done(&world);
}

static void test_other_messages(void)
{
    World world = { 0 };

    world_init(&world, "127.0.0.1");
    send_words(&world, 0x1B302A41, 1, 8);
    send_words(&world, 0x1B302A40, 2, 8);
    send_words(&world, 0x1B302A40, 1, 7);
    send_words(&world, 0x1B302A40, 1, 12);
    send_words(&world, 0, 0, 0);
    run_for(30);
    g_assert_cmpuint(world.begun, ==, 0);
    world_done(&world);
}

static void test_a_taken_port(void)
{
    World world = { 0 };
    g_autoptr(GError) error = NULL;

    world_init(&world, "127.0.0.1");
    g_assert_null(kdump_new(NULL, "127.0.0.1", kdump_port(world.kdump), 0, on_dump, NULL, &error));
    g_assert_true(g_str_has_prefix(error->message, "kdump, UDP port "));
    g_clear_error(&error);
    g_assert_null(kdump_new(NULL, "nowhere", 0, 0, on_dump, NULL, &error));
    g_assert_cmpstr(error->message, ==, "kdump: 'nowhere' is no IP address");
    world_done(&world);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/fence/kdump/ipv4", "127.0.0.1", test_a_dump);
    g_test_add_data_func("/fence/kdump/any", NULL, test_a_dump);
    g_test_add_func("/fence/kdump/other-messages", test_other_messages);
    g_test_add_func("/fence/kdump/taken-port", test_a_taken_port);
    return g_test_run();
}
