/* spool_scan - see spool_scan.h */
#include "node/spool_scan.h"

#include <stdlib.h>

#include "base/alloc.h"

#define WINDOW ((size_t)256 << 10)
/* After an unreadable place the next try is at the next block of a disk. */
#define BLOCK 4096

/* What is remembered of texts. */
#define SEEN 256

/* What stands at a place, from bad to good. */
enum sight {
    SIGHT_UNREADABLE,
    SIGHT_NOTHING,   /* no frame starts here */
    SIGHT_NO_RECORD, /* a header, so its size is known; but the record is damaged or cut off */
    SIGHT_NO_BODY,   /* header and record; the body is damaged or cut off */
    SIGHT_NO_TEXT,   /* all that stands here; but not the text, which stands in an earlier frame */
    SIGHT_INTACT,
};

/* A text that was looked at. */
struct seen_text {
    uint64_t at, len, check; /* len 0: none yet */
    bool intact;
};

struct scan {
    const struct scan_settings *settings;
    const struct scan_source *source;
    const struct scan_listener *listener;
    uint8_t *window;
    size_t window_size;
    uint64_t from, to;      /* what of the source is in the window */
    uint8_t *piece;         /* of a body */
    struct seen_text *seen; /* by what its place leaves of SEEN; only if bodies are checked */
};

/* The bytes at [at, at + len), valid until the next call; null when they are not there or unreadable. */
static const uint8_t *look(struct scan *scan, uint64_t at, size_t len)
{
    if (at > scan->source->size || scan->source->size - at < len)
        return NULL;
    if (at >= scan->from && at + len <= scan->to)
        return scan->window + (at - scan->from);
    if (len > scan->window_size) {
        scan->window = xrealloc(scan->window, len);
        scan->window_size = len;
    }
    uint64_t left = scan->source->size - at;
    size_t take = left < scan->window_size ? (size_t)left : scan->window_size;
    scan->from = scan->to = 0;
    if (scan->source->read(scan->source->context, at, scan->window, take) < 0) {
        /* Something in the window is unreadable; perhaps not what is wanted now. */
        uint64_t block = (at / BLOCK + 1) * BLOCK - at;
        if (block < take)
            take = len < block ? (size_t)block : len;
        if (scan->source->read(scan->source->context, at, scan->window, take) < 0)
            return NULL;
    }
    scan->from = at;
    scan->to = at + take;
    return scan->window;
}

/* The checksum of a part of a body at [at, at + len); false when it cannot be read. */
static bool check_part(struct scan *scan, uint64_t at, uint64_t len, uint64_t key, uint64_t *check_r)
{
    uint64_t check = key;
    for (uint64_t done = 0; done < len; done += FRAME_PIECE) {
        size_t piece = len - done < FRAME_PIECE ? (size_t)(len - done) : FRAME_PIECE;
        const void *bytes = scan->piece;
        if (at + done >= scan->from && at + done + piece <= scan->to)
            bytes = scan->window + (at + done - scan->from);
        else if (scan->source->read(scan->source->context, at + done, scan->piece, piece) < 0)
            return false;
        check = frame_piece_check(check, bytes, piece);
    }
    *check_r = check;
    return true;
}

/* Is the text that a frame refers to where it must be? It was written together with the frame, so a crash may have
 * left only the latter. */
static bool text_intact(struct scan *scan, const struct frame *frame)
{
    uint64_t len = frame->body_len - frame->head_len, check;
    struct seen_text *seen = &scan->seen[frame->text_at % SEEN];
    if (seen->len != len || seen->at != frame->text_at || seen->check != frame->text_check) {
        *seen = (struct seen_text){frame->text_at, len, frame->text_check, false};
        seen->intact = check_part(scan, frame->text_at, len, scan->settings->keys.text, &check) &&
                       check == frame->text_check;
    }
    return seen->intact;
}

/* A text that was on the disk before is not looked at. */
static enum sight see_shared(struct scan *scan, const struct frame *frame, uint64_t at, uint64_t head_check)
{
    if (!frame_body_intact(frame, &scan->settings->keys, head_check, frame->text_check))
        return SIGHT_NO_BODY;
    if (frame->text_synced)
        return SIGHT_INTACT;
    if (!frame_text_before(frame, at))
        return SIGHT_NO_BODY;
    return text_intact(scan, frame) ? SIGHT_INTACT : SIGHT_NO_TEXT;
}

static enum sight see_body(struct scan *scan, const struct frame *frame, uint64_t at)
{
    const struct frame_keys *keys = &scan->settings->keys;
    uint64_t body = at + frame_body_at(frame), head_check, text_check = frame->text_check;
    if (!check_part(scan, body, frame->head_len, keys->frame, &head_check))
        return SIGHT_NO_BODY;
    if (frame->shared)
        return see_shared(scan, frame, at, head_check);
    bool intact = check_part(scan, body + frame->head_len, frame->body_len - frame->head_len, keys->text,
                      &text_check) &&
                  frame_body_intact(frame, keys, head_check, text_check);
    return intact ? SIGHT_INTACT : SIGHT_NO_BODY;
}

