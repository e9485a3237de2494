/* Lanes over a pool of threads. A lane is a queue with at most one piece of work at a thread; lanes live only while they have work. */
#include "agents/host/host_private.h"

#include "lib/base/log.h"

#define END_WAITS_MS 2000

typedef struct Piece {
    Work *work;
    char *lane; /* or NULL */
    HostWorkFn fn;
    HostDoneFn done;
    HostDropFn drop; /* or NULL */
    void *data;
} Piece;

struct Work {
    GThreadPool *pool;
    GHashTable *lanes; /* name → GQueue of Piece that wait; its presence says that one is at work */
    GMainContext *context;
    unsigned busy;     /* at a thread, or their done still to run */
    bool ending;
};

static void piece_free(Piece *piece)
{
    g_free(piece->lane);
    g_free(piece);
}

static void piece_drop(void *data)
{
    Piece *piece = data;

    if (piece->drop != NULL)
        piece->drop(piece->data);
    piece_free(piece);
}

static void queue_free(void *queue) { g_queue_free_full(queue, piece_drop); }

static void begin(Work *work, Piece *piece)
{
    work->busy++;
    g_thread_pool_push(work->pool, piece, NULL); /* fails never: the pool is not exclusive */
}

static void next_of(Work *work, const char *lane)
{
    GQueue *queue = lane != NULL ? g_hash_table_lookup(work->lanes, lane) : NULL;
    Piece *next = queue != NULL ? g_queue_pop_head(queue) : NULL;

    if (next != NULL)
        begin(work, next);
    else if (queue != NULL)
        g_hash_table_remove(work->lanes, lane);
}

static gboolean on_done(void *user)
{
    Piece *piece = user;
    Work *work = piece->work;

    work->busy--;
    if (work->ending) {
        piece_drop(piece);
        return G_SOURCE_REMOVE;
    }
    next_of(work, piece->lane);
    piece->done(piece->data);
    piece_free(piece);
    return G_SOURCE_REMOVE;
}

/* Not g_main_context_invoke(): it would run on_done() in this thread whenever no loop owns the context, as before the main loop runs. */
static void run(void *data, void *user)
{
    Piece *piece = data;
    GSource *source = g_idle_source_new();

    piece->fn(piece->data);
    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, on_done, piece, NULL);
    g_source_attach(source, piece->work->context);
    g_source_unref(source);
}

Work *work_new(void)
{
    Work *work = g_new0(Work, 1);

    work->context = g_main_context_ref_thread_default();
    work->lanes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, queue_free);
    work->pool = g_thread_pool_new(run, NULL, HOST_WORKERS, FALSE, NULL);
    return work;
}

void work_add(Work *work, const char *lane, HostWorkFn fn, HostDoneFn done, HostDropFn drop, void *data)
{
    Piece *piece = g_new(Piece, 1);
    GQueue *queue;

    *piece = (Piece) { work, g_strdup(lane), fn, done, drop, data };
    if (lane == NULL) {
        begin(work, piece);
        return;
    }
    queue = g_hash_table_lookup(work->lanes, lane);
    if (queue != NULL) {
        g_queue_push_tail(queue, piece);
        return;
    }
    g_hash_table_insert(work->lanes, g_strdup(lane), g_queue_new());
    begin(work, piece);
}

static gboolean on_waited(void *over)
{
    *(bool *) over = true;
    return G_SOURCE_CONTINUE;
}

/* Work that hangs (libvirt waits for a QEMU that does not answer, a disk for its storage) must not keep the process: then all this is left
 * to its threads, which still use it. */
void work_free(Work *work)
{
    GSource *timer = g_timeout_source_new(END_WAITS_MS);
    bool over = false;

    work->ending = true;
    g_source_set_callback(timer, on_waited, &over, NULL);
    g_source_attach(timer, work->context);
    while (work->busy > 0 && !over)
        g_main_context_iteration(work->context, TRUE);
    g_source_destroy(timer);
    g_source_unref(timer);
    if (work->busy > 0) {
        log_warning("%u calls that hang are left behind", work->busy);
        return;
    }
    g_thread_pool_free(work->pool, FALSE, TRUE);
    g_hash_table_unref(work->lanes);
    g_main_context_unref(work->context);
    g_free(work);
}
