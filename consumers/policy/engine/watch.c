/* Between events and matchers. The matcher knows times and keys; here the patterns are asked, the key is made, and a firing becomes an
 * incident.
 *
 * Every rule of this kind sees every event, before anything is decided about it: which rule acts must not decide what the others have counted.
 * What an `absent` needs to open its incident later (which event, which entity) goes along with the match as its note. */
#include "consumers/policy/engine/watch.h"

#include "consumers/policy/engine/engine_private.h"
#include "consumers/policy/engine/scope.h"
#include "lib/base/json.h"

#include <string.h>

#define KEY_SEPARATOR "\x1f"

static bool is_lazy(const Rule *rule) /* asked at its place among the rules */
{
    return rule->temporal == TEMPORAL_ONCE;
}

static bool needs_watch(const Rule *rule)
{
    return rule->temporal != TEMPORAL_ONCE || rule->once_within_us > 0;
}

static CorrelateSpec spec_of(const Rule *rule)
{
    static const CorrelateForm forms[] = { [TEMPORAL_ONCE] = CORRELATE_ONCE, [TEMPORAL_COUNT] = CORRELATE_COUNT,
                                           [TEMPORAL_ABSENT] = CORRELATE_ABSENT, [TEMPORAL_SEQUENCE] = CORRELATE_SEQUENCE };
    bool ordered = rule->temporal == TEMPORAL_COUNT || rule->temporal == TEMPORAL_SEQUENCE;
    guint others = rule->others == NULL ? 0 : rule->others->len;

    return (CorrelateSpec) { .form = forms[rule->temporal], .patterns = ordered && rule->temporal == TEMPORAL_COUNT ? 1 : 1 + others,
                             .count = rule->count, .within_us = rule->window_us, .once_within_us = rule->once_within_us,
                             .lateness_us = ordered ? MIN(WATCH_LATENESS_US, rule->window_us) : 0 };
}

void watch_free(Watch *watch)
{
    correlate_free(watch->matcher);
    g_free(watch->rule);
    g_free(watch);
}

void fired_clear(Fired *fired)
{
    json_decref(fired->values);
    *fired = (Fired) { 0 };
}

static Watch *watch_find(GPtrArray *watches, const char *rule)
{
    for (guint i = 0; i < watches->len; i++)
        if (strcmp(((Watch *) watches->pdata[i])->rule, rule) == 0)
            return watches->pdata[i];
    return NULL;
}

static void set_due(Engine *engine, Watch *watch)
{
    due_set(&engine->due, &watch->due, correlate_due_us(watch->matcher));
}

void watches_of_policy(Engine *engine)
{
    g_autoptr(GPtrArray) before = engine->watches;

    engine->watches = g_ptr_array_new_with_free_func((GDestroyNotify) watch_free);
    for (guint i = 0; before != NULL && i < before->len; i++)
        due_set(&engine->due, &((Watch *) before->pdata[i])->due, NEVER_US);
    for (guint i = 0; i < engine->policy->rules->len; i++) {
        const Rule *rule = engine->policy->rules->pdata[i];
        CorrelateSpec spec = spec_of(rule);
        Watch *old = before == NULL ? NULL : watch_find(before, rule->name);
        Correlate *matcher = NULL;

        if (!needs_watch(rule))
            continue;
        if (old != NULL && old->matcher != NULL && correlate_spec_equal(correlate_spec(old->matcher), &spec))
            matcher = g_steal_pointer(&old->matcher);
        else
            matcher = correlate_new(&spec, NULL);
        if (matcher == NULL)
            continue; /* numbers the reader of policies refuses */
        Watch *watch = g_new0(Watch, 1);
        *watch = (Watch) { .rule = g_strdup(rule->name), .index = i, .matcher = matcher };
        due_init(&watch->due, DUE_WATCH);
        watch->due.order = i;
        g_ptr_array_add(engine->watches, watch);
        set_due(engine, watch);
    }
}

static int64_t match_time_us(const Engine *engine, const Event *event)
{
    int64_t at_us = event_fields(event)->time_us;

    return at_us > engine->now_us || at_us < engine->now_us - WATCH_TRUST_US ? engine->now_us : at_us;
}

