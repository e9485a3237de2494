/* Messages on their way across plugin.h: mend_msg (flat, borrowed) to and from AmqpMessage (owned, with all types). */
#ifndef MEND_PLUGIN_BRIDGE_H
#define MEND_PLUGIN_BRIDGE_H

#include "broker-plugin/plugin.h"
#include "lib/amqp/message.h"

typedef struct MsgView { /* a mend_msg and what it points to, besides the AmqpMessage itself */
    mend_msg msg;
    mend_prop *props;
    GByteArray *value; /* encoded body of an amqp-value message */
} MsgView;

/* @message and @address must outlive the view. Properties that plugin.h has no type for (maps, lists) are left out. */
void msg_view_init(MsgView *view, const AmqpMessage *message, const char *address, mend_id peer);
void msg_view_done(MsgView *view);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MsgView, msg_view_done)

/* (transfer full) NULL: its body is said to be a value and does not decode. */
AmqpMessage *amqp_from_msg(const mend_msg *msg, GError **error);

#endif
