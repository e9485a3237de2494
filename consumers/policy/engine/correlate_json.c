/* A matcher in JSON. Times that are not there are left out, so most groups are short. */
#include "consumers/policy/engine/correlate_private.h"

#include "lib/base/json.h"

#include <string.h>

#define X(id, text) [CORRELATE_##id] = text,
static const char *const form_names[] = { CORRELATE_FORMS(X) };
#undef X

static void put_us(json_t *object, const char *key, int64_t at_us)
{
    if (at_us != NONE_US)
        json_object_set_new(object, key, json_integer(at_us));
}

static void put_n(json_t *object, const char *key, uint64_t n)
{
    if (n != 0)
        json_object_set_new(object, key, json_integer((json_int_t) n));
}

static json_t *group_to_json(const Correlate *c, const Group *g)
{
    json_t *object = json_pack("{s:s}", "key", g->key);

    put_us(object, "newest_us", g->newest_us);
    put_us(object, "settled_us", g->settled_us);
    put_us(object, "fired_us", g->fired_us);
    put_us(object, "answered_us", g->answered_us);
    put_us(object, "covered_us", g->covered_us);
    put_n(object, "suppressed", g->suppressed);
    put_n(object, "owed", g->owed);
    if (g->marks.n > 0)
        json_object_set_new(object, "marks", stamps_to_json(&g->marks));
    if (c->spec.form == CORRELATE_SEQUENCE) {
        json_t *base = json_array();

        for (guint i = 0; i < c->spec.patterns; i++)
            json_array_append_new(base, g->base[i] == NONE_US ? json_null() : json_integer(g->base[i]));
        json_object_set_new(object, "base", base);
    }
    if (g->waiting != NULL && g->waiting->len > 0) {
        json_t *all = json_array();

        for (guint i = 0; i < g->waiting->len; i++) {
            const Waiting *w = &g_array_index(g->waiting, Waiting, i);
            json_t *one = json_pack("{s:I}", "at_us", w->at_us);

            if (w->note != NULL)
                json_object_set(one, "note", w->note);
            json_array_append_new(all, one);
        }
        json_object_set_new(object, "waiting", all);
    }
    return object;
}

json_t *correlate_to_json(const Correlate *c)
{
    const CorrelateSpec *s = &c->spec;
    const CorrelateCounts *n = &c->counts;
    json_t *groups = json_array();

    for (const GList *l = c->seen.head; l != NULL; l = l->next)
        json_array_append_new(groups, group_to_json(c, l->data));
    return json_pack("{s:{s:s, s:i, s:i, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I}, s:o}", "spec", "form", form_names[s->form], "patterns",
                     (int) s->patterns, "count", (int) s->count, "within_us", s->within_us, "once_within_us", s->once_within_us,
                     "lateness_us", s->lateness_us, "counts", "fired", (json_int_t) n->fired, "suppressed", (json_int_t) n->suppressed,
                     "late", (json_int_t) n->late, "evicted", (json_int_t) n->evicted, "crowded", (json_int_t) n->crowded, "groups", groups);
}

static bool malformed(GError **error, const char *where, const char *what)
{
    g_set_error(error, CORRELATE_ERROR, CORRELATE_ERROR_MALFORMED, "matcher: %s: %s", where, what);
    return false;
}

static bool spec_from_json(CorrelateSpec *ret, const json_t *json, GError **error)
{
    const char *form = json_string_or(json, "form", "");
    CorrelateSpec spec = { .form = CORRELATE_FORM_N, .patterns = (guint) json_int_or(json, "patterns", 0),
                           .count = (guint) json_int_or(json, "count", 0), .within_us = json_int_or(json, "within_us", 0),
                           .once_within_us = json_int_or(json, "once_within_us", 0), .lateness_us = json_int_or(json, "lateness_us", 0) };

    for (guint i = 0; i < CORRELATE_FORM_N; i++)
        if (strcmp(form, form_names[i]) == 0)
            spec.form = i;
    if (spec.form == CORRELATE_FORM_N)
        return malformed(error, "spec", "form must be once, count, absent or sequence");
    *ret = spec;
    return true;
}

