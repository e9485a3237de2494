/* The fencing part of the host agent: other hosts are powered off, on, or asked, by the devices of the fencing file; the devices are looked
 * after; crash dumps in progress are heard. Methods host_fence and host_status of Hypervisor, the fact "fences" of host.up, and events
 * host.evidence (channels bmc and kdump), host.fenceable and host.unfenceable (docs/wire.md). Thread: main loop. */
#ifndef MEND_HOST_FENCE_FENCE_H
#define MEND_HOST_FENCE_FENCE_H

#include "agents/host/host.h"

typedef struct FenceOptions {
    const char *file;       /* NULL: FENCING_FILE_DEFAULT, which need not be there */
    int64_t check_us;       /* from one look at the devices to the next; 0: never */
    int64_t first_check_us; /* the first one comes within this; 0: ten seconds */
    bool kdump;             /* listen for hosts that write a crash dump */
    const char *kdump_address; /* NULL: every one of this host */
    uint16_t kdump_port;    /* 0: any free one, for tests */
    int64_t kdump_max_us;   /* longest wait for a dump before its host is powered off all the same */
    const char *helpers;    /* folder of mend-ipmitool; NULL: beside this program */
} FenceOptions;

typedef struct Fence Fence;
/* A file that cannot be read is told in the log, to whoever asks for fencing, and by "fences" being empty: the rest of the agent works.
 * NULL: only when the port of kdump cannot be had. @options are not kept. */
Fence *fence_new(Host *host, const FenceOptions *options, GError **error);
void fence_free(Fence *fence); /* NULL is fine; calls that wait are refused */
/* Reads the file again: all of it holds from now on, or, when it has a mistake, nothing of it (told in the log). Orders that are at work are
 * ended by the devices they were begun with; the new file waits for them. */
void fence_reload(Fence *fence);
uint16_t fence_kdump_port(const Fence *fence); /* 0: it does not listen */

#endif
