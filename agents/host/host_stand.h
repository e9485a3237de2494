/* A Host for tests, on a bus that only records: methods are called as the bus would, and what is told can be read.
 * Thread: the test's, which runs the default main context. */
#ifndef MEND_HOST_STAND_H
#define MEND_HOST_STAND_H

#include "agents/host/host_private.h"

typedef struct HostStand {
    Host *host;
    GPtrArray *events;   /* of json_t *: {"class": …, "values": {…}}, oldest first */
    /* inside */
    QmfBus bus;
    QmfAgent *agent;
    CommandLedger *ledger;
    CommandGate *gate;
    Identity *identity;
    char *folder;
    GPtrArray *answers;
} HostStand;

#define STAND_HOST "11111111-2222-4333-8444-555555555555"

HostStand *host_stand_new(void); /* online; host_data() is a new folder, removed at the end */
void host_stand_free(HostStand *stand);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostStand, host_stand_free)

/* Calls @method with @arguments (transfer full) as a command, waits for its answer: {"opcode": "_method_response" or "_exception",
 * "values": {rc, state, text, values; or error_text}, "state": "done" …, "error": …}. The test fails when none comes in time.
 * (transfer full) */
json_t *host_stand_call(HostStand *stand, const char *method, json_t *arguments, unsigned timeout_ms);
/* The same in two: answers may be waited for in any order. */
char *host_stand_begin(HostStand *stand, const char *method, json_t *arguments); /* the command's id; caller frees */
json_t *host_stand_end(HostStand *stand, const char *id, unsigned timeout_ms);

/* Runs the main loop until an event of @class was told with @key = @value (a string; @key NULL: any), at index @from or later; answers
 * its index. The test fails when none comes in time. */
guint host_stand_wait(HostStand *stand, guint from, const char *class, const char *key, const char *value, unsigned timeout_ms);
const json_t *host_stand_event(const HostStand *stand, guint index); /* its values */
/* Runs the main loop until @done. The test fails when that takes too long. */
void host_stand_until(bool (*done)(void *user), void *user, unsigned timeout_ms);

#endif
