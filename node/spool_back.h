/* spool_back - reads frames from the log's end towards its beginning, some at a time, while it is written
 *
 * A part of a segment at a time, which begins where a base frame stands (the index knows that), or where a look along
 * its headers finds a frame; within it frames come in the order of the log, and the next part is the one before it. So
 * what is newest is at hand at once, however long the log is. What is appended meanwhile is not read.
 *
 * Bodies are stepped over. Damage is told and passed over, and the segment it is in not deleted later (spool.h). A
 * segment that has gone meanwhile is passed over: nothing in it lived. One that can't be opened is an error.
 *
 * Threads: any, but one read at a time; the index is asked under the spool's lock. Blocks on the disk. Memory: one window of
 * a scan. */
#ifndef NODE_SPOOL_BACK_H
#define NODE_SPOOL_BACK_H

#include <pthread.h>

#include "node/spool.h"
#include "node/spool_disk.h"
#include "node/spool_index.h"

/* As spool_read_back; `back` was zeroed before the first time. */
int spool_back_read(struct spool_back *back, const struct spool_disk *disk, pthread_mutex_t *lock,
    struct spool_index *index, const struct spool_portion *portion, struct error *error);

#endif
