/* Which services of agents that know only QMF are monitored, and what came of it. The acting engine says what its policy names (Site.watch); this
 * makes the calls, also after a restart of the agent, of the plugin, or of both.
 *
 * Thread: plugin loop. */
#ifndef MEND_CONTROL_WATCH_H
#define MEND_CONTROL_WATCH_H

#include "broker-plugin/plugin.h"
#include "lib/qmf/message.h"

typedef struct Watch Watch;

typedef struct WatchSink {
    /* @service is in @state: "running" "failed" "unknown". @rc: the answer; -1: none came. Called when that changes, and at the first look. */
    void (*state)(const char *agent, const char *service, const char *state, int64_t rc, const char *text, void *user);
    /* How that service is run there, before the first call. @parameters: map or NULL, borrowed. */
    void (*how)(const char *agent, const char *service, const char *standard, const char *provider, const char *type, const Value *parameters,
                void *user);
    bool (*here)(const char *agent, void *user);                       /* false: asking it would be in vain */
    bool (*busy)(const char *agent, const char *service, void *user);  /* a command is at it: what is seen now is no state */
    void *user;
} WatchSink;

/* @reply_key: as legacy_new's. @interval_us: between two looks at a service. */
Watch *watch_new(mend_host *host, const char *reply_key, int64_t interval_us, const WatchSink *sink);
void watch_free(Watch *watch);
void watch_open(Watch *watch); /* reads what was to be watched, and what runs in agents, before the restart */

/* All that is to be watched from now on: list of maps {vm hostname (at least one) name standard provider agent parameters}. Refused whole with
 * *@ret_why (caller frees). What is already watched the same way goes on untouched. */
bool watch_set(Watch *watch, const Value *services, char **ret_why);
/* An agent that knows only QMF is on that machine; again with every heartbeat. NULL: not known. */
void watch_agent(Watch *watch, const char *agent, const char *vm, const char *hostname);
void watch_leave(Watch *watch, const char *agent);
/* An answer. False: not one of ours. */
bool watch_answer(Watch *watch, const QmfMessage *message);
/* What the agent itself told of a service (resource_op): known, not told twice. */
void watch_told(Watch *watch, const char *agent, const char *service, int64_t rc);
size_t watch_size(const Watch *watch); /* services watched, over all agents that are here */

#endif
