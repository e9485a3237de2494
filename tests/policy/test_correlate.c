/* The matcher against oracles that keep every match and look for windows, chains and answers by trying them all. */
#include "consumers/policy/engine/correlate.h"
#include "lib/base/json.h"

typedef struct Match {
    guint pattern;
    int64_t at_us;
} Match;

typedef struct Oracle {                /* of one group */
    GArray *all;                       /* of Match, what was accepted, by time */
    int64_t newest_us, fired_us;
    guint best;
    uint64_t suppressed;
} Oracle;

#define MATCH(o, i) (&g_array_index((o)->all, Match, i))

static Correlate *correlate_of(CorrelateSpec spec)
{
    g_autoptr(GError) error = NULL;
    Correlate *c = correlate_new(&spec, &error);

    g_assert_no_error(error);
    return c;
}

static void round_trip(Correlate **c)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) json = correlate_to_json(*c);
    int64_t due_us = correlate_due_us(*c);
    CorrelateCounts before = correlate_counts(*c);

    correlate_free(*c);
    *c = correlate_from_json(json, &error);
    g_assert_no_error(error);
    g_autoptr(json_t) again = correlate_to_json(*c);
    g_assert_true(json_equal(json, again));
    g_assert_cmpint(correlate_due_us(*c), ==, due_us);
    CorrelateCounts after = correlate_counts(*c);
    g_assert_cmpmem(&before, sizeof before, &after, sizeof after);
}

static CorrelateAnswer add(Correlate *c, guint pattern, const char *key, int64_t at_us)
{
    CorrelateAnswer answer;

    correlate_add(c, pattern, key, at_us, at_us, NULL, &answer);
    return answer;
}

/* Oracles */

static guint windows_reached(const Oracle *o, guint count, int64_t within_us)
{
    guint reached = 0;

    for (guint i = 0; i < o->all->len; i++) {
        guint n = 0, before = 0; /* in (t - T, t], with and without this one */

        for (guint k = 0; k <= i; k++)
            n += MATCH(o, k)->at_us > MATCH(o, i)->at_us - within_us;
        before = n - 1;
        reached += n >= count && before < count;
    }
    return reached;
}

static bool in_full_window(const Oracle *o, int64_t at_us, guint count, int64_t within_us)
{
    for (int64_t end_us = at_us; end_us < at_us + within_us; end_us++) {
        guint n = 0;

        for (guint k = 0; k < o->all->len; k++)
            n += MATCH(o, k)->at_us > end_us - within_us && MATCH(o, k)->at_us <= end_us;
        if (n >= count)
            return true;
    }
    return false;
}

/* Is there a chain of patterns @p… after @after_us that ends with the match @end? */
static bool chain_to(const Oracle *o, const CorrelateSpec *spec, guint p, int64_t after_us, int64_t start_us, guint end)
{
    if (p + 1 == spec->patterns)
        return MATCH(o, end)->at_us > after_us && MATCH(o, end)->at_us - start_us < spec->within_us;
    for (guint i = 0; i < o->all->len; i++)
        if (MATCH(o, i)->pattern == p && MATCH(o, i)->at_us > after_us &&
            chain_to(o, spec, p + 1, MATCH(o, i)->at_us, p == 0 ? MATCH(o, i)->at_us : start_us, end))
            return true;
    return false;
}

static guint chains(const Oracle *o, const CorrelateSpec *spec)
{
    guint n = 0;
    int64_t over_us = INT64_MIN + 1; /* a chain may begin in the microsecond the last one ended */

    for (guint i = 0; i < o->all->len; i++)
        if (MATCH(o, i)->pattern + 1 == spec->patterns && chain_to(o, spec, 0, over_us - 1, 0, i)) {
            n++;
            over_us = MATCH(o, i)->at_us;
        }
    return n;
}

