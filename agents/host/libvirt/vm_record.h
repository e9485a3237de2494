/* What was last told of each VM, kept over a restart of the agent and of the host: libvirt forgets why a VM does not run when it is
 * restarted itself, and a VM that died with its host must be told from one that somebody had shut down. FOLDER/vms.json.
 * Thread: the main loop's; files are written in threads. */
#ifndef MEND_HOST_VM_RECORD_H
#define MEND_HOST_VM_RECORD_H

#include "agents/host/host.h"

typedef struct VmRecord VmRecord;

typedef struct VmRecordEntry { /* borrowed until the next put or remove */
    const char *state, *intent, *reason, *boot_id;
} VmRecordEntry;

VmRecord *vm_record_open(Host *host); /* a file that cannot be read counts for none, with a warning */
void vm_record_close(VmRecord *record); /* writes what is not written yet; NULL is fine */
bool vm_record_get(const VmRecord *record, const char *vm, VmRecordEntry *ret);
void vm_record_put(VmRecord *record, const char *vm, const VmRecordEntry *entry);
void vm_record_remove(VmRecord *record, const char *vm);

#endif
