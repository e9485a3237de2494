#include "consumers/policy/mom/value.h"

#include <math.h>
#include <string.h>

#define BLOCK (64u << 10)
#define DEPTH_MAX 100 /* of lists in lists, where they are walked */

const char *mom_fault_text(MomFault fault)
{
    static const char *const texts[] = {
        [MOM_FINE] = "fine", [MOM_TYPES] = "these do not go together", [MOM_BY_ZERO] = "division by zero",
        [MOM_TOO_LARGE] = "the number does not fit 64 bits", [MOM_NEGATIVE_SHIFT] = "a shift by less than 0",
        [MOM_NO_MEMORY] = "the rules use too much memory: 8 MiB are the most", [MOM_NO_TIME] = "the rules take too long",
    };
    return texts[fault];
}

void mom_arena_init(MomArena *arena, uint64_t work)
{
    *arena = (MomArena) { .blocks = g_ptr_array_new_with_free_func(g_free), .work = work };
}

void mom_arena_clear(MomArena *arena)
{
    g_ptr_array_unref(arena->blocks);
    *arena = (MomArena) { 0 };
}

void *mom_alloc(MomArena *arena, size_t size)
{
    size = (size + 15) & ~(size_t) 15;
    if (size > MOM_ARENA_MAX || arena->used + size > MOM_ARENA_MAX)
        return NULL;
    arena->used += size;
    if (size > BLOCK / 4) {
        g_ptr_array_add(arena->blocks, g_malloc(size));
        return arena->blocks->pdata[arena->blocks->len - 1];
    }
    if (size > arena->left) {
        arena->next = g_malloc(BLOCK);
        arena->left = BLOCK;
        g_ptr_array_add(arena->blocks, arena->next);
    }
    char *got = arena->next;
    arena->next += size;
    arena->left -= size;
    return got;
}

bool mom_work(MomArena *arena, uint64_t steps)
{
    if (arena->work < steps) {
        arena->work = 0;
        return false;
    }
    arena->work -= steps;
    return true;
}

MomValue mom_bool(bool truth)
{
    return (MomValue) { .kind = MOM_BOOL, .as.truth = truth };
}

MomValue mom_int(int64_t i)
{
    return (MomValue) { .kind = MOM_INT, .as.i = i };
}

MomValue mom_float(double d)
{
    return (MomValue) { .kind = MOM_FLOAT, .as.d = d };
}

MomValue mom_text_of(const char *text, size_t n)
{
    return (MomValue) { .kind = MOM_TEXT, .n = (uint32_t) n, .as.text = text };
}

bool mom_text_is(MomValue value, const char *text)
{
    return value.kind == MOM_TEXT && strlen(text) == value.n && memcmp(value.as.text, text, value.n) == 0;
}

static bool is_number(MomValue v)
{
    return v.kind == MOM_BOOL || v.kind == MOM_INT || v.kind == MOM_FLOAT;
}

static bool is_whole(MomValue v)
{
    return v.kind == MOM_BOOL || v.kind == MOM_INT;
}

static int64_t whole_of(MomValue v)
{
    return v.kind == MOM_BOOL ? v.as.truth : v.as.i;
}

static double double_of(MomValue v)
{
    return v.kind == MOM_FLOAT ? v.as.d : (double) whole_of(v);
}

/* a / b of whole numbers, rounded once, to the nearest, as Python does: with a bit for what is left over, more bits than a double has are
 * rounded right when they become one. */
static double divide_whole(int64_t a, int64_t b)
{
    bool negative = (a < 0) != (b < 0);
    uint64_t ua = a < 0 ? -(uint64_t) a : (uint64_t) a, ub = b < 0 ? -(uint64_t) b : (uint64_t) b;

    if (ua == 0)
        return negative && b < 0 ? -0.0 : 0.0;
    if (ua <= UINT64_C(1) << 53 && ub <= UINT64_C(1) << 53)
        return (negative ? -1.0 : 1.0) * ((double) ua / (double) ub);
    int ca = __builtin_clzll(ua), cb = __builtin_clzll(ub);
    uint64_t rest = ua << ca, by = ub << cb, quotient = rest >= by;

    rest -= quotient * by;
    for (int i = 0; i < 61; i++) { /* bit by bit: both begin with a 1 bit now, the quotient gets 61 bits behind the point */
        bool carry = rest >> 63 != 0, one;

        rest <<= 1;
        one = carry || rest >= by;
        rest -= one ? by : 0;
        quotient = quotient << 1 | one;
    }
    double value = ldexp((double) (quotient << 1 | (rest != 0)), cb - ca - 62);
    return negative ? -value : value;
}

