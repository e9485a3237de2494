#include "broker-plugin/post.h"

#include "broker-plugin/bridge.h"

mend_rc qmf_post(mend_host *host, const char *address, const QmfMessage *message, bool durable, mend_published_fn done, void *user)
{
    g_autoptr(AmqpMessage) amqp = qmf_message_to_amqp(message);
    g_auto(MsgView) view = { 0 };

    amqp->durable = durable;
    msg_view_init(&view, amqp, address, 0);
    return host->publish(host, &view.msg, done, user);
}

QmfMessage *qmf_of_msg(const mend_msg *msg, GError **error)
{
    g_autoptr(AmqpMessage) amqp = amqp_from_msg(msg, error);

    return amqp != NULL ? qmf_message_from_amqp(amqp, error) : NULL;
}
