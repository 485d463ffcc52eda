/* spool_frame - how the spool's bytes lie in a segment file
 *
 * A segment is a head of SEGMENT_HEAD bytes, then frames, each starting at a multiple of 8. A frame is a
 * header, the record, the body, and zeros up to the next multiple of 8. All numbers are little-endian.
 *
 *     segment head                            frame header
 *      0  8 "todoku\0\1"                       0  4 magic
 *      8  4 version                            4  4 flags: 1 = base, 2 = its text stands elsewhere, 4 = and
 *                                                   was on the disk before
 *     12  4 the version's complement           8  8 seq
 *     16 16 id of the disk                    16  4 length of the record
 *     32  8 number of the segment             20  4 length of the body's head
 *     40  8 last seq before this segment      24  8 length of the body
 *     48  8 zero                              32  8 checksum of the record
 *     56  8 checksum of bytes 0-55            40  8 checksum of the body
 *                                             (48 8 where in this file its text stands)
 *                                             (56 8 checksum of the text)
 *                                             48  8 checksum of all before it; (64)
 *
 * A body is a head (a mail's header, which differs from one envelope to the next) and a text (the rest, which
 * many may have in common; node/spool_texts.h). A frame with flag 2 has only the head in it: the text is part of
 * an earlier frame of the same segment. So a segment needs no other one, and goes as a whole. With flag 4 a crash
 * can't have left the frame without its text: where the text is not intact it has been damaged since.
 *
 * Version 1 had no texts: bytes 20-23 and all flags but 1 were zero, and the body had one checksum. Such segments
 * are read, but nothing is added to them. Frames of the two differ in their magic.
 *
 * The first 16 bytes of a segment head are the same in every version, so that an unknown one can be named.
 * Checksums of frames are keyed hashes (base/hash.h); the keys come from a secret of the disk and, but for that
 * of a text, the segment's number. So when damage is skipped by looking for the next frame, nothing that a
 * stranger wrote into a body, and no old block of another segment, can pass for one.
 *
 * Memory: plain values. Errors: values. Nothing here reads past the lengths given. */
#ifndef NODE_SPOOL_FRAME_H
#define NODE_SPOOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_VERSION 2
#define SEGMENT_HEAD 64
#define FRAME_HEADER 56     /* of most frames, */
#define FRAME_HEADER_MAX 72 /* and of those whose text stands elsewhere */
#define FRAME_ALIGN 8
#define FRAME_RECORD_MAX (16u << 20)
#define FRAME_BODY_MAX ((uint64_t)4 << 30)
/* Bodies are hashed in pieces of this size, each keyed by the piece before. */
#define FRAME_PIECE ((size_t)64 << 10)

struct segment_head {
    uint32_t version;
    uint8_t disk[16];
    uint64_t number;
    uint64_t after; /* the last frame before this segment */
};

enum segment_head_state { SEGMENT_INTACT, SEGMENT_DAMAGED, SEGMENT_OTHER_VERSION };

void segment_head_write(const struct segment_head *head, uint8_t out[SEGMENT_HEAD]);
/* Reads a head; of an unknown version only head_r->version is set. */
enum segment_head_state segment_head_read(const uint8_t *bytes, size_t len, struct segment_head *head_r);

struct frame {
    uint32_t version;
    bool base;
    bool shared, text_synced; /* its text stands elsewhere, and was on the disk before */
    uint64_t seq;
    uint32_t record_len;
    uint64_t body_len, head_len; /* of version 1 all of the body is head */
    uint64_t text_at;            /* shared only: its offset in the file */
    uint64_t text_check;         /* to seal with, or (shared only) as it was opened */
    uint64_t record_check, body_check;
};

/* What checksums are keyed with. A text's is the same in all segments of a disk. */
struct frame_keys {
    uint64_t frame, text;
};

struct frame_keys frame_keys(uint64_t disk_key, uint64_t segment);

size_t frame_header_size(const struct frame *frame);
/* Where in the frame its body begins. */
uint64_t frame_body_at(const struct frame *frame);
/* How much of the body is in the frame. */
uint64_t frame_body_here(const struct frame *frame);
/* Is the text that a frame at `offset` refers to before it? Where else it says so, it is no text of ours. */
bool frame_text_before(const struct frame *frame, uint64_t offset);
/* The whole frame's size in the file, a multiple of FRAME_ALIGN. */
uint64_t frame_size(const struct frame *frame);

/* Writes the header of a frame all of which is set but the checksums of record and body: sets these. `body` may
 * end behind its head. */
void frame_seal(struct frame *frame, const struct frame_keys *keys, const void *record, const void *body,
    uint8_t out[FRAME_HEADER_MAX]);
/* How many bytes the header has that starts with these FRAME_HEADER, if it is one: to be given to frame_open. */
size_t frame_header_wanted(const uint8_t *bytes);
/* Reads a header. True when it is one: then its lengths can be trusted. */
bool frame_open(const uint8_t *bytes, size_t len, const struct frame_keys *keys, struct frame *frame_r);
bool frame_record_intact(const struct frame *frame, const struct frame_keys *keys, const void *record);
/* Is it the frame's body whose two parts have these checksums? Of version 1 the second counts for nothing. */
bool frame_body_intact(
    const struct frame *frame, const struct frame_keys *keys, uint64_t head_check, uint64_t text_check);

/* The checksum of a part of a body, piece by piece: start with the key, feed pieces of FRAME_PIECE bytes (the last
 * may be shorter). */
uint64_t frame_piece_check(uint64_t check, const void *piece, size_t len);
uint64_t frame_part_check(uint64_t key, const void *bytes, size_t len);

#endif
