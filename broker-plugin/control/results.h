/* Answers on mend.results, in the form of docs/wire.md: ours for legacy agents, and reading everybody's. */
#ifndef MEND_CONTROL_RESULTS_H
#define MEND_CONTROL_RESULTS_H

#include "broker-plugin/control/gate.h"
#include "lib/model/command.h"
#include "lib/qmf/message.h"

typedef struct ResultNote { /* what a result says; owned */
    char *command_id, *incident, *entity, *agent, *error, *text;
    ResultState state;
} ResultNote;

void result_note_clear(ResultNote *note);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ResultNote, result_note_clear)

/* False: no result; why in @error. */
bool result_read(const mend_msg *msg, ResultNote *ret, GError **error);

/* @values (transfer full): outputs, or NULL. (transfer full) */
QmfMessage *result_message(const GateCommand *command, ResultState state, const char *code, const char *text, Value *values,
                           int64_t started_us, int64_t ended_us);

#endif
