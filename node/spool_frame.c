/* spool_frame - see spool_frame.h */
#include "node/spool_frame.h"

#include <string.h>

#include "base/hash.h"
#include "base/octets.h"
#include "base/panic.h"

#define MAGIC_1 0x6d724654u /* "TFrm" */
#define MAGIC 0x32724654u   /* "TFr2" */
#define FLAG_BASE 1u
#define FLAG_SHARED 2u
#define FLAG_TEXT_SYNCED 4u

static const uint8_t segment_magic[8] = {'t', 'o', 'd', 'o', 'k', 'u', 0, 1};

void segment_head_write(const struct segment_head *head, uint8_t out[SEGMENT_HEAD])
{
    memset(out, 0, SEGMENT_HEAD);
    memcpy(out, segment_magic, sizeof segment_magic);
    octets_put(out + 8, head->version, 4);
    octets_put(out + 12, ~head->version, 4);
    memcpy(out + 16, head->disk, sizeof head->disk);
    octets_put(out + 32, head->number, 8);
    octets_put(out + 40, head->after, 8);
    octets_put(out + 56, hash64(0, out, 56), 8);
}

enum segment_head_state segment_head_read(const uint8_t *bytes, size_t len, struct segment_head *head_r)
{
    if (len < 16 || memcmp(bytes, segment_magic, sizeof segment_magic) != 0 ||
        octets_get(bytes + 8, 4) != (uint32_t)~octets_get(bytes + 12, 4))
        return SEGMENT_DAMAGED;
    head_r->version = octets_get(bytes + 8, 4);
    if (head_r->version == 0 || head_r->version > SEGMENT_VERSION)
        return SEGMENT_OTHER_VERSION;
    if (len < SEGMENT_HEAD || octets_get(bytes + 56, 8) != hash64(0, bytes, 56))
        return SEGMENT_DAMAGED;
    memcpy(head_r->disk, bytes + 16, sizeof head_r->disk);
    head_r->number = octets_get(bytes + 32, 8);
    head_r->after = octets_get(bytes + 40, 8);
    return SEGMENT_INTACT;
}

struct frame_keys frame_keys(uint64_t disk_key, uint64_t segment)
{
    uint8_t number[8];
    octets_put(number, segment, 8);
    return (struct frame_keys){
        .frame = hash64(disk_key, number, sizeof number),
        .text = hash64(disk_key, "text", 4),
    };
}

size_t frame_header_size(const struct frame *frame)
{
    return frame->shared ? FRAME_HEADER_MAX : FRAME_HEADER;
}

uint64_t frame_body_at(const struct frame *frame)
{
    return frame_header_size(frame) + frame->record_len;
}

uint64_t frame_body_here(const struct frame *frame)
{
    return frame->shared ? frame->head_len : frame->body_len;
}

bool frame_text_before(const struct frame *frame, uint64_t offset)
{
    return frame->text_at >= SEGMENT_HEAD && frame->text_at <= offset &&
           frame->body_len - frame->head_len <= offset - frame->text_at;
}

