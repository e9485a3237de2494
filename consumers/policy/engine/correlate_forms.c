/* The three forms that look at more than one match.
 *
 * COUNT. A ring of the times. Sorted, the rule fires at each match at which the number in (t - T, t] becomes @count from below: "crossing" looks at two
 * distances in the ring, so an in-order match costs the same whatever the count. A late one is put in its place, and the crossings from there on
 * are counted before and after: when there are more in all than firings were made, it fires. It can also join two runs into one; then one firing
 * was made too many, which is remembered in ->owed and made good by the next. With once_within any match in a full window fires, and the throttle
 * does the rest: a steady storm is told again every once_within.
 *
 * SEQUENCE. Of all unfinished chains only the latest start for each position matters: what it cannot complete, an older one cannot. A
 * completed chain clears all, so firings do not overlap, and since it is always the earliest end that is taken there are as many as can be;
 * a late match therefore never makes them fewer, and at most one more. What may still be preceded by a late match is kept as marks, and run
 * again from the settled state when one comes. In one microsecond the later patterns go first, so that nothing follows what is not older.
 *
 * ABSENT. The matches of 0 without an answer, oldest first; the first one's end is the group's time. */
#include "consumers/policy/engine/correlate_private.h"

static bool is_late(Correlate *c, Group *g, int64_t at_us, CorrelateAnswer *ret)
{
    if (at_us >= g->settled_us)
        return false;
    c->counts.late++;
    ret->verdict = CORRELATE_LATE;
    return true;
}

static void group_advance(const Correlate *c, Group *g, int64_t at_us)
{
    g->newest_us = MAX(g->newest_us, at_us);
    g->settled_us = MAX(g->settled_us, time_before(g->newest_us, c->spec.lateness_us));
}

/* COUNT */

static guint count_cap(const CorrelateSpec *spec)
{
    return MAX(64, 2 * spec->count);
}

static bool is_crossing(const CorrelateSpec *spec, const Stamps *s, guint i)
{
    guint n = spec->count;

    return i + 1 >= n && stamps_get(s, i) - stamps_get(s, i + 1 - n) < spec->within_us &&
           (i < n || stamps_get(s, i) - stamps_get(s, i - n) >= spec->within_us);
}

/* From @i on, as far as a match at @at_us can change them. */
static guint crossings(const CorrelateSpec *spec, const Stamps *s, guint i, int64_t at_us)
{
    guint sum = 0;

    for (; i < s->n && stamps_get(s, i) - at_us < spec->within_us; i++)
        sum += is_crossing(spec, s, i);
    return sum;
}

/* A window of @count that holds the match @pos: its last one, or s->n. */
static guint full_window(const CorrelateSpec *spec, const Stamps *s, guint pos)
{
    for (guint end = MIN(pos + spec->count, s->n); end-- > MAX(pos, spec->count - 1);)
        if (stamps_get(s, end) - stamps_get(s, end + 1 - spec->count) < spec->within_us)
            return end;
    return s->n;
}

static bool count_fires(Correlate *c, Group *g, guint pos, guint before, int64_t at_us)
{
    const CorrelateSpec *spec = &c->spec;

    if (spec->once_within_us > 0)
        return full_window(spec, &g->marks, pos) < g->marks.n;
    guint after = pos + 1 == g->marks.n ? is_crossing(spec, &g->marks, pos) : crossings(spec, &g->marks, pos, at_us);
    if (after < before)
        g->owed += before - after;
    guint more = after > before ? after - before : 0, paid = MIN(more, g->owed);
    g->owed -= paid;
    return more > paid;
}

bool count_match(Correlate *c, Group *g, int64_t at_us, CorrelateAnswer *ret)
{
    if (is_late(c, g, at_us, ret))
        return false;
    group_advance(c, g, at_us);
    guint stamps = g->marks.n;
    int64_t out_us = g->newest_us - c->spec.within_us - c->spec.lateness_us;
    if (g->marks.n > 0 && stamps_get(&g->marks, 0) <= out_us)
        stamps_drop(&g->marks, stamps_rank(&g->marks, out_us));
    if (g->marks.n >= count_cap(&c->spec)) { /* what is in the ring stays as it is from now on */
        stamps_drop(&g->marks, 1);
        if (c->spec.lateness_us > 0 && g->settled_us < g->newest_us)
            c->counts.crowded++;
        g->settled_us = g->newest_us;
        if (at_us < g->settled_us) {
            c->counts.stamps -= stamps - g->marks.n;
            is_late(c, g, at_us, ret);
            return false;
        }
    }
    guint pos = stamps_rank(&g->marks, at_us);
    guint before = pos == g->marks.n ? 0 : crossings(&c->spec, &g->marks, pos, at_us);
    stamps_insert(&g->marks, at_us);
    c->counts.stamps += g->marks.n - stamps;
    if (!count_fires(c, g, pos, before, at_us))
        return false;
    guint end = full_window(&c->spec, &g->marks, pos);
    guint first = stamps_rank(&g->marks, stamps_get(&g->marks, end) - c->spec.within_us);
    ret->first_us = stamps_get(&g->marks, first);
    ret->at_us = at_us;
    ret->count = end + 1 - first;
    return true;
}

