/* spool_batch - frames that wait for the disk
 *
 * Headers and records of all frames stand in one buffer, one behind the other, so that appending takes no
 * block of its own; bodies are held, not copied; of those whose text stands elsewhere the head stands there too.
 * Filled by the owner, sealed and written by the writer.
 *
 * Memory: kept for the next use, unless a burst made it large. Not thread-safe. */
#ifndef NODE_SPOOL_BATCH_H
#define NODE_SPOOL_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/buffer.h"
#include "node/spool_frame.h"

struct spool_piece {
    struct frame frame;
    uint64_t segment;
    size_t head; /* where the header starts in `heads`; the record follows, then, without a body, the rest */
    struct blob *body; /* null: there is none, or its text stands elsewhere */
};

/* A segment that may go once everything up to `after` is on the disk. */
struct spool_removal {
    uint64_t number, after;
    bool aside;
};

struct spool_batch {
    struct buffer heads;
    struct spool_piece *pieces;
    size_t count, size;
    uint64_t bytes;
    struct spool_removal *removals;
    size_t removal_count, removal_size;
};

void spool_batch_free(struct spool_batch *batch);
/* Empties it; the bodies are given back. */
void spool_batch_clear(struct spool_batch *batch);
/* Copies the record; holds the body, or copies its head if no more of it is to be written. */
void spool_batch_add(struct spool_batch *batch, uint64_t segment, const struct frame *frame,
    const struct buffer *record, struct blob *body);
void spool_batch_remove(struct spool_batch *batch, struct spool_removal removal);
/* Writes piece `i`'s header, with the checksums of its record and body. */
void spool_batch_seal(struct spool_batch *batch, size_t i, uint64_t disk_key);

static inline bool spool_batch_empty(const struct spool_batch *batch)
{
    return batch->count == 0 && batch->removal_count == 0;
}

#endif
