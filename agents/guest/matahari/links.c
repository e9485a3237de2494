/* rtnetlink instead of /sys/class/net: the answer is always that of the network namespace we are in, whatever is mounted on /sys. One dump
 * of links and one of addresses, answered by the kernel within the call.
 *
 * Which interface a connection uses is found from the connection: its own address is on an interface. A route would say where packets would
 * go now, the socket says what the peer answers to. */
#include "agents/guest/matahari/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES  32768
#define ANSWER_WAIT_S 2
#define LINKS_MAX     4096

static void read_attributes(Link *link, struct ifinfomsg *info, size_t length)
{
    bool elsewhere = false;

    for (struct rtattr *a = IFLA_RTA(info); RTA_OK(a, length); a = RTA_NEXT(a, length)) {
        const void *data = RTA_DATA(a);
        size_t n = RTA_PAYLOAD(a);

        if (a->rta_type == IFLA_IFNAME)
            g_strlcpy(link->name, data, MIN(sizeof link->name, n + 1));
        else if (a->rta_type == IFLA_ADDRESS && n == sizeof link->mac)
            memcpy(link->mac, data, n);
        else if (a->rta_type == IFLA_MASTER && n == sizeof link->master)
            memcpy(&link->master, data, n);
        else if (a->rta_type == IFLA_LINK && n == sizeof link->below)
            memcpy(&link->below, data, n);
        else if (a->rta_type == IFLA_LINK_NETNSID)
            elsewhere = true;
    }
    if (elsewhere || link->below == link->index)
        link->below = 0;
}

/* True: the dump is over. */
static bool read_answer(GArray *links, struct nlmsghdr *header, size_t length)
{
    for (; NLMSG_OK(header, length); header = NLMSG_NEXT(header, length)) {
        struct ifinfomsg *info = NLMSG_DATA(header);
        Link link = {0};

        if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
            return true;
        if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof *info) || links->len >= LINKS_MAX)
            continue;
        link.index = info->ifi_index;
        link.up = (info->ifi_flags & IFF_UP) != 0;
        read_attributes(&link, info, IFLA_PAYLOAD(header));
        g_array_append_val(links, link);
    }
    return false;
}

static bool dump(int fd, GArray *links)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
    } request = {.header = {.nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 1}};
    const struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
    g_autofree void *answer = g_malloc(ANSWER_BYTES);
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (send(fd, &request, sizeof request, 0) != (ssize_t) sizeof request)
        return false;
    do {
        n = recv(fd, answer, ANSWER_BYTES, 0);
        if (n < 0 && errno != EINTR)
            return false;
    } while (n < 0 || !read_answer(links, answer, (size_t) n));
    return true;
}

static void add_addresses(GArray *links)
{
    struct ifaddrs *list = NULL;

    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
        Link *link = (Link *) links_find(links, a->ifa_name);

        if (link != NULL && link->ip[0] == '\0' && a->ifa_addr != NULL && a->ifa_addr->sa_family == AF_INET)
            inet_ntop(AF_INET, &((const struct sockaddr_in *) (const void *) a->ifa_addr)->sin_addr, link->ip, sizeof link->ip);
    }
    freeifaddrs(list);
}

GArray *links_read(GError **error)
{
    g_autoptr(GArray) links = g_array_new(FALSE, TRUE, sizeof(Link));
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool ok = fd >= 0 && dump(fd, links);

    if (!ok)
        g_set_error(error, G_FILE_ERROR, (int) g_file_error_from_errno(errno), "the kernel does not list network interfaces: %s",
                    g_strerror(errno));
    if (fd >= 0)
        close(fd);
    if (!ok)
        return NULL;
    add_addresses(links);
    return g_steal_pointer(&links);
}

const Link *links_find(const GArray *links, const char *name)
{
    for (guint i = 0; i < links->len; i++)
        if (strcmp(g_array_index(links, Link, i).name, name) == 0)
            return &g_array_index(links, Link, i);
    return NULL;
}

/* ---- what carries us ---- */

/* An IPv4 address of an IPv6 socket counts as IPv4. */
static bool same_address(const struct sockaddr *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_in6 *b6 = (const void *) b;

    if (a->sa_family == AF_INET6)
        return b->ss_family == AF_INET6 && memcmp(&((const struct sockaddr_in6 *) (const void *) a)->sin6_addr, &b6->sin6_addr, 16) == 0;
    if (a->sa_family != AF_INET)
        return false;
    const void *address = &((const struct sockaddr_in *) (const void *) a)->sin_addr;
    if (b->ss_family == AF_INET)
        return memcmp(address, &((const struct sockaddr_in *) (const void *) b)->sin_addr, 4) == 0;
    return b->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&b6->sin6_addr) && memcmp(address, &b6->sin6_addr.s6_addr[12], 4) == 0;
}

static bool connected_here(int fd, struct sockaddr_storage *ret_own)
{
    struct sockaddr_storage peer;
    socklen_t n_peer = sizeof peer, n_own = sizeof *ret_own;
    int type = 0;
    socklen_t n_type = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n_type) == 0 && type == SOCK_STREAM &&
           getpeername(fd, (struct sockaddr *) &peer, &n_peer) == 0 && getsockname(fd, (struct sockaddr *) ret_own, &n_own) == 0;
}

static void mark_owner(const GArray *links, bool *carrying, const struct ifaddrs *list, const struct sockaddr_storage *own)
{
    for (const struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
        const Link *link = a->ifa_addr != NULL && same_address(a->ifa_addr, own) ? links_find(links, a->ifa_name) : NULL;

        if (link != NULL)
            carrying[link - (const Link *) (const void *) links->data] = true;
    }
}

static void spread(const GArray *links, bool *carrying)
{
    bool more = true;

    while (more) {
        more = false;
        for (guint i = 0; i < links->len; i++)
            for (guint j = 0; carrying[i] && j < links->len; j++) {
                const Link *top = &g_array_index(links, Link, i), *other = &g_array_index(links, Link, j);

                if (!carrying[j] && (other->master == top->index || top->below == other->index))
                    carrying[j] = more = true;
            }
    }
}

bool *links_carrying_us(const GArray *links)
{
    bool *carrying = g_new0(bool, links->len + 1);
    g_autoptr(GDir) open = g_dir_open("/proc/self/fd", 0, NULL);
    struct ifaddrs *list = NULL;
    struct sockaddr_storage own;
    const char *name;

    if (open == NULL || getifaddrs(&list) != 0) { /* not to be found out: then all of them may */
        memset(carrying, true, links->len);
        return carrying;
    }
    while ((name = g_dir_read_name(open)) != NULL)
        if (connected_here((int) g_ascii_strtoll(name, NULL, 10), &own))
            mark_owner(links, carrying, list, &own);
    freeifaddrs(list);
    spread(links, carrying);
    return carrying;
}