/* SEQUENCE */

static int64_t mark_new(guint pattern, int64_t at_us)
{
    return at_us * 8 + (7 - (int64_t) pattern);
}

static int64_t mark_us(int64_t mark)
{
    return (mark - (mark & 7)) / 8;
}

/* Start of the chain that is complete now; NONE_US: none is. */
static int64_t sequence_step(const CorrelateSpec *spec, int64_t reached[], int64_t mark)
{
    guint p = 7 - (guint) (mark & 7);
    int64_t at_us = mark_us(mark);

    if (p == 0) {
        reached[0] = at_us;
        return NONE_US;
    }
    int64_t start_us = reached[p - 1];
    if (start_us == NONE_US || at_us - start_us >= spec->within_us)
        return NONE_US;
    reached[p] = MAX(reached[p], start_us);
    if (p + 1 < spec->patterns)
        return NONE_US;
    for (guint i = 0; i < spec->patterns; i++)
        reached[i] = NONE_US;
    return start_us;
}

/* Number of chains in the marks; the start of the one @at_us lies in. */
static guint sequence_run(const CorrelateSpec *spec, Group *g, int64_t at_us, int64_t *ret_start_us)
{
    guint chains = 0;

    for (guint i = 0; i < spec->patterns; i++)
        g->reached[i] = g->base[i];
    for (guint i = 0; i < g->marks.n; i++) {
        int64_t mark = stamps_get(&g->marks, i), start_us = sequence_step(spec, g->reached, mark);

        if (start_us == NONE_US)
            continue;
        chains++;
        if (start_us <= at_us)
            *ret_start_us = start_us;
    }
    return chains;
}

void sequence_replay(const Correlate *c, Group *g)
{
    int64_t start_us;

    sequence_run(&c->spec, g, NONE_US, &start_us);
}

static void sequence_settle(Correlate *c, Group *g, guint n)
{
    for (guint i = 0; i < n; i++)
        sequence_step(&c->spec, g->base, stamps_get(&g->marks, i));
    stamps_drop(&g->marks, n);
    c->counts.stamps -= n;
}

bool sequence_match(Correlate *c, Group *g, guint pattern, int64_t at_us, CorrelateAnswer *ret)
{
    int64_t mark = mark_new(pattern, at_us);

    if (is_late(c, g, at_us, ret))
        return false;
    group_advance(c, g, at_us);
    if (g->marks.n > 0 && mark_us(stamps_get(&g->marks, 0)) < g->settled_us)
        sequence_settle(c, g, stamps_rank(&g->marks, g->settled_us * 8 - 1));
    if (g->marks.n >= SEQUENCE_MARKS_MAX) {
        g->settled_us = mark_us(stamps_get(&g->marks, 0)) + 1;
        sequence_settle(c, g, stamps_rank(&g->marks, g->settled_us * 8 - 1));
        c->counts.crowded++;
        if (is_late(c, g, at_us, ret))
            return false;
    }
    guint pos = stamps_rank(&g->marks, mark);
    if (pos > 0 && stamps_get(&g->marks, pos - 1) == mark)
        return false; /* the same twice in a microsecond says nothing more */
    bool in_order = pos == g->marks.n;
    int64_t start_us = NONE_US;
    guint before = in_order ? 0 : sequence_run(&c->spec, g, at_us, &start_us);
    stamps_insert(&g->marks, mark);
    c->counts.stamps++;
    start_us = NONE_US;
    guint after = in_order ? (start_us = sequence_step(&c->spec, g->reached, mark)) != NONE_US : sequence_run(&c->spec, g, at_us, &start_us);
    if (after <= before)
        return false;
    ret->first_us = start_us;
    ret->at_us = at_us;
    ret->count = c->spec.patterns;
    return true;
}

