/* Where leases are kept: in files of our own (lease_back_file.c), or by sanlock (lease_back_sanlock.c, where it was built in). The keeper
 * (lease_keeper.h) uses them through this. One LeaseSeat for each VM, locked by its user; calls for several VMs come from several threads.
 * All of it blocks as long as the storage, or sanlock's daemon, likes. */
#ifndef MEND_HOST_LEASE_BACK_H
#define MEND_HOST_LEASE_BACK_H

#include "agents/host/storage/lease_file.h"

typedef struct LeaseBack LeaseBack;

typedef struct LeaseSeat {
    char vm[37];
    bool held;           /* by us; until: */
    int64_t until_us;    /* lease_now_us(): the VM must be gone by then, at the earliest others take it */
    char owner[37];      /* whose it is, or was before it was free; "": not known */
    bool live;           /* that host was seen to renew it just now */
    bool ended;          /* for give(): the guard ended the VM, and its agent cannot say so: for others the lease has expired */
    /* the back-end's own */
    LeaseBlock block;
    bool watched, changed;
    int64_t since_us;
    uint64_t version, generation;
    unsigned looks;
} LeaseSeat;

typedef enum { LEASE_SEEN_NOTHING, LEASE_SEEN_HELD, LEASE_SEEN_EXPIRED, LEASE_SEEN_RELEASED } LeaseSeen;

typedef struct LeaseBackOptions { /* strings borrowed until lease_back_close() */
    const char *folder;  /* of the storage */
    const char *host;    /* UUID */
    const char *data;    /* the agent's own folder */
    LeaseTimes times;
} LeaseBackOptions;

typedef struct LeaseBackClass {
    const char *name;
    LeaseBack *(*open)(const LeaseBackOptions *options, GError **error);
    void (*close)(LeaseBack *back);
    /* Calls @found for every VM that has a lease there, whoever holds it. */
    void (*find)(LeaseBack *back, void (*found)(void *user, const char *vm), void *user);
    /* What is so now: @seat->owner and what of it. Not for one that is held. */
    LeaseSeen (*look)(LeaseBack *back, LeaseSeat *seat);
    /* TAKEN: @seat->until_us. HELD: @seat->owner, @seat->live. LOST: it was over before it was had. LATER, FAILED: @error. */
    LeaseOutcome (*take)(LeaseBack *back, LeaseSeat *seat, GError **error);
    /* TAKEN: a new @seat->until_us. FAILED: not yet. LOST: the VM must not run. */
    LeaseOutcome (*renew)(LeaseBack *back, LeaseSeat *seat);
    /* The VM is gone from here. @to: the host it runs on now, or NULL. False: @error; it stays ours until it is over. */
    bool (*give)(LeaseBack *back, LeaseSeat *seat, const char *to, GError **error);
} LeaseBackClass;

struct LeaseBack { /* first member of each back-end's own */
    const LeaseBackClass *class;
};

extern const LeaseBackClass lease_back_file, lease_back_sanlock /* where MEND_SANLOCK is defined */;

#define LEASE_BACK_ERROR lease_back_error_quark()
GQuark lease_back_error_quark(void);
typedef enum { LEASE_BACK_ERROR_UNKNOWN, LEASE_BACK_ERROR_TIMES, LEASE_BACK_ERROR_SANLOCK, LEASE_BACK_ERROR_LATER } LeaseBackError;

/* NULL: @error says which there are. */
const LeaseBackClass *lease_back_find(const char *name, GError **error);
/* False: these times do not fit it. */
bool lease_back_times(const char *name, const LeaseTimes *times, GError **error);

#endif