static gint match_compare(gconstpointer a, gconstpointer b)
{
    const Match *x = a, *y = b;

    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

static CorrelateVerdict oracle_throttle(Oracle *o, const CorrelateSpec *spec, int64_t at_us)
{
    if (spec->once_within_us > 0 && o->fired_us != INT64_MIN && at_us - o->fired_us < spec->once_within_us) {
        o->suppressed++;
        return CORRELATE_SUPPRESSED;
    }
    o->fired_us = at_us;
    return CORRELATE_FIRED;
}

static CorrelateVerdict oracle_add(Oracle *o, const CorrelateSpec *spec, Match match)
{
    if (o->all->len == 0 && match.pattern > 0 && spec->lateness_us == 0)
        return CORRELATE_NOT_YET; /* nothing it can follow, nothing that can come before it: forgotten at once */
    if (o->newest_us != INT64_MIN && match.at_us < o->newest_us - spec->lateness_us)
        return CORRELATE_LATE;
    o->newest_us = MAX(o->newest_us, match.at_us);
    g_array_append_val(o->all, match);
    g_array_sort(o->all, match_compare);
    bool fires = true;
    if (spec->form != CORRELATE_ONCE) {
        guint n = spec->form == CORRELATE_SEQUENCE ? chains(o, spec) : windows_reached(o, spec->count, spec->within_us);

        fires = n > o->best;
        o->best = MAX(o->best, n);
        if (spec->form == CORRELATE_COUNT && spec->once_within_us > 0)
            fires = in_full_window(o, match.at_us, spec->count, spec->within_us);
    }
    return fires ? oracle_throttle(o, spec, match.at_us) : CORRELATE_NOT_YET;
}

/* Random matches of random specs, some late, some too late, in three groups: every verdict is the oracle's. */
static void play(CorrelateForm form, guint32 seeds, guint matches)
{
    for (guint32 seed = 1; seed <= seeds; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        CorrelateSpec spec = { .form = form, .patterns = form == CORRELATE_SEQUENCE ? g_rand_int_range(rand, 2, 5) : 1,
                               .count = g_rand_int_range(rand, 1, 7), .within_us = form == CORRELATE_ONCE ? 0 : g_rand_int_range(rand, 2, 40) };
        if (form != CORRELATE_ONCE)
            spec.lateness_us = g_rand_int_range(rand, 0, (int) spec.within_us + 1);
        if (form == CORRELATE_ONCE || seed % 3 == 0)
            spec.once_within_us = g_rand_int_range(rand, 1, 60);
        g_autoptr(Correlate) c = correlate_of(spec);
        Oracle groups[3];
        const char *const keys[] = { "vm/a", "vm/b", "" };
        int64_t now_us = 1000;

        for (guint i = 0; i < 3; i++)
            groups[i] = (Oracle) { .all = g_array_new(FALSE, FALSE, sizeof(Match)), .newest_us = INT64_MIN, .fired_us = INT64_MIN };
        for (guint i = 0; i < matches; i++) {
            now_us += g_rand_int_range(rand, 0, 4);
            guint k = g_rand_int_range(rand, 0, 3);
            Match match = { .pattern = g_rand_int_range(rand, 0, spec.patterns),
                            .at_us = now_us - (g_rand_boolean(rand) ? 0 : g_rand_int_range(rand, 0, 10 + (int) spec.lateness_us)) };
            if (form == CORRELATE_ONCE)
                match.at_us = now_us;
            CorrelateAnswer answer;
            correlate_add(c, match.pattern, keys[k], match.at_us, now_us, NULL, &answer);
            CorrelateVerdict expected = oracle_add(&groups[k], &spec, match);
            g_assert_cmpint(answer.verdict, ==, expected);
            if (expected == CORRELATE_FIRED) {
                g_assert_cmpuint(answer.suppressed, ==, groups[k].suppressed);
                groups[k].suppressed = 0;
                g_assert_cmpstr(answer.key, ==, keys[k]);
                g_assert_cmpint(answer.first_us, <=, answer.at_us);
                g_assert_cmpint(answer.at_us - answer.first_us, <, MAX(spec.within_us, 1));
            }
            if (g_rand_int_range(rand, 0, 12) == 0)
                round_trip(&c);
        }
        for (guint i = 0; i < 3; i++)
            g_array_unref(groups[i].all);
    }
}

static void test_count(void)
{
    play(CORRELATE_COUNT, 400, 120);
}

static void test_sequence(void)
{
    play(CORRELATE_SEQUENCE, 300, 60);
}

static void test_once(void)
{
    play(CORRELATE_ONCE, 100, 200);
}

/* In whatever order the same matches come, as long as none is too late, SEQUENCE has fired equally often. */
static void test_order_of_arrival_does_not_matter(void)
{
    for (guint32 seed = 1; seed <= 200; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        Match matches[200];
        uint64_t fired[2], late[2];

        for (guint i = 0; i < 200; i++)
            matches[i] = (Match) { .pattern = g_rand_int_range(rand, 0, 3), .at_us = 1000 + 3 * i };
        for (guint turn = 0; turn < 2; turn++) {
            g_autoptr(Correlate) c = correlate_of((CorrelateSpec) { CORRELATE_SEQUENCE, 3, 0, 60, 0, 30 });

            for (guint i = 0; i < 200; i++) {
                CorrelateAnswer answer;
                correlate_add(c, matches[i].pattern, "k", matches[i].at_us, 5000, NULL, &answer);
            }
            fired[turn] = correlate_counts(c).fired;
            late[turn] = correlate_counts(c).late;
            for (guint i = 0; i + 9 < 200; i += 9) /* 9 places are 27 us */
                for (guint k = 8; k > 0; k--) {
                    guint other = g_rand_int_range(rand, 0, k + 1);
                    Match swap = matches[i + k];
                    matches[i + k] = matches[i + other];
                    matches[i + other] = swap;
                }
        }
        g_assert_cmpuint(fired[0], >, 5);
        g_assert_cmpuint(fired[0], ==, fired[1]);
        g_assert_cmpuint(late[0] + late[1], ==, 0);
    }
}

/* Matches of 0 and 1 arrive up to the lateness late, the timer is asked whenever it wants to be; afterwards the firings are those one finds looking back. */
static void test_absent(void)
{
    for (guint32 seed = 1; seed <= 500; seed++) {
        g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
        CorrelateSpec spec = { CORRELATE_ABSENT, 2, 0, g_rand_int_range(rand, 3, 30), 0, 0 };
        spec.lateness_us = g_rand_int_range(rand, 0, (int) spec.within_us + 1);
        g_autoptr(Correlate) c = correlate_of(spec);
        g_autoptr(GArray) a = g_array_new(FALSE, FALSE, sizeof(Match)), fired = g_array_new(FALSE, FALSE, sizeof(int64_t)),
                          expected = g_array_new(FALSE, FALSE, sizeof(int64_t));
        int64_t now_us = 100;
        CorrelateAnswer answer;

        for (guint i = 0; i < 120; i++) {
            now_us += g_rand_int_range(rand, 0, 8);
            for (int64_t due_us; (due_us = correlate_due_us(c)) <= now_us;) {
                g_assert_false(correlate_next_due(c, due_us - 1, &answer));
                g_assert_true(correlate_next_due(c, due_us, &answer));
                g_assert_cmpint(answer.verdict, ==, CORRELATE_FIRED);
                g_assert_cmpint(due_us, ==, answer.at_us + spec.lateness_us);
                g_array_append_val(fired, answer.at_us);
            }
            if (i < 100) {
                Match m = { .pattern = g_rand_int_range(rand, 0, 4) == 0, .at_us = now_us - g_rand_int_range(rand, 0, (int) spec.lateness_us + 1) };

                g_array_append_val(a, m);
                correlate_add(c, m.pattern, "k", m.at_us, now_us, NULL, &answer);
                g_assert_cmpint(answer.verdict, ==, CORRELATE_NOT_YET);
            }
            if (g_rand_int_range(rand, 0, 5) == 0)
                round_trip(&c); /* as after a restart: it fires all the same, once */
        }
        g_array_sort(a, match_compare);
        int64_t covered_us = INT64_MIN;
        for (guint i = 0; i < a->len; i++) {
            const Match *m = &g_array_index(a, Match, i);
            bool answered = m->pattern == 1 || m->at_us < covered_us;

            for (guint k = 0; k < a->len; k++) {
                const Match *b = &g_array_index(a, Match, k);
                answered |= b->pattern == 1 && b->at_us >= m->at_us && b->at_us < m->at_us + spec.within_us;
            }
            if (!answered) {
                covered_us = m->at_us + spec.within_us;
                g_array_append_val(expected, covered_us);
            }
        }
        g_assert_cmpmem(fired->data, fired->len * sizeof(int64_t), expected->data, expected->len * sizeof(int64_t));
    }
}

static void test_absent_hands_the_note_back(void)
{
    g_autoptr(Correlate) c = correlate_of((CorrelateSpec) { CORRELATE_ABSENT, 2, 0, 10, 25, 0 });
    g_autoptr(json_t) first = json_string("first"), second = json_string("second");
    CorrelateAnswer answer;

    correlate_add(c, 0, "b", 1, 1, first, &answer);
    correlate_add(c, 0, "a", 1, 1, second, &answer);
    round_trip(&c);
    g_assert_true(correlate_next_due(c, 11, &answer)); /* at the same moment: by key */
    g_assert_cmpstr(answer.key, ==, "a");
    g_assert_cmpstr(json_string_value(answer.note), ==, "second");
    g_assert_true(correlate_next_due(c, 11, &answer));
    g_assert_cmpstr(json_string_value(answer.note), ==, "first");
    g_assert_false(correlate_next_due(c, INT64_MAX, &answer));
    correlate_add(c, 0, "a", 20, 20, first, &answer);
    g_assert_true(correlate_next_due(c, 30, &answer));
    g_assert_cmpint(answer.verdict, ==, CORRELATE_SUPPRESSED); /* 19 after the last */
    correlate_add(c, 0, "a", 40, 40, first, &answer);
    correlate_forget(c, "a");
    g_assert_cmpint(correlate_due_us(c), ==, INT64_MAX);
    correlate_add(c, 0, "a", 50, 50, NULL, &answer);
    g_assert_true(correlate_next_due(c, 60, &answer));
    g_assert_cmpint(answer.verdict, ==, CORRELATE_FIRED);
    g_assert_cmpuint(answer.suppressed, ==, 1);
    g_assert_null(answer.note);
}

static void test_a_million_identical_events_act_once(void)
{
    static const CorrelateSpec specs[] = { { CORRELATE_ONCE, 1, 0, 0, US_PER_HOUR, 0 }, { CORRELATE_COUNT, 1, 1, US_PER_MINUTE, US_PER_HOUR, 5 },
                                           { CORRELATE_COUNT, 1, 3, US_PER_MINUTE, US_PER_HOUR, 0 } };
    for (guint i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autoptr(Correlate) c = correlate_of(specs[i]);
        uint64_t fired = 0;
        guint count;
        int64_t until_us;

        for (guint n = 0; n < 1000000; n++)
            fired += add(c, 0, "service/web/nginx", 42).verdict == CORRELATE_FIRED;
        g_assert_cmpuint(fired, ==, 1);
        g_assert_cmpuint(correlate_counts(c).suppressed, ==, i == 2 ? 999997 : 999999);
        g_assert_cmpuint(correlate_counts(c).stamps, <=, 64);
        g_assert_true(correlate_look(c, "service/web/nginx", 42, &count, &until_us));
        g_assert_cmpint(until_us, ==, 42 + US_PER_HOUR);
        CorrelateAnswer answer = add(c, 0, "service/web/nginx", 42 + US_PER_HOUR);
        g_assert_cmpint(answer.verdict, ==, i == 2 ? CORRELATE_NOT_YET : CORRELATE_FIRED);
        g_assert_cmpuint(answer.suppressed, ==, i == 2 ? 0 : 999999);
    }
}

static void test_a_storm_without_throttle_fires_once(void)
{
    g_autoptr(Correlate) c = correlate_of((CorrelateSpec) { CORRELATE_COUNT, 1, 3, US_PER_MINUTE, 0, US_PER_S });

    for (int64_t i = 0; i < 100000; i++) /* the count stays above 3 all the time; now and then one is late */
        add(c, 0, "k", i * US_PER_MS - (i % 7 == 0 ? US_PER_S / 2 : 0));
    g_assert_cmpuint(correlate_counts(c).fired, ==, 1);
    g_assert_cmpuint(correlate_counts(c).crowded, >, 0);
    add(c, 0, "k", US_PER_HOUR);
    add(c, 0, "k", US_PER_HOUR + 1);
    g_assert_cmpint(add(c, 0, "k", US_PER_HOUR + US_PER_MINUTE).verdict, ==, CORRELATE_NOT_YET); /* at exactly T the first is out */
    g_assert_cmpint(add(c, 0, "k", US_PER_HOUR + US_PER_MINUTE).verdict, ==, CORRELATE_FIRED);
}

static void test_memory_is_bounded(void)
{
    g_autoptr(Correlate) c = correlate_of((CorrelateSpec) { CORRELATE_COUNT, 1, CORRELATE_COUNT_MAX, US_PER_HOUR, 0, 0 });
    char key[3000];

    for (guint i = 0; i < 30000; i++) {
        g_snprintf(key, sizeof key, "key-%u", i);
        add(c, 0, key, i);
    }
    g_assert_cmpuint(correlate_counts(c).keys, ==, CORRELATE_KEYS_MAX);
    g_assert_cmpuint(correlate_counts(c).evicted, ==, 20000);
    for (guint i = 0; i < 2000; i++)
        for (guint k = 0; k < 600; k++) {
            g_snprintf(key, sizeof key, "key-%u", 20000 + k);
            add(c, 0, key, 30000 + i);
        }
    g_assert_cmpuint(correlate_counts(c).stamps, <=, CORRELATE_STAMPS_MAX);
    add(c, 0, "later", 30000 + 3 * US_PER_HOUR); /* groups without anything go by themselves */
    for (guint i = 0; i < 10000; i++)
        add(c, 0, "later", 30000 + 3 * US_PER_HOUR + 1);
    g_assert_cmpuint(correlate_counts(c).keys, ==, 1);

    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    g_assert_cmpint(add(c, 0, key, 4 * US_PER_HOUR).verdict, ==, CORRELATE_NOT_YET);
    key[2900] = 'y'; /* differs far behind what is kept of it: still another key */
    add(c, 0, key, 4 * US_PER_HOUR);
    g_assert_cmpuint(correlate_counts(c).keys, ==, 3);
    round_trip(&c);
}

static void test_crowded_sequences_stay_bounded(void)
{
    g_autoptr(Correlate) c = correlate_of((CorrelateSpec) { CORRELATE_SEQUENCE, 2, 0, US_PER_HOUR, 0, US_PER_HOUR });

    for (int64_t i = 0; i < 100000; i++)
        add(c, 0, "k", i);
    g_assert_cmpuint(correlate_counts(c).stamps, <=, 256);
    g_assert_cmpint(add(c, 1, "k", 5).verdict, ==, CORRELATE_LATE); /* lateness is what is left of it */
    g_assert_cmpint(add(c, 1, "k", 100000).verdict, ==, CORRELATE_FIRED);
}

static void test_wrong_specs_and_json(void)
{
    static const CorrelateSpec specs[] = {
        { CORRELATE_FORM_N, 1, 0, 1, 0, 0 }, { CORRELATE_COUNT, 2, 1, 1, 0, 0 },     { CORRELATE_COUNT, 1, 0, 1, 0, 0 },
        { CORRELATE_COUNT, 1, 1001, 1, 0, 0 }, { CORRELATE_COUNT, 1, 1, 0, 0, 0 },   { CORRELATE_ABSENT, 1, 0, 1, 0, 0 },
        { CORRELATE_SEQUENCE, 9, 0, 1, 0, 0 }, { CORRELATE_SEQUENCE, 2, 0, 5, 0, 6 }, { CORRELATE_ONCE, 1, 0, 0, -1, 0 },
    };
    static const char *const texts[] = {
        "null", "{\"spec\":{}}", "{\"spec\":{\"form\":\"once\",\"patterns\":1}}", "{\"spec\":{\"form\":\"once\",\"patterns\":7},\"groups\":[]}",
        "{\"spec\":{\"form\":\"once\",\"patterns\":1},\"groups\":[{}]}",
        "{\"spec\":{\"form\":\"once\",\"patterns\":1},\"groups\":[{\"key\":\"a\"},{\"key\":\"a\"}]}",
        "{\"spec\":{\"form\":\"count\",\"patterns\":1,\"count\":1,\"within_us\":9},\"groups\":[{\"key\":\"a\",\"marks\":[2,1]}]}",
        "{\"spec\":{\"form\":\"count\",\"patterns\":1,\"count\":1,\"within_us\":9},\"groups\":[{\"key\":\"a\",\"waiting\":[]}]}",
        "{\"spec\":{\"form\":\"absent\",\"patterns\":2,\"within_us\":9},\"groups\":[{\"key\":\"a\",\"waiting\":[{\"at_us\":3},{\"at_us\":2}]}]}",
        "{\"spec\":{\"form\":\"absent\",\"patterns\":2,\"within_us\":9},\"groups\":[{\"key\":\"a\",\"waiting\":[{}]}]}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(specs); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(correlate_new(&specs[i], &error));
        g_assert_error(error, CORRELATE_ERROR, CORRELATE_ERROR_LIMIT);
    }
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(json_t) json = json_loads(texts[i], JSON_DECODE_ANY, NULL);

        g_assert_null(correlate_from_json(json, &error));
        g_assert_nonnull(error);
    }
    g_autoptr(Correlate) c = correlate_of((CorrelateSpec) { CORRELATE_COUNT, 1, 1, CORRELATE_WITHIN_MAX_US, 0, CORRELATE_WITHIN_MAX_US });
    CorrelateAnswer answer; /* times no clock shows */
    correlate_add(c, 0, "k", INT64_MIN, INT64_MAX, NULL, &answer);
    correlate_add(c, 0, "k", INT64_MAX, INT64_MAX, NULL, &answer);
    correlate_add(c, 3, "k", 0, INT64_MIN, NULL, &answer);
    g_assert_cmpint(answer.verdict, ==, CORRELATE_NOT_YET);
}

