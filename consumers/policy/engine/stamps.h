/* A sorted ring of numbers, in use time stamps: they mostly arrive at the end and leave at the front, and now and then one comes late. Grows by
 * itself; the owner bounds it. Plain data, zero is empty. */
#ifndef MEND_POLICY_STAMPS_H
#define MEND_POLICY_STAMPS_H

#include "lib/base/base.h"

typedef struct Stamps {
    int64_t *at;
    guint size, head, n;     /* size: a power of two, or 0 */
} Stamps;

static inline int64_t stamps_get(const Stamps *s, guint i)
{
    return s->at[(s->head + i) & (s->size - 1)];
}

static inline int64_t stamps_last(const Stamps *s) /* not of an empty one */
{
    return stamps_get(s, s->n - 1);
}

/* Where it stands now: after those that are equal. */
guint stamps_insert(Stamps *stamps, int64_t at);
void stamps_drop(Stamps *stamps, guint n); /* the first n */
void stamps_remove(Stamps *stamps, guint i);
/* How many are <= @at. */
guint stamps_rank(const Stamps *stamps, int64_t at);
void stamps_done(Stamps *stamps);

/* a - b, a + b that stay within int64_t. */
static inline int64_t time_before(int64_t a, int64_t b)
{
    int64_t x;
    return __builtin_sub_overflow(a, b, &x) ? (b > 0 ? INT64_MIN : INT64_MAX) : x;
}

static inline int64_t time_after(int64_t a, int64_t b)
{
    int64_t x;
    return __builtin_add_overflow(a, b, &x) ? (b > 0 ? INT64_MAX : INT64_MIN) : x;
}

json_t *stamps_to_json(const Stamps *stamps); /* (transfer full) */
/* false: not an array of at most @max ascending whole numbers; @stamps is empty then. */
bool stamps_from_json(Stamps *ret_stamps, const json_t *array, guint max);

#endif
