/* What must be remembered of a service across a restart of the agent: small JSON objects, one file per service. Written whole and
 * at once (rename), without fsync: all but "wanted" is only true until the machine reboots. */
#ifndef MEND_GUEST_MEMORY_H
#define MEND_GUEST_MEMORY_H

#include "agents/guest/services/backend.h"

/* @folder is made when missing (0700). NULL: error. */
Memory *memory_new(const char *folder, GError **error);
void memory_free(Memory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Memory, memory_free)

/* What was remembered of @name in this boot or before; an empty object when nothing or unreadable. "boot_id" inside tells which
 * boot. @memory NULL: always empty. (transfer full) */
json_t *memory_load(const Memory *memory, const char *name);
/* True when @record was written in the running boot. */
bool memory_same_boot(const Memory *memory, const json_t *record);
/* The boot that is running, where services are another machine's. @boot_id is copied. */
void memory_set_boot(Memory *memory, const char *boot_id);
/* Sets the keys of @change (a null removes one), and the boot id. Failures are logged: the service matters more. */
void memory_change(const Memory *memory, const char *name, json_t *change /* (transfer full) */);
void memory_forget(const Memory *memory, const char *name);
/* /proc/sys/kernel/random/boot_id, read once. Borrowed. */
const char *boot_id(void);

#endif