static void test_speed(void)
{
    static const CorrelateSpec specs[] = { { CORRELATE_ONCE, 1, 0, 0, US_PER_MINUTE, 0 }, { CORRELATE_COUNT, 1, 3, US_PER_MINUTE, 0, 5 * US_PER_S },
                                           { CORRELATE_SEQUENCE, 3, 0, US_PER_MINUTE, 0, 5 * US_PER_S }, { CORRELATE_ABSENT, 2, 0, US_PER_MINUTE, 0, 0 } };
    static const char *const names[] = { "once", "count", "sequence", "absent" };
    const guint n = g_test_perf() ? 10000000 : 100000;
    char keys[1000][32];

    for (guint i = 0; i < 1000; i++)
        g_snprintf(keys[i], sizeof keys[i], "service/vm-%u/postgresql", i);
    for (guint s = 0; s < G_N_ELEMENTS(specs); s++) {
        g_autoptr(Correlate) c = correlate_of(specs[s]);
        CorrelateAnswer answer;
        gint64 began_us = g_get_monotonic_time();

        for (guint i = 0; i < n; i++) { /* 1,000 groups, one match in a millisecond */
            while (correlate_next_due(c, i * US_PER_MS, &answer))
                ;
            correlate_add(c, i * 7 % 13 % specs[s].patterns, keys[i % 1000], i * US_PER_MS, i * US_PER_MS, NULL, &answer);
        }
        double rate = n / (double) MAX(g_get_monotonic_time() - began_us, 1);
        g_test_message("%s: %.1f million matches/s, %" G_GUINT64_FORMAT " fired", names[s], rate, correlate_counts(c).fired);
        if (g_test_perf())
            g_assert_cmpfloat(rate, >=, 5);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/correlate/count", test_count);
    g_test_add_func("/correlate/sequence", test_sequence);
    g_test_add_func("/correlate/once", test_once);
    g_test_add_func("/correlate/absent", test_absent);
    g_test_add_func("/correlate/order-of-arrival", test_order_of_arrival_does_not_matter);
    g_test_add_func("/correlate/absent-note", test_absent_hands_the_note_back);
    g_test_add_func("/correlate/million", test_a_million_identical_events_act_once);
    g_test_add_func("/correlate/storm", test_a_storm_without_throttle_fires_once);
    g_test_add_func("/correlate/memory", test_memory_is_bounded);
    g_test_add_func("/correlate/crowded-sequence", test_crowded_sequences_stay_bounded);
    g_test_add_func("/correlate/wrong", test_wrong_specs_and_json);
    g_test_add_func("/correlate/speed", test_speed);
    return g_test_run();
}