static MomFault repeat(MomArena *arena, MomValue what, int64_t times, MomValue *ret)
{
    size_t one = what.kind == MOM_TEXT ? what.n : what.n * sizeof(MomValue);

    times = MAX(times, 0);
    if (one != 0 && (uint64_t) times > MOM_ARENA_MAX / one)
        return MOM_NO_MEMORY;
    char *copy = mom_alloc(arena, one * (size_t) times + 1);
    if (copy == NULL || !mom_work(arena, one * (size_t) times / 64))
        return copy == NULL ? MOM_NO_MEMORY : MOM_NO_TIME;
    for (int64_t i = 0; one != 0 && i < times; i++)
        memcpy(copy + (size_t) i * one, what.as.items, one);
    copy[one * (size_t) times] = '\0';
    *ret = (MomValue) { .kind = what.kind, .n = (uint32_t) ((uint64_t) what.n * (uint64_t) (one == 0 ? 0 : times)), .as.text = copy };
    return MOM_FINE;
}

static MomFault join(MomArena *arena, MomValue a, MomValue b, MomValue *ret)
{
    size_t one = a.kind == MOM_TEXT ? 1 : sizeof(MomValue), na = a.n * one, nb = b.n * one;
    char *copy = mom_alloc(arena, na + nb + 1);

    if (copy == NULL || !mom_work(arena, (na + nb) / 64))
        return copy == NULL ? MOM_NO_MEMORY : MOM_NO_TIME;
    memcpy(copy, a.as.items, na);
    memcpy(copy + na, b.as.items, nb);
    copy[na + nb] = '\0';
    *ret = (MomValue) { .kind = a.kind, .n = a.n + b.n, .as.text = copy };
    return MOM_FINE;
}

static MomFault shift(MomArithmetic what, int64_t a, int64_t by, MomValue *ret)
{
    if (by < 0)
        return MOM_NEGATIVE_SHIFT;
    if (what == MOM_SHR) {
        *ret = mom_int(by > 63 ? (a < 0 ? -1 : 0) : a >> by);
        return MOM_FINE;
    }
    if (a != 0 && (by > 63 || a > INT64_MAX >> by || a < -(INT64_MAX >> by) - 1))
        return MOM_TOO_LARGE;
    *ret = mom_int(a == 0 ? 0 : (int64_t) ((uint64_t) a << by));
    return MOM_FINE;
}

static MomFault of_whole(MomArithmetic what, int64_t a, int64_t b, MomValue *ret)
{
    int64_t got = 0;
    bool over = false;

    switch (what) {
    case MOM_ADD:
        over = __builtin_add_overflow(a, b, &got);
        break;
    case MOM_SUB:
        over = __builtin_sub_overflow(a, b, &got);
        break;
    case MOM_MUL:
        over = __builtin_mul_overflow(a, b, &got);
        break;
    case MOM_DIV:
        if (b == 0)
            return MOM_BY_ZERO;
        *ret = mom_float(divide_whole(a, b));
        return MOM_FINE;
    case MOM_SHL:
    case MOM_SHR:
        return shift(what, a, b, ret);
    }
    *ret = mom_int(got);
    return over ? MOM_TOO_LARGE : MOM_FINE;
}

MomFault mom_arithmetic(MomArena *arena, MomArithmetic what, MomValue a, MomValue b, MomValue *ret)
{
    bool sequence_a = a.kind == MOM_TEXT || a.kind == MOM_LIST, sequence_b = b.kind == MOM_TEXT || b.kind == MOM_LIST;

    if (is_whole(a) && is_whole(b))
        return of_whole(what, whole_of(a), whole_of(b), ret);
    if (is_number(a) && is_number(b)) {
        double x = double_of(a), y = double_of(b);

        if (what == MOM_SHL || what == MOM_SHR)
            return MOM_TYPES;
        if (what == MOM_DIV && y == 0)
            return MOM_BY_ZERO;
        *ret = mom_float(what == MOM_ADD ? x + y : what == MOM_SUB ? x - y : what == MOM_MUL ? x * y : x / y);
        return MOM_FINE;
    }
    if (what == MOM_ADD && sequence_a && a.kind == b.kind)
        return join(arena, a, b, ret);
    if (what == MOM_MUL && sequence_a && is_whole(b))
        return repeat(arena, a, whole_of(b), ret);
    if (what == MOM_MUL && sequence_b && is_whole(a))
        return repeat(arena, b, whole_of(a), ret);
    return MOM_TYPES;
}

/* -1, 0, 1; 2: one is not a number. Exact, also where a double has no room for the whole number. */
static int compare_numbers(MomValue a, MomValue b)
{
    if (is_whole(a) && is_whole(b))
        return (whole_of(a) > whole_of(b)) - (whole_of(a) < whole_of(b));
    if (a.kind == MOM_FLOAT && b.kind == MOM_FLOAT)
        return isnan(a.as.d) || isnan(b.as.d) ? 2 : (a.as.d > b.as.d) - (a.as.d < b.as.d);
    if (is_whole(b)) {
        int other = compare_numbers(b, a);
        return other == 2 ? 2 : -other;
    }
    if (isnan(b.as.d))
        return 2;
    if (b.as.d >= 0x1p63 || b.as.d < -0x1p63)
        return b.as.d > 0 ? -1 : 1;
    int64_t i = whole_of(a), t = (int64_t) b.as.d;
    double left = b.as.d - (double) t; /* exact: |t| < 2^53 when there is any */
    return i != t ? (i > t) - (i < t) : (left < 0) - (left > 0);
}

