/* Which machine is this: the ID all of Mend knows it by (docs/wire.md). */
#ifndef MEND_BASE_MACHINE_H
#define MEND_BASE_MACHINE_H

#include "lib/base/base.h"

/* SMBIOS UUID; in a container, which shares it with its host and neighbours, and where there is none, /etc/machine-id. Canonical UUID,
 * (transfer full); NULL: neither can be read (reading SMBIOS needs root). @root: "/", or a folder that stands for it in tests. */
char *machine_uuid(const char *root);

#endif
