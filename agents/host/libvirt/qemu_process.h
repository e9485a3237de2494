/* QEMU processes as the kernel knows them: libvirt may have lost one it started. Thread: any; blocks only on /proc. */
#ifndef MEND_HOST_QEMU_PROCESS_H
#define MEND_HOST_QEMU_PROCESS_H

#include "lib/base/base.h"

#include <sys/types.h>

/* A process that runs the VM with this UUID: argv[0] is a qemu, and "-uuid UUID" is among its arguments. 0: none. -1: @proc cannot be read,
 * so nothing is known. One that ends counts until its last thread has closed its files, though its arguments are gone by then: it is known by
 * an earlier look, and counts for every VM when no look has seen it. What only waits to be reaped does not count. @proc: "/proc". */
pid_t qemu_process_find(const char *proc, const char *uuid);
/* "D (waits for a device)": what it does. (transfer full) */
char *qemu_process_state(const char *proc, pid_t pid);
/* Sends SIGKILL when it is still the one that runs @uuid. */
bool qemu_process_kill(const char *proc, pid_t pid, const char *uuid);

#endif
