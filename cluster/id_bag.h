/* id_bag - ids of very many messages, in little memory
 *
 * Keeps 8 bytes of a hash of each id, so it may rarely say that an id is in it which is not; never the other
 * way. The same id may be in it several times.
 *
 * Memory: 11 to 22 bytes an id. Threads: one at a time. */
#ifndef CLUSTER_ID_BAG_H
#define CLUSTER_ID_BAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

struct id_bag {
    uint64_t *hashes; /* open addressing; 0 = free */
    size_t count, size;
};

/* `struct id_bag bag = {0};` is an empty one. */
void id_bag_free(struct id_bag *bag);
void id_bag_add(struct id_bag *bag, const struct mail_id *id);
bool id_bag_has(const struct id_bag *bag, const struct mail_id *id);
/* Takes it out once; one that is not in it is left alone. */
void id_bag_remove(struct id_bag *bag, const struct mail_id *id);

#endif
