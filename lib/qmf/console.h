/* The console role: finds agents, reads schemas, queries, calls, receives events; ages out the silent. Knows no transport.
 * Thread: one, the owner's. Completions run later, exactly once: from qmf_console_receive, qmf_console_tick or qmf_console_free. */
#ifndef MEND_QMF_CONSOLE_H
#define MEND_QMF_CONSOLE_H

#include "lib/qmf/agent.h"

typedef struct QmfConsole QmfConsole;

typedef struct QmfConsoleEvents { /* any may be NULL; borrowed arguments */
    void (*agent_found)(const char *agent, const Value *attributes, void *user);
    void (*agent_gone)(const char *agent, void *user);        /* silent for 3 × its interval (5 min when it names none) */
    void (*agent_restarted)(const char *agent, const Value *attributes, void *user); /* epoch grew */
    void (*heartbeat)(const char *agent, const Value *attributes, void *user);
    void (*event)(const char *agent, const Value *event /* _schema_id, _severity, _timestamp, _values */, void *user);
    void (*data)(const char *agent, const Value *object, void *user); /* object updates (qpidd's own agent) */
    void *user;
} QmfConsoleEvents;

/* @reply_to: "qmf.default.topic/direct-console.UUID" (bindings then hold the key) or the name of a dynamic node. The bindings
 * follow @events: without an agent_* or heartbeat callback heartbeats are not asked for, and then nobody ages out. */
QmfConsole *qmf_console_new(const QmfBus *bus, const char *reply_to, const QmfConsoleEvents *events);
void qmf_console_free(QmfConsole *console); /* completes what is open; what is asked meanwhile is dropped */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmfConsole, qmf_console_free)
const QmfBinding *qmf_console_bindings(const QmfConsole *console); /* NULL-terminated by node */
void qmf_console_receive(QmfConsole *console, const QmfMessage *message);
/* To be called now and then (once a second does): times out requests, ages out agents. */
void qmf_console_tick(QmfConsole *console, int64_t now_us);

/* @predicate: list of spec §7, e.g. ["eq","_vendor",["quote","matahariproject.org"]]; borrowed; NULL: every agent. */
void qmf_console_locate(QmfConsole *console, const Value *predicate);
size_t qmf_console_agents(const QmfConsole *console, const char ***ret_names /* (transfer container) */);
const Value *qmf_console_agent_attributes(const QmfConsole *console, const char *agent);

/* Requests go to @agent's name on qmf.default.direct ("broker": qpidd's own agent). Each has its own timeout, because peers drop what
 * they do not like without a word. An answer that names another agent than the one asked is not believed.
 * @answer: outputs map, or list of objects / schemas / ids (all parts joined); borrowed; NULL with @error:
 * QMF_ERROR_EXCEPTION (its text), QMF_ERROR_TIMEOUT, QMF_ERROR_LIMIT (too many parts), QMF_ERROR_BUS (the console was freed). */
typedef void (*QmfAnswerFn)(const Value *answer, const GError *error, void *user);
void qmf_console_call(QmfConsole *console, const char *agent, const Value *object_id, const char *method,
                      const Value *arguments, int64_t timeout_us, QmfAnswerFn done, void *user);
void qmf_console_query_objects(QmfConsole *console, const char *agent, const char *package, const char *class,
                               const Value *where, int64_t timeout_us, QmfAnswerFn done, void *user);
void qmf_console_query_object(QmfConsole *console, const char *agent, const char *object_name,
                              int64_t timeout_us, QmfAnswerFn done, void *user);
void qmf_console_query_schema_ids(QmfConsole *console, const char *agent, int64_t timeout_us, QmfAnswerFn done, void *user);
void qmf_console_query_schema(QmfConsole *console, const char *agent, const Value *schema_id,
                              int64_t timeout_us, QmfAnswerFn done, void *user);
#endif
