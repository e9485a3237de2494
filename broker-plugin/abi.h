/* Small helpers for both sides of plugin.h: texts and errors as the border wants them. */
#ifndef MEND_PLUGIN_ABI_H
#define MEND_PLUGIN_ABI_H

#include "broker-plugin/plugin.h"
#include "lib/base/base.h"

/* Borrowed view of a C string; NULL gives the empty one. */
mend_str str_of(const char *text);
/* Copy with a terminating 0; NULL when empty. Caller frees. */
char *str_dup(mend_str text);
bool str_equal(mend_str text, const char *other);

/* Writes @code and the text (cut to fit) when the caller gave a buffer; returns @code. */
mend_rc error_fill(mend_error *ret, mend_rc code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Line for the host's log. */
void host_log(mend_host *host, int32_t level, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* A random UUID out of the host's dice, so that a simulated world repeats itself. Caller frees. */
char *host_uuid(mend_host *host);

/* Borrowed from @msg; NULL: absent. */
const mend_prop *msg_prop(const mend_msg *msg, const char *key);

const char *rc_name(mend_rc rc); /* "BUSY" … for logs */

#endif
