/* Stands before every method call of an agent. A call with mend.command-id passes only if its id never ran here, its epoch is not over
 * and its deadline not passed; its answer gets mend.state, mend.error, mend.text, mend.started_us and mend.ended_us, and is kept for its
 * repeats. A call without one (any QMF console) passes unchanged. Thread: that of the agent. */
#ifndef MEND_AGENTS_COMMAND_GATE_H
#define MEND_AGENTS_COMMAND_GATE_H

#include "agents/common/command_ledger.h"
#include "lib/qmf/agent.h"

typedef struct CommandGate CommandGate;

/* Takes @agent's filter and answer hook. @ledger is borrowed. Both outlive the gate. */
CommandGate *command_gate_new(QmfAgent *agent, CommandLedger *ledger);
void command_gate_free(CommandGate *gate); /* after the agent stopped receiving; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CommandGate, command_gate_free)

/* Answers @call; every method handler answers through these. @outputs: (transfer full), map or NULL.
 * @error: NULL: done; else COMMAND_ERROR_…: it ran and did not succeed, @text says why (also sent as mend.text). */
void command_gate_return(CommandGate *gate, QmfCall *call, Value *outputs, const char *error, const char *text);
/* Nothing was done, or nothing can be said in outputs: an exception with @text. @error: COMMAND_ERROR_…; UNKNOWN, ARGUMENT, NOT_FOUND
 * and UNSAFE count as refused. */
void command_gate_raise(CommandGate *gate, QmfCall *call, const char *error, const char *text);
/* Nothing was done, and it may be tried again, later or elsewhere: refused, with COMMAND_ERROR_FAILED. */
void command_gate_decline(CommandGate *gate, QmfCall *call, const char *text);

/* Nothing can be said in outputs, and the exception is an object of @class. @values: (transfer full), map. */
void command_gate_raise_object(CommandGate *gate, QmfCall *call, const char *error, const QmfClass *class, Value *values, const char *text);

/* The monotonic moment until which @call may work: @timeout_us from now, or the command's own deadline when that is earlier. */
int64_t command_gate_deadline_us(const QmfCall *call, int64_t timeout_us);

#endif
