/* What a plugin asks its host to keep (MEND_CAP_STATE): small named documents, one file each, in memory as well. Hosts of all kinds share it.
 *
 * Thread: the plugin loop. */
#ifndef MEND_PLUGIN_HOST_STATE_H
#define MEND_PLUGIN_HOST_STATE_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

typedef struct HostState HostState;

/* Reads what is there. @folder: made when it is missing; NULL: in memory only. NULL: error, G_FILE_ERROR. */
HostState *host_state_new(const char *folder, GError **error);
void host_state_free(HostState *state); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostState, host_state_free)

/* As plugin.h has them. @who: for the log. */
mend_rc host_state_put(HostState *state, const char *who, mend_str key, mend_str value);
mend_rc host_state_get(const HostState *state, mend_str key, mend_str *ret_value);

#endif
