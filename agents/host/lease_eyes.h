/* What leases need to know of this host's VMs, from libvirt and /proc: which are here, and which have a disk on the storage of leases. */
#ifndef MEND_HOST_LEASE_EYES_H
#define MEND_HOST_LEASE_EYES_H

#include "lib/base/base.h"

#include <libvirt/libvirt.h>

/* @connection: (transfer full) or NULL. @proc: "/proc", or NULL when libvirt is on another machine. @folder: of the storage. */
void *lease_eyes_new(virConnectPtr connection, const char *proc, const char *folder);
/* For LeasesOptions; in a thread; each frees @eyes. */
bool lease_eyes_look(void *eyes, const char *const *known, GArray *ret);
int lease_eyes_wanted(void *eyes, const char *vm);

#endif
