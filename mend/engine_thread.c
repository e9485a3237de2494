/* When the journal cannot be written (a full disk) the engine stops acting. It is then opened anew every few seconds until it can be:
 * the broker and the agents do not have to go down with it, and what happened meanwhile it asks the plugin for. */
#include "mend/engine_thread.h"

#include "lib/base/log.h"

#define AGAIN_S 5

struct EngineThread {
    GThread *thread;
    GMainContext *context;
    GMainLoop *loop;
    PolicydOptions options; /* its strings are ours */
    GSource *again;
    Policyd *policyd;       /* NULL: failed, and not open again yet */
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

static gboolean open_again(void *data)
{
    EngineThread *engine = data;
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&engine->policyd, policyd_free);
    engine->policyd = policyd_new(&engine->options, &error);
    if (engine->policyd == NULL) {
        log_error("the policy engine does not start: %s; trying again in %d s", error->message, AGAIN_S);
        return G_SOURCE_CONTINUE;
    }
    log_notice("the policy engine runs again");
    g_clear_pointer(&engine->again, g_source_unref);
    return G_SOURCE_REMOVE;
}

/* From inside the engine, so it is freed later. */
static void on_failed(const GError *error, void *data)
{
    EngineThread *engine = data;

    log_error("the policy engine has stopped acting: %s; it is opened again in %d s", error->message, AGAIN_S);
    if (engine->again != NULL)
        return;
    engine->again = g_timeout_source_new_seconds(AGAIN_S);
    g_source_set_callback(engine->again, open_again, engine, NULL);
    g_source_attach(engine->again, engine->context);
}

static void *engine_main(void *data)
{
    EngineThread *engine = data;

    g_main_context_push_thread_default(engine->context);
    engine->policyd = policyd_new(&engine->options, &engine->error);
    bool ok = engine->policyd != NULL;
    answer(engine, ok);
    if (ok)
        g_main_loop_run(engine->loop);
    if (engine->again != NULL)
        g_source_destroy(engine->again);
    g_clear_pointer(&engine->again, g_source_unref);
    g_clear_pointer(&engine->policyd, policyd_free);
    g_main_context_pop_thread_default(engine->context);
    return NULL;
}

static const size_t option_texts[] = { offsetof(PolicydOptions, name), offsetof(PolicydOptions, url), offsetof(PolicydOptions, user),
                                       offsetof(PolicydOptions, password), offsetof(PolicydOptions, ca_file),
                                       offsetof(PolicydOptions, data), offsetof(PolicydOptions, policy_path) };

static char **text_of(PolicydOptions *options, size_t i)
{
    return (char **) (void *) ((char *) options + option_texts[i]);
}

EngineThread *engine_thread_new(const PolicydOptions *options, GError **error)
{
    EngineThread *engine = g_new0(EngineThread, 1);

    g_mutex_init(&engine->lock);
    g_cond_init(&engine->changed);
    engine->context = g_main_context_new();
    engine->loop = g_main_loop_new(engine->context, FALSE);
    engine->options = *options;
    for (size_t i = 0; i < G_N_ELEMENTS(option_texts); i++)
        *text_of(&engine->options, i) = g_strdup(*text_of(&engine->options, i));
    engine->options.on_failed = on_failed;
    engine->options.failed_user = engine;
    engine->thread = g_thread_new("policy", engine_main, engine);
    if (await(engine, error))
        return engine;
    engine_thread_free(engine);
    return NULL;
}

static gboolean reload_in_thread(void *data)
{
    EngineThread *engine = data;

    bool ok = engine->policyd != NULL && policyd_reload(engine->policyd, &engine->error);
    if (!ok && engine->error == NULL)
        g_set_error_literal(&engine->error, G_FILE_ERROR, G_FILE_ERROR_FAILED, "the policy engine does not run");
    answer(engine, ok);
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
    for (size_t i = 0; i < G_N_ELEMENTS(option_texts); i++)
        g_free(*text_of(&engine->options, i));
    g_mutex_clear(&engine->lock);
    g_cond_clear(&engine->changed);
    g_free(engine);
}
