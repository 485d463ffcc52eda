/* spool_reader - reads frames back in the order of the log, some at a time, while it is written
 *
 * What a copy of the log on another disk lacks (cluster/copies.h) is read so: frames behind a number, records and bodies,
 * as far as the log is on the disk. Where the last read ended is remembered, so the next one goes on there.
 *
 * Damage: a frame whose record is damaged is passed over; one whose body is, comes without it (as after a start: whom
 * was the mail from?).
 *
 * Threads: any, but one read of a reader at a time; the index is asked under the spool's lock. Blocks on the disk.
 * Memory: what it returns, and one window of a scan. */
#ifndef NODE_SPOOL_READER_H
#define NODE_SPOOL_READER_H

#include <pthread.h>

#include "node/spool.h"
#include "node/spool_disk.h"
#include "node/spool_index.h"

struct spool_reader {
    uint64_t after, number, offset; /* behind frame `after` stands what is at this offset of that segment */
};

/* As spool_frames_from; `upto`: what is on the disk. */
void spool_reader_read(struct spool_reader *reader, const struct spool_disk *disk, pthread_mutex_t *lock,
    struct spool_index *index, uint64_t after, uint64_t upto, size_t bytes, struct spool_frames *frames_r);

#endif
