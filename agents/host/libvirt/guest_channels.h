/* Which ways into their guests the running VMs have: ports of virtio-serial whose host's end is a UNIX socket, the QEMU guest agent's
 * channel, vsock. From the definitions of running domains, kept up with libvirt's events. Thread: the main loop's. */
#ifndef MEND_HOST_GUEST_CHANNELS_H
#define MEND_HOST_GUEST_CHANNELS_H

#include "agents/host/libvirt/connection.h"

typedef struct GuestChannel {
    char *vm;        /* UUID */
    char *bus_path;  /* UNIX socket of io.mend.bus.0; NULL: none */
    char *ovirt_path;/* of com.redhat.rhevm.vdsm, else of ovirt-guest-agent.0; NULL: none */
    bool agent, agent_connected; /* org.qemu.guest_agent.0: the VM has it; somebody in the guest has it open */
    uint32_t cid;    /* vsock address; 0: none */
} GuestChannel;

/* NULL: no domain XML. */
GuestChannel *guest_channel_parse(const char *xml, GError **error);
void guest_channel_free(GuestChannel *channel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestChannel, guest_channel_free)

typedef struct GuestChannels GuestChannels;

/* @fn: what a VM has now, told at its start and with every change; at its end with nothing in it but @vm. */
GuestChannels *guest_channels_new(Host *host, Connection *connection, void (*fn)(const GuestChannel *now, void *user), void *user);
void guest_channels_free(GuestChannels *channels); /* after connection_free(). NULL is fine */

#endif
