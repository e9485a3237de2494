/* What sim_host.c (the calls) and sim_life.c (the instance and what the test sees) share. */
#ifndef TESTS_SIM_INTERNAL_H
#define TESTS_SIM_INTERNAL_H

#include "tests/sim-host/sim_host.h"

typedef struct Timer { mend_id id; int64_t due_us; mend_timer_fn fn; void *user; } Timer;
typedef struct Subscription {
    mend_id id;
    char *address, *subject;
    int32_t mode;
    uint32_t window, kept;
    mend_message_fn fn;
    void *user;
} Subscription;
typedef struct Queue { char *address, *dead_letter, *owner; GQueue *messages; mend_node shape; } Queue;
typedef struct Kept { mend_id id, sub; SimMessage *message; char *queue; bool gate; } Kept;
typedef struct Peer { mend_peer peer; char *user, *role, *address, *container; } Peer;

typedef struct Step { /* one thing that is due; which of the functions is set says what it is */
    mend_task_fn task;
    mend_published_fn published;
    mend_id tap, peer; /* subscription to be shown @message; peer to announce */
    void *user;
    int32_t verdict;
    SimMessage *message;
} Step;

struct SimHost {
    mend_host host; /* first: the plugin's pointer is ours */
    Runner *runner;
    RunnerLimits limits;
    int64_t now_us, wall_offset_us;
    uint64_t dice;
    mend_id next_id;
    GPtrArray *timers, *subscriptions, *kept, *peers, *published;
    GQueue steps;
    GHashTable *queues, *state, *counters;
    mend_peer_fn watcher;
    void *watcher_user;
    char *busy, *reason, *failure, *state_read;
    unsigned failures, logged[8], fail_nth, calls;
    const char *failed_call;
    int32_t outcome;
    bool drained;
};

extern const mend_host sim_host_table;
void sim_text_set(char **text, const char *to);
void sim_step_free(Step *step);
Peer *sim_peer_find(SimHost *sim, mend_id id);
void sim_unsubscribe(mend_host *host, mend_id id);

#endif
