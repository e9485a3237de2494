/* What Matahari's Host class tells of a machine, read from /proc and uname. Thread: any. */
#ifndef MEND_GUEST_HOST_FACTS_H
#define MEND_GUEST_HOST_FACTS_H

#include "lib/base/base.h"

typedef struct HostFacts {
    char *os, *arch, *cpu_model, *cpu_flags; /* os: "Linux (6.1.0-18-amd64)" */
    unsigned wordsize, cpu_count, cpu_cores;
    uint64_t memory_kb, swap_kb;
} HostFacts;
/* Never fails: what cannot be read is empty or 0. */
void host_facts_read(HostFacts *facts);
void host_facts_done(HostFacts *facts);

typedef struct HostLoad {
    uint64_t free_memory_kb, free_swap_kb;
    double load[3]; /* 1, 5, 15 minutes */
    int total, idle, zombie, running, stopped, sleeping; /* processes */
} HostLoad;
HostLoad host_load_read(void);

#endif
