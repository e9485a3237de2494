/* The network interfaces of this machine, as the kernel tells them over rtnetlink. Thread: any. */
#ifndef MEND_GUEST_LINKS_H
#define MEND_GUEST_LINKS_H

#include "lib/base/base.h"

#define LINK_NAME_BYTES 16 /* IFNAMSIZ */

typedef struct Link {
    int index;
    char name[LINK_NAME_BYTES];
    bool up;          /* administratively: IFF_UP */
    uint8_t mac[6];   /* zeros where it has none */
    int master;       /* index of the bond or bridge it belongs to; 0: none */
    int below;        /* index of what it lies on (VLAN) or of its other end (veth), in this namespace; 0: none */
    char ip[16];      /* first IPv4 address as text, "" when there is none */
} Link;

/* (transfer full): of Link, in the kernel's order. NULL: error. */
GArray *links_read(GError **error);
const Link *links_find(const GArray *links, const char *name); /* NULL: none of that name */

/* Marks, for each of @links, whether a TCP connection of this process goes over it: the interface that has the connection's own address,
 * the ports of it when it is a bond or bridge, and what it lies on. (transfer full): as many bools as @links; g_free. */
bool *links_carrying_us(const GArray *links);

#endif
