/* Files kept as evidence of what a VM was like before something was done to it: FOLDER/evidence/VM/TIME-KIND. Nobody but root reads them;
 * their number and their bytes are limited, the oldest go first. Thread: any. */
#ifndef MEND_HOST_EVIDENCE_H
#define MEND_HOST_EVIDENCE_H

#include "lib/base/base.h"

/* The path for a new file of @kind ("screen.png"), with its folder made. Write to it with ".part" added, then evidence_keep(). NULL: @error. */
char *evidence_path(const char *folder, const char *vm, const char *kind, GError **error);
/* Room for @bytes: removes the oldest of all VMs while all together are over @bytes_max, and of this VM and kind's last word ("png")
 * while there are more than @per_vm - 1. False: @bytes alone are too many, or the disk has no room for them; @error says which. */
bool evidence_make_room(const char *folder, const char *vm, const char *kind, uint64_t bytes, uint64_t bytes_max, unsigned per_vm, GError **error);
/* Renames PATH.part to @path, 0600, on disk; gives its size and SHA-256 (transfer full). */
bool evidence_keep(const char *path, uint64_t *ret_bytes, char **ret_sha256, GError **error);
/* What an earlier life left half written. */
void evidence_tidy(const char *folder);

#endif
