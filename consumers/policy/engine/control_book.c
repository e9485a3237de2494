/* What control rules remember: samples by rule and entity, and when each target was last set and by which rule. Both are kept in trees by
 * name, so that snapshots are in order. */
#include "consumers/policy/engine/control.h"

#include "lib/base/json.h"

#include <math.h>
#include <string.h>

#define TARGETS_MAX CONTROL_STATES_MAX

typedef struct Setting {
    char *rule;
    int64_t at_us, every_us;
} Setting;

struct ControlBook {
    GTree *states;   /* "rule\nentity" -> ControlState */
    GTree *settings; /* target -> Setting */
};

static void setting_free(gpointer data)
{
    Setting *s = data;

    g_free(s->rule);
    g_free(s);
}

static gint compare_names(gconstpointer a, gconstpointer b, gpointer user)
{
    (void) user;
    return strcmp(a, b);
}

ControlBook *control_book_new(void)
{
    ControlBook *b = g_new0(ControlBook, 1);

    b->states = g_tree_new_full(compare_names, NULL, g_free, g_free);
    b->settings = g_tree_new_full(compare_names, NULL, g_free, setting_free);
    return b;
}

void control_book_free(ControlBook *b)
{
    if (b == NULL)
        return;
    g_tree_unref(b->states);
    g_tree_unref(b->settings);
    g_free(b);
}

bool control_book_may_set(const ControlBook *b, const char *target, int64_t every_us, int64_t now_us, const char **ret_by)
{
    const Setting *s = g_tree_lookup(b->settings, target);

    if (s == NULL || now_us - s->at_us >= MAX(every_us, s->every_us))
        return true;
    if (ret_by != NULL)
        *ret_by = s->rule;
    return false;
}

static gboolean is_over(gpointer target, gpointer data, gpointer user)
{
    const Setting *s = data;
    gpointer *ask = user; /* { &now_us, array of targets } */

    if (*(const int64_t *) ask[0] - s->at_us >= s->every_us)
        g_ptr_array_add(ask[1], target);
    return FALSE;
}

void control_book_set(ControlBook *b, const char *target, const char *rule, int64_t every_us, int64_t now_us)
{
    if (g_tree_nnodes(b->settings) >= TARGETS_MAX) { /* targets that are long gone */
        g_autoptr(GPtrArray) over = g_ptr_array_new();
        gpointer ask[] = { &now_us, over };

        g_tree_foreach(b->settings, is_over, ask);
        for (guint i = 0; i < over->len; i++)
            g_tree_remove(b->settings, over->pdata[i]);
    }
    Setting *s = g_new0(Setting, 1);
    *s = (Setting) { .rule = g_strdup(rule), .at_us = now_us, .every_us = every_us };
    g_tree_replace(b->settings, g_strdup(target), s);
}

ControlState *control_book_state(ControlBook *b, const char *rule, const char *entity)
{
    g_autofree char *key = g_strdup_printf("%s\n%s", rule, entity);
    ControlState *s = g_tree_lookup(b->states, key);

    if (s != NULL || g_tree_nnodes(b->states) >= CONTROL_STATES_MAX)
        return s;
    s = g_new0(ControlState, 1);
    g_tree_insert(b->states, g_steal_pointer(&key), s);
    return s;
}

ControlState *control_book_find(const ControlBook *b, const char *rule, const char *entity)
{
    g_autofree char *key = g_strdup_printf("%s\n%s", rule, entity);

    return g_tree_lookup(b->states, key);
}

typedef struct Sieve {
    const char *const *rules;  /* NULL: by @entity */
    const char *entity;
    GPtrArray *gone;           /* keys */
} Sieve;

static gboolean sieve(gpointer key, gpointer state, gpointer user)
{
    Sieve *s = user;
    const char *end = strchr(key, '\n');
    bool goes = s->rules == NULL && strcmp(end + 1, s->entity) == 0;

    (void) state;
    if (s->rules != NULL) {
        g_autofree char *rule = g_strndup(key, (gsize) (end - (const char *) key));
        goes = !g_strv_contains(s->rules, rule);
    }
    if (goes)
        g_ptr_array_add(s->gone, key);
    return FALSE;
}

