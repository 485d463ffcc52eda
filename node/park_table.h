/* park_table - an ordered table on disk, beside the log: what is at rest (node/park.h)
 *
 * A cache of the log: it may be thrown away, and is then made anew from the log's beginning. So it needs no
 * log of its own and no sync of each change; what it must keep is order: whatever a crash leaves is what some
 * prefix of the commits made, and that prefix reaches at least to the last flush() that returned 0.
 *
 * Keys are compared as bytes, as memcmp does; a key that is the beginning of another comes before it. Keys
 * have 1 to PARK_KEY_MAX bytes, values 0 to PARK_VALUE_MAX. A value that is added to is a number: 8 bytes, the
 * lowest first, of two's complement; one that comes to 0 may be there or not. Its key begins with PARK_SUM_KIND.
 *
 * How to use: put(), remove(), take() and add() gather changes; commit() makes all of them true at once, in their
 * order. get() and scan() see what was committed, not what is gathered. An owner calls all but flush() and
 * scan() from one thread; these may run in others at the same time, and a scan sees what was committed before
 * it began.
 *
 * What can go wrong: commit, get, scan and flush return -1 with a sentence (disk full, damage). After a failed
 * commit nothing of its batch is done, and the batch is empty. Once anything has failed, the table's content
 * is not to be trusted: the owner stops using it, and starts the next time with an empty one.
 *
 * Implementations: node/park_rocks (RocksDB: a directory), tests/park_memory (tests and the simulator). */
#ifndef NODE_PARK_TABLE_H
#define NODE_PARK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define PARK_KEY_MAX 2048
#define PARK_VALUE_MAX ((size_t)64 << 20)
#define PARK_SUM_KIND 'n' /* the first byte of keys that are added to: no other has it */

/* One entry of a scan; key and value are lent until it returns. It must not call the table, but for put and
 * remove. False ends the scan. */
typedef bool park_each(void *with, const void *key, size_t key_len, const void *value, size_t value_len);

struct park_table {
    void *context;
    void (*put)(void *context, const void *key, size_t key_len, const void *value, size_t value_len);
    void (*remove)(void *context, const void *key, size_t key_len); /* one that is not there: nothing */
    /* Removes a key that was put exactly once since it was taken last, or ever; it leaves no trace once table
     * and removal meet. A key that is taken is never removed or added to. */
    void (*take)(void *context, const void *key, size_t key_len);
    /* Adds to the number at the key; it counts as 0 if it is not there. */
    void (*add)(void *context, const void *key, size_t key_len, int64_t by);
    int (*commit)(void *context, struct error *error);
    /* 1: the value was added at the end of `value`; 0: no such key; -1. */
    int (*get)(void *context, const void *key, size_t key_len, struct buffer *value, struct error *error);
    /* In ascending order, from the first key that is not before `from`, as long as keys begin with the first
     * `prefix_len` bytes of `from` (prefix_len <= from_len; 0: to the end of the table). 0: at the end, or
     * `each` said so. */
    int (*scan)(void *context, const void *from, size_t from_len, size_t prefix_len, park_each *each,
        void *with, struct error *error);
    /* Blocks until all that was committed before the call is on the disk. */
    int (*flush)(void *context, struct error *error);
};

/* The number that stands there; 0 where none does. */
static inline int64_t park_table_number(const void *value, size_t len)
{
    const uint8_t *bytes = (const uint8_t *)value;
    uint64_t number = 0;
    for (size_t i = 8; i > 0 && len == 8; i--)
        number = number << 8 | bytes[i - 1];
    return (int64_t)number;
}

static inline void park_table_set_number(uint8_t value[8], int64_t number)
{
    for (size_t i = 0; i < 8; i++)
        value[i] = (uint8_t)((uint64_t)number >> (8 * i));
}

#endif