/* (transfer full) NULL: it belongs to no group; *ret_why (transfer full) says why. */
static char *group_key(const Rule *rule, Scope *scope, char **ret_why)
{
    GString *key = g_string_new(NULL);

    for (guint i = 0; rule->group_by != NULL && i < rule->group_by->len; i++) {
        const Expression *e = rule->group_by->pdata[i];
        g_autofree char *text = NULL, *why = NULL;

        if (!expression_string(e, scope_look_up, scope, NULL, &text, &why) || *text == '\0') {
            *ret_why = g_strdup_printf("%s has no value%s%s", expression_text(e), why == NULL ? "" : ": ", why == NULL ? "" : why);
            g_string_free(key, TRUE);
            return NULL;
        }
        g_string_append_printf(key, "%s%s", i == 0 ? "" : KEY_SEPARATOR, text);
    }
    return g_string_free(rule->group_by == NULL || rule->group_by->len == 0 ? g_string_assign(key, scope->entity->path) : key, FALSE);
}

/* What is told of a firing, beside the values of the condition. */
static void describe(json_t *values, const Rule *rule, const CorrelateAnswer *answer)
{
    json_t *window = json_pack("{s:s, s:I, s:I, s:I}", "group", answer->key, "matches", (json_int_t) answer->count, "first_us", answer->first_us,
                               "at_us", answer->at_us);

    if (rule->window_us > 0)
        json_object_set_new(window, "within_us", json_integer(rule->window_us));
    if (answer->suppressed > 0)
        json_object_set_new(window, "suppressed", json_integer((json_int_t) answer->suppressed));
    json_object_set_new(values, "window", window);
}

/* The first, tenth, hundredth …: a storm must not fill the journal with what was not done. */
static void tell_suppressed(Stage *s, const Rule *rule, const EntityState *entity, const CorrelateAnswer *answer)
{
    uint64_t n = answer->suppressed;

    while (n >= 10 && n % 10 == 0)
        n /= 10;
    if (n == 1)
        put_record(s, "rule.suppressed", NULL, entity->path,
                   json_pack("{s:s, s:s, s:I}", "rule", rule->name, "group", answer->key, "suppressed", (json_int_t) answer->suppressed),
                   "rule %s fires once within %" G_GINT64_FORMAT " s: %" G_GUINT64_FORMAT " kept back since", rule->name,
                   rule->once_within_us / US_PER_S, answer->suppressed);
}

static void tell_fired(Stage *s, const Rule *rule, const EntityState *entity, const json_t *values, const CorrelateAnswer *answer)
{
    json_t *data = json_pack("{s:s, s:O}", "rule", rule->name, "window", json_object_get(values, "window"));
    double within_s = (double) rule->window_us / (double) US_PER_S;

    switch (rule->temporal) {
    case TEMPORAL_COUNT:
        put_record(s, "rule.fired", NULL, entity->path, data, "rule %s: %u within %g s", rule->name, answer->count, within_s);
        break;
    case TEMPORAL_ABSENT:
        put_record(s, "rule.fired", NULL, entity->path, data, "rule %s: no %s within %g s", rule->name,
                   ((const Pattern *) rule->others->pdata[0])->on, within_s);
        break;
    case TEMPORAL_ONCE:
        put_record(s, "rule.fired", NULL, entity->path, data, "rule %s: again, %" G_GUINT64_FORMAT " kept back since the last time", rule->name,
                   answer->suppressed);
        break;
    default:
        put_record(s, "rule.fired", NULL, entity->path, data, "rule %s: all %u in order within %g s", rule->name, answer->count, within_s);
        break;
    }
}

static json_t *note_of(const EntityState *entity, const Event *event, json_t *values)
{
    const EventFields *f = event_fields(event);

    return json_pack("{s:s, s:s, s:s, s:s, s:s*, s:O}", "entity", entity->path, "event", f->id, "kind", f->kind, "source", f->source, "boot_id",
                     f->boot_id, "values", values);
}

