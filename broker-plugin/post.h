/* QMF messages out through the host's table. */
#ifndef MEND_PLUGIN_POST_H
#define MEND_PLUGIN_POST_H

#include "broker-plugin/plugin.h"
#include "lib/qmf/message.h"

/* To node @address; what the host answered. @done may be NULL. */
mend_rc qmf_post(mend_host *host, const char *address, const QmfMessage *message, bool durable, mend_published_fn done, void *user);
/* NULL: no QMF message. (transfer full) */
QmfMessage *qmf_of_msg(const mend_msg *msg, GError **error);

#endif
