#include "bridges/ssh/guests_file.h"

#include <glib/gstdio.h>
#include <string.h>

#define ID "id: 6f1a2b3c-0000-4000-8000-000000000001"

static GPtrArray *read_text(const char *text, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("mend-guests-XXXXXX", &path, NULL);
    GPtrArray *guests;

    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    guests = guests_file_read(path, error);
    g_unlink(path);
    return guests;
}

static void test_whole(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) guests = read_text("guests:\n"
                                            "  - " ID "\n    host: web1\n    port: 2222\n    become: sudo -n\n    known-hosts: /k\n"
                                            "    services: [systemd:nginx, {name: db, standard: ocf, provider: heartbeat, agent: Dummy}]\n"
                                            "  - {id: 6F1A2B3C-0000-4000-8000-000000000002, host: 10.0.0.2, name: two}\n", &error);
    const GuestEntry *one, *two;

    g_assert_no_error(error);
    g_assert_cmpuint(guests->len, ==, 2);
    one = guests->pdata[0];
    two = guests->pdata[1];
    g_assert_cmpstr(one->name, ==, "web1");
    g_assert_cmpuint(one->port, ==, 2222);
    g_assert_cmpstr(one->become, ==, "sudo -n");
    g_assert_cmpstr(one->systemd_bus, ==, SYSTEMD_BUS);
    g_assert_cmpuint(one->services->len, ==, 2);
    g_assert_cmpstr(((const ServiceSpec *) one->services->pdata[1])->agent, ==, "Dummy");
    g_assert_cmpstr(two->id, ==, "6f1a2b3c-0000-4000-8000-000000000002");
    g_assert_cmpstr(two->name, ==, "two");
}

static void refused(const char *text, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) guests = read_text(text, &error);

    g_assert_null(guests);
    g_assert_nonnull(error);
    if (strstr(error->message, part) == NULL)
        g_error("'%s' has no '%s'", error->message, part);
}

static void test_refused(void)
{
    refused("", "one key, 'guests'");
    refused("guests: 3\n", ":1:9: ");
    refused("guests: [3]\n", ":1:10: a guest is a map");
    refused("guests:\n  - {host: a}\n", ":2:5: a guest needs 'id'");
    refused("guests:\n  - {" ID "}\n", "needs 'host'");
    refused("guests:\n  - {id: xyz, host: a}\n", ":2:10: 'xyz' is no UUID");
    refused("guests:\n  - {" ID ", hots: a}\n", "did you mean 'host'?");
    refused("guests:\n  - {" ID ", host: -oProxyCommand=sh}\n", "cannot begin with '-'");
    refused("guests:\n  - {" ID ", host: a, port: 0}\n", "'port' must be");
    refused("guests:\n  - {" ID ", host: a, services: [process:x=/bin/y]}\n", "this guest has none");
    refused("guests:\n  - {" ID ", host: a, services: [\"tcp:x=127.0.0.1:80\"]}\n", "give the guest's address");
    refused("guests:\n  - {" ID ", host: a, services: [systemd:x, systemd:x]}\n", "already");
    refused("guests:\n  - {" ID ", host: a}\n  - {" ID ", host: b}\n", ":3:5: there is a guest");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ssh/guests/whole", test_whole);
    g_test_add_func("/ssh/guests/refused", test_refused);
    return g_test_run();
}
