/* spool_writer - the thread that brings frames to the disk, many at a time
 *
 * The owner fills one batch while the thread writes the other. Whatever was appended during a write and its
 * sync is in the next one: nobody waits for company, and the slower the disk the larger the groups. A batch
 * is written and synced in slices of at most SPOOL_SLICE bytes, so that the first ones are told early.
 *
 * After the first error of a write or sync nothing is written, deleted or called committed any more; what is
 * appended is thrown away.
 * Threads: append, remove, free from the owner's; room and figures from any. The listener is called on the
 * writer's thread, with no lock held but its own: it must not change who listens. */
#ifndef NODE_SPOOL_WRITER_H
#define NODE_SPOOL_WRITER_H

#include "node/spool.h"
#include "node/spool_batch.h"
#include "node/spool_disk.h"

#define SPOOL_SLICE ((uint64_t)8 << 20)

struct spool_writer;

/* Where the log ends. number 0: nowhere, the first frame makes a segment. */
struct spool_tail {
    uint64_t number, offset;
    uint64_t seq; /* the last frame */
};

struct spool_writer_settings {
    const struct spool_disk *disk; /* outlives the writer */
    struct spool_listener listener;
    struct spool_tail tail;
    uint64_t reserve, segment_size;
};

struct spool_writer *spool_writer_start(const struct spool_writer_settings *settings, struct error *error);
/* Writes what was appended, then ends the thread. True: all of it is on the disk. */
bool spool_writer_free(struct spool_writer **writer);
/* The frame, of which all is set but the checksums of record, body and, if it is 0, text, goes to the end of
 * `segment`, which is made if it is not the last one's. */
void spool_writer_append(struct spool_writer *writer, uint64_t segment, const struct frame *frame,
    const struct buffer *record, struct blob *body);
/* Deletes a segment (or puts it aside) after everything appended so far is on the disk. */
void spool_writer_remove(struct spool_writer *writer, struct spool_removal removal);
void spool_writer_listen(struct spool_writer *writer, const struct spool_listener *listener);
enum spool_room spool_writer_room(const struct spool_writer *writer);
/* Everything up to this frame is on the disk. */
uint64_t spool_writer_committed(const struct spool_writer *writer);
/* Fills free, frames, syncs, sync_usec, pending. */
void spool_writer_figures(const struct spool_writer *writer, struct spool_figures *figures);

#endif
