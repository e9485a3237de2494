/* A QMF role on an AmqpClient: receivers for its bindings, senders for its nodes, and its timers. What agents, the policy engine and
 * the operator's tool use. Thread: that of the client; the timers run in the thread-default main context at creation.
 * A session is not freed from its own callbacks. */
#ifndef MEND_QMF_SESSION_H
#define MEND_QMF_SESSION_H

#include "lib/amqp/client.h"
#include "lib/qmf/console.h"

typedef struct QmfSession QmfSession;

/* @client: borrowed, must outlive the session. */
QmfSession *qmf_session_new(AmqpClient *client);
void qmf_session_free(QmfSession *session); /* frees its roles */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmfSession, qmf_session_free)

/* Links that were refused or closed by the peer; the client goes on trying. @what: "receiver qmf.default.topic …". */
void qmf_session_on_problem(QmfSession *session, void (*problem)(const char *what, const GError *error, void *user), void *user);

/* The session owns what it gives; heartbeats at the interval and at each (re)connect. At most one agent and one console. */
QmfAgent *qmf_session_agent(QmfSession *session, const QmfAgentOptions *options);
/* Call once the agent has its classes and objects: opens the receivers, sends the first heartbeat. */
void qmf_session_agent_start(QmfSession *session);
/* Runs just before each heartbeat of the timer or of a (re)connect: the moment to set attributes that change. */
void qmf_session_on_heartbeat(QmfSession *session, void (*prepare)(QmfAgent *agent, void *user), void *user);
/* One now, beside the timer (prepare runs). */
void qmf_session_heartbeat(QmfSession *session);
QmfConsole *qmf_session_console(QmfSession *session, const QmfConsoleEvents *events);
/* Runs @ready once all links are attached (at once, later, if they are). */
void qmf_session_when_ready(QmfSession *session, void (*ready)(void *user), void *user);
/* Also takes method requests from this queue (mend.control.AGENT). Each is accepted when its answer was accepted at its reply-to; if the
 * answer cannot be delivered the request goes back to the queue, and comes again. What is no method request is rejected. */
void qmf_session_agent_add_queue(QmfSession *session, const char *address);

#endif
