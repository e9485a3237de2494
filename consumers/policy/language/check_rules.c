/* What is never reached, and what undoes each other. The first rule that takes an event keeps it, so a rule below one that takes all of its
 * events is dead; and two rules that pull at the same thing in two directions would keep it moving for ever. */
#include "consumers/policy/language/check.h"

#include "lib/base/clock.h"

#include <string.h>

/* What is asked of a rule again and again, when each is held against each. */
typedef struct Sketch {
    const Rule *rule;
    GPtrArray *parts;            /* of its condition */
    const Step *stops, *starts;  /* the first that does; NULL: none */
} Sketch;

static void sketch_clear(void *data)
{
    g_ptr_array_unref(((Sketch *) data)->parts);
}

/* @earlier takes whatever @later listens to; outside of its hours, too: what it took waits for them. */
static bool takes_all(const Sketch *earlier, const Sketch *later)
{
    WhereRelation relation;

    if (earlier->rule->temporal != TEMPORAL_ONCE || later->rule->temporal != TEMPORAL_ONCE)
        return false;
    if (strcmp(earlier->rule->on, later->rule->on) != 0 && !pattern_listens(earlier->rule->on, later->rule->on))
        return false;
    relation = parts_compare(earlier->parts, later->parts);
    return relation == WHERE_SAME || relation == WHERE_SECOND_IS_NARROWER;
}

static const YamlNode *rule_place(const Loader *l, const Rule *rule, const char *key)
{
    const YamlNode *node = loader_place_of(l, rule), *at = yaml_get(node, key);

    return at == NULL ? node : at;
}

/* @when of a step; NULL: of none. */
static bool ever_holds(const Rule *rule, const Expression *when)
{
    for (size_t i = 0; event_kinds_known[i] != NULL; i++) {
        const Known known = { .kind = event_kinds_known[i] };

        if (pattern_listens(rule->on, known.kind) && may_hold(rule->where, &known) && may_hold(when, &known))
            return true;
    }
    return false;
}

/* --- fights --- */

static bool has_verb(const char *action, const char *const *verbs)
{
    const char *dot = strchr(action, '.');

    return dot != NULL && g_strv_contains(verbs, dot + 1);
}

static const Step *step_that(const Rule *rule, const char *const *verbs)
{
    for (guint i = 0; i < rule->ladder->len; i++)
        if (has_verb(((Step *) rule->ladder->pdata[i])->action, verbs))
            return rule->ladder->pdata[i];
    return NULL;
}

static const char *const stopping[] = { "stop", "shutdown", "suspend", NULL };
static const char *const starting[] = { "start", "restart", "reboot", "reset", "resume", NULL };

/* Of each condition the parts, of each ladder what it is for. */
static GArray *sketches_of(const GPtrArray *rules)
{
    GArray *sketches = g_array_sized_new(false, false, sizeof(Sketch), rules->len);

    g_array_set_clear_func(sketches, sketch_clear);
    for (guint i = 0; i < rules->len; i++) {
        const Rule *rule = rules->pdata[i];
        const Sketch sketch = { rule, where_parts(rule->where), step_that(rule, stopping), step_that(rule, starting) };

        g_array_append_val(sketches, sketch);
    }
    return sketches;
}

/* A ladder that stops and starts again is a slow restart. */
static bool opposed(const Sketch *a, const Sketch *b, const Step **ret_a, const Step **ret_b)
{
    bool a_stops = a->stops != NULL && a->starts == NULL && b->starts != NULL;
    bool b_stops = b->stops != NULL && b->starts == NULL && a->starts != NULL;

    *ret_a = a_stops ? a->stops : a->starts;
    *ret_b = a_stops ? b->starts : b->stops;
    return a_stops || b_stops;
}

static const char *shared_kind(const Rule *a, const Rule *b)
{
    for (size_t i = 0; event_kinds_known[i] != NULL; i++) {
        const Known known = { .kind = event_kinds_known[i] };

        if (pattern_listens(a->on, known.kind) && pattern_listens(b->on, known.kind) && may_hold(a->where, &known) && may_hold(b->where, &known))
            return known.kind;
    }
    return NULL;
}

/* What a stop of @a leads to, and @b listens to; NULL: nothing. */
static const char *stopped_kind(const Rule *a, const Rule *b)
{
    static const char *const stopped[] = { "service.stopped", "vm.stopped", "vm.suspended" };

    for (size_t i = 0; i < G_N_ELEMENTS(stopped); i++) {
        const Step *step = step_that(a, stopping);

        if (step != NULL && strncmp(step->action, stopped[i], strcspn(stopped[i], ".")) == 0 && pattern_listens(b->on, stopped[i]) &&
            may_hold(b->where, &(Known){ .kind = stopped[i], .intent = "command" }))
            return stopped[i];
    }
    return NULL;
}

