#include "consumers/policy/policyd_definitions.h"

#include "consumers/policy/definitions.h"
#include "lib/base/json.h"
#include "lib/base/log.h"

#define ASKED_MAX 8
#define ASK_TIMEOUT_US (10 * US_PER_S)
#define SOON_MS 100             /* many VMs are told at once */
#define AGAIN_MS (30 * 1000)    /* a host agent that does not answer */

struct Keeper {
    Definitions *definitions;
    const Machine *machine;
    QmfConsole *console;        /* borrowed; NULL: no bus */
    GHashTable *asked;          /* set of char *: hashes that are on their way */
    GSource *look;
    bool wants;                 /* within a look: something is missing */
};

typedef struct Asked {
    Keeper *keeper;
    char *hash, *path;
} Asked;

Keeper *keeper_new(const char *folder, const Machine *machine, GError **error)
{
    Definitions *definitions = definitions_open(folder, error);

    if (definitions == NULL)
        return NULL;
    Keeper *k = g_new0(Keeper, 1);
    k->definitions = definitions;
    k->machine = machine;
    k->asked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return k;
}

static void look_clear(Keeper *k)
{
    if (k->look != NULL) {
        g_source_destroy(k->look);
        g_clear_pointer(&k->look, g_source_unref);
    }
}

void keeper_free(Keeper *k)
{
    if (k == NULL)
        return;
    look_clear(k);
    g_hash_table_unref(k->asked);
    definitions_free(k->definitions);
    g_free(k);
}

static void look_in(Keeper *k, guint ms);

static bool take(Keeper *k, const Asked *asked, const Value *object, GError **error)
{
    const char *text = value_get_string(value_get(object, "_values"), "definition");

    if (text == NULL) {
        g_set_error(error, QMF_ERROR, QMF_ERROR_UNKNOWN, "its host agent has none");
        return false;
    }
    return definitions_put(k->definitions, asked->hash, text, error);
}

static void on_definition(const Value *answer, const GError *error, void *user)
{
    Asked *asked = user;
    Keeper *k = asked->keeper;
    const Value *object = value_type(answer) == VALUE_LIST ? value_at(answer, 0) : answer;
    g_autoptr(GError) local = NULL;

    g_hash_table_remove(k->asked, asked->hash);
    if (error != NULL || !take(k, asked, object, &local))
        log_info("policy: the definition of %s is not there yet: %s", asked->path, error != NULL ? error->message : local->message);
    else if (k->console != NULL)
        look_in(k, SOON_MS); /* the next ones */
    g_free(asked->hash);
    g_free(asked->path);
    g_free(asked);
}

static void ask_for(const char *path, const char *hash, const char *agent, void *user)
{
    Keeper *k = user;

    if (!definition_hash_is_fine(hash) || definitions_has(k->definitions, hash))
        return;
    k->wants = true;
    if (agent == NULL || g_hash_table_size(k->asked) >= ASKED_MAX || !g_hash_table_add(k->asked, g_strdup(hash)))
        return;
    Asked *asked = g_new0(Asked, 1);
    *asked = (Asked){ k, g_strdup(hash), g_strdup(path) };
    g_autofree char *name = g_strdup_printf("definition:%s", strchr(path, '/') + 1);
    qmf_console_query_object(k->console, agent, name, ASK_TIMEOUT_US, on_definition, asked);
}

static void want(const char *path, const char *hash, const char *agent, void *user)
{
    g_hash_table_add(user, (gpointer) hash);
}

static gboolean on_look(gpointer user)
{
    Keeper *k = user;
    const Engine *engine = machine_engine(k->machine);
    g_autoptr(GHashTable) wanted = g_hash_table_new(g_str_hash, g_str_equal);

    look_clear(k);
    if (k->console == NULL)
        return G_SOURCE_REMOVE;
    k->wants = false;
    engine_each_definition(engine, ask_for, k);
    engine_each_definition(engine, want, wanted);
    definitions_keep(k->definitions, wanted);
    if (k->wants && k->look == NULL)
        look_in(k, AGAIN_MS);
    return G_SOURCE_REMOVE;
}

/* Sooner, if one is due later. */
static void look_in(Keeper *k, guint ms)
{
    if (k->look != NULL && g_source_get_ready_time(k->look) <= g_get_monotonic_time() + (gint64) ms * US_PER_MS)
        return;
    look_clear(k);
    k->look = g_timeout_source_new(ms);
    g_source_set_callback(k->look, on_look, k, NULL);
    g_source_attach(k->look, g_main_context_get_thread_default());
}

void keeper_use(Keeper *k, QmfConsole *console)
{
    k->console = console;
    if (console != NULL)
        look_in(k, SOON_MS);
    else
        look_clear(k);
}

void keeper_event(Keeper *k, const Event *event)
{
    const char *hash = k->console == NULL ? NULL : event_data_string(event, "definition_hash");

    if (hash != NULL && !definitions_has(k->definitions, hash) && !g_hash_table_contains(k->asked, hash))
        look_in(k, SOON_MS);
}

json_t *keeper_fill_in(Keeper *k, const json_t *arguments)
{
    json_t *filled = json_copy((json_t *) arguments);
    g_autofree char *text = definitions_get(k->definitions, json_string_or(arguments, "definition_hash", NULL));

    json_object_del(filled, "definition_hash");
    json_set_string(filled, "definition", text);
    return filled;
}
