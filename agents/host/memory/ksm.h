/* Merging of equal pages (KSM), as the kernel offers it in /sys/kernel/mm/ksm. Blocks on files only. Thread: any.
 * Source: Documentation/admin-guide/mm/ksm.rst. */
#ifndef MEND_HOST_KSM_H
#define MEND_HOST_KSM_H

#include "lib/base/base.h"

#define KSM_FOLDER "/sys/kernel/mm/ksm"

#define KSM_FILES(X)                                                                                                          \
    X(RUN, "run") X(PAGES_TO_SCAN, "pages_to_scan") X(SLEEP, "sleep_millisecs") X(MERGE, "merge_across_nodes")                 \
    X(SHARED, "pages_shared") X(SHARING, "pages_sharing") X(UNSHARED, "pages_unshared") X(VOLATILE, "pages_volatile")           \
    X(FULL_SCANS, "full_scans")
#define X(id, name) KSM_##id,
typedef enum { KSM_FILES(X) KSM_N } KsmFile;
#undef X
#define KSM_SETTABLE (KSM_MERGE + 1) /* these can be set */

typedef struct Ksm {
    int64_t values[KSM_N]; /* -1: the kernel has no such file */
} Ksm;
bool ksm_read(const char *folder, Ksm *ret); /* false: there is no KSM */

#define KSM_ERROR ksm_error_quark()
GQuark ksm_error_quark(void);
typedef enum { KSM_ERROR_RANGE /* nothing was written */, KSM_ERROR_WRITE } KsmError;

/* Sets those of @wanted (of KSM_SETTABLE; -1: leave it) that differ, in the order the kernel needs: merge_across_nodes can be changed only while nothing
 * is shared, so what stops sharing comes first and what starts it last. Reads back. False: error says which and why; *ret is what holds now. */
bool ksm_write(const char *folder, const int64_t wanted[KSM_SETTABLE], Ksm *ret, GError **error);

#endif
