#include "broker-plugin/hosts/embedded/executor.h"

void executor_init(Executor *e, void (*wake)(Executor *))
{
    *e = (Executor){.wake = wake};
    pthread_mutex_init(&e->lock, NULL);
}

void executor_done(Executor *e)
{
    pthread_mutex_destroy(&e->lock);
}

/* Locked. Whoever finds the sleeper asleep wakes it, once. */
static bool take_wake(Executor *e)
{
    bool wake = e->asleep;

    e->asleep = false;
    return wake;
}

void executor_schedule(Runnable *r)
{
    Executor *e = r->executor;
    bool wake = false;

    pthread_mutex_lock(&e->lock);
    if (!r->ready) {
        r->ready = true;
        r->next = NULL;
        r->prev = e->last;
        if (e->last != NULL)
            e->last->next = r;
        else
            e->first = r;
        e->last = r;
        e->n_ready++;
        wake = take_wake(e);
    }
    pthread_mutex_unlock(&e->lock);
    if (wake)
        e->wake(e);
}

void executor_post(Executor *e, Task *task)
{
    bool wake, closed;

    task->next = NULL;
    pthread_mutex_lock(&e->lock);
    closed = e->closed;
    if (!closed) {
        if (e->last_task != NULL)
            e->last_task->next = task;
        else
            e->first_task = task;
        e->last_task = task;
    }
    wake = take_wake(e);
    pthread_mutex_unlock(&e->lock);
    if (closed)
        task->run(task);
    else if (wake)
        e->wake(e);
}

/* Locked. */
static void unlink_runnable(Executor *e, Runnable *r)
{
    *(r->prev != NULL ? &r->prev->next : &e->first) = r->next;
    *(r->next != NULL ? &r->next->prev : &e->last) = r->prev;
    r->prev = r->next = NULL;
    r->ready = false;
    e->n_ready--;
}

void executor_forget(Runnable *r)
{
    if (r->executor == NULL)
        return;
    pthread_mutex_lock(&r->executor->lock);
    if (r->ready)
        unlink_runnable(r->executor, r);
    pthread_mutex_unlock(&r->executor->lock);
}

static Task *take_tasks(Executor *e)
{
    Task *tasks;

    pthread_mutex_lock(&e->lock);
    tasks = e->first_task;
    e->first_task = e->last_task = NULL;
    pthread_mutex_unlock(&e->lock);
    return tasks;
}

static void run_tasks(Executor *e)
{
    Task *next;

    for (Task *task = take_tasks(e); task != NULL; task = next) {
        next = task->next;
        task->run(task);
    }
}

void executor_run(Executor *e)
{
    Runnable *r;
    unsigned n;

    run_tasks(e);
    pthread_mutex_lock(&e->lock);
    n = e->n_ready; /* what is asked for meanwhile waits for the next round, so that I/O gets its turn */
    pthread_mutex_unlock(&e->lock);
    for (; n > 0; n--) {
        pthread_mutex_lock(&e->lock);
        r = e->first;
        if (r != NULL)
            unlink_runnable(e, r);
        pthread_mutex_unlock(&e->lock);
        if (r == NULL)
            return;
        r->run(r);
    }
}

bool executor_sleep(Executor *e)
{
    bool idle;

    pthread_mutex_lock(&e->lock);
    idle = e->first == NULL && e->first_task == NULL;
    e->asleep = idle;
    pthread_mutex_unlock(&e->lock);
    return idle;
}

void executor_awake(Executor *e)
{
    pthread_mutex_lock(&e->lock);
    e->asleep = false;
    pthread_mutex_unlock(&e->lock);
}

void executor_close(Executor *e)
{
    pthread_mutex_lock(&e->lock);
    e->closed = true;
    pthread_mutex_unlock(&e->lock);
    run_tasks(e);
}
