#include "consumers/policy/mom/rules.h"

#include "consumers/policy/mom/run.h"

#include <string.h>

static void preset_clear(MomPreset *preset)
{
    json_decref(preset->value);
}

MomRules *mom_rules_new(void)
{
    MomRules *rules = g_new0(MomRules, 1);

    *rules = (MomRules) { .refs = 1, .names = mom_names_new(), .files = g_ptr_array_new_with_free_func((GDestroyNotify) mom_file_free),
                          .presets = g_array_new(FALSE, FALSE, sizeof(MomPreset)) };
    g_array_set_clear_func(rules->presets, (GDestroyNotify) preset_clear);
    rules->host = mom_names_number(rules->names, "Host", -1);
    rules->guests = mom_names_number(rules->names, "Guests", -1);
    rules->abs = mom_names_number(rules->names, "abs", -1);
    rules->debug = mom_names_number(rules->names, "debug", -1);
    return rules;
}

MomRules *mom_rules_ref(MomRules *rules)
{
    g_atomic_int_inc(&rules->refs);
    return rules;
}

void mom_rules_unref(MomRules *rules)
{
    if (rules == NULL || !g_atomic_int_dec_and_test(&rules->refs))
        return;
    g_ptr_array_unref(rules->files);
    g_array_unref(rules->presets);
    mom_names_free(rules->names);
    g_free(rules);
}

/* As MOM orders them: without ".policy". */
static int compare_names(const char *a, const char *b)
{
    g_autofree char *short_a = g_str_has_suffix(a, ".policy") ? g_strndup(a, strlen(a) - 7) : g_strdup(a),
                    *short_b = g_str_has_suffix(b, ".policy") ? g_strndup(b, strlen(b) - 7) : g_strdup(b);

    return strcmp(short_a, short_b);
}

bool mom_rules_add(MomRules *rules, const char *name, const char *text, gsize length, GError **error)
{
    g_autoptr(MomFile) file = NULL;
    guint at = 0;

    if (rules->files->len >= MOM_FILES_MAX) {
        g_set_error(error, MOM_ERROR, MOM_ERROR_SYNTAX, "%s: more than %u rule files", name, MOM_FILES_MAX);
        return false;
    }
    file = mom_file_parse(name, text, length, rules->names, error);
    if (file == NULL)
        return false;
    while (at < rules->files->len && compare_names(((MomFile *) rules->files->pdata[at])->name, file->name) < 0)
        at++;
    if (at < rules->files->len && compare_names(((MomFile *) rules->files->pdata[at])->name, file->name) == 0)
        g_ptr_array_remove_index(rules->files, at);
    g_ptr_array_insert(rules->files, (gint) at, g_steal_pointer(&file));
    return true;
}

void mom_rules_set(MomRules *rules, const char *name, const json_t *value)
{
    MomPreset preset = { mom_names_number(rules->names, name, -1), json_incref((json_t *) value) };

    g_array_append_val(rules->presets, preset);
}

/* ---- running ---------------------------------------------------------------------------------------------------------------------- */

void undo_clear(Undo *undo)
{
    g_clear_pointer(&undo->object, json_decref);
    g_clear_pointer(&undo->key, g_free);
    g_clear_pointer(&undo->old, json_decref);
}

static void undo_all(Run *run)
{
    for (guint i = run->undo->len; i-- > 0;) {
        Undo *undo = &g_array_index(run->undo, Undo, i);

        if (undo->slot != NULL)
            *undo->slot = undo->was;
        else if (undo->old != NULL)
            json_object_set(undo->object, undo->key, undo->old);
        else
            json_object_del(undo->object, undo->key);
    }
}

static void bind(Run *run, guint symbol, MomValue value)
{
    Binding binding = { symbol, value };

    g_array_append_val(run->bindings, binding);
}

static bool run_begin(Run *run, MomEntity *host, GPtrArray *guests)
{
    const MomRules *rules = run->rules;
    MomValue *items = mom_alloc(&run->arena, MAX(guests->len, 1) * sizeof *items), value;

    if (items == NULL)
        return false;
    for (guint i = 0; i < guests->len; i++)
        items[i] = (MomValue) { .kind = MOM_ENTITY, .as.entity = guests->pdata[i] };
    bind(run, rules->abs, (MomValue) { .kind = MOM_METHOD, .n = MOM_METHOD_ABS });
    bind(run, rules->debug, (MomValue) { .kind = MOM_METHOD, .n = MOM_METHOD_DEBUG });
    bind(run, rules->host, (MomValue) { .kind = MOM_ENTITY, .as.entity = host });
    bind(run, rules->guests, (MomValue) { .kind = MOM_LIST, .n = guests->len, .as.items = items });
    for (guint i = 0; i < rules->presets->len; i++) {
        const MomPreset *preset = &g_array_index(rules->presets, MomPreset, i);

        if (mom_from_json(&run->arena, preset->value, &value) == MOM_FINE)
            bind(run, preset->symbol, value);
    }
    return true;
}

static void run_file(Run *run, const MomFile *file, GPtrArray *troubles)
{
    g_autoptr(GArray) bindings = g_array_copy(run->bindings), functions = g_array_copy(run->functions);
    MomValue ignored;

    run->file = file;
    run->scope = 0;
    g_array_set_size(run->undo, 0);
    for (guint i = 0; run->trouble == NULL && i < file->top->len; i++)
        run_eval(run, file->top->pdata[i], &ignored);
    if (run->trouble == NULL)
        return;
    g_ptr_array_add(troubles, g_steal_pointer(&run->trouble));
    undo_all(run);
    GArray *before = run->bindings;
    run->bindings = g_steal_pointer(&bindings);
    bindings = before;
    before = run->functions;
    run->functions = g_steal_pointer(&functions);
    functions = before;
    run->depth = 0;
}

void mom_step(const MomRules *rules, MomEntity *host, GPtrArray *guests, GPtrArray *troubles)
{
    Run run = { .rules = rules };

    mom_arena_init(&run.arena, MOM_STEPS + (uint64_t) guests->len * MOM_STEPS_A_GUEST);
    run.bindings = g_array_new(FALSE, FALSE, sizeof(Binding));
    run.functions = g_array_new(FALSE, FALSE, sizeof(Function));
    run.undo = g_array_new(FALSE, FALSE, sizeof(Undo));
    g_array_set_clear_func(run.undo, (GDestroyNotify) undo_clear);
    if (!run_begin(&run, host, guests))
        g_ptr_array_add(troubles, g_strdup_printf("%u guests are too many for one host", guests->len));
    else
        for (guint i = 0; i < rules->files->len; i++)
            run_file(&run, rules->files->pdata[i], troubles);
    g_array_unref(run.bindings);
    g_array_unref(run.functions);
    g_array_unref(run.undo);
    mom_arena_clear(&run.arena);
}
