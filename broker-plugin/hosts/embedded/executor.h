/* Where something runs: an I/O thread or the plugin loop. Anybody may ask for a Runnable to be run there; only the executor's own
 * thread runs, makes and ends Runnables. This is the one way across threads (with Task, for things that must not be merged). */
#ifndef MEND_EMBEDDED_EXECUTOR_H
#define MEND_EMBEDDED_EXECUTOR_H

#include "lib/base/base.h"

#include <pthread.h>

typedef struct Executor Executor;
typedef struct Runnable Runnable;
typedef struct Task Task;

struct Runnable { /* embedded in what is run; asking twice before it ran is asking once */
    Executor *executor;
    void (*run)(Runnable *runnable);
    Runnable *prev, *next; /* under the executor's lock */
    bool ready;
};

struct Task { /* runs once, in the order asked; owned by the executor until then */
    Task *next;
    void (*run)(Task *task); /* frees it */
};

struct Executor {
    pthread_mutex_t lock;
    Runnable *first, *last;
    Task *first_task, *last_task;
    unsigned n_ready;
    bool asleep, closed;     /* closed: nothing runs any more; tasks are run by whoever asks, with the executor gone */
    void (*wake)(Executor *executor); /* any thread; called when something came while asleep */
};

void executor_init(Executor *executor, void (*wake)(Executor *));
void executor_done(Executor *executor);
/* Any thread, any lock but the executor's own. */
void executor_schedule(Runnable *runnable);
void executor_post(Executor *executor, Task *task);

/* Own thread only. */
void executor_forget(Runnable *runnable); /* not run any more */
void executor_run(Executor *executor);    /* what was ready when it started */
/* False: there is something to run, do not sleep. True: from now on wake() is called. */
bool executor_sleep(Executor *executor);
void executor_awake(Executor *executor);
/* Runs the last tasks; later ones are dropped through their run() by executor_post itself. */
void executor_close(Executor *executor);

#endif
