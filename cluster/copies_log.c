/* copies_log - the newest part of the log, in memory; see copies_inside.h */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/copies_inside.h"

static struct log_frame *frame_at(const struct copies_log *log, size_t i)
{
    return &log->frames[(log->first + i) & (log->size - 1)];
}

static size_t frame_bytes(const struct log_frame *frame)
{
    return frame->len + (frame->body == NULL ? 0 : frame->body->len) + COPIES_FRAME_OVERHEAD;
}

static void drop_first(struct copies_log *log)
{
    struct log_frame *frame = frame_at(log, 0);
    log->bytes -= frame_bytes(frame);
    log->before = frame->seq;
    free(frame->record);
    blob_drop(&frame->body);
    log->first = (log->first + 1) & (log->size - 1);
    log->count--;
}

void copies_log_free(struct copies_log *log)
{
    while (log->count > 0)
        drop_first(log);
    free(log->frames);
    free(log->releases);
    *log = (struct copies_log){0};
}

static void grow_frames(struct copies_log *log)
{
    size_t size = log->size == 0 ? 64 : 2 * log->size;
    struct log_frame *frames = xcalloc(size, sizeof *frames);
    for (size_t i = 0; i < log->count; i++)
        frames[i] = *frame_at(log, i);
    free(log->frames);
    log->frames = frames;
    log->size = size;
    log->first = 0;
}

void copies_log_append(struct copies_log *log, const struct copy_frame *frame)
{
    must(frame->seq > log->last);
    if (log->count == log->size)
        grow_frames(log);
    struct log_frame *held = frame_at(log, log->count++);
    *held = (struct log_frame){frame->seq, frame->base, xmemdup(frame->record, frame->len), frame->len, NULL};
    if (frame->body != NULL)
        held->body = blob_hold(frame->body);
    log->bytes += frame_bytes(held);
    log->last = frame->seq;
}

const struct log_frame *copies_log_next(const struct copies_log *log, uint64_t after)
{
    size_t low = 0, high = log->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (frame_at(log, middle)->seq <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low < log->count ? frame_at(log, low) : NULL;
}

void copies_log_trim(struct copies_log *log, uint64_t seq, uint64_t spare, uint64_t most)
{
    while (log->count > 0) {
        uint64_t first = frame_at(log, 0)->seq;
        if (first > seq && (first > spare || log->bytes <= most))
            return;
        drop_first(log);
    }
}

static void grow_releases(struct copies_log *log)
{
    size_t size = log->release_size == 0 ? 64 : 2 * log->release_size;
    struct log_release *releases = xcalloc(size, sizeof *releases);
    for (uint64_t i = log->release_first; i < log->release_next; i++)
        releases[i & (size - 1)] = log->releases[i & (log->release_size - 1)];
    free(log->releases);
    log->releases = releases;
    log->release_size = size;
}

void copies_log_release(struct copies_log *log, uint64_t seq)
{
    if (log->release_next - log->release_first == log->release_size)
        grow_releases(log);
    log->releases[log->release_next++ & (log->release_size - 1)] = (struct log_release){seq, log->last};
}

const struct log_release *copies_log_released(const struct copies_log *log, uint64_t number)
{
    must(number >= log->release_first);
    return number < log->release_next ? &log->releases[number & (log->release_size - 1)] : NULL;
}

void copies_log_trim_releases(struct copies_log *log, uint64_t number)
{
    if (number > log->release_first)
        log->release_first = number < log->release_next ? number : log->release_next;
}
