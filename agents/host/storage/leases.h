/* The leases of this host's VMs on one storage domain: taken before a VM starts, renewed while it runs, given back when it is gone, handed to
 * the host it moves to; and the VM is killed before its lease can be another's (lease_guard.h). What is seen of leases is told as
 * vm.evidence, channel "lease": `host` is the host whose lease it is, `by` the one who says so.
 * Thread: the main loop's. Storage, libvirt and the clock are other processes' and threads' business. */
#ifndef MEND_HOST_LEASES_H
#define MEND_HOST_LEASES_H

#include "agents/host/host.h"

typedef struct Leases Leases;

typedef struct LeaseVm { /* a VM that is here */
    char vm[37];
    bool waits;   /* does not run yet: a migration comes in */
    bool arrived; /* may have come by a migration: its lease is still on its way */
    bool leased;  /* is one that has a lease */
} LeaseVm;

typedef struct LeasesOptions {
    const char *folder;  /* of the storage domain */
    const char *program; /* that has LEASE_KEEPER_VERB and LEASE_GUARD_VERB: /proc/self/exe */
    const char *back;    /* "file" or "sanlock", see lease_back.h; this and the times are the same on all hosts */
    int64_t valid_us, io_max_us;
    /* Main loop: what a look at the VMs needs. It is given to one of the two below, which frees it. */
    void *(*eyes)(void *user);
    /* In a thread: appends every VM that is here, to @ret; those of @known (NULL-terminated) have a lease; a process of theirs that
     * libvirt does not know counts. False: not known. */
    bool (*look)(void *eyes, const char *const *known, GArray *ret /* of LeaseVm */);
    /* In a thread: 1: @vm has a lease, 0: has none, -1: not known. */
    int (*wanted)(void *eyes, const char *vm);
    void (*changed)(void *user, const char *vm); /* leases_has(); may be NULL */
    void *user;
} LeasesOptions;

typedef enum { LEASES_TAKEN, LEASES_NOT_NEEDED, LEASES_HELD, LEASES_FAILED } LeasesAnswer;
typedef void (*LeasesAnswerFn)(void *user, LeasesAnswer answer, const char *text);

#define LEASES_ERROR leases_error_quark()
GQuark leases_error_quark(void);
typedef enum { LEASES_ERROR_SETTING } LeasesError;

/* @options: strings copied. NULL: error, which names the setting. */
Leases *leases_new(Host *host, const LeasesOptions *options, GError **error);
/* Nothing is given back: VMs run on until their time is over, or another agent takes over. NULL is fine; before host_free(). */
void leases_free(Leases *leases);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Leases, leases_free)

/* @fn is called exactly once, by @deadline_us (clock_now_us) or in leases_free(). A lease that another host has and does not renew is waited
 * for until then; one that it renews is HELD at once. */
void leases_acquire(Leases *leases, const char *vm, int64_t deadline_us, LeasesAnswerFn fn, void *user);
void leases_release(Leases *leases, const char *vm); /* the VM is not here */
void leases_moving(Leases *leases, const char *vm, const char *to); /* "": it does not */
bool leases_has(const Leases *leases, const char *vm); /* it is held here */
void leases_look(Leases *leases); /* VMs have come or gone: looks soon */

#endif