uint64_t frame_size(const struct frame *frame)
{
    uint64_t size = frame_body_at(frame) + frame_body_here(frame);
    return (size + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
}

/* Of both parts; of the text only its checksum is needed, which was made when the text was looked for. */
static uint64_t body_check(
    const struct frame *frame, const struct frame_keys *keys, uint64_t head_check, uint64_t text_check)
{
    if (frame->version == 1)
        return head_check;
    uint8_t both[16];
    octets_put(both, head_check, 8);
    octets_put(both + 8, text_check, 8);
    return hash64(keys->frame, both, sizeof both);
}

static bool lengths_allowed(const struct frame *frame)
{
    return frame->record_len <= FRAME_RECORD_MAX && frame->body_len <= FRAME_BODY_MAX &&
           frame->head_len <= frame->body_len && (frame->version == 1 || frame->head_len <= UINT32_MAX);
}

void frame_seal(struct frame *frame, const struct frame_keys *keys, const void *record, const void *body,
    uint8_t out[FRAME_HEADER_MAX])
{
    must(lengths_allowed(frame));
    bool old = frame->version == 1;
    size_t end = frame_header_size(frame) - 8;
    frame->record_check = hash64(keys->frame, record, frame->record_len);
    uint64_t head_check = frame_part_check(keys->frame, body, frame->head_len);
    frame->body_check = body_check(frame, keys, head_check, frame->text_check);
    octets_put(out, old ? MAGIC_1 : MAGIC, 4);
    octets_put(out + 4,
        (frame->base ? FLAG_BASE : 0) | (frame->shared ? FLAG_SHARED : 0) |
            (frame->text_synced ? FLAG_TEXT_SYNCED : 0),
        4);
    octets_put(out + 8, frame->seq, 8);
    octets_put(out + 16, frame->record_len, 4);
    octets_put(out + 20, old ? 0 : (uint32_t)frame->head_len, 4);
    octets_put(out + 24, frame->body_len, 8);
    octets_put(out + 32, frame->record_check, 8);
    octets_put(out + 40, frame->body_check, 8);
    if (frame->shared) {
        octets_put(out + 48, frame->text_at, 8);
        octets_put(out + 56, frame->text_check, 8);
    }
    octets_put(out + end, hash64(keys->frame, out, end), 8);
}

size_t frame_header_wanted(const uint8_t *bytes)
{
    bool shared = octets_get(bytes, 4) == MAGIC && (octets_get(bytes + 4, 4) & FLAG_SHARED) != 0;
    return shared ? FRAME_HEADER_MAX : FRAME_HEADER;
}

bool frame_open(const uint8_t *bytes, size_t len, const struct frame_keys *keys, struct frame *frame_r)
{
    if (len < FRAME_HEADER || len < frame_header_wanted(bytes))
        return false;
    uint32_t magic = octets_get(bytes, 4), flags = octets_get(bytes + 4, 4);
    size_t end = frame_header_wanted(bytes) - 8;
    if ((magic != MAGIC && magic != MAGIC_1) || octets_get(bytes + end, 8) != hash64(keys->frame, bytes, end))
        return false;
    *frame_r = (struct frame){
        .version = magic == MAGIC_1 ? 1 : 2,
        .seq = octets_get(bytes + 8, 8),
        .base = (flags & FLAG_BASE) != 0,
        .shared = magic == MAGIC && (flags & FLAG_SHARED) != 0,
        .text_synced = (flags & FLAG_TEXT_SYNCED) != 0,
        .record_len = octets_get(bytes + 16, 4),
        .head_len = magic == MAGIC_1 ? octets_get(bytes + 24, 8) : octets_get(bytes + 20, 4),
        .body_len = octets_get(bytes + 24, 8),
        .record_check = octets_get(bytes + 32, 8),
        .body_check = octets_get(bytes + 40, 8),
    };
    if (frame_r->shared) {
        frame_r->text_at = octets_get(bytes + 48, 8);
        frame_r->text_check = octets_get(bytes + 56, 8);
    }
    uint32_t known = frame_r->shared ? FLAG_BASE | FLAG_SHARED | FLAG_TEXT_SYNCED : FLAG_BASE;
    bool zero = magic == MAGIC || octets_get(bytes + 20, 4) == 0;
    return (flags & ~known) == 0 && zero && lengths_allowed(frame_r);
}

bool frame_record_intact(const struct frame *frame, const struct frame_keys *keys, const void *record)
{
    return hash64(keys->frame, record, frame->record_len) == frame->record_check;
}

bool frame_body_intact(
    const struct frame *frame, const struct frame_keys *keys, uint64_t head_check, uint64_t text_check)
{
    return body_check(frame, keys, head_check, text_check) == frame->body_check;
}

uint64_t frame_piece_check(uint64_t check, const void *piece, size_t len)
{
    return hash64(check, piece, len);
}

uint64_t frame_part_check(uint64_t key, const void *bytes, size_t len)
{
    uint64_t check = key;
    for (size_t done = 0; done < len; done += FRAME_PIECE) {
        size_t piece = len - done < FRAME_PIECE ? len - done : FRAME_PIECE;
        check = frame_piece_check(check, (const uint8_t *)bytes + done, piece);
    }
    return check;
}
