/* spool_frame - see spool_frame.h */
#include "node/spool_frame.h"

#include <string.h>

#include "base/hash.h"
#include "base/panic.h"

#define MAGIC_1 0x6d724654u /* "TFrm" */
#define MAGIC 0x32724654u   /* "TFr2" */
#define FLAG_BASE 1u
#define FLAG_SHARED 2u
#define FLAG_TEXT_SYNCED 4u

static const uint8_t segment_magic[8] = {'t', 'o', 'd', 'o', 'k', 'u', 0, 1};

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get64(const uint8_t *at)
{
    return (uint64_t)get32(at) | (uint64_t)get32(at + 4) << 32;
}

void segment_head_write(const struct segment_head *head, uint8_t out[SEGMENT_HEAD])
{
    memset(out, 0, SEGMENT_HEAD);
    memcpy(out, segment_magic, sizeof segment_magic);
    put32(out + 8, head->version);
    put32(out + 12, ~head->version);
    memcpy(out + 16, head->disk, sizeof head->disk);
    put64(out + 32, head->number);
    put64(out + 40, head->after);
    put64(out + 56, hash64(0, out, 56));
}

enum segment_head_state segment_head_read(const uint8_t *bytes, size_t len, struct segment_head *head_r)
{
    if (len < 16 || memcmp(bytes, segment_magic, sizeof segment_magic) != 0 ||
        get32(bytes + 8) != ~get32(bytes + 12))
        return SEGMENT_DAMAGED;
    head_r->version = get32(bytes + 8);
    if (head_r->version == 0 || head_r->version > SEGMENT_VERSION)
        return SEGMENT_OTHER_VERSION;
    if (len < SEGMENT_HEAD || get64(bytes + 56) != hash64(0, bytes, 56))
        return SEGMENT_DAMAGED;
    memcpy(head_r->disk, bytes + 16, sizeof head_r->disk);
    head_r->number = get64(bytes + 32);
    head_r->after = get64(bytes + 40);
    return SEGMENT_INTACT;
}

struct frame_keys frame_keys(uint64_t disk_key, uint64_t segment)
{
    uint8_t number[8];
    put64(number, segment);
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
    put64(both, head_check);
    put64(both + 8, text_check);
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
    put32(out, old ? MAGIC_1 : MAGIC);
    put32(out + 4, (frame->base ? FLAG_BASE : 0) | (frame->shared ? FLAG_SHARED : 0) |
                       (frame->text_synced ? FLAG_TEXT_SYNCED : 0));
    put64(out + 8, frame->seq);
    put32(out + 16, frame->record_len);
    put32(out + 20, old ? 0 : (uint32_t)frame->head_len);
    put64(out + 24, frame->body_len);
    put64(out + 32, frame->record_check);
    put64(out + 40, frame->body_check);
    if (frame->shared) {
        put64(out + 48, frame->text_at);
        put64(out + 56, frame->text_check);
    }
    put64(out + end, hash64(keys->frame, out, end));
}

size_t frame_header_wanted(const uint8_t *bytes)
{
    bool shared = get32(bytes) == MAGIC && (get32(bytes + 4) & FLAG_SHARED) != 0;
    return shared ? FRAME_HEADER_MAX : FRAME_HEADER;
}

bool frame_open(const uint8_t *bytes, size_t len, const struct frame_keys *keys, struct frame *frame_r)
{
    if (len < FRAME_HEADER || len < frame_header_wanted(bytes))
        return false;
    uint32_t magic = get32(bytes), flags = get32(bytes + 4);
    size_t end = frame_header_wanted(bytes) - 8;
    if ((magic != MAGIC && magic != MAGIC_1) || get64(bytes + end) != hash64(keys->frame, bytes, end))
        return false;
    *frame_r = (struct frame){
        .version = magic == MAGIC_1 ? 1 : 2,
        .seq = get64(bytes + 8),
        .base = (flags & FLAG_BASE) != 0,
        .shared = magic == MAGIC && (flags & FLAG_SHARED) != 0,
        .text_synced = (flags & FLAG_TEXT_SYNCED) != 0,
        .record_len = get32(bytes + 16),
        .head_len = magic == MAGIC_1 ? get64(bytes + 24) : get32(bytes + 20),
        .body_len = get64(bytes + 24),
        .record_check = get64(bytes + 32),
        .body_check = get64(bytes + 40),
    };
    if (frame_r->shared) {
        frame_r->text_at = get64(bytes + 48);
        frame_r->text_check = get64(bytes + 56);
    }
    uint32_t known = frame_r->shared ? FLAG_BASE | FLAG_SHARED | FLAG_TEXT_SYNCED : FLAG_BASE;
    bool zero = magic == MAGIC || get32(bytes + 20) == 0;
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
