/* move_texts - the texts of bodies that came by MOVE lately, so that none crosses the network twice
 *
 * A body's text is what stands behind its header: the part that many envelopes may have in common. Who sends a MOVE
 * notes the checksums of the texts that went to each spool in full (struct texts_sent); one that went there before is
 * named only (BUS_MOVE_BRIEF). Who gets a MOVE keeps its body for a while (struct move_texts), and puts a body together
 * of a head and a text that was named.
 *
 * The checksum only finds a text. It is taken when its SHA-256 is the one that was named, too, and its length: nobody's
 * text can become another's, whatever somebody can make collide. Both are worked out only when a text is named, so what is
 * said once costs a checksum on either side.
 *
 * Memory: bodies of TEXTS_KEPT bytes in all, TEXTS_MOST of them, none longer than TEXT_LONGEST; what nobody named for
 * TEXTS_FOR goes. A text that has gone is asked for: to forget costs a round trip and nothing else.
 * Time: every call takes `now`. Errors: none. Not thread-safe. */
#ifndef CLUSTER_MOVE_TEXTS_H
#define CLUSTER_MOVE_TEXTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"

#define TEXT_SHORTEST ((size_t)1024) /* shorter ones go as they are */
#define TEXT_LONGEST ((size_t)8 << 20)
#define TEXTS_KEPT ((size_t)16 << 20)
#define TEXTS_MOST 4096
#define TEXTS_FOR USEC_MIN
#define TEXTS_SENT 512 /* noted of each spool */
#define TEXT_HASH_SIZE 32

/* Where a body's text is. */
struct body_text {
    size_t at, len;
    uint64_t check;
};
struct body_text body_text_of(const struct blob *body);
void body_text_hash(const struct blob *body, const struct body_text *text, uint8_t hash_r[TEXT_HASH_SIZE]);

/* What went to one spool. Zeroed at first. */
struct texts_sent {
    uint64_t checks[TEXTS_SENT]; /* the last used at next - 1; 0: none */
    unsigned next;
};
bool texts_sent_has(struct texts_sent *sent, uint64_t check);
void texts_sent_add(struct texts_sent *sent, uint64_t check);

/* What came. */
struct move_texts {
    struct map by_check; /* struct kept_text */
    struct list used;    /* the last one first */
    size_t bytes;
};
void move_texts_init(struct move_texts *texts);
void move_texts_free(struct move_texts *texts);
/* Keeps a body, unless its text is too short or too long for that. */
void move_texts_keep(struct move_texts *texts, struct blob *body, usec_t now);
/* The body of `len` bytes that begins with `head` and ends with the text named, held once; null: it is not here. */
struct blob *move_texts_join(struct move_texts *texts, const struct blob *head, uint64_t len, uint64_t check,
    const uint8_t hash[TEXT_HASH_SIZE], usec_t now);
void move_texts_tick(struct move_texts *texts, usec_t now);
usec_t move_texts_deadline(const struct move_texts *texts);

#endif
