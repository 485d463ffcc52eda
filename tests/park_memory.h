/* park_memory - a park table in memory, with a crash like that of a disk (node/park_table.h)
 *
 * For unit tests and the simulator. It keeps the commits since the last flush, so that a crash can take back
 * any number of the newest of them. flush() is flush_begin and flush_end at once; the simulator, where a flush
 * takes time, calls the two itself.
 *
 * Memory: all of it, twice for what is not flushed. One thread, also for scans. */
#ifndef TESTS_PARK_MEMORY_H
#define TESTS_PARK_MEMORY_H

#include <stdint.h>

#include "node/park_table.h"

struct park_memory;

struct park_memory *park_memory_new(void);
void park_memory_free(struct park_memory **memory);
struct park_table park_memory_table(struct park_memory *memory);

/* What flush_begin returns is what flush_end is told later; what was committed between them is not covered. */
uint64_t park_memory_flush_begin(struct park_memory *memory);
void park_memory_flush_end(struct park_memory *memory, uint64_t begun);
/* Commits that a crash now could take back. */
uint64_t park_memory_at_risk(const struct park_memory *memory);
/* Takes back what is gathered, and of the commits at risk all but the oldest `kept`. */
void park_memory_crash(struct park_memory *memory, uint64_t kept);
/* Everything is gone, durably. */
void park_memory_wipe(struct park_memory *memory);
/* From now on commit, get, scan and flush return -1. */
void park_memory_fail(struct park_memory *memory, bool failing);

struct park_memory_figures {
    uint64_t keys, bytes;                               /* of keys and values, as committed */
    uint64_t puts, removes, adds, commits, gets, scans; /* calls since it was made */
};
struct park_memory_figures park_memory_figures(const struct park_memory *memory);

#endif
