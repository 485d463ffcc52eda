/* hash - 64 bits out of bytes, with a key
 *
 * XXH3 with a 64-bit seed. Good for tables and for placement (where every process must get the same answer);
 * it is no signature: where an attacker gains by a collision, use HMAC. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(uint64_t key, const void *bytes, size_t len);
/* A key drawn once per process from the kernel, for tables only; fixed by hash_fix_process_key in
 * simulations. */
uint64_t hash_process_key(void);
void hash_fix_process_key(uint64_t key);

#endif
