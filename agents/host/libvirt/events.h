/* Every event libvirt tells of domains, decoded once and handed on in the order it came, in the main loop.
 * Ids that this program does not know (a libvirt newer than it) are registered too, and handed on with their number alone.
 * Thread: the main loop's. */
#ifndef MEND_HOST_EVENTS_H
#define MEND_HOST_EVENTS_H

#include "agents/host/libvirt/connection.h"
#include "lib/amqp/value.h"

#define EVENTS_ID_LIMIT 48          /* ids from here on are not asked for */
#define EVENTS_EARLY_MAX 100000     /* that come while a connection is still being taken up; one more, and it is opened anew */

typedef struct DomainEvent {
    const char *vm, *name; /* UUID, name */
    int id;                /* virDomainEventID, or a number beyond */
    int kind, detail;      /* EVENT_WORD_NONE: it has none */
    const char *reason;    /* of io-error-reason: as libvirt says it; else NULL */
    const Value *values;   /* map: all that came with it */
} DomainEvent;

typedef void (*DomainEventFn)(void *user, const DomainEvent *event); /* @event: borrowed */

/* ---- registration: the parts of a ConnectionListener that the owner of events calls from its own */

typedef struct EventSession EventSession;

/* In the opening thread. False: not even life-cycle events can be had. */
bool event_session_open(virConnectPtr connection, EventSession **ret_session, GError **error);
/* Main loop: what came since, and what comes, is given to @fn, in order. False: too much had come, what is so must be asked again. */
bool event_session_attach(EventSession *session, DomainEventFn fn, void *user);
void event_session_detach(EventSession *session); /* main loop: @fn is not called any more */
/* In a thread, after detach or without attach. */
void event_session_close(virConnectPtr connection, EventSession *session);

/* ---- */

/* {id name event_id event kind detail values} of a domain_event. (transfer full) */
Value *domain_event_values(const DomainEvent *event);

#endif
