#include "consumers/policy/sim/random.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

Random random_new(uint64_t seed, const char *what, uint64_t number)
{
    uint64_t state = seed * UINT64_C(0x2545f4914f6cdd1d) + number * UINT64_C(0x9e3779b97f4a7c15);
    Random random;

    for (; *what != '\0'; what++)
        state = (state ^ (unsigned char) *what) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < G_N_ELEMENTS(random.s); i++)
        random.s[i] = splitmix(&state);
    return random;
}

static uint64_t rotate(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t random_next(Random *random)
{
    uint64_t *s = random->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

int64_t random_between(Random *random, int64_t low, int64_t high)
{
    return high <= low ? low : low + (int64_t) (random_next(random) % (uint64_t) (high - low + 1));
}

unsigned random_below(Random *random, unsigned n)
{
    return n == 0 ? 0 : (unsigned) (random_next(random) % n);
}

bool random_chance(Random *random, double probability)
{
    return (double) (random_next(random) >> 11) * 0x1.0p-53 < probability;
}
