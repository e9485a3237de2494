/* Groups and what all forms share: the throttle, the limits, the order of things that are due.
 *
 * A group is in two lists: by its last match, for eviction, and, while it waits, by the end of its waiting. Both are walked from the end a new
 * entry belongs to, which is a step or two, since time goes on. Groups that have nothing to remember any more go two at a time with each
 * match, so nothing ever sweeps. No order comes from the hash table. */
#include "consumers/policy/engine/ageing.h"
#include "consumers/policy/engine/correlate_private.h"

#include <string.h>

#define KEEP_US (10 * US_PER_MINUTE)

G_DEFINE_QUARK(mend-correlate-error-quark, correlate_error)

static bool limit(GError **error, const char *what, int64_t value, int64_t least, int64_t most)
{
    if (value >= least && value <= most)
        return true;
    g_set_error(error, CORRELATE_ERROR, CORRELATE_ERROR_LIMIT, "%s is %" G_GINT64_FORMAT ", it may be %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                what, value, least, most);
    return false;
}

bool correlate_spec_check(const CorrelateSpec *spec, GError **error)
{
    static const guint patterns[CORRELATE_FORM_N][2] = {
        [CORRELATE_ONCE] = { 1, 1 }, [CORRELATE_COUNT] = { 1, 1 }, [CORRELATE_ABSENT] = { 2, 2 },
        [CORRELATE_SEQUENCE] = { 2, CORRELATE_PATTERNS_MAX },
    };

    if (!limit(error, "the form", spec->form, 0, CORRELATE_FORM_N - 1) ||
        !limit(error, "the number of patterns", spec->patterns, patterns[spec->form][0], patterns[spec->form][1]) ||
        !limit(error, "once_within in microseconds", spec->once_within_us, 0, CORRELATE_WITHIN_MAX_US))
        return false;
    if (spec->form == CORRELATE_COUNT && !limit(error, "count", spec->count, 1, CORRELATE_COUNT_MAX))
        return false;
    return spec->form == CORRELATE_ONCE || (limit(error, "within in microseconds", spec->within_us, 1, CORRELATE_WITHIN_MAX_US) &&
                                            limit(error, "lateness in microseconds", spec->lateness_us, 0, spec->within_us));
}

bool correlate_spec_equal(const CorrelateSpec *a, const CorrelateSpec *b)
{
    return a->form == b->form && a->patterns == b->patterns && a->count == b->count && a->within_us == b->within_us &&
           a->once_within_us == b->once_within_us && a->lateness_us == b->lateness_us;
}

static void group_free(gpointer data)
{
    Group *g = data;

    group_forget(g);
    g_free(g->key);
    g_free(g);
}

Correlate *correlate_new(const CorrelateSpec *spec, GError **error)
{
    if (!correlate_spec_check(spec, error))
        return NULL;
    Correlate *c = g_new0(Correlate, 1);

    c->spec = *spec;
    c->groups = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, group_free);
    return c;
}

void correlate_free(Correlate *c)
{
    if (c == NULL)
        return;
    g_hash_table_unref(c->groups);
    json_decref(c->note);
    g_free(c);
}

const CorrelateSpec *correlate_spec(const Correlate *c)
{
    return &c->spec;
}

/* Keys as they are kept: a long one is its beginning and a hash of it all. */
static const char *key_fit(const char *key, char buffer[CORRELATE_KEY_BYTES_MAX + 1])
{
    size_t end = CORRELATE_KEY_BYTES_MAX - 17;

    if (strlen(key) <= CORRELATE_KEY_BYTES_MAX)
        return key;
    while (end > 0 && ((unsigned char) key[end] & 0xc0) == 0x80)
        end--; /* not through the middle of a character */
    memcpy(buffer, key, end);
    g_snprintf(buffer + end, CORRELATE_KEY_BYTES_MAX + 1 - end, "~%016" G_GINT64_MODIFIER "x", hash_text(key, 0));
    return buffer;
}

Group *group_new(Correlate *c, const char *key)
{
    Group *g = g_new0(Group, 1);

    g->key = g_strdup(key);
    g->seen.data = g->due.data = g;
    g->due_us = g->newest_us = g->settled_us = g->fired_us = g->answered_us = g->covered_us = NONE_US;
    for (guint i = 0; i < CORRELATE_PATTERNS_MAX; i++)
        g->base[i] = g->reached[i] = NONE_US;
    g_hash_table_insert(c->groups, g->key, g);
    g_queue_push_tail_link(&c->seen, &g->seen);
    return g;
}

static bool due_before(const Group *a, const Group *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : strcmp(a->key, b->key) < 0;
}

void group_settle_due(Correlate *c, Group *g)
{
    int64_t due_us = absent_due_us(c, g);

    if (due_us == g->due_us)
        return;
    if (g->due_us != NONE_US)
        g_queue_unlink(&c->due, &g->due);
    g->due_us = due_us;
    if (due_us == NONE_US)
        return;
    GList *after = c->due.tail;
    while (after != NULL && due_before(g, after->data))
        after = after->prev;
    if (after == NULL)
        g_queue_push_head_link(&c->due, &g->due);
    else
        g_queue_insert_after_link(&c->due, after, &g->due);
}

static void group_drop(Correlate *c, Group *g)
{
    c->counts.stamps -= g->marks.n + (g->waiting == NULL ? 0 : g->waiting->len);
    if (g->due_us != NONE_US)
        g_queue_unlink(&c->due, &g->due);
    g_queue_unlink(&c->seen, &g->seen);
    g_hash_table_remove(c->groups, g->key);
}