/* ABSENT */

static void waiting_remove(Correlate *c, Group *g, guint from, guint n)
{
    for (guint i = from; i < from + n; i++)
        json_decref(g_array_index(g->waiting, Waiting, i).note);
    if (n > 0)
        g_array_remove_range(g->waiting, from, n);
    c->counts.stamps -= n;
}

int64_t absent_due_us(const Correlate *c, const Group *g)
{
    if (g->waiting == NULL || g->waiting->len == 0)
        return NONE_US;
    return time_after(g_array_index(g->waiting, Waiting, 0).at_us, c->spec.within_us + c->spec.lateness_us);
}

static void absent_answer(Correlate *c, Group *g, int64_t at_us)
{
    g->answered_us = MAX(g->answered_us, at_us);
    guint from = 0, n = 0;
    for (guint i = 0; g->waiting != NULL && i < g->waiting->len; i++) {
        int64_t a_us = g_array_index(g->waiting, Waiting, i).at_us;

        if (at_us - a_us >= c->spec.within_us)
            from = i + 1; /* its time was over */
        else if (a_us <= at_us)
            n++;
    }
    if (n > 0)
        waiting_remove(c, g, from, n);
}

void absent_match(Correlate *c, Group *g, guint pattern, int64_t at_us, json_t *note, CorrelateAnswer *ret)
{
    g->newest_us = MAX(g->newest_us, at_us);
    if (pattern == 1) {
        absent_answer(c, g, at_us);
        return;
    }
    if (at_us < g->covered_us || (g->answered_us != NONE_US && g->answered_us >= at_us)) {
        /* answered, or fired for; only when the newest answer is beyond its end it cannot be told whether there was one before */
        if (at_us >= g->covered_us && g->answered_us - at_us >= c->spec.within_us) {
            c->counts.late++;
            ret->verdict = CORRELATE_LATE;
        }
        return;
    }
    if (g->waiting == NULL)
        g->waiting = g_array_new(FALSE, FALSE, sizeof(Waiting));
    if (g->waiting->len >= ABSENT_WAITING_MAX) { /* the newest stands for those it takes the place of: late, but never missed */
        if (g_array_index(g->waiting, Waiting, ABSENT_WAITING_MAX - 1).at_us >= at_us)
            return;
        waiting_remove(c, g, ABSENT_WAITING_MAX - 1, 1);
        c->counts.crowded++;
    }
    guint i = g->waiting->len;
    while (i > 0 && g_array_index(g->waiting, Waiting, i - 1).at_us > at_us)
        i--;
    Waiting waiting = { .at_us = at_us, .note = json_incref(note) };
    g_array_insert_val(g->waiting, i, waiting);
    c->counts.stamps++;
}

void absent_end(Correlate *c, Group *g, CorrelateAnswer *ret)
{
    const Waiting *first = &g_array_index(g->waiting, Waiting, 0);
    guint n = 0;

    ret->first_us = first->at_us;
    ret->at_us = first->at_us + c->spec.within_us;
    json_decref(c->note);
    c->note = json_incref(first->note);
    ret->note = c->note;
    g->covered_us = MAX(g->covered_us, ret->at_us);
    while (n < g->waiting->len && g_array_index(g->waiting, Waiting, n).at_us < g->covered_us)
        n++;
    ret->count = n;
    waiting_remove(c, g, 0, n);
}

/* All */

guint group_look(const Correlate *c, const Group *g, int64_t now_us)
{
    guint best = 0;

    switch (c->spec.form) {
    case CORRELATE_COUNT:
        return g->marks.n - stamps_rank(&g->marks, time_before(now_us, c->spec.within_us));
    case CORRELATE_SEQUENCE:
        for (guint i = 0; i < c->spec.patterns; i++)
            if (g->reached[i] != NONE_US && now_us - g->reached[i] < c->spec.within_us)
                best = i + 1;
        return best;
    case CORRELATE_ABSENT:
        return g->waiting == NULL ? 0 : g->waiting->len;
    default:
        return 0;
    }
}

void group_forget(Group *g)
{
    stamps_done(&g->marks);
    for (guint i = 0; i < CORRELATE_PATTERNS_MAX; i++)
        g->base[i] = g->reached[i] = NONE_US;
    g->owed = 0;
    for (guint i = 0; g->waiting != NULL && i < g->waiting->len; i++)
        json_decref(g_array_index(g->waiting, Waiting, i).note);
    g_clear_pointer(&g->waiting, g_array_unref);
}
