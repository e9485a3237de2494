#include "consumers/policy/engine/stamps.h"

#define SIZE_FIRST 4

static void grow(Stamps *s)
{
    guint size = s->size == 0 ? SIZE_FIRST : 2 * s->size;
    int64_t *at = g_new(int64_t, size);

    for (guint i = 0; i < s->n; i++)
        at[i] = stamps_get(s, i);
    g_free(s->at);
    *s = (Stamps) { .at = at, .size = size, .n = s->n };
}

guint stamps_insert(Stamps *s, int64_t at)
{
    if (s->n == s->size)
        grow(s);
    guint i = s->n++, mask = s->size - 1;

    for (; i > 0 && stamps_get(s, i - 1) > at; i--)
        s->at[(s->head + i) & mask] = stamps_get(s, i - 1);
    s->at[(s->head + i) & mask] = at;
    return i;
}

void stamps_drop(Stamps *s, guint n)
{
    n = MIN(n, s->n);
    s->n -= n;
    s->head = s->n == 0 ? 0 : (s->head + n) & (s->size - 1);
    if (s->n == 0 && s->size > SIZE_FIRST) /* a burst is over: what it took is given back */
        stamps_done(s);
}

void stamps_remove(Stamps *s, guint i)
{
    if (i >= s->n)
        return;
    for (guint k = i; k + 1 < s->n; k++)
        s->at[(s->head + k) & (s->size - 1)] = stamps_get(s, k + 1);
    s->n--;
}

guint stamps_rank(const Stamps *s, int64_t at)
{
    guint low = 0, high = s->n;

    if (s->n > 0 && stamps_last(s) <= at)
        return s->n;
    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (stamps_get(s, middle) <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void stamps_done(Stamps *s)
{
    g_free(s->at);
    *s = (Stamps) { 0 };
}

json_t *stamps_to_json(const Stamps *s)
{
    json_t *array = json_array();

    for (guint i = 0; i < s->n; i++)
        json_array_append_new(array, json_integer(stamps_get(s, i)));
    return array;
}

bool stamps_from_json(Stamps *ret_stamps, const json_t *array, guint max)
{
    Stamps s = { 0 };

    if (!json_is_array(array) || json_array_size(array) > max)
        return false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);

        if (!json_is_integer(value) || (s.n > 0 && json_integer_value(value) < stamps_last(&s))) {
            stamps_done(&s);
            return false;
        }
        stamps_insert(&s, json_integer_value(value));
    }
    *ret_stamps = s;
    return true;
}