/* Nothing it remembers can matter any more, unless events take longer than KEEP_US to come. */
static bool group_is_idle(const Correlate *c, const Group *g, int64_t now_us)
{
    if (g->due_us != NONE_US || (g->fired_us != NONE_US && now_us - g->fired_us < c->spec.once_within_us))
        return false;
    return g->newest_us == NONE_US || now_us - g->newest_us >= c->spec.within_us + c->spec.lateness_us + KEEP_US;
}

static void make_room(Correlate *c, const Group *keep, int64_t now_us)
{
    for (guint i = 0; i < 2; i++) {
        Group *oldest = c->seen.head == NULL ? NULL : c->seen.head->data;

        if (oldest == NULL || oldest == keep || !group_is_idle(c, oldest, now_us))
            break;
        group_drop(c, oldest);
    }
    while (g_hash_table_size(c->groups) > CORRELATE_KEYS_MAX || c->counts.stamps > CORRELATE_STAMPS_MAX) {
        Group *oldest = c->seen.head->data;

        if (oldest == keep)
            break;
        c->counts.evicted++;
        group_drop(c, oldest);
    }
}

/* It would fire: does once_within let it? */
static void throttle(Correlate *c, Group *g, CorrelateAnswer *ret)
{
    if (c->spec.once_within_us > 0 && g->fired_us != NONE_US && ret->at_us - g->fired_us < c->spec.once_within_us) {
        c->counts.suppressed++;
        ret->verdict = CORRELATE_SUPPRESSED;
        ret->suppressed = ++g->suppressed;
        return;
    }
    c->counts.fired++;
    ret->verdict = CORRELATE_FIRED;
    ret->suppressed = g->suppressed;
    g->fired_us = ret->at_us;
    g->suppressed = 0;
}

static bool group_match(Correlate *c, Group *g, guint pattern, int64_t at_us, json_t *note, CorrelateAnswer *ret)
{
    switch (c->spec.form) {
    case CORRELATE_ONCE:
        g->newest_us = MAX(g->newest_us, at_us);
        *ret = (CorrelateAnswer) { .key = ret->key, .first_us = at_us, .at_us = at_us, .count = 1 };
        return true;
    case CORRELATE_COUNT:
        return count_match(c, g, at_us, ret);
    case CORRELATE_SEQUENCE:
        return sequence_match(c, g, pattern, at_us, ret);
    default:
        absent_match(c, g, pattern, at_us, note, ret);
        group_settle_due(c, g);
        return false;
    }
}

void correlate_add(Correlate *c, guint pattern, const char *key, int64_t at_us, int64_t now_us, json_t *note, CorrelateAnswer *ret)
{
    char buffer[CORRELATE_KEY_BYTES_MAX + 1];

    *ret = (CorrelateAnswer) { .verdict = CORRELATE_NOT_YET, .key = "" };
    if (pattern >= c->spec.patterns)
        return;
    now_us = CLAMP(now_us, -TIME_MAX, TIME_MAX);
    at_us = CLAMP(at_us, -TIME_MAX, now_us);
    key = key_fit(key, buffer);
    Group *g = g_hash_table_lookup(c->groups, key);
    if (g == NULL) {
        if (c->spec.form == CORRELATE_SEQUENCE && pattern > 0 && c->spec.lateness_us == 0)
            return; /* nothing it could follow */
        g = group_new(c, key);
    } else if (c->seen.tail != &g->seen) {
        g_queue_unlink(&c->seen, &g->seen);
        g_queue_push_tail_link(&c->seen, &g->seen);
    }
    ret->key = g->key;
    if (group_match(c, g, pattern, at_us, note, ret))
        throttle(c, g, ret);
    make_room(c, g, now_us);
}

int64_t correlate_due_us(const Correlate *c)
{
    return c->due.head == NULL ? INT64_MAX : ((const Group *) c->due.head->data)->due_us;
}

bool correlate_next_due(Correlate *c, int64_t now_us, CorrelateAnswer *ret)
{
    if (c->due.head == NULL || correlate_due_us(c) > now_us)
        return false;
    Group *g = c->due.head->data;

    *ret = (CorrelateAnswer) { .key = g->key };
    absent_end(c, g, ret);
    throttle(c, g, ret);
    group_settle_due(c, g);
    return true;
}

void correlate_forget(Correlate *c, const char *key)
{
    char buffer[CORRELATE_KEY_BYTES_MAX + 1];
    Group *g = g_hash_table_lookup(c->groups, key_fit(key, buffer));

    if (g == NULL)
        return;
    c->counts.stamps -= g->marks.n + (g->waiting == NULL ? 0 : g->waiting->len);
    group_forget(g);
    group_settle_due(c, g);
}

CorrelateCounts correlate_counts(const Correlate *c)
{
    CorrelateCounts counts = c->counts;

    counts.keys = g_hash_table_size(c->groups);
    return counts;
}

bool correlate_look(const Correlate *c, const char *key, int64_t now_us, guint *ret_count, int64_t *ret_throttled_until_us)
{
    char buffer[CORRELATE_KEY_BYTES_MAX + 1];
    const Group *g = g_hash_table_lookup(c->groups, key_fit(key, buffer));

    if (g == NULL)
        return false;
    bool throttled = c->spec.once_within_us > 0 && g->fired_us != NONE_US && now_us - g->fired_us < c->spec.once_within_us;
    *ret_count = group_look(c, g, now_us);
    *ret_throttled_until_us = throttled ? g->fired_us + c->spec.once_within_us : 0;
    return true;
}