static int compare_texts(MomValue a, MomValue b)
{
    int order = memcmp(a.as.text, b.as.text, MIN(a.n, b.n)); /* UTF-8 is in the order of its characters */

    return order != 0 ? (order > 0) - (order < 0) : (a.n > b.n) - (a.n < b.n);
}

static MomFault equal(MomArena *arena, MomValue a, MomValue b, guint depth, bool *ret)
{
    MomFault fault = MOM_FINE;

    *ret = false;
    if (!mom_work(arena, 1 + (a.kind == MOM_TEXT ? a.n / 64 : 0)) || depth > DEPTH_MAX)
        return MOM_NO_TIME;
    if (is_number(a) && is_number(b)) {
        *ret = compare_numbers(a, b) == 0;
        return MOM_FINE;
    }
    if (a.kind != b.kind)
        return MOM_FINE;
    switch (a.kind) {
    case MOM_TEXT:
        *ret = compare_texts(a, b) == 0;
        break;
    case MOM_LIST:
        *ret = a.n == b.n;
        for (uint32_t i = 0; *ret && fault == MOM_FINE && i < a.n; i++)
            fault = equal(arena, a.as.items[i], b.as.items[i], depth + 1, ret);
        break;
    case MOM_NIL:
        *ret = true;
        break;
    default:
        *ret = a.n == b.n && a.as.entity == b.as.entity;
        break;
    }
    return fault;
}

MomFault mom_equal(MomArena *arena, MomValue a, MomValue b, bool *ret)
{
    return equal(arena, a, b, 0, ret);
}

static bool order_holds(MomOrder what, int order)
{
    return order != 2 && (what == MOM_LT ? order < 0 : what == MOM_GT ? order > 0 : what == MOM_LTE ? order <= 0 : order >= 0);
}

static MomFault order(MomArena *arena, MomOrder what, MomValue a, MomValue b, guint depth, bool *ret)
{
    if (!mom_work(arena, 1 + (a.kind == MOM_TEXT ? a.n / 64 : 0)) || depth > DEPTH_MAX)
        return MOM_NO_TIME;
    if (is_number(a) && is_number(b)) {
        *ret = order_holds(what, compare_numbers(a, b));
        return MOM_FINE;
    }
    if (a.kind != b.kind || (a.kind != MOM_TEXT && a.kind != MOM_LIST))
        return MOM_TYPES;
    if (a.kind == MOM_TEXT) {
        *ret = order_holds(what, compare_texts(a, b));
        return MOM_FINE;
    }
    for (uint32_t i = 0; i < MIN(a.n, b.n); i++) { /* the first that differs decides */
        bool same;
        MomFault fault = equal(arena, a.as.items[i], b.as.items[i], depth + 1, &same);

        if (fault != MOM_FINE)
            return fault;
        if (!same)
            return order(arena, what, a.as.items[i], b.as.items[i], depth + 1, ret);
    }
    *ret = order_holds(what, (a.n > b.n) - (a.n < b.n));
    return MOM_FINE;
}

MomFault mom_order(MomArena *arena, MomOrder what, MomValue a, MomValue b, bool *ret)
{
    return order(arena, what, a, b, 0, ret);
}

bool mom_truth(MomValue v)
{
    switch (v.kind) {
    case MOM_NIL:
        return false;
    case MOM_BOOL:
        return v.as.truth;
    case MOM_INT:
        return v.as.i != 0;
    case MOM_FLOAT:
        return v.as.d != 0;
    case MOM_TEXT:
    case MOM_LIST:
        return v.n != 0;
    default:
        return true;
    }
}

MomFault mom_abs(MomValue v, MomValue *ret)
{
    if (!is_number(v))
        return MOM_TYPES;
    if (is_whole(v) && whole_of(v) == INT64_MIN)
        return MOM_TOO_LARGE;
    *ret = v.kind == MOM_FLOAT ? mom_float(fabs(v.as.d)) : mom_int(ABS(whole_of(v)));
    return MOM_FINE;
}

MomFault mom_whole(MomValue v, int64_t *ret)
{
    if (!is_number(v))
        return MOM_TYPES;
    if (v.kind == MOM_FLOAT && !(v.as.d < 0x1p63 && v.as.d >= -0x1p63))
        return MOM_TOO_LARGE;
    *ret = v.kind == MOM_FLOAT ? (int64_t) v.as.d : whole_of(v);
    return MOM_FINE;
}
