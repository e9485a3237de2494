/* Network in a network namespace of this test's own: veth pairs, one of them in a bridge. Needs root; skipped without. */
#include "agents/guest/matahari/links.h"
#include "agents/guest/matahari/network.h"
#include "agents/guest/test_bench.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const some[] = {"dm*", "ve0", "br0", NULL}, *const any[] = {"*", NULL};

typedef struct Net {
    Bench *b;
    NetworkClass *network;
} Net;

static Net net_open(bool all)
{
    const NetworkOptions options = {.allowed = (char *const *) (all ? any : some), .allow_bus = all};
    Net n = {.b = bench_make()};

    bench_open(n.b);
    n.network = network_class_new(&n.b->context, &options);
    return n;
}

static void net_close(Net *n)
{
    network_class_free(n->network);
    bench_close(n->b);
    bench_drop(n->b);
}

static void test_what_is_there(void)
{
    Net n = net_open(false);
    Bench *b = n.b;

    CALL_IS("Network", "list", "{}", "{\"iface_map\":[\"lo\",\"pe0\",\"dm0\",\"pe1\",\"dm1\",\"ve1\",\"ve0\",\"br0\"]}");
    CALL_IS("Network", "status", "{\"iface\": \"lo\"}", "{\"status\":0}");
    CALL_IS("Network", "status", "{\"iface\": \"dm1\"}", "{\"status\":1}");
    CALL_IS("Network", "get_ip_address", "{\"iface\": \"dm0\"}", "{\"ip\":\"192.0.2.5\"}");
    CALL_IS("Network", "get_ip_address", "{\"iface\": \"dm1\"}", "{\"ip\":\"\"}");
    CALL_IS("Network", "get_mac_address", "{\"iface\": \"dm0\"}", "{\"mac\":\"02:00:00:00:AB:01\"}");
    CALL_IS("Network", "get_mac_address", "{\"iface\": \"lo\"}", "{\"mac\":\"00:00:00:00:00:00\"}");
    CALL_IS("Network", "status", "{\"iface\": \"nothing\"}", "{\"status\":1}");
    CALL_IS("Network", "get_ip_address", "{\"iface\": \"nothing\"}", "{\"ip\":\"\"}");
    CALL_IS("Network", "get_mac_address", "{\"iface\": \"nothing\"}", "{\"mac\":\"\"}");
    CALL_IS("Network", "status", "{}", "! Invalid Arguments");
    CALL_IS("Network", "status", "{\"iface\": \"\"}", "! Invalid Arguments");
    CALL_IS("Network", "restart", "{\"iface\": \"dm0\"}", "! Unknown method: restart");
    g_assert_cmpstr(value_get_string(qmf_object_values(qmf_agent_object(b->agent, "Network")), "uuid"), ==, b->context.identity->machine_id);
    net_close(&n);
}

static void test_up_and_down(void)
{
    Net n = net_open(false);
    Bench *b = n.b;

    CALL_IS("Network", "start", "{\"iface\": \"dm1\"}", "{\"status\":0}");
    CALL_IS("Network", "start", "{\"iface\": \"dm1\"}", "{\"status\":0}");
    CALL_IS("Network", "status", "{\"iface\": \"dm1\"}", "{\"status\":0}");
    CALL_IS("Network", "stop", "{\"iface\": \"dm1\"}", "{\"status\":1}");
    CALL_IS("Network", "stop", "{\"iface\": \"dm1\"}", "{\"status\":1}");
    CALL_IS("Network", "status", "{\"iface\": \"dm1\"}", "{\"status\":1}");
    CALL_IS("Network", "stop", "{\"iface\": \"lo\"}", "! You are not authorized for specified action (mend-guest --network-allow)");
    CALL_IS("Network", "status", "{\"iface\": \"lo\"}", "{\"status\":0}");
    CALL_IS("Network", "stop", "{\"iface\": \"nothing\"}", "! Invalid Arguments");
    CALL_IS("Network", "start", "{\"iface\": \"dm1; reboot\"}", "! Invalid Arguments");
    net_close(&n);
}

/* A connection from the bridge's address to itself: the bridge carries it, its port and what that lies on, and no one else. */
static void test_what_carries_the_bus_stays(void)
{
    static const char refusal[] = "! the agent's own connection goes over this interface (mend-guest --network-allow-bus)";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("198.51.100.1")};
    socklen_t n_bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), bus = socket(AF_INET, SOCK_STREAM, 0);
    g_autoptr(GArray) links = NULL;
    g_autofree bool *carrying = NULL;
    Net n = net_open(false);
    Bench *b = n.b;

    g_assert_cmpint(bind(listener, (struct sockaddr *) &address, n_bytes), ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(getsockname(listener, (struct sockaddr *) &address, &n_bytes), ==, 0);
    g_assert_cmpint(connect(bus, (struct sockaddr *) &address, n_bytes), ==, 0);
    links = links_read(NULL);
    carrying = links_carrying_us(links);
    for (guint i = 0; i < links->len; i++) {
        const char *name = g_array_index(links, Link, i).name;

        g_assert_cmpint(carrying[i], ==, g_str_has_prefix(name, "ve") || strcmp(name, "br0") == 0);
    }
    CALL_IS("Network", "stop", "{\"iface\": \"ve0\"}", refusal);
    CALL_IS("Network", "stop", "{\"iface\": \"br0\"}", refusal);
    CALL_IS("Network", "status", "{\"iface\": \"ve0\"}", "{\"status\":0}");
    CALL_IS("Network", "start", "{\"iface\": \"dm1\"}", "{\"status\":0}");
    CALL_IS("Network", "stop", "{\"iface\": \"dm1\"}", "{\"status\":1}");
    net_close(&n);
    n = net_open(true);
    b = n.b;
    CALL_IS("Network", "stop", "{\"iface\": \"ve0\"}", "{\"status\":1}");
    CALL_IS("Network", "start", "{\"iface\": \"ve0\"}", "{\"status\":0}");
    CALL_IS("Network", "stop", "{\"iface\": \"lo\"}", "{\"status\":1}");
    CALL_IS("Network", "status", "{\"iface\": \"lo\"}", "{\"status\":1}");
    CALL_IS("Network", "start", "{\"iface\": \"lo\"}", "{\"status\":0}");
    close(bus);
    close(listener);
    net_close(&n);
}

static bool make_network(void)
{
    return unshare(CLONE_NEWNET) == 0 &&
           system("ip link set lo up && ip link add dm0 address 02:00:00:00:ab:01 type veth peer name pe0 && "
                  "ip addr add 192.0.2.5/24 dev dm0 && ip link add dm1 type veth peer name pe1 && ip link add ve0 type veth peer name ve1 && ip link add br0 type bridge && "
                  "ip link set ve0 master br0 && ip addr add 198.51.100.1/24 dev br0 && ip link set ve0 up && ip link set ve1 up && "
                  "ip link set br0 up && ip link set dm0 up") == 0;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!make_network()) {
        g_print("skipped: no network namespace of our own can be had here (root is needed)\n");
        return 77;
    }
    g_test_add_func("/network/what is there", test_what_is_there);
    g_test_add_func("/network/up and down", test_up_and_down);
    g_test_add_func("/network/what carries the bus stays", test_what_carries_the_bus_stays);
    return g_test_run();
}
