/* Commands for agents that know only QMF: taken from their control queue, made as method calls, answered on mend.results as one of our
 * own agents would. The engine sees one interface.
 *
 * Thread: plugin loop. */
#ifndef MEND_CONTROL_LEGACY_H
#define MEND_CONTROL_LEGACY_H

#include "broker-plugin/control/gate.h"
#include "lib/qmf/message.h"

typedef struct Legacy Legacy;

typedef struct LegacySink {
    uint64_t (*epoch)(unsigned shard, void *user); /* the acting one */
    /* A service was looked at after a command: it is so. */
    void (*state)(const char *agent, const char *service, bool running, const char *text, void *user);
    void *user;
} LegacySink;

/* @reply_key: subject under which QMF_TOPIC brings answers back. */
Legacy *legacy_new(mend_host *host, const char *reply_key, const LegacySink *sink);
void legacy_free(Legacy *legacy);
void legacy_open(Legacy *legacy); /* reads what was running when the world ended */
/* Serves the control queue of @agent from now on. False: not yet (the host had no room); ask again. */
bool legacy_serve(Legacy *legacy, const char *agent);
void legacy_leave(Legacy *legacy, const char *agent);
bool legacy_serves(const Legacy *legacy, const char *agent);
/* From an event, or from what is to be watched: how this service is run there. */
/* @parameters: map, borrowed; NULL: as known. */
void legacy_learn(Legacy *legacy, const char *agent, const char *service, const char *standard, const char *provider, const char *type,
                  const Value *parameters);
/* An answer. False: not one of ours. */
bool legacy_answer(Legacy *legacy, const QmfMessage *message);
/* "command" while a stop it made is recent; NULL. */
const char *legacy_intent(const Legacy *legacy, const char *agent, const char *service);
/* A command is at it now: what is seen of it meanwhile is no state of its own. */
bool legacy_busy(const Legacy *legacy, const char *agent, const char *service);
/* The last command that was at it stopped it. */
bool legacy_stopped(const Legacy *legacy, const char *agent, const char *service);
/* Of Matahari's own codes, 194 to 199; NULL: none of them. */
const char *meaning_of_rc(int64_t rc);
size_t legacy_running(const Legacy *legacy);

#endif
