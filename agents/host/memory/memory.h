/* Memory of this host: what /proc and KSM say becomes host.sample, every so often; what QEMU's processes had to fetch from disk goes with the VMs'
 * own numbers; host_set_ksm tunes the merging of equal pages. docs/host-memory.md. Thread: the main loop's; files are read in a thread of the
 * lane "memory". */
#ifndef MEND_HOST_MEMORY_H
#define MEND_HOST_MEMORY_H

#include "agents/host/host.h"

typedef struct MemoryOptions {
    int64_t interval_us;  /* between two samples; 0: none */
    const char *proc;     /* NULL: /proc */
    const char *ksm;      /* NULL: /sys/kernel/mm/ksm */
} MemoryOptions;

typedef struct Memory Memory;

Memory *memory_new(Host *host, const MemoryOptions *options);
void memory_free(Memory *memory); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Memory, memory_free)

/* Adds host_major_faults and host_minor_faults to the numbers of @vm (a UUID): since the sample before. Nothing when its process is not known. */
void memory_add_vm_numbers(Memory *memory, const char *vm, Value *sample);

#endif
