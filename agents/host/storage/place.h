/* Whether a folder is the storage it was: one that is not mounted is an empty folder of the host's own disk, where everything works and
 * nobody else sees it. The first host that comes writes an ID into the storage, FOLDER/.mend/id; every host remembers it in a file of its
 * own. Thread: any; blocks as long as the storage likes. */
#ifndef MEND_HOST_PLACE_H
#define MEND_HOST_PLACE_H

#include "lib/base/base.h"

#define PLACE_ERROR place_error_quark()
GQuark place_error_quark(void);
typedef enum {
    PLACE_ERROR_IO,
    PLACE_ERROR_OTHER, /* it has no ID, or another one than it had */
} PlaceError;

/* The file in @data, the agent's own folder, that remembers the ID of the storage at @folder. Caller frees. */
char *place_memory(const char *data, const char *folder);
/* @memory: that file. One that is not there yet is written, and an ID is given to a storage that has none. */
bool place_check(const char *folder, const char *memory, GError **error);

#endif
