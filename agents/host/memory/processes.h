/* QEMU's processes and ksmd, from /proc. Blocks on files only; one thread at a time. */
#ifndef MEND_HOST_PROCESSES_H
#define MEND_HOST_PROCESSES_H

#include "agents/host/memory/proc_text.h"

typedef struct VmProcess {
    int64_t pid, start_ticks;
    char *vm;                  /* UUID, as its arguments have it; NULL: it has none */
    int64_t minor_faults, major_faults;             /* counters */
    int64_t minor_since, major_since;               /* since the look before; -1: the first look */
} VmProcess;

typedef struct Processes {
    char *proc;
    GPtrArray *vms;            /* of VmProcess */
    int64_t qemu_bytes;        /* virtual memory of all QEMUs: what they may offer for merging */
    int64_t ksmd_pid, ksmd_ticks; /* pid 0: not seen */
} Processes;

Processes *processes_new(const char *proc);
void processes_free(Processes *processes);
void processes_look(Processes *processes);

#endif
