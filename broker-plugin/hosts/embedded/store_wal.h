/* Is the write-ahead log of the last run whole? SQLite itself stops reading at the first bad frame and says nothing, which is right
 * for a commit that was being written and wrong for one that was acknowledged. */
#ifndef MEND_EMBEDDED_STORE_WAL_H
#define MEND_EMBEDDED_STORE_WAL_H

#include "lib/base/base.h"

typedef enum { WAL_NONE, WAL_WHOLE, WAL_TORN /* only what was never acknowledged is lost */, WAL_DAMAGED } WalState;

typedef struct WalReport {
    WalState state;
    uint64_t commits, frames; /* good ones */
    uint64_t bad_at;          /* TORN, DAMAGED: offset of the first bad frame */
} WalReport;

/* Reads the file, changes nothing. False: it could not be read. A missing file is WAL_NONE. */
bool wal_check(const char *path, WalReport *ret_report, GError **error);

#endif
