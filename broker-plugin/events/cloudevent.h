/* An Event as one message: CloudEvents 1.0, AMQP protocol binding, binary mode (docs/wire.md). */
#ifndef MEND_EVENTS_CLOUDEVENT_H
#define MEND_EVENTS_CLOUDEVENT_H

#include "broker-plugin/plugin.h"
#include "lib/model/event.h"

#define CLOUDEVENT_BODY_MAX 65536

typedef struct CloudEvent { /* a mend_msg and the texts it points to */
    mend_msg msg;
    mend_prop props[10];
    char *subject, *type, *time, *sequence, *severity, *confidence, *body;
} CloudEvent;

/* @address must outlive it. A body over the limit is replaced by what identifies it, with "truncated": true. */
void cloudevent_init(CloudEvent *ce, const Event *event, const char *address);
void cloudevent_done(CloudEvent *ce);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CloudEvent, cloudevent_done)

#endif
