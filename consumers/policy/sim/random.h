/* The simulator's dice: xoshiro256** (Blackman and Vigna, public domain algorithm), one stream for each purpose, so that taking one
 * thing out of a world changes as little as possible of the rest. The same seed throws the same on every machine. */
#ifndef MEND_POLICY_SIM_RANDOM_H
#define MEND_POLICY_SIM_RANDOM_H

#include "lib/base/base.h"

typedef struct Random {
    uint64_t s[4];
} Random;

/* @what and @number name the stream. */
Random random_new(uint64_t seed, const char *what, uint64_t number);
uint64_t random_next(Random *random);
/* From @low to @high, both possible. */
int64_t random_between(Random *random, int64_t low, int64_t high);
unsigned random_below(Random *random, unsigned n); /* 0 when @n is 0 */
bool random_chance(Random *random, double probability);

#endif
