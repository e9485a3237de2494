/* Until when each VM of this host may run: a file in the agent's own folder (a local disk), mapped and locked in memory, so that the guard
 * (lease_guard.h) needs no I/O to know when a VM must end. One process writes (the keeper), any may read. Times are lease_now_us();
 * what an earlier boot left is emptied by the first who opens it for writing. */
#ifndef MEND_HOST_LEASE_TABLE_H
#define MEND_HOST_LEASE_TABLE_H

#include "lib/base/base.h"

#define LEASES_MAX 4096

typedef struct LeaseTable LeaseTable;

/* @folder: exists. NULL: @error (G_FILE_ERROR). */
LeaseTable *lease_table_open(const char *folder, bool writes, GError **error);
void lease_table_close(LeaseTable *table); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LeaseTable, lease_table_close)

/* False: full. @until_us: at least 1. */
bool lease_table_set(LeaseTable *table, const char *vm, int64_t until_us);
void lease_table_clear(LeaseTable *table, const char *vm);
int64_t lease_table_until_us(const LeaseTable *table, const char *vm); /* 0: it has no entry */
/* Entry @i < LEASES_MAX. False: empty, or just being changed. */
bool lease_table_at(const LeaseTable *table, unsigned i, char ret_vm[37], int64_t *ret_until_us);

#endif
