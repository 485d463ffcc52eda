/* id_bag - see id_bag.h
 *
 * Linear probing; what stands behind a hash that is taken out is moved up, so that nothing marks the gap. */
#include "cluster/id_bag.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"

#define FIRST_SIZE 64
#define HASH_KEY 0x6964206261670000u

static uint64_t hash_of(const struct mail_id *id)
{
    uint64_t hash = hash64(HASH_KEY, id->bytes, sizeof id->bytes);
    return hash == 0 ? 1 : hash;
}

void id_bag_free(struct id_bag *bag)
{
    free(bag->hashes);
    *bag = (struct id_bag){0};
}

/* Where `hash` stands, or the free place where it would be put. */
static size_t place_of(const struct id_bag *bag, uint64_t hash)
{
    size_t at = hash & (bag->size - 1);
    while (bag->hashes[at] != 0 && bag->hashes[at] != hash)
        at = (at + 1) & (bag->size - 1);
    return at;
}

static void put(struct id_bag *bag, uint64_t hash)
{
    size_t at = hash & (bag->size - 1);
    while (bag->hashes[at] != 0)
        at = (at + 1) & (bag->size - 1);
    bag->hashes[at] = hash;
}

static void grow(struct id_bag *bag)
{
    struct id_bag larger = {.count = bag->count, .size = bag->size == 0 ? FIRST_SIZE : 2 * bag->size};
    larger.hashes = xcalloc(larger.size, sizeof *larger.hashes);
    for (size_t i = 0; i < bag->size; i++)
        if (bag->hashes[i] != 0)
            put(&larger, bag->hashes[i]);
    free(bag->hashes);
    *bag = larger;
}

void id_bag_add(struct id_bag *bag, const struct mail_id *id)
{
    if (4 * (bag->count + 1) > 3 * bag->size)
        grow(bag);
    put(bag, hash_of(id));
    bag->count++;
}

bool id_bag_has(const struct id_bag *bag, const struct mail_id *id)
{
    return bag->count > 0 && bag->hashes[place_of(bag, hash_of(id))] != 0;
}

/* Is `at` passed on the way from `home` to `from`, both included? */
static bool on_the_way(size_t home, size_t at, size_t from)
{
    return home <= from ? home <= at && at <= from : home <= at || at <= from;
}

void id_bag_remove(struct id_bag *bag, const struct mail_id *id)
{
    if (bag->count == 0)
        return;
    size_t mask = bag->size - 1, gap = place_of(bag, hash_of(id));
    if (bag->hashes[gap] == 0)
        return;
    for (size_t at = (gap + 1) & mask; bag->hashes[at] != 0; at = (at + 1) & mask)
        if (on_the_way(bag->hashes[at] & mask, gap, at)) {
            bag->hashes[gap] = bag->hashes[at];
            gap = at;
        }
    bag->hashes[gap] = 0;
    bag->count--;
}
