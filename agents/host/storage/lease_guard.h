/* The process that ends VMs whose lease was not renewed: `mend-host lease-guard FOLDER MARGIN_US
 * [STORAGE_FOLDER HOST FOLDER VALID_US IO_MAX_US BACK_END]`. It outlives the agent, touches no
 * storage and asks no libvirt; it only looks at the table (lease_table.h) and, MARGIN_US before a VM's time is over, kills its QEMU, again and
 * again until there is none. One at a time for a FOLDER (lock): a second one says "busy" and ends, the first goes on for both.
 * It ends when its agent is gone and no VM is left in the table. Where a lease does not run out by itself because its VM was ended (sanlock:
 * the host holds it, and lives), one whose agent is gone has it given back by another process, LEASE_FREE_VERB. */
#ifndef MEND_HOST_LEASE_GUARD_H
#define MEND_HOST_LEASE_GUARD_H

#include "lib/base/base.h"

#define LEASE_GUARD_VERB "lease-guard"

/* Kills the process that runs @vm; true: there is none. */
typedef bool (*LeaseKillFn)(const char *vm);
/* @argv[0]: the verb. Prints "ready" or "busy". */
int lease_guard_main(int argc, char **argv, LeaseKillFn kill_vm);

#endif
