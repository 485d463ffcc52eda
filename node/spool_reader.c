/* spool_reader - see spool_reader.h */
#include "node/spool_reader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/spool_frame.h"
#include "node/spool_scan.h"
#include "node/spool_segment.h"

#define FRAME_ROUGHLY 64 /* what a frame costs beside its record and body */

struct reading {
    struct spool_reader *reader;
    pthread_mutex_t *lock;
    struct spool_index *index;
    uint64_t after, upto;
    size_t bytes, most;
    bool full, enough; /* enough: the next one is not wanted, or not on the disk */
    struct spool_frames *frames;
    size_t room;
    /* The segment that is being read. */
    uint64_t number;
    int fd;
    struct frame_keys keys;
};

static void add(struct reading *reading, const struct frame *frame, const void *record, struct blob *body)
{
    struct spool_frames *frames = reading->frames;
    if (frames->count == reading->room) {
        reading->room = reading->room == 0 ? 64 : 2 * reading->room;
        frames->frames = xrealloc(frames->frames, reading->room * sizeof *frames->frames);
    }
    void *copy = arena_take(&frames->records, frame->record_len);
    memcpy(copy, record, frame->record_len);
    frames->frames[frames->count++] =
        (struct copy_frame){frame->seq, frame->base, copy, frame->record_len, body};
    reading->bytes += frame->record_len + (body == NULL ? 0 : body->len) + FRAME_ROUGHLY;
    reading->full = reading->enough = reading->bytes >= reading->most;
}

static void on_frame(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    struct reading *reading = context;
    struct blob *body = NULL;
    if (reading->enough || frame->seq > reading->upto) {
        reading->enough = true;
        return;
    }
    *reading->reader = (struct spool_reader){frame->seq, reading->number, offset + frame_size(frame)};
    if (frame->seq <= reading->after)
        return;
    if (frame->body_len > 0)
        body = spool_segment_body(reading->fd, &reading->keys, frame, offset);
    add(reading, frame, record, body);
}

static void pass_over(void *context, uint64_t offset, uint64_t len, const char *why)
{
    (void)context, (void)offset, (void)len, (void)why;
}

static int on_read(void *context, uint64_t offset, void *out, size_t len)
{
    const struct reading *reading = context;
    return spool_read_fully(reading->fd, out, len, offset);
}

/* What is still being written at its end is not taken for damage. */
static void read_segment(struct reading *reading, const struct spool_disk *disk)
{
    char name[SEGMENT_NAME_SIZE];
    struct stat stat;
    const struct spool_reader *last = reading->reader;
    reading->fd = openat(disk->dir, spool_segment_name(reading->number, name), O_RDONLY | O_CLOEXEC);
    if (reading->fd < 0) /* it has gone meanwhile: nothing in it lived */
        return;
    if (fstat(reading->fd, &stat) == 0) {
        reading->keys = frame_keys(disk->key, reading->number);
        bool goes_on = last->number == reading->number && last->after <= reading->after;
        struct scan_settings settings = {.keys = reading->keys,
            .newest = true,
            .from = goes_on ? last->offset : 0,
            .enough = &reading->enough};
        struct scan_source source = {.context = reading, .read = on_read, .size = (uint64_t)stat.st_size};
        struct scan_listener listener = {.context = reading, .frame = on_frame, .damage = pass_over};
        spool_scan(&settings, &source, &listener);
    }
    close(reading->fd);
}

/* The first segment with a frame behind that one; its last frame in *last_r. */
static bool next_segment(struct reading *reading, uint64_t behind, uint64_t *last_r)
{
    bool found = false;
    pthread_mutex_lock(reading->lock);
    for (size_t i = 0; i < reading->index->count && !found; i++) {
        const struct spool_part *part = &reading->index->parts[i];
        found = part->last > behind;
        reading->number = part->number;
        *last_r = part->last;
    }
    pthread_mutex_unlock(reading->lock);
    return found;
}

void spool_reader_read(struct spool_reader *reader, const struct spool_disk *disk, pthread_mutex_t *lock,
    struct spool_index *index, uint64_t after, uint64_t upto, size_t bytes, struct spool_frames *frames_r)
{
    struct reading reading = {.reader = reader,
        .lock = lock,
        .index = index,
        .after = after,
        .upto = upto,
        .most = bytes,
        .frames = frames_r};
    *frames_r = (struct spool_frames){0};
    uint64_t at = after, last;
    while (!reading.enough && at < upto && next_segment(&reading, at, &last)) {
        read_segment(&reading, disk);
        at = last;
    }
    frames_r->end = !reading.full;
}

void spool_frames_clear(struct spool_frames *frames)
{
    for (size_t i = 0; i < frames->count; i++)
        blob_drop(&frames->frames[i].body);
    arena_free(&frames->records);
    free(frames->frames);
    *frames = (struct spool_frames){0};
}
