/* Facts on their way to mend.events: numbered, in order, one waiting fact per key. Bounded by the number of keys.
 *
 * Thread: plugin loop. */
#ifndef MEND_EVENTS_OUTBOX_H
#define MEND_EVENTS_OUTBOX_H

#include "broker-plugin/events/fact.h"
#include "broker-plugin/plugin.h"

typedef struct Outbox Outbox;

typedef struct OutboxSink {
    void (*published)(const Fact *fact, uint64_t sequence, void *user); /* has its number and was handed to the host */
    void (*coalesced)(const Fact *gone, void *user);                    /* replaced while it waited */
    void (*dropped)(const Fact *gone, void *user);                      /* no room */
    void *user;
} OutboxSink;

Outbox *outbox_new(mend_host *host, const char *address, size_t max_waiting, const OutboxSink *sink);
void outbox_free(Outbox *outbox); /* completions that are still to come must have come */
/* Reads what number it got to. */
void outbox_open(Outbox *outbox);
/* Consumes @fact. It goes out at once when it can. */
void outbox_put(Outbox *outbox, Fact *fact);
void outbox_tick(Outbox *outbox); /* now and then: when even a timer could not be had */
/* No fact waits or is on its way: @done, once (at once when it is so now). */
void outbox_flush(Outbox *outbox, void (*done)(void *user), void *user);
/* Keeps the exact number, so that an orderly restart leaves no gap. */
void outbox_close(Outbox *outbox);

uint64_t outbox_sequence(const Outbox *outbox); /* newest number used */
size_t outbox_waiting(const Outbox *outbox);
size_t outbox_in_flight(const Outbox *outbox);

#endif