static void feed(Stage *s, Watch *watch, guint pattern, Scope *scope, json_t *values, Fired *fired)
{
    const Rule *rule = s->engine->policy->rules->pdata[watch->index];
    g_autofree char *why = NULL, *key = group_key(rule, scope, &why);
    g_autoptr(json_t) note = NULL;
    CorrelateAnswer answer;

    if (key == NULL) {
        put_record(s, "rule.passed-over", NULL, scope->entity->path, json_pack("{s:s, s:s}", "event", event_fields(scope->event)->id, "rule",
                                                                               rule->name),
                   "rule %s does not count it: %s", rule->name, why);
        return;
    }
    if (rule->temporal == TEMPORAL_ABSENT && pattern == 0)
        note = note_of(scope->entity, scope->event, values);
    correlate_add(watch->matcher, pattern, key, match_time_us(s->engine, scope->event), s->engine->now_us, note, &answer);
    set_due(s->engine, watch);
    if (answer.verdict == CORRELATE_SUPPRESSED)
        tell_suppressed(s, rule, scope->entity, &answer);
    if (answer.verdict != CORRELATE_FIRED)
        return;
    describe(values, rule, &answer);
    tell_fired(s, rule, scope->entity, values, &answer);
    if (fired->rule == NULL)
        *fired = (Fired) { rule, json_incref(values) };
}

static void feed_pattern(Stage *s, Watch *watch, guint pattern, const char *on, const Expression *where, Scope *scope, Fired *fired)
{
    g_autoptr(json_t) values = NULL;

    if (!kind_matches(on, event_fields(scope->event)->kind))
        return;
    if (where != NULL && expression_holds(where, scope_look_up, scope, NULL, NULL) != EXPRESSION_TRUE)
        return;
    values = json_object();
    if (where != NULL) /* the same again, for the record */
        expression_holds(where, scope_look_up, scope, values, NULL);
    feed(s, watch, pattern, scope, values, fired);
}

Fired watches_event(Stage *s, EntityState *entity, const Event *event)
{
    Engine *engine = s->engine;
    Scope scope = { .engine = engine, .event = event, .entity = entity };
    Fired fired = { 0 };

    if (engine->watches->len == 0)
        return fired;
    bool wanted = intent_is_wanted(event_data_string(event, "intent"));
    for (guint i = 0; i < engine->watches->len; i++) {
        Watch *watch = engine->watches->pdata[i];
        const Rule *rule = engine->policy->rules->pdata[watch->index];

        if (is_lazy(rule) && (entity->incident == NULL || strcmp(entity->incident->rule, rule->name) != 0))
            continue; /* while it is at it, what comes again is counted */
        for (guint p = rule->temporal == TEMPORAL_COUNT ? 0 : rule->others->len; p > 0; p--) {
            const Pattern *other = rule->others->pdata[p - 1];

            if (!wanted || rule->temporal == TEMPORAL_ABSENT)
                feed_pattern(s, watch, p, other->on, other->where, &scope, &fired);
        }
        if (!wanted)
            feed_pattern(s, watch, 0, rule->on, rule->where, &scope, &fired);
    }
    return fired;
}

bool watch_lets(Stage *s, const Rule *rule, EntityState *entity, const Event *event, json_t *values)
{
    Scope scope = { .engine = s->engine, .event = event, .entity = entity };
    Watch *watch = watch_find(s->engine->watches, rule->name);
    g_autofree char *why = NULL, *key = NULL;
    CorrelateAnswer answer;

    if (watch == NULL)
        return true;
    key = group_key(rule, &scope, &why);
    /* whom no group can be found for is throttled alone */
    correlate_add(watch->matcher, 0, key == NULL ? entity->path : key, match_time_us(s->engine, event), s->engine->now_us, NULL, &answer);
    if (answer.verdict == CORRELATE_SUPPRESSED)
        tell_suppressed(s, rule, entity, &answer);
    else if (answer.suppressed > 0)
        describe(values, rule, &answer);
    return answer.verdict == CORRELATE_FIRED;
}

static guint rule_index(const Policy *policy, const char *name)
{
    for (guint i = 0; i < policy->rules->len; i++)
        if (strcmp(((const Rule *) policy->rules->pdata[i])->name, name) == 0)
            return i;
    return policy->rules->len;
}

