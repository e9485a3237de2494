/* The policy consumer on a thread and main context of its own, as `mend up` runs it: an AMQP client like any other. */
#ifndef MEND_ENGINE_THREAD_H
#define MEND_ENGINE_THREAD_H

#include "consumers/policy/policyd.h"

typedef struct EngineThread EngineThread;

/* Returns once it runs or has refused to. @options: borrowed until then. NULL: error. */
EngineThread *engine_thread_new(const PolicydOptions *options, GError **error);
/* Reads the policy file again; waits for the answer. False: error, the running policy keeps running. */
bool engine_thread_reload(EngineThread *engine, GError **error);
void engine_thread_free(EngineThread *engine); /* NULL is fine */

#endif
