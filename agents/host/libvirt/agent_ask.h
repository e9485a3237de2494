/* Questions to QEMU guest agents through libvirt, which owns their sockets and their sync. Thread: the main loop's. */
#ifndef MEND_HOST_AGENT_ASK_H
#define MEND_HOST_AGENT_ASK_H

#include "agents/host/libvirt/connection.h"

typedef enum { AGENT_ASK_ANSWERED, AGENT_ASK_SILENT, AGENT_ASK_REFUSED, AGENT_ASK_NOT_ASKED } AgentAskOutcome;
typedef void (*AgentAskFn)(AgentAskOutcome outcome, const char *answer /* JSON, or why not; borrowed */, void *user);

/* @done runs later, exactly once, but not after host_free(). Questions to one VM go one after the other. */
void agent_ask(Host *host, Connection *connection, const char *vm, const char *command, int limit_s, AgentAskFn done, void *user);

#endif
