/* spool_frame - how the spool's bytes lie in a segment file
 *
 * A segment is a head of SEGMENT_HEAD bytes, then frames, each starting at a multiple of 8. A frame is a
 * header, the record, the body, and zeros up to the next multiple of 8. All numbers are little-endian.
 *
 *     segment head                            frame header
 *      0  8 "todoku\0\1"                       0  4 magic
 *      8  4 version                            4  4 flags: 1 = base, others 0
 *     12  4 the version's complement           8  8 seq
 *     16 16 id of the disk                    16  4 length of the record
 *     32  8 number of the segment             20  4 zero
 *     40  8 last seq before this segment      24  8 length of the body
 *     48  8 zero                              32  8 checksum of the record
 *     56  8 checksum of bytes 0-55            40  8 checksum of the body
 *                                             48  8 checksum of bytes 0-47
 *
 * The first 16 bytes of a segment head are the same in every version, so that an unknown one can be named.
 * Checksums of frames are keyed hashes (base/hash.h); the key comes from a secret of the disk and the
 * segment's number. So when damage is skipped by looking for the next frame, nothing that a stranger wrote
 * into a body, and no old block of another segment, can pass for one.
 *
 * Memory: plain values. Errors: values. Nothing here reads past the lengths given. */
#ifndef NODE_SPOOL_FRAME_H
#define NODE_SPOOL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_VERSION 1
#define SEGMENT_HEAD 64
#define FRAME_HEADER 56
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
/* Reads a head; of another version only head_r->version is set. */
enum segment_head_state segment_head_read(const uint8_t *bytes, size_t len, struct segment_head *head_r);

struct frame {
    uint64_t seq;
    bool base;
    uint32_t record_len;
    uint64_t body_len;
    uint64_t record_check, body_check;
};

/* The key of a segment's checksums. */
uint64_t frame_key(uint64_t disk_key, uint64_t segment);
/* The whole frame's size in the file, a multiple of FRAME_ALIGN. */
uint64_t frame_size(uint64_t record_len, uint64_t body_len);
/* Writes the header of a frame whose seq, base and lengths are set; sets its checksums. */
void frame_seal(
    struct frame *frame, uint64_t key, const void *record, const void *body, uint8_t out[FRAME_HEADER]);
/* Reads a header. True when it is one: then its lengths can be trusted. */
bool frame_open(const uint8_t bytes[FRAME_HEADER], uint64_t key, struct frame *frame_r);
bool frame_record_intact(const struct frame *frame, uint64_t key, const void *record);
/* The checksum of a body, piece by piece: start with the key, feed pieces of FRAME_PIECE bytes (the last may
 * be shorter), compare with body_check. */
uint64_t frame_body_piece(uint64_t check, const void *piece, size_t len);
uint64_t frame_body_check(uint64_t key, const void *body, size_t len);
/* Cheap: may a header start here? */
bool frame_magic(const uint8_t *bytes);

#endif
