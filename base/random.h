/* random - numbers that a seed decides
 *
 * splitmix64: small, fast, good enough for shuffles and jitter, never for secrets (random_secret is for
 * those). Cores get a `struct random *`, so a simulation with the same seed takes the same path. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* A number in [0, bound); bound > 0. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

/* Fills `bytes` from the kernel's generator; panics if it has none. */
void random_secret(void *bytes, size_t len);

#endif
