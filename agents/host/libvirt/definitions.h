/* The agent's own copy of the definition of every VM it was asked to know: a host whose libvirt lost it can still start the VM.
 * FOLDER/definitions/VM.xml. Thread: any, one at a time for one VM. */
#ifndef MEND_HOST_DEFINITIONS_H
#define MEND_HOST_DEFINITIONS_H

#include "lib/base/base.h"

bool definition_keep(const char *folder, const char *vm, const char *xml, GError **error);
char *definition_kept(const char *folder, const char *vm); /* (transfer full); NULL: none */
/* Whether @xml is a domain with this UUID; else @error. A definition without one gets it from nobody: it would be another VM. */
bool definition_check(const char *xml, const char *vm, GError **error);

#endif
