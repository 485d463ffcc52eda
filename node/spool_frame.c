/* spool_frame - see spool_frame.h */
#include "node/spool_frame.h"

#include <string.h>

#include "base/hash.h"
#include "base/panic.h"

#define MAGIC 0x6d724654u /* "TFrm" */
#define FLAG_BASE 1u

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
    if (head_r->version != SEGMENT_VERSION)
        return SEGMENT_OTHER_VERSION;
    if (len < SEGMENT_HEAD || get64(bytes + 56) != hash64(0, bytes, 56))
        return SEGMENT_DAMAGED;
    memcpy(head_r->disk, bytes + 16, sizeof head_r->disk);
    head_r->number = get64(bytes + 32);
    head_r->after = get64(bytes + 40);
    return SEGMENT_INTACT;
}

uint64_t frame_key(uint64_t disk_key, uint64_t segment)
{
    uint8_t number[8];
    put64(number, segment);
    return hash64(disk_key, number, sizeof number);
}

uint64_t frame_size(uint64_t record_len, uint64_t body_len)
{
    uint64_t size = FRAME_HEADER + record_len + body_len;
    return (size + FRAME_ALIGN - 1) / FRAME_ALIGN * FRAME_ALIGN;
}

void frame_seal(
    struct frame *frame, uint64_t key, const void *record, const void *body, uint8_t out[FRAME_HEADER])
{
    must(frame->record_len <= FRAME_RECORD_MAX && frame->body_len <= FRAME_BODY_MAX);
    frame->record_check = hash64(key, record, frame->record_len);
    frame->body_check = frame_body_check(key, body, frame->body_len);
    put32(out, MAGIC);
    put32(out + 4, frame->base ? FLAG_BASE : 0);
    put64(out + 8, frame->seq);
    put32(out + 16, frame->record_len);
    put32(out + 20, 0);
    put64(out + 24, frame->body_len);
    put64(out + 32, frame->record_check);
    put64(out + 40, frame->body_check);
    put64(out + 48, hash64(key, out, 48));
}

bool frame_open(const uint8_t bytes[FRAME_HEADER], uint64_t key, struct frame *frame_r)
{
    if (!frame_magic(bytes) || get64(bytes + 48) != hash64(key, bytes, 48))
        return false;
    *frame_r = (struct frame){
        .seq = get64(bytes + 8),
        .base = (get32(bytes + 4) & FLAG_BASE) != 0,
        .record_len = get32(bytes + 16),
        .body_len = get64(bytes + 24),
        .record_check = get64(bytes + 32),
        .body_check = get64(bytes + 40),
    };
    return frame_r->record_len <= FRAME_RECORD_MAX && frame_r->body_len <= FRAME_BODY_MAX &&
           get32(bytes + 4) <= FLAG_BASE && get32(bytes + 20) == 0;
}

bool frame_record_intact(const struct frame *frame, uint64_t key, const void *record)
{
    return hash64(key, record, frame->record_len) == frame->record_check;
}

uint64_t frame_body_piece(uint64_t check, const void *piece, size_t len)
{
    return hash64(check, piece, len);
}

uint64_t frame_body_check(uint64_t key, const void *body, size_t len)
{
    uint64_t check = key;
    for (size_t done = 0; done < len; done += FRAME_PIECE) {
        size_t piece = len - done < FRAME_PIECE ? len - done : FRAME_PIECE;
        check = frame_body_piece(check, (const uint8_t *)body + done, piece);
    }
    return check;
}

bool frame_magic(const uint8_t *bytes)
{
    return get32(bytes) == MAGIC;
}
