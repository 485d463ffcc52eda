/* park_rocks - the park table on disk: RocksDB in a directory (node/park_table.h says what a table is)
 *
 * How to use: open it, use the face. Nothing is logged ahead or synced at a commit: the log beside it is what
 * can't be lost. What a crash leaves is what some prefix of the commits made; flush() puts all on the disk.
 *
 * What can go wrong: it can't be opened (damage, another version, a full disk, another process has it): an
 * error value; the owner destroys it and fills an empty one from the log. A failed write, also one of a
 * background thread, makes the table fail for good: from then on each call returns -1 with the first reason.
 * A commit waits when the disk is slower than what is committed: four write buffers hold what it has not
 * taken.
 *
 * Memory: 24 MiB for blocks, indexes and filters read, 32 MiB of write buffers, and about 30 MiB while it
 * compacts; it does not grow with the rows. Keys of 17 bytes that begin with an m (it and an id) have filters:
 * looking up an unknown one reads nothing. Numbers that came to 0 go when they are compacted. A scan is as dear as the
 * entries it passes, also those removed not long ago: who pops from the front keeps the last key it popped and
 * begins there.
 *
 * Threads: as the face says, and closing waits for flushes and scans that have begun; RocksDB has two of its own
 * and one that mostly sleeps. */
#ifndef NODE_PARK_ROCKS_H
#define NODE_PARK_ROCKS_H

#include "node/park_table.h"

struct park_rocks;

struct park_rocks_settings {
    const char *dir;     /* made if missing, mode 0700; its parent is there */
    size_t write_buffer; /* bytes of each of the four, 64 KiB at least. 0 = 8 MiB; tests take less */
};

struct park_rocks *park_rocks_open(const struct park_rocks_settings *settings, struct error *error);
/* Puts what was committed on the disk, waits for a flush under way, ends its threads. */
void park_rocks_close(struct park_rocks **rocks);
struct park_table park_rocks_table(struct park_rocks *rocks);
/* Removes the directory and all files in it, whatever they are; one that is not there is fine. It must not be
 * open. */
int park_rocks_destroy(const char *dir, struct error *error);

#endif