static void check_pair(Loader *l, const Sketch *a, const Sketch *b)
{
    const Rule *first = a->rule, *second = b->rule;
    const Step *one, *other;
    const char *kind;

    if (!opposed(a, b, &one, &other) || first->observe_only || second->observe_only)
        return;
    WhereRelation relation = parts_compare(a->parts, b->parts);
    if (relation == WHERE_DISJOINT)
        return;
    kind = shared_kind(first, second);
    if (kind != NULL && relation != WHERE_FIRST_IS_NARROWER) { /* the narrower one above is an exception from the one below: that is meant */
        refuse(l, step_place(l, other), "rules %s and %s fight over %s: one does %s, the other %s; nothing in their conditions keeps them apart",
               first->name, second->name, kind, one->action, other->action);
        return;
    }
    const Rule *stops = has_verb(one->action, stopping) ? first : second, *starts = stops == first ? second : first;
    kind = stopped_kind(stops, starts);
    if (kind != NULL)
        refuse(l, step_place(l, other),
               "rules %s and %s fight: what %s stops, %s finds as %s and starts again; keep them apart: where: event.intent == \"none\"", first->name,
               second->name, stops->name, starts->name, kind);
}

void check_fights(Loader *l)
{
    g_autoptr(GArray) sketches = sketches_of(l->policy->rules);

    for (guint i = 0; i < sketches->len; i++)
        for (guint k = i + 1; k < sketches->len; k++)
            check_pair(l, &g_array_index(sketches, Sketch, i), &g_array_index(sketches, Sketch, k));
}

/* --- ladders --- */

static int size_of(const char *action)
{
    static const char *const kinds[] = { "service", "vm", "app", "host", NULL };
    const char *kind = action_kind(action);

    for (int i = 0; kind != NULL && kinds[i] != NULL; i++)
        if (strcmp(kinds[i], kind) == 0)
            return i + 1;
    return 0;
}

static void check_repeated(Loader *l, const Rule *rule, guint at)
{
    const Step *step = rule->ladder->pdata[at];

    for (guint i = 0; i < at; i++) {
        const Step *above = rule->ladder->pdata[i];

        if (strcmp(above->action, step->action) != 0 || above->when != NULL || action_kind(step->action) == NULL)
            continue;
        if (step->attempts > above->attempts || step->within_us < above->within_us)
            continue;
        g_autofree char *within = duration_format(step->within_us);
        refuse(l, step_place(l, step), "rule %s: this %s is never tried: the one above has used up its %u attempts in %s", rule->name, step->action,
               step->attempts, within);
        return;
    }
}

static void check_when(Loader *l, const Rule *rule)
{
    for (guint i = 0; i < rule->ladder->len; i++) {
        const Step *step = rule->ladder->pdata[i];

        if (step->when != NULL && !ever_holds(rule, step->when))
            refuse(l, yaml_get(loader_place_of(l, step), "when"), "rule %s: %s is never tried: its condition never holds for %s", rule->name,
                   step->action, rule->on);
    }
}

static void check_ladder(Loader *l, const Rule *rule)
{
    int largest = 0;

    for (guint i = 0; i < rule->ladder->len; i++) {
        const Step *step = rule->ladder->pdata[i];
        int size = size_of(step->action);
        bool acts_later = false;

        for (guint k = i + 1; k < rule->ladder->len; k++)
            acts_later = acts_later || action_kind(((Step *) rule->ladder->pdata[k])->action) != NULL;
        if (strcmp(step->action, ACTION_APPROVE) == 0 && !acts_later)
            refuse(l, step_place(l, step), "rule %s: approve, and then nothing that is done: what shall be approved?", rule->name);
        check_repeated(l, rule, i);
        if (size > 0 && size < largest)
            warn(l, step_place(l, step), "rule %s: %s after something larger: what did not help as a whole is tried in part", rule->name, step->action);
        largest = MAX(largest, size);
    }
}

/* True: it is one of the default rules, and those above leave it nothing. */
static bool check_above(Loader *l, const GArray *sketches, guint i)
{
    const Sketch *sketch = &g_array_index(sketches, Sketch, i);
    const Rule *rule = sketch->rule;

    for (guint k = 0; k < i; k++) {
        const Sketch *above = &g_array_index(sketches, Sketch, k);

        if (!takes_all(above, sketch))
            continue;
        if (rule->line == 0)
            return true;
        g_autofree char *line = above->rule->line == 0 ? g_strdup("a default one") : g_strdup_printf("line %d", above->rule->line);

        refuse(l, rule_place(l, rule, "name"), "rule %s is never reached: rule %s (%s) takes every %s it would%s", rule->name, above->rule->name,
               line, rule->on, parts_compare(above->parts, sketch->parts) == WHERE_SAME ? ", by the same condition" : "");
        return false;
    }
    return false;
}

void check_reach(Loader *l)
{
    GPtrArray *rules = l->policy->rules;
    g_autoptr(GArray) sketches = sketches_of(rules);
    g_autoptr(GPtrArray) idle = g_ptr_array_new();

    for (guint i = 0; i < rules->len; i++) {
        Rule *rule = rules->pdata[i];

        if (!ever_holds(rule, NULL))
            refuse(l, rule_place(l, rule, "where"), "rule %s: its condition never holds for %s", rule->name, rule->on);
        if (rule->during != NULL && rule->during == rule->not_during)
            refuse(l, rule_place(l, rule, "not_during"), "rule %s: during and not_during are the same calendar: it never acts", rule->name);
        if (check_above(l, sketches, i))
            g_ptr_array_add(idle, rule);
        check_ladder(l, rule);
        if (rule->temporal != TEMPORAL_SEQUENCE && ever_holds(rule, NULL))
            check_when(l, rule);
    }
    for (guint i = 0; i < idle->len; i++)
        g_ptr_array_remove(rules, idle->pdata[i]);
}
