#include "consumers/policy/engine/ageing.h"

int64_t backoff_us(guint attempt, int64_t first_us, guint factor_permille, int64_t max_us)
{
    int64_t delay_us = CLAMP(first_us, 0, MAX(max_us, 0));
    int64_t factor = MAX(factor_permille, 1000);

    if (attempt == 0)
        return 0;
    for (guint i = 1; i < attempt && delay_us > 0 && delay_us < max_us && factor > 1000; i++) {
        /* in two parts, so that days in microseconds times a factor do not overflow */
        int64_t whole, part = delay_us % 1000 * factor / 1000, next;
        if (__builtin_mul_overflow(delay_us / 1000, factor, &whole) || __builtin_add_overflow(whole, part, &next))
            return max_us;
        if (next == delay_us)
            break; /* too small to grow: 1 us by 1.5 */
        delay_us = next;
    }
    return MIN(delay_us, max_us);
}

uint64_t hash_text(const char *text, uint64_t number)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (const char *c = text; *c != '\0'; c++)
        h = (h ^ (uint8_t) *c) * UINT64_C(0x100000001b3);
    for (guint i = 0; i < 8; i++)
        h = (h ^ (number >> (8 * i) & 0xff)) * UINT64_C(0x100000001b3);
    h = (h ^ (h >> 33)) * UINT64_C(0xff51afd7ed558ccd); /* so that the high bits depend on the last byte, too */
    h = (h ^ (h >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ (h >> 33);
}

int64_t backoff_jitter_us(int64_t delay_us, guint percent, const char *seed, guint attempt)
{
    if (delay_us <= 0 || percent == 0)
        return MAX(delay_us, 0);
    int64_t span_us = delay_us / 100 * MIN(percent, 100) + delay_us % 100 * MIN(percent, 100) / 100;
    return delay_us - (int64_t) (hash_text(seed, attempt) % ((uint64_t) span_us + 1));
}