void watch_take_over(Stage *s, EntityState *entity, const Event *event, Fired *fired)
{
    const Policy *policy = s->engine->policy;
    Incident *open = entity->incident;

    if (fired->rule == NULL)
        return;
    if (stopped_app_of(s->engine, entity) != NULL) { /* until somebody starts it nothing of it fails */
        fired_clear(fired);
        return;
    }
    if (open != NULL && rule_index(policy, fired->rule->name) >= rule_index(policy, open->rule)) {
        put_record(s, "rule.not-taken", open, NULL, json_pack("{s:s, s:O}", "rule", fired->rule->name, "window",
                                                              json_object_get(fired->values, "window")),
                   "rule %s fired, and rule %s is at it", fired->rule->name, open->rule);
        fired_clear(fired);
        return;
    }
    if (open != NULL) {
        g_autofree char *why = g_strdup_printf("rule %s stands before rule %s and has fired", fired->rule->name, open->rule);
        incident_close(s, open, INCIDENT_SUPERSEDED, why);
    }
    incident_open(s, entity, fired->rule, event, g_steal_pointer(&fired->values));
    fired_clear(fired);
}

static void absent_fired(Stage *s, const Rule *rule, const CorrelateAnswer *answer)
{
    const json_t *note = answer->note;
    const char *path = json_string_or(note, "entity", "");
    EntityState *entity = entity_find(s->engine, path);
    EventFields fields = { .id = json_string_or(note, "event", ""), .kind = json_string_or(note, "kind", ""), .severity = 3,
                           .source = json_string_or(note, "source", ""), .entity = path, .time_us = answer->first_us, .confidence = 1,
                           .boot_id = json_string_or(note, "boot_id", NULL) };
    g_autoptr(Event) event = event_new(&fields);
    json_t *values = json_copy(json_object_get(note, "values"));

    if (entity == NULL || values == NULL) {
        json_decref(values);
        return;
    }
    describe(values, rule, answer);
    tell_fired(s, rule, entity, values, answer);
    Fired fired = { rule, values };
    watch_take_over(s, entity, event, &fired);
}

void watch_due(Stage *s, Watch *watch)
{
    Engine *engine = s->engine;
    const Rule *rule = engine->policy->rules->pdata[watch->index];
    CorrelateAnswer answer;

    if (engine->now_us < engine->guard_until_us) { /* the answer may be in what is queued and not heard yet */
        due_set(&engine->due, &watch->due, engine->guard_until_us);
        return;
    }
    while (correlate_next_due(watch->matcher, engine->now_us, &answer)) {
        if (answer.verdict == CORRELATE_FIRED) {
            absent_fired(s, rule, &answer);
        } else {
            const EntityState *entity = entity_find(engine, json_string_or(answer.note, "entity", ""));

            if (entity != NULL)
                tell_suppressed(s, rule, entity, &answer);
        }
    }
    set_due(engine, watch);
}

json_t *watches_to_json(const Engine *engine)
{
    json_t *all = json_array();

    for (guint i = 0; i < engine->watches->len; i++) {
        const Watch *watch = engine->watches->pdata[i];

        json_array_append_new(all, json_pack("{s:s, s:I, s:o}", "rule", watch->rule, "due_us", watch->due.at_us, "matcher",
                                             correlate_to_json(watch->matcher)));
    }
    return all;
}

void watches_from_json(Engine *engine, const json_t *json)
{
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *one = json_array_get(json, i);
        Watch *watch = watch_find(engine->watches, json_string_or(one, "rule", ""));
        g_autoptr(Correlate) matcher = watch == NULL ? NULL : correlate_from_json(json_object_get(one, "matcher"), NULL);

        if (matcher == NULL || !correlate_spec_equal(correlate_spec(matcher), correlate_spec(watch->matcher)))
            continue; /* the policy has changed meanwhile: counted anew */
        correlate_free(watch->matcher);
        watch->matcher = g_steal_pointer(&matcher);
        due_set(&engine->due, &watch->due, json_int_or(one, "due_us", NEVER_US));
    }
}
