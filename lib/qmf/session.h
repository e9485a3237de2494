/* A QMF role on an AmqpClient: receivers for its bindings, senders for its nodes, and its timers. What agents, the policy engine and
 * the operator's tool use. Thread: that of the client. */
#ifndef MEND_QMF_SESSION_H
#define MEND_QMF_SESSION_H

#include "lib/amqp/client.h"
#include "lib/qmf/console.h"

typedef struct QmfSession QmfSession;

/* @client: borrowed, must outlive the session. */
QmfSession *qmf_session_new(AmqpClient *client);
void qmf_session_free(QmfSession *session); /* frees its roles */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmfSession, qmf_session_free)

/* The session owns what it gives; heartbeats at the interval and at each (re)connect. At most one agent and one console. */
QmfAgent *qmf_session_agent(QmfSession *session, const QmfAgentOptions *options);
/* Call once the agent has its classes and objects: opens the receivers, sends the first heartbeat. */
void qmf_session_agent_start(QmfSession *session);
QmfConsole *qmf_session_console(QmfSession *session, const QmfConsoleEvents *events);
/* Runs @ready once all links are attached (at once, later, if they are). */
void qmf_session_when_ready(QmfSession *session, void (*ready)(void *user), void *user);
/* Also takes method requests from this queue (mend.control.AGENT); each is accepted when it was answered, and the answer goes to
 * its reply_to as an acknowledged message. */
void qmf_session_agent_add_queue(QmfSession *session, const char *address);

#endif
