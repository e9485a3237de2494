#include "lib/base/charge.h"

G_DEFINE_QUARK(mend-charge-error-quark, charge_error)

#define X(id, text) [CHARGE_##id] = text,
static const char *const charge_names[] = { CHARGE_KINDS(X) };
#undef X
G_STATIC_ASSERT(G_N_ELEMENTS(charge_names) == CHARGE_N);

static bool take_one(Budget *budget, ChargeKind kind, int64_t amount)
{
    int64_t held = __atomic_add_fetch(&budget->held[kind], amount, __ATOMIC_RELAXED);

    if (budget->limit[kind] == 0 || held <= budget->limit[kind])
        return true;
    __atomic_sub_fetch(&budget->held[kind], amount, __ATOMIC_RELAXED);
    return false;
}

bool charge_take(Budget *budget, ChargeKind kind, int64_t amount, GError **error)
{
    for (Budget *b = budget; b != NULL; b = b->parent) {
        if (take_one(b, kind, amount))
            continue;
        for (Budget *taken = budget; taken != b; taken = taken->parent)
            __atomic_sub_fetch(&taken->held[kind], amount, __ATOMIC_RELAXED);
        g_set_error(error, CHARGE_ERROR, CHARGE_ERROR_LIMIT, "limit of %" G_GINT64_FORMAT " %s reached", b->limit[kind],
                    charge_names[kind]);
        return false;
    }
    return true;
}

void charge_give(Budget *budget, ChargeKind kind, int64_t amount)
{
    for (; budget != NULL; budget = budget->parent) {
        int64_t held = __atomic_sub_fetch(&budget->held[kind], amount, __ATOMIC_RELAXED);

        g_assert(held >= 0); /* given back more than was taken: our bug */
    }
}

int64_t charge_held(const Budget *budget, ChargeKind kind)
{
    return __atomic_load_n(&budget->held[kind], __ATOMIC_RELAXED);
}