/* The header at `at`, as many bytes of it as there must be; null when they cannot be read. */
static const uint8_t *look_at_header(struct scan *scan, uint64_t at, size_t *len_r)
{
    const uint8_t *header = look(scan, at, *len_r = FRAME_HEADER);
    if (header == NULL)
        return NULL;
    size_t wanted = frame_header_wanted(header);
    if (scan->source->size - at < wanted)
        return header;
    return look(scan, at, *len_r = wanted);
}

/* The record is in the window from SIGHT_NO_BODY on. */
static enum sight see(struct scan *scan, uint64_t at, struct frame *frame_r, const uint8_t **record_r)
{
    size_t len;
    if (scan->source->size - at < FRAME_HEADER)
        return SIGHT_NOTHING;
    const uint8_t *header = look_at_header(scan, at, &len);
    if (header == NULL)
        return SIGHT_UNREADABLE;
    if (!frame_open(header, len, &scan->settings->keys, frame_r))
        return SIGHT_NOTHING;
    bool whole = scan->source->size - at >= frame_size(frame_r);
    if (scan->settings->heads) {
        *record_r = NULL;
        return whole ? SIGHT_INTACT : SIGHT_NO_RECORD;
    }
    const uint8_t *record = look(scan, at, len + frame_r->record_len);
    if (record == NULL || !frame_record_intact(frame_r, &scan->settings->keys, record + len))
        return SIGHT_NO_RECORD;
    *record_r = record + len;
    if (!whole)
        return SIGHT_NO_BODY;
    return scan->settings->bodies ? see_body(scan, frame_r, at) : SIGHT_INTACT;
}

static uint64_t step(const struct scan *scan, enum sight sight, const struct frame *frame, uint64_t at)
{
    uint64_t to = at + FRAME_ALIGN;
    if (sight == SIGHT_UNREADABLE)
        to = (at / BLOCK + 1) * BLOCK;
    else if (sight != SIGHT_NOTHING)
        to = at + frame_size(frame);
    return to < scan->source->size ? to : scan->source->size;
}

/* The first place from `at` on, before `end`, where at least `wanted` stands; else `end`. */
static uint64_t find(struct scan *scan, uint64_t at, uint64_t end, enum sight wanted)
{
    while (at < end) {
        struct frame frame;
        const uint8_t *record;
        enum sight sight = see(scan, at, &frame, &record);
        if (sight >= wanted)
            return at;
        at = step(scan, sight, &frame, at);
    }
    return end;
}

/* Tells what there is between two intact frames, or before the end of an older segment. A damaged text is told with
 * the frame that it is part of, not with those that share it. */
static void tell_damage(struct scan *scan, uint64_t at, uint64_t end)
{
    const struct scan_listener *listener = scan->listener;
    while (at < end) {
        struct frame frame;
        const uint8_t *record;
        enum sight sight = see(scan, at, &frame, &record);
        uint64_t to = step(scan, sight, &frame, at);
        if (sight == SIGHT_NOTHING || sight == SIGHT_UNREADABLE)
            to = find(scan, to, end, SIGHT_NO_RECORD);
        if (to > end)
            to = end;
        const char *why = sight == SIGHT_UNREADABLE  ? "the disk cannot read this place"
                          : sight == SIGHT_NOTHING   ? "no intact frame stands here"
                          : sight == SIGHT_NO_RECORD ? "the record's checksum is wrong"
                                                     : "the body's checksum is wrong";
        if (sight != SIGHT_NO_TEXT)
            listener->damage(listener->context, at, to - at, why);
        /* `find` has moved the window, but not when there is a record to hand over. */
        if (sight >= SIGHT_NO_BODY)
            listener->frame(listener->context, &frame, at, record);
        at = to;
    }
}

static uint64_t run(struct scan *scan)
{
    uint64_t size = scan->source->size;
    uint64_t from = scan->settings->from > SEGMENT_HEAD ? scan->settings->from : SEGMENT_HEAD;
    uint64_t at = from < size ? from : size;
    while (at < size && (scan->settings->enough == NULL || !*scan->settings->enough)) {
        struct frame frame;
        const uint8_t *record;
        if (see(scan, at, &frame, &record) == SIGHT_INTACT) {
            scan->listener->frame(scan->listener->context, &frame, at, record);
            at = step(scan, SIGHT_INTACT, &frame, at);
            continue;
        }
        uint64_t next = find(scan, at, size, SIGHT_INTACT);
        if (next == size && scan->settings->newest) {
            if (at >= scan->settings->whole)
                return at;
            next = scan->settings->whole < size ? scan->settings->whole : size;
        }
        tell_damage(scan, at, next);
        at = next;
    }
    return at;
}

uint64_t spool_scan(const struct scan_settings *settings, const struct scan_source *source,
    const struct scan_listener *listener)
{
    struct scan scan = {.settings = settings, .source = source, .listener = listener};
    scan.window = xmalloc(WINDOW);
    scan.window_size = WINDOW;
    scan.piece = xmalloc(FRAME_PIECE);
    if (settings->bodies)
        scan.seen = xcalloc(SEEN, sizeof *scan.seen);
    uint64_t end = run(&scan);
    free(scan.window);
    free(scan.piece);
    free(scan.seen);
    return end;
}
