/* A virtio-serial port with ovirt-guest-agent at its other end: the UNIX socket that is the host's end, opened again whenever it is lost;
 * after OVIRT_PORT_TRIES failures in a row it is left alone for a while. Thread: the main loop's. */
#ifndef MEND_HOST_CHANNEL_OVIRT_PORT_H
#define MEND_HOST_CHANNEL_OVIRT_PORT_H

#include "agents/host/channel/ovirt.h"

#define OVIRT_PORT_TRIES       5
#define OVIRT_PORT_RETRY_US    US_PER_S
#define OVIRT_PORT_COOLDOWN_US US_PER_MINUTE
#define OVIRT_PORT_QUEUE_MAX   65536 /* bytes the guest does not take; what comes after them is dropped */

typedef struct OvirtPort OvirtPort;
OvirtPort *ovirt_port_new(const char *path, const OvirtHooks *hooks);
void ovirt_port_free(OvirtPort *port); /* NULL is fine */
void ovirt_port_tick(OvirtPort *port); /* at least once a second */
const char *ovirt_port_path(const OvirtPort *port);
OvirtGuest *ovirt_port_guest(const OvirtPort *port);
unsigned ovirt_port_failures(const OvirtPort *port); /* in a row */

#endif