static void remove_states(ControlBook *b, const char *const *rules, const char *entity)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();
    Sieve s = { .rules = rules, .entity = entity, .gone = gone };

    g_tree_foreach(b->states, sieve, &s);
    for (guint i = 0; i < gone->len; i++)
        g_tree_remove(b->states, gone->pdata[i]);
}

void control_book_keep_rules(ControlBook *b, const char *const *rules)
{
    remove_states(b, rules, NULL);
}

void control_book_forget(ControlBook *b, const char *entity)
{
    remove_states(b, NULL, entity);
}

static gboolean put_state(gpointer key, gpointer data, gpointer user)
{
    const ControlState *s = data;
    const char *end = strchr(key, '\n');
    json_t *values = json_array();

    for (guint i = 0; i < s->n; i++)
        json_array_append_new(values, json_real(s->values[(s->head + i) % CONTROL_SAMPLES_MAX]));
    json_array_append_new(user, json_pack("{s:s%, s:s, s:o, s:f, s:I, s:I, s:I, s:i}", "rule", (const char *) key,
                                          (size_t) (end - (const char *) key), "entity", end + 1, "values", values, "ewma", s->ewma,
                                          "sampled_us", s->sampled_us, "set_us", s->set_us, "set_to", s->set_to, "told", (int) s->told));
    return FALSE;
}

static gboolean put_setting(gpointer key, gpointer data, gpointer user)
{
    const Setting *s = data;

    json_array_append_new(user, json_pack("{s:s, s:s, s:I, s:I}", "target", key, "rule", s->rule, "at_us", s->at_us, "every_us", s->every_us));
    return FALSE;
}

json_t *control_book_to_json(const ControlBook *b)
{
    json_t *states = json_array(), *settings = json_array();

    g_tree_foreach(b->states, put_state, states);
    g_tree_foreach(b->settings, put_setting, settings);
    return json_pack("{s:o, s:o}", "states", states, "settings", settings);
}

static bool state_from_json(ControlBook *b, const json_t *json)
{
    const char *rule = json_string_or(json, "rule", NULL), *entity = json_string_or(json, "entity", NULL);
    const json_t *values = json_object_get(json, "values"), *ewma = json_object_get(json, "ewma");

    if (rule == NULL || entity == NULL || strchr(rule, '\n') != NULL || !json_is_array(values) ||
        json_array_size(values) > CONTROL_SAMPLES_MAX || !json_is_number(ewma))
        return false;
    ControlState *s = control_book_state(b, rule, entity);

    if (s == NULL || s->n > 0)
        return false;
    for (size_t i = 0; i < json_array_size(values); i++) {
        if (!json_is_number(json_array_get(values, i)))
            return false;
        s->values[s->n++] = json_number_value(json_array_get(values, i));
    }
    s->ewma = json_number_value(ewma);
    s->sampled_us = json_int_or(json, "sampled_us", 0);
    s->set_us = json_int_or(json, "set_us", 0);
    s->set_to = json_int_or(json, "set_to", 0);
    s->told = (guint) json_int_or(json, "told", 0);
    return true;
}

ControlBook *control_book_from_json(const json_t *json, GError **error)
{
    const json_t *states = json_object_get(json, "states"), *settings = json_object_get(json, "settings");
    g_autoptr(ControlBook) b = control_book_new();
    bool ok = json_is_array(states) && json_is_array(settings) && json_array_size(settings) <= TARGETS_MAX;

    for (size_t i = 0; ok && i < json_array_size(states); i++)
        ok = state_from_json(b, json_array_get(states, i));
    for (size_t i = 0; ok && i < json_array_size(settings); i++) {
        const json_t *one = json_array_get(settings, i);
        const char *target = json_string_or(one, "target", NULL), *rule = json_string_or(one, "rule", NULL);

        ok = target != NULL && rule != NULL;
        if (ok)
            control_book_set(b, target, rule, json_int_or(one, "every_us", 0), json_int_or(one, "at_us", 0));
    }
    if (ok)
        return g_steal_pointer(&b);
    g_set_error(error, CONTROL_ERROR, CONTROL_ERROR_MALFORMED, "controls: states or settings are incomplete or too many");
    return NULL;
}
