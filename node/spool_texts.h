/* spool_texts - the texts of the bodies that were appended lately, so that none is written twice
 *
 * A body's text is what stands behind its header: the part that many envelopes may have in common. Asked with a
 * text's checksum, this says where the same text stands already. The checksum only finds it; the bytes are
 * compared, always, so that nobody's text can become another's. Bytes that are in memory no more can't be
 * compared: such a text is written again, and from then on in memory.
 *
 * Where it stands is a segment and an offset, which the keeper fills in, with the frame. Frames refer only to texts in
 * their own segment, so in the next segment the text is written once more.
 *
 * Most texts are those of one envelope, so what is done for all of them is little: only their edges are looked at.
 * One whose edges were met before is looked for, and kept; the time after that, it is found.
 *
 * Memory: 1 MiB, and bodies held: TEXTS_ONCE bytes of those that were looked for once, TEXTS_SHARED of those looked
 * for more often, of each at least the last one. Time: the checksum's, a few cache lines, and a comparison where there
 * is something to compare with. Not thread-safe. */
#ifndef NODE_SPOOL_TEXTS_H
#define NODE_SPOOL_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/list.h"

#define TEXTS_SHORTEST 1024 /* shorter ones stay where they are */
#define TEXTS_ONCE ((size_t)128 << 10)
#define TEXTS_SHARED ((size_t)16 << 20)

struct spool_text {
    struct list link;  /* while its body is held */
    struct blob *body; /* which ends with it */
    uint64_t check, len;
    uint64_t segment, offset; /* where it stands; segment 0: nowhere */
    uint64_t seq;             /* in this frame */
    unsigned times;           /* seen, up to 2; 0: an empty slot */
};

struct spool_texts {
    uint32_t *met; /* what is left of the edges of texts that were met */
    struct spool_text *slots;
    struct list once, shared; /* those whose bodies are held, the last used first */
    size_t once_bytes, shared_bytes;
};

void spool_texts_init(struct spool_texts *texts);
void spool_texts_free(struct spool_texts *texts);
/* Has one with the same length, beginning and end been met before? It is from now on. Most mail is asked no more than
 * this: its checksum is left to whoever writes it. */
bool spool_texts_met(struct spool_texts *texts, const char *text, size_t len);
/* The text that is the last `len` bytes of `body`. Where it stands is known when `segment` is not 0 and still
 * that of the frame to be written; else it is to be filled in. Null: this one can't be shared. Valid until the
 * next call. */
struct spool_text *spool_texts_see(
    struct spool_texts *texts, uint64_t check, struct blob *body, uint64_t len);

#endif
