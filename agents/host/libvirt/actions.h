/* What the host agent does with VMs: the methods vm_… of class Hypervisor (schemas/mend-host.xml; docs/host-vm-actions.md has what each
 * verifies and when it refuses), through libvirt.
 * Thread: the main loop's. Every libvirt call runs in a thread (host_work), one after the other for one VM, but for vm_stop and
 * vm_abort_job, which must get past what is at work, and jobs (migration, copy, commit, dump), which take long and have a lane of their
 * own. A command is answered by its deadline whatever libvirt does. */
#ifndef MEND_HOST_ACTIONS_H
#define MEND_HOST_ACTIONS_H

#include "agents/host/host.h"

#include <libvirt/libvirt.h>

typedef struct Actions Actions;

typedef enum {
    LEASE_TAKEN,
    LEASE_NOT_NEEDED, /* this VM has none */
    LEASE_HELD,       /* by another host: the VM may run there */
    LEASE_FAILED,     /* its storage did not answer: not known */
} LeaseAnswer;
typedef void (*LeaseAnswerFn)(void *user, LeaseAnswer answer, const char *text /* for people; borrowed, may be NULL */);

typedef struct ActionsOptions {
    /* A new reference to the connection; NULL while libvirtd is away. Must be there. */
    virConnectPtr (*connection)(void *user);
    /* Of libvirtd on this machine, whose QEMUs can be seen under this folder ("/proc"); NULL: processes cannot be looked at. */
    const char *proc;
    /* Before a VM is started: takes its lease by @deadline_us (monotonic), then calls @answer once, later or at once. NULL: no leases. */
    void (*lease_acquire)(void *user, const char *vm, int64_t deadline_us, LeaseAnswerFn answer, void *answer_user);
    /* A start that failed, or a VM that is gone from here. NULL: no leases. */
    void (*lease_release)(void *user, const char *vm);
    /* Before Mend changes a VM's state: @what "intent" (@value: admin command user update;
     * "" when the command failed: what comes then was not meant) or "to" (@value: UUID of the host it moves to,
     * "" when it did not get there). Whoever tells states remembers it. NULL: nobody does. */
    void (*note)(void *user, const char *vm, const char *what, const char *value);
    /* Folder for copies of disks in this storage domain (transfer full); NULL: not known here. NULL: no storage domains. */
    char *(*storage_folder)(void *user, const char *storage);
    /* Of the storage domain that the file or device @path is in, and of the one that takes the disks of @storage when that is degraded: their
     * UUIDs (transfer full); NULL: none. There when storage_folder is. */
    char *(*storage_of)(void *user, const char *path);
    char *(*storage_failover)(void *user, const char *storage);
    void *user;

    const char *const *migration_uris; /* of "HOST=URI", HOST a UUID; NULL-terminated; NULL: none */
    /* Folders that every host sees, on file systems that libvirt does not know to be shared; NULL: none. Disks in them move without a copy
     * when they have no cache. */
    const char *const *shared_folders;
    bool post_copy;                    /* a migration that does not end otherwise may finish by it: a failure then loses the VM */
    uint64_t copy_bytes_per_s;         /* of a block copy whose call names no limit; 0: none */
    int64_t freeze_max_us;             /* file systems are thawed by then, whatever hangs; 0: 10 s */
    uint64_t evidence_bytes_max;       /* all dumps and screenshots together; 0: 4 GiB */
    unsigned evidence_per_vm;          /* kept of one VM and kind; 0: 5 */
} ActionsOptions;

/* @options: copied, with its strings. */
Actions *actions_new(Host *host, const ActionsOptions *options);
/* Waits for nothing: what is at work is told to end, and answers nobody. NULL is fine. Before host_free(). */
void actions_free(Actions *actions);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Actions, actions_free)
/* libvirtd is (again) there: file systems that an earlier life left frozen are thawed, its copies ended, jobs that are at work told. */
void actions_connected(Actions *actions);

#endif
