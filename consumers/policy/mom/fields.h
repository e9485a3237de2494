/* What rules may ask of the host and of guests: MOM's names with MOM's units (kB), and where each comes from in vm.sample and host.sample
 * (docs/wire.md). A field that no sample told is nil, as MOM's optional collectors have it. */
#ifndef MEND_POLICY_MOM_FIELDS_H
#define MEND_POLICY_MOM_FIELDS_H

#include "consumers/policy/mom/value.h"

#define MOM_OF_HOST  1u
#define MOM_OF_GUEST 2u

/* X(id, MOM's name, of host or guest, name in a sample or NULL, what one unit here is there) */
#define MOM_FIELDS(X)                                                                   \
    X(MEM_AVAILABLE, "mem_available", 1, "memory_bytes", 1024)                          \
    X(MEM_UNUSED, "mem_unused", 1, "memory_unused_bytes", 1024)                         \
    X(MEM_FREE, "mem_free", 1, "memory_free_bytes", 1024)                               \
    X(SWAP_IN, "swap_in", 1, "swap_in", 1)                                              \
    X(SWAP_OUT, "swap_out", 1, "swap_out", 1)                                           \
    X(ANON_PAGES, "anon_pages", 1, "anon_bytes", 1024)                                  \
    X(SWAP_TOTAL, "swap_total", 1, "swap_bytes", 1024)                                  \
    X(SWAP_USAGE, "swap_usage", 1, "swap_used_bytes", 1024)                             \
    X(KSM_RUN, "ksm_run", 1, "ksm_run", 1)                                              \
    X(KSM_SLEEP, "ksm_sleep_millisecs", 1, "ksm_sleep_ms", 1)                           \
    X(KSM_SHARED, "ksm_pages_shared", 1, "ksm_pages_shared", 1)                         \
    X(KSM_SHARING, "ksm_pages_sharing", 1, "ksm_pages_sharing", 1)                      \
    X(KSM_UNSHARED, "ksm_pages_unshared", 1, "ksm_pages_unshared", 1)                   \
    X(KSM_VOLATILE, "ksm_pages_volatile", 1, "ksm_pages_volatile", 1)                   \
    X(KSM_TO_SCAN, "ksm_pages_to_scan", 1, "ksm_pages_to_scan", 1)                      \
    X(KSM_FULL_SCANS, "ksm_full_scans", 1, "ksm_full_scans", 1)                         \
    X(KSM_MERGE, "ksm_merge_across_nodes", 1, "ksm_merge_across_nodes", 1)              \
    X(KSM_SHAREABLE, "ksm_shareable", 1, "ksm_shareable_bytes", 1024)                   \
    X(KSMD_CPU, "ksmd_cpu_usage", 1, "ksmd_cpu_percent", 1)                             \
    X(CPU_COUNT, "cpu_count", 1, "cpus", 1)                                             \
    X(TIME_YEAR, "time_year", 1, NULL, 1)                                               \
    X(TIME_MONTH, "time_month", 1, NULL, 1)                                             \
    X(TIME_DAY, "time_day", 1, NULL, 1)                                                 \
    X(TIME_HOUR, "time_hour", 1, NULL, 1)                                               \
    X(TIME_MINUTE, "time_minute", 1, NULL, 1)                                           \
    X(TIME_SECOND, "time_second", 1, NULL, 1)                                           \
    X(TIME_MICROSECOND, "time_microsecond", 1, NULL, 1)                                 \
    X(GUEST_AVAILABLE, "mem_available", 2, "guest_memory_bytes", 1024)                  \
    X(GUEST_UNUSED, "mem_unused", 2, "guest_unused_bytes", 1024)                        \
    X(GUEST_FREE, "mem_free", 2, "guest_available_bytes", 1024)                         \
    X(MAJOR_FAULT, "major_fault", 2, "guest_major_faults", 1)                           \
    X(MINOR_FAULT, "minor_fault", 2, "guest_minor_faults", 1)                           \
    X(GUEST_SWAP_IN, "swap_in", 2, "guest_swap_in_bytes", 1024)                         \
    X(GUEST_SWAP_OUT, "swap_out", 2, "guest_swap_out_bytes", 1024)                      \
    X(GUEST_SWAP_TOTAL, "swap_total", 2, "guest_swap_bytes", 1024)                      \
    X(GUEST_SWAP_USAGE, "swap_usage", 2, "guest_swap_used_bytes", 1024)                 \
    X(HOST_MINOR_FAULTS, "host_minor_faults", 2, "host_minor_faults", 1)                \
    X(HOST_MAJOR_FAULTS, "host_major_faults", 2, "host_major_faults", 1)                \
    X(RSS, "rss", 2, "rss_bytes", 4096)                                                 \
    X(BALLOON_CUR, "balloon_cur", 2, "balloon_bytes", 1024)                             \
    X(BALLOON_MAX, "balloon_max", 2, "balloon_max_bytes", 1024)                         \
    X(BALLOON_MIN, "balloon_min", 2, "balloon_min_bytes", 1024)                         \
    X(VCPU_QUOTA, "vcpu_quota", 2, "vcpu_quota_us", 1)                                  \
    X(VCPU_PERIOD, "vcpu_period", 2, "vcpu_period_us", 1)                               \
    X(VCPU_USER_LIMIT, "vcpu_user_limit", 2, "vcpu_limit_percent", 1)                   \
    X(VCPU_COUNT, "vcpu_count", 2, "vcpus", 1)                                          \
    X(IO_TUNE, "io_tune", 2, NULL, 1)                                                   \
    X(IO_TUNE_CURRENT, "io_tune_current", 2, NULL, 1)

#define X(id, name, of, wire, unit) MOM_FIELD_##id,
typedef enum { MOM_FIELDS(X) MOM_FIELD_N } MomField;
#undef X

typedef struct MomFieldInfo {
    const char *name, *wire; /* wire NULL: from no single number of a sample */
    guint of, unit;
} MomFieldInfo;
extern const MomFieldInfo mom_field_infos[MOM_FIELD_N];

/* MOM_FIELD_N: neither. @of: MOM_OF_HOST or MOM_OF_GUEST. */
MomField mom_field(guint of, const char *name);
MomField mom_field_of_sample(guint of, const char *wire);

/* What was true at one moment: numbers (INT, FLOAT), or nil, at the fields' own places (mom_row_slot). */
#define MOM_ROW_N 27
typedef struct MomRow {
    MomValue values[MOM_ROW_N]; /* of INT, FLOAT, BOOL, NIL */
} MomRow;
guint mom_row_slot(MomField field); /* host and guest rows both begin at 0 */
MomField mom_row_field(guint of, guint slot); /* MOM_FIELD_N: beyond the last */

#endif