static int64_t time_or_none(const json_t *object, const char *key)
{
    int64_t at_us = json_int_or(object, key, NONE_US);

    return at_us == NONE_US ? NONE_US : CLAMP(at_us, -TIME_MAX, TIME_MAX);
}

static bool waiting_from_json(Correlate *c, Group *g, const json_t *all)
{
    if (all == NULL)
        return true;
    if (c->spec.form != CORRELATE_ABSENT || !json_is_array(all) || json_array_size(all) > ABSENT_WAITING_MAX)
        return false;
    g->waiting = g_array_new(FALSE, FALSE, sizeof(Waiting));
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        Waiting w = { .at_us = time_or_none(one, "at_us") };

        if (w.at_us == NONE_US || (i > 0 && g_array_index(g->waiting, Waiting, i - 1).at_us > w.at_us))
            return false;
        w.note = json_incref(json_object_get(one, "note"));
        g_array_append_val(g->waiting, w);
        c->counts.stamps++;
    }
    return true;
}

static bool group_from_json(Correlate *c, const json_t *json, GError **error)
{
    const char *key = json_string_or(json, "key", NULL);
    const json_t *marks = json_object_get(json, "marks"), *base = json_object_get(json, "base");

    if (key == NULL || strlen(key) > CORRELATE_KEY_BYTES_MAX || g_hash_table_contains(c->groups, key) ||
        g_hash_table_size(c->groups) >= CORRELATE_KEYS_MAX)
        return malformed(error, "groups", "a key is missing, too long, twice, or one too many");
    Group *g = group_new(c, key);

    g->newest_us = time_or_none(json, "newest_us");
    g->settled_us = time_or_none(json, "settled_us");
    g->fired_us = time_or_none(json, "fired_us");
    g->answered_us = time_or_none(json, "answered_us");
    g->covered_us = time_or_none(json, "covered_us");
    g->suppressed = (uint64_t) json_int_or(json, "suppressed", 0);
    g->owed = (guint) json_int_or(json, "owed", 0);
    if (marks != NULL && !stamps_from_json(&g->marks, marks, 2 * CORRELATE_COUNT_MAX + SEQUENCE_MARKS_MAX))
        return malformed(error, key, "marks must be ascending whole numbers, and not too many");
    c->counts.stamps += g->marks.n;
    for (guint i = 0; i < json_array_size(base) && i < c->spec.patterns; i++)
        if (json_is_integer(json_array_get(base, i)))
            g->base[i] = CLAMP(json_integer_value(json_array_get(base, i)), -TIME_MAX, TIME_MAX);
    if (!waiting_from_json(c, g, json_object_get(json, "waiting")))
        return malformed(error, key, "waiting must be a few objects with ascending at_us");
    if (c->spec.form == CORRELATE_SEQUENCE)
        sequence_replay(c, g);
    group_settle_due(c, g);
    return true;
}

Correlate *correlate_from_json(const json_t *json, GError **error)
{
    const json_t *counts = json_object_get(json, "counts"), *groups = json_object_get(json, "groups");
    CorrelateSpec spec;

    if (!spec_from_json(&spec, json_object_get(json, "spec"), error))
        return NULL;
    g_autoptr(Correlate) c = correlate_new(&spec, error);
    if (c == NULL)
        return NULL;
    c->counts.fired = (uint64_t) json_int_or(counts, "fired", 0);
    c->counts.suppressed = (uint64_t) json_int_or(counts, "suppressed", 0);
    c->counts.late = (uint64_t) json_int_or(counts, "late", 0);
    c->counts.evicted = (uint64_t) json_int_or(counts, "evicted", 0);
    c->counts.crowded = (uint64_t) json_int_or(counts, "crowded", 0);
    if (!json_is_array(groups)) {
        malformed(error, "groups", "must be an array");
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(groups); i++)
        if (!group_from_json(c, json_array_get(groups, i), error))
            return NULL;
    return g_steal_pointer(&c);
}
