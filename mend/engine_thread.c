#include "mend/engine_thread.h"

struct EngineThread {
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    const PolicydOptions *options;
    Policyd *policyd;
    GError *error;   /* of the call under way */
    bool ok, done;   /* its outcome, under lock */
    GMutex lock;
    GCond changed;
};

static void answer(EngineThread *engine, bool ok)
{
    g_mutex_lock(&engine->lock);
    engine->ok = ok;
    engine->done = true;
    g_cond_signal(&engine->changed);
    g_mutex_unlock(&engine->lock);
}

static bool await(EngineThread *engine, GError **error)
{
    g_mutex_lock(&engine->lock);
    while (!engine->done)
        g_cond_wait(&engine->changed, &engine->lock);
    engine->done = false;
    bool ok = engine->ok;
    g_mutex_unlock(&engine->lock);
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&engine->error));
    return ok;
}

static void *engine_main(void *data)
{
    EngineThread *engine = data;

    g_main_context_push_thread_default(engine->context);
    engine->policyd = policyd_new(engine->options, &engine->error);
    bool ok = engine->policyd != NULL;
    answer(engine, ok);
    if (ok)
        g_main_loop_run(engine->loop);
    g_clear_pointer(&engine->policyd, policyd_free);
    g_main_context_pop_thread_default(engine->context);
    return NULL;
}

EngineThread *engine_thread_new(const PolicydOptions *options, GError **error)
{
    EngineThread *engine = g_new0(EngineThread, 1);

    g_mutex_init(&engine->lock);
    g_cond_init(&engine->changed);
    engine->context = g_main_context_new();
    engine->loop = g_main_loop_new(engine->context, FALSE);
    engine->options = options;
    engine->thread = g_thread_new("policy", engine_main, engine);
    if (await(engine, error))
        return engine;
    engine_thread_free(engine);
    return NULL;
}

static gboolean reload_in_thread(void *data)
{
    EngineThread *engine = data;

    answer(engine, policyd_reload(engine->policyd, &engine->error));
    return G_SOURCE_REMOVE;
}

bool engine_thread_reload(EngineThread *engine, GError **error)
{
    g_main_context_invoke(engine->context, reload_in_thread, engine);
    return await(engine, error);
}

static gboolean quit_in_thread(void *loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

void engine_thread_free(EngineThread *engine)
{
    if (engine == NULL)
        return;
    g_autoptr(GSource) quit = g_idle_source_new(); /* not invoke: the loop may not run yet */
    g_source_set_callback(quit, quit_in_thread, engine->loop, NULL);
    g_source_attach(quit, engine->context);
    g_thread_join(engine->thread);
    g_main_loop_unref(engine->loop);
    g_main_context_unref(engine->context);
    g_clear_error(&engine->error);
    g_mutex_clear(&engine->lock);
    g_cond_clear(&engine->changed);
    g_free(engine);
}
