/* hash - see hash.h */
#include "base/hash.h"

#include <stdatomic.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash64(uint64_t key, const void *bytes, size_t len)
{
    return XXH3_64bits_withSeed(bytes, len, key);
}

static _Atomic uint64_t process_key;

uint64_t hash_process_key(void)
{
    uint64_t key = atomic_load_explicit(&process_key, memory_order_relaxed);
    if (key != 0)
        return key;
    uint64_t drawn = 0;
    if (getrandom(&drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
        drawn = (uint64_t)(uintptr_t)&process_key;
    drawn |= 1;
    atomic_compare_exchange_strong(&process_key, &key, drawn);
    return atomic_load(&process_key);
}

void hash_fix_process_key(uint64_t key)
{
    atomic_store(&process_key, key | 1);
}
