/* A bus of lists: what roles send is encoded, decoded and delivered to whoever bound the key, when the test says so. Time stands still
 * until it is moved. */
#ifndef MEND_TESTS_QMF_MEMORY_BUS_H
#define MEND_TESTS_QMF_MEMORY_BUS_H

#include "lib/qmf/console.h"

typedef struct MemoryBus {
    QmfBus bus;
    int64_t now_us;
    GQueue queue;         /* Sent, not yet delivered */
    GPtrArray *receivers; /* Receiver */
    GPtrArray *sent;      /* QmfMessage as it arrived, all of them, oldest first */
} MemoryBus;

MemoryBus *memory_bus_new(void);
void memory_bus_free(MemoryBus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MemoryBus, memory_bus_free)
void memory_bus_add_agent(MemoryBus *bus, QmfAgent *agent);
void memory_bus_add_console(MemoryBus *bus, QmfConsole *console);
/* Delivers until nothing is left, what is sent meanwhile included. */
void memory_bus_run(MemoryBus *bus);
/* Moves the time in steps of a second and ticks every role. */
void memory_bus_pass(MemoryBus *bus, int64_t us);
/* The last message sent, as it arrived; borrowed. */
const QmfMessage *memory_bus_last(const MemoryBus *bus);
void memory_bus_forget(MemoryBus *bus); /* what was sent */

/* ["a", …] and so on from JSON with single quotes: {'_what':'OBJECT'}. (transfer full) */
Value *value_of(const char *json);

#endif
