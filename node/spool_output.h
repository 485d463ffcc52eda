/* spool_output - the end of the log as an open file
 *
 * Gathers pieces of a batch and writes them with few calls; makes the next segment when a piece belongs to
 * one. The old segment is synced before the next one is made, so that only the newest can have a torn end.
 * Blocks are reserved ahead in steps, where the file system can: a sync then has less to record.
 *
 * Errors: a sentence; then nothing may be written any more. Not thread-safe. */
#ifndef NODE_SPOOL_OUTPUT_H
#define NODE_SPOOL_OUTPUT_H

#include <stdatomic.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "node/spool_batch.h"
#include "node/spool_writer.h"

#define OUTPUT_VECTORS 512

struct spool_output {
    const struct spool_disk *disk;
    int fd;
    uint64_t segment, offset; /* the file, and where the next byte goes */
    uint64_t reserved;        /* blocks are there up to here */
    uint64_t segment_size;
    uint64_t seq; /* of the last frame written */
    bool reserves;
    struct iovec vectors[OUTPUT_VECTORS];
    int vector_count;
    _Atomic uint64_t syncs, sync_usec;
};

/* Opens the segment the log ends in, if there is one. */
int spool_output_open(struct spool_output *output, const struct spool_disk *disk,
    const struct spool_tail *tail, uint64_t segment_size, struct error *error);
void spool_output_close(struct spool_output *output);
/* The piece must be sealed; its bytes must stay until spool_output_sync. */
int spool_output_put(
    struct spool_output *output, struct spool_batch *batch, size_t piece, struct error *error);
/* Everything put is on the disk. */
int spool_output_sync(struct spool_output *output, struct error *error);

#endif
