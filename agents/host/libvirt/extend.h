/* Room for disks that grow: before the storage under one is full, or when it is and the VM stands for it, the site's own program is asked
 * to make more (to extend a logical volume, to grow a file system), and a VM that stood is resumed. Without such a program nothing here acts.
 *
 *   PROGRAM VM DISK PATH        exit 0: there is more now. In its environment: MEND_REASON (threshold, enospc, asked), MEND_TYPE (file, block),
 *                               MEND_FORMAT, MEND_CAPACITY_BYTES (the disk as the guest sees it), MEND_PHYSICAL_BYTES (its image now),
 *                               MEND_FREE_BYTES (of the file system; of a device what its image may still grow)
 *
 * What is believed is not the exit status but the room: a program that made none has failed. Failures are tried again, ever more rarely,
 * while the VM stands for that disk. Thread: the main loop's. Answers the method vm_extend. */
#ifndef MEND_HOST_EXTEND_H
#define MEND_HOST_EXTEND_H

#include "agents/host/libvirt/events.h"

typedef struct ExtendOptions {
    const char *program;   /* NULL: none */
    uint64_t low_bytes;    /* with less room than that it is asked */
    int64_t timeout_us;    /* it may take so long */
    virConnectPtr (*connection)(void *user); /* a new reference, or NULL */
    void *user;
} ExtendOptions;

typedef struct Extend Extend;

Extend *extend_new(Host *host, const ExtendOptions *options /* copied, with its strings */);
void extend_free(Extend *extend); /* a program that runs is ended; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Extend, extend_free)
/* Every event of libvirt. */
void extend_event(Extend *extend, const DomainEvent *event);
/* libvirtd is (again) there: what happened meanwhile is made good. */
void extend_connected(Extend *extend);

#endif
