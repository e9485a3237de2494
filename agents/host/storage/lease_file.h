/* A lease on shared storage that needs nothing but a file: who holds it may run the VM, nobody else. For hosts without sanlock, behind the
 * same use. One block of 4 KiB, FOLDER/.mend/lease-VM, written and read past the page cache:
 *   "mend-lease 1 VM OWNER GENERATION RENEWALS CHECKSUM", OWNER a host's UUID, or "-" when it is free; padded with newlines.
 *
 * The algorithm is the light-weight lease of Chockler and Malkhi (2002), as sanlock's delta leases:
 *   take:   read; free, or unchanged for VALID (watched by the reader's own clock)? write ourselves with GENERATION + 1; wait SETTLE; read:
 *           still ourselves? taken. A write that was not on the storage IO_MAX after the read began does not count: it may have come too
 *           late. SETTLE > IO_MAX: whoever reads before the first write has written before the last look, so exactly one sees itself.
 *   renew:  the owner writes RENEWALS + 1; the lease holds until VALID after the renewal began. A block that says somebody else while
 *           the lease holds was written too late by one who knows that it lost: it is written over.
 *   lost:   not renewed in time: the VM must be gone before VALID is over, that is the owner's duty.
 * What it needs: the storage writes 4 KiB whole, and what one host has written the next one reads. What it does not cover: a host that
 * stands still as a whole with its VMs running (a stopped agent alone is covered by the guard, lease_guard.h), and clocks that run at
 * very different speeds; VALID has a margin of an eighth for them.
 * Thread: any; all of it blocks as long as the storage likes. */
#ifndef MEND_HOST_LEASE_FILE_H
#define MEND_HOST_LEASE_FILE_H

#include "lib/base/base.h"

typedef struct LeaseTimes {
    int64_t valid_us;  /* 80 s */
    int64_t io_max_us; /* 1 s */
    int64_t settle_us; /* 2 s; more than io_max_us */
} LeaseTimes;

typedef struct LeaseBlock {
    char owner[37];    /* "-": free */
    uint64_t generation, renewals;
} LeaseBlock;

typedef struct LeaseFile { /* plain data; strings borrowed */
    const char *folder, *vm, *host;
    LeaseTimes times;
    const char *memory; /* of the storage, see place.h; NULL: it may be any folder */
} LeaseFile;

typedef enum {
    LEASE_FILE_TAKEN,  /* held by us, until *@ret_until_us */
    LEASE_FILE_HELD,   /* by somebody else: @ret_block */
    LEASE_FILE_LOST,   /* we had it, and did not renew in time: the VM must not run */
    LEASE_FILE_LATER,  /* not yet (sanlock: the host is just joining), ask again: @error */
    LEASE_FILE_FAILED, /* the storage did not do it, or not in time: @error */
} LeaseOutcome;

#define LEASE_FILE_ERROR lease_file_error_quark()
GQuark lease_file_error_quark(void);
typedef enum { LEASE_FILE_ERROR_IO /* also: it is not the storage it was */, LEASE_FILE_ERROR_SLOW, LEASE_FILE_ERROR_DAMAGED } LeaseFileError;

/* CLOCK_BOOTTIME: goes on while the machine sleeps. All times here are of it. */
int64_t lease_now_us(void);

/* What stands there; no file: free, generation 0. False: error. A damaged block is an error, for a person to look at: it is never free. */
bool lease_file_read(const LeaseFile *lease, LeaseBlock *ret, GError **error);
/* @watched: the block as it was when it last changed, @watched_since_us when that was seen; NULL: not watched, then only a free lease or our
 * own is taken. Ours from before (an earlier life of the agent) is renewed. */
LeaseOutcome lease_file_take(const LeaseFile *lease, const LeaseBlock *watched, int64_t watched_since_us, LeaseBlock *ret_block, int64_t *ret_until_us,
                             GError **error);
/* @mine: as take or renew gave it, written anew. @until_us: as they gave it. */
LeaseOutcome lease_file_renew(const LeaseFile *lease, LeaseBlock *mine, int64_t until_us, int64_t *ret_until_us, GError **error);
/* Only what is ours is freed; the VM must be gone. False: error. */
bool lease_file_release(const LeaseFile *lease, GError **error);
/* The VM runs on host @to now, which it moved to: the lease is that host's, as if it had taken it, and no third one's meanwhile. */
bool lease_file_hand(const LeaseFile *lease, const char *to, GError **error);

#endif
