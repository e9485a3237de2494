/* What may enter a control queue: commands of the acting engine, or of an operator who knows its epoch. */
#ifndef MEND_CONTROL_GATE_H
#define MEND_CONTROL_GATE_H

#include "broker-plugin/control/seat.h"

#define CONTROL_PREFIX "mend.control."

typedef struct GateSender { mend_id peer; const char *user, *role; bool trusted; /* roles are not looked at */ } GateSender;

typedef struct GateCommand { /* owned */
    char *id, *incident, *entity, *agent;
    char *group;       /* of a shard's: what it belongs to it by; else NULL */
    unsigned shard;    /* whose engine sends it */
    uint64_t epoch;
    int64_t deadline_ms; /* wall clock */
} GateCommand;

void gate_command_clear(GateCommand *command);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GateCommand, gate_command_clear)

/* NULL: it may enter, and *@ret says what it is. Else why not; caller frees. */
char *gate_refusal(const Seat *seat, const GateSender *sender, const mend_msg *msg, int64_t wall_us, GateCommand *ret);
/* The command's properties alone. NULL: they are right. */
char *gate_read(const mend_msg *msg, GateCommand *ret);

#endif
