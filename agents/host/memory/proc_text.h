/* What the kernel writes in /proc, as numbers. Pure. A number that is not there is -1 (older kernels, other architectures).
 * Source: proc(5), Documentation/filesystems/proc.rst. */
#ifndef MEND_HOST_PROC_TEXT_H
#define MEND_HOST_PROC_TEXT_H

#include "lib/base/base.h"

typedef struct MemInfo { /* /proc/meminfo; bytes */
    int64_t total, unused, available, buffers, cached, anon, swap_total, swap_unused;
} MemInfo;
bool meminfo_parse(const char *text, MemInfo *ret); /* false: not even MemTotal and MemFree */

typedef struct VmStat { /* /proc/vmstat; pages since boot */
    int64_t swap_in, swap_out;
} VmStat;
void vmstat_parse(const char *text, VmStat *ret);

typedef struct ProcessStat { /* /proc/PID/stat */
    char name[64];           /* without the brackets; it may hold spaces and brackets */
    int64_t minor_faults, major_faults, cpu_ticks, start_ticks, virtual_bytes, resident_pages;
} ProcessStat;
bool process_stat_parse(const char *text, ProcessStat *ret);

#endif
