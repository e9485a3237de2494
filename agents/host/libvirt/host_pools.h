/* libvirt's storage pools and networks as QMF objects. They are told by asking once a minute: nothing acts on them in seconds.
 * Thread: the main loop's, but for host_pools_read(). */
#ifndef MEND_HOST_HOST_POOLS_H
#define MEND_HOST_HOST_POOLS_H

#include "agents/host/host.h"

#include <libvirt/libvirt.h>

#define HOST_POOLS_MAX 256 /* of each kind */

typedef struct HostPools HostPools;

HostPools *host_pools_new(Host *host);
void host_pools_free(HostPools *pools); /* NULL is fine */

/* In a thread. Object name → map of its values, for both classes. (transfer full) */
Value *host_pools_read(virConnectPtr connection);
/* Objects are those of @found (borrowed), and no others. */
void host_pools_show(HostPools *pools, const Value *found);

#endif
