/* spool_index - which segments there are, and where in them the living base frames stand
 *
 * Pure bookkeeping: the keeper says what was placed and released; this answers where a frame is, which
 * segment may go, and which frame should be restated.
 *
 * When is the log untidy: there are more than two segments, and of the bytes of those that need not be kept more
 * than half belong to no living base frame. Then the oldest segment's living frames are named one after the other;
 * when its owner has restated and released them all, the segment goes. What a restatement costs is thereby bounded:
 * at most as many bytes are written again as were dead. Segments that are kept all the same count for nothing: else
 * the more is restated, the more there is to keep, and to restate. A text that others refer to counts with the frame
 * it is part of; it stays for them, since the segment does.
 *
 * Memory: 16 bytes a base frame until its segment goes. Not thread-safe: the keeper has a lock. */
#ifndef NODE_SPOOL_INDEX_H
#define NODE_SPOOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_SEGMENT_MAX ((uint64_t)16 << 30)

/* A base frame. Offset and size in units of 8 bytes; size 0: released. */
struct spool_place {
    uint64_t seq;
    uint32_t offset, size;
};

struct spool_part {
    uint64_t number;
    uint64_t end;  /* bytes in the file */
    uint64_t last; /* its last frame; 0: it has none */
    bool damaged;
    size_t live, first; /* living frames; the first of them is not before this one */
    uint64_t live_bytes;
    size_t count, size;
    struct spool_place *places;
};

struct spool_index {
    struct spool_part *parts; /* oldest first */
    size_t count, size;
    uint64_t bytes, live;
    uint64_t keep_from; /* segments with this frame or later ones stay */
    uint64_t gone;      /* of frames up to this one some may have been in segments that have gone */
};

void spool_index_free(struct spool_index *index);
/* When all segments that a start found are in: there may have been others before the oldest. */
void spool_index_found(struct spool_index *index);
/* Adds the next segment, with nothing but its head in it. */
struct spool_part *spool_index_begin(struct spool_index *index, uint64_t number);
struct spool_part *spool_index_newest(struct spool_index *index);
/* The newest segment now ends at `end`. */
void spool_index_extend(struct spool_index *index, uint64_t end);
/* A base frame stands in the newest segment. */
void spool_index_put(struct spool_index *index, uint64_t seq, uint64_t offset, uint64_t size);
/* The living base frame `seq`: false when there is none. */
bool spool_index_find(const struct spool_index *index, uint64_t seq, uint64_t *number_r, uint64_t *offset_r);
/* The living base frames behind `after`, rising; returns how many. */
size_t spool_index_living(const struct spool_index *index, uint64_t after, uint64_t *seqs_r, size_t max);
/* False when it does not live. */
bool spool_index_release(struct spool_index *index, uint64_t seq);
/* Of the living base frames in (after, upto] all go but those in `kept`, which rise. False: none did. */
bool spool_index_release_others(
    struct spool_index *index, uint64_t after, uint64_t upto, const uint64_t *kept, size_t count);
/* Takes out the oldest segment when nothing in it lives or is to be kept, and it is not the newest. */
bool spool_index_retire(struct spool_index *index, uint64_t *number_r, bool *damaged_r);
/* Damage was found in this segment, if it is still there. */
void spool_index_spoil(struct spool_index *index, uint64_t number);
/* The base frame that should be restated now, or 0. */
uint64_t spool_index_untidy(struct spool_index *index);

#endif
