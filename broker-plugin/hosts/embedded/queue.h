/* A queue: messages in order of priority and arrival, consumers that compete or browse, limits. Thread: any; its own lock inside.
 *
 * Consumers pull. A put wakes one that waits; it then takes, on its own executor, as many as it has credit for. */
#ifndef MEND_EMBEDDED_QUEUE_H
#define MEND_EMBEDDED_QUEUE_H

#include "broker-plugin/hosts/embedded/executor.h"
#include "broker-plugin/hosts/embedded/message.h"
#include "broker-plugin/hosts/embedded/queue_shape.h"

typedef struct Queue Queue;
typedef struct Entry Entry;
typedef struct Consumer Consumer;

typedef enum { QUEUE_TAKEN, QUEUE_TAKEN_LATER /* done() says when safe */, QUEUE_FULL, QUEUE_GONE, QUEUE_DROPPED /* ring, nothing to drop for it */ } QueueOutcome;
typedef enum { SETTLE_ACCEPT, SETTLE_RELEASE, SETTLE_FAIL /* delivery failed: counts */, SETTLE_FAIL_HERE /* and not to this consumer again */,
               SETTLE_NOT_HERE /* not to this consumer, without counting */, SETTLE_REJECT } QueueSettle;

/* Called once, on the store's thread, when a durable message is on disk (or is not: @ok false). */
typedef void (*QueueSafeFn)(void *user, bool ok);

typedef struct QueueHooks { /* what a queue needs from around it; keep, forget and handed under its lock: they only note */
    void (*dead)(void *user, Queue *queue, Message *message, const char *reason); /* expired, refused, too many deliveries */
    /* Durable: gives the record an id at once; @safe may be NULL. 0: cannot. */
    uint64_t (*keep)(void *user, Queue *queue, const Message *message, uint64_t sequence, QueueSafeFn safe, void *safe_user);
    void (*forget)(void *user, Queue *queue, uint64_t record);
    /* Attempt @count is about to be made with an unsettled message; again when it comes back. */
    void (*handed)(void *user, uint64_t record, uint32_t count);
    void *user;
} QueueHooks;

typedef struct QueueStats {
    uint64_t put, taken, accepted, released, refused, dropped, expired, dead;
} QueueStats;

typedef struct Taken { /* one message handed to a consumer */
    Message *message;        /* lent by @entry until it is settled; without one: (transfer full) */
    Entry *entry;            /* to be given back through queue_settle(); NULL: the consumer settles or browses */
    uint32_t delivery_count;
    int64_t expires_us;      /* monotonic, 0 none */
} Taken;

struct Consumer { /* embedded in a link or a local subscription; fields below the line belong to the queue */
    Runnable runnable;       /* run: take what is there */
    Queue *queue;            /* counted */
    bool browse, settles;    /* settles: what it takes is gone */
    bool (*wants)(Consumer *consumer, const Message *message); /* NULL: everything */
    /* ---- */
    Consumer *prev, *next, *wait_prev, *wait_next;
    bool waiting;
    uint32_t number;
    Entry **cursors;         /* per priority: where a browser or chooser goes on */
};

/* @name and @shape are copied. @hooks must outlive the queue. */
Queue *queue_new(const char *name, const QueueShape *shape, const QueueHooks *hooks);
Queue *queue_ref(Queue *queue);
void queue_unref(Queue *queue);
const char *queue_name(const Queue *queue);
/* The store's number of this queue; 0: not durable. Set once, before the first put. */
void queue_set_record(Queue *queue, uint64_t record);
uint64_t queue_record(const Queue *queue);
const QueueShape *queue_shape(const Queue *queue);

typedef struct QueuePut {
    Message *message;        /* borrowed */
    QueueSafeFn safe;        /* may be NULL */
    void *safe_user;
    QueueOutcome outcome;    /* out; QUEUE_TAKEN_LATER only with safe */
} QueuePut;

/* In one go, in this order. */
void queue_put(Queue *queue, QueuePut *puts, size_t n);
QueueOutcome queue_put_one(Queue *queue, Message *message);
/* What the store brings back at start: in the order of @sequence. */
void queue_restore(Queue *queue, Message *message, uint64_t sequence, uint64_t record, uint32_t delivery_count);

/* The caller fills runnable, browse, settles, wants. Own thread only for both; remove() before the consumer's memory goes. */
void queue_add(Queue *queue, Consumer *consumer);
void queue_remove(Consumer *consumer);
/* At most @max; when nothing (more) is there and @wait, the consumer is scheduled when something comes. */
size_t queue_take(Consumer *consumer, Taken *out, size_t max, bool wait);
/* All entries must come from this queue. @reason: for REJECT. */
void queue_settle(Queue *queue, const Consumer *consumer, Entry *const *entries, size_t n, QueueSettle how, const char *reason);

/* Producers that wait for room (hysteresis: from ¾ of a limit until ½). False: there is room. True: @runnable will be scheduled. */
typedef struct Producer Producer;
struct Producer {
    Runnable runnable;
    Producer *prev, *next;
    Queue *waits_for;
};
bool queue_wait_for_room(Queue *queue, Producer *producer);
void queue_stop_waiting(Producer *producer, Queue *queue);

/* Expired ones go to the dead letters. Returns when to come again (monotonic), INT64_MAX: nothing has a ttl. */
int64_t queue_expire(Queue *queue, int64_t now_us);
/* Everything goes to the dead letters (or nowhere, when @drop), and what is put later is refused. */
void queue_close(Queue *queue, const char *reason, bool drop);
bool queue_is_closed(const Queue *queue);

/* How many of the messages as they are now make @n_bytes; at least 1. */
size_t queue_batch(const Queue *queue, size_t n_bytes);
size_t queue_depth(const Queue *queue);
size_t queue_bytes(const Queue *queue);
size_t queue_consumers(const Queue *queue);
QueueStats queue_stats(Queue *queue);

#endif
