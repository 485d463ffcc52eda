/* spool_back - see spool_back.h */
#include "node/spool_back.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/spool_frame.h"
#include "node/spool_scan.h"
#include "node/spool_segment.h"

/* Between two base frames there may be much that is none: then a place to begin is looked for. */
#define STRETCH 4

struct part {
    struct spool_back *back;
    const struct spool_portion *portion;
    pthread_mutex_t *lock;
    struct spool_index *index;
    uint64_t number, from, to; /* what is read: [from, to) of this segment */
    uint64_t seq, below;       /* the last frame; all are below that */
    int fd;
    char name[SEGMENT_NAME_SIZE];
    /* Looking for a place. */
    uint64_t limit, best;
    bool enough;
};

/* ---- where a part begins ---- */

static uint64_t place_offset(const struct spool_place *place)
{
    return (uint64_t)place->offset * FRAME_ALIGN;
}

/* How many of the segment's base frames stand before `to`. */
static size_t places_before(const struct spool_part *part, uint64_t to)
{
    size_t low = 0, high = part->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (place_offset(&part->places[middle]) < to)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first base frame of those that are few enough, or the last that is far enough back. */
static uint64_t begins_at(const struct spool_part *part, uint64_t to, const struct spool_portion *portion)
{
    size_t at = places_before(part, to), taken = 0;
    uint64_t from = to;
    while (at > 0 && taken < portion->bases && to - from < portion->bytes) {
        from = place_offset(&part->places[--at]);
        taken++;
    }
    return at == 0 ? SEGMENT_HEAD : from;
}

/* The newest segment that there was at first, or the one that is being read, or those before it. */
static bool next_part(struct part *part)
{
    struct spool_back *back = part->back;
    bool found = false;
    pthread_mutex_lock(part->lock);
    for (size_t i = part->index->count; i-- > 0 && !found;) {
        const struct spool_part *segment = &part->index->parts[i];
        if (back->begun && segment->number > back->number)
            continue;
        part->number = segment->number;
        part->to = back->begun && segment->number == back->number ? back->offset : segment->end;
        part->from = begins_at(segment, part->to, part->portion);
        found = part->to > SEGMENT_HEAD;
    }
    pthread_mutex_unlock(part->lock);
    return found;
}

/* About how many living base frames are before it. */
static uint64_t living_before(const struct part *part)
{
    uint64_t living = 0;
    pthread_mutex_lock(part->lock);
    for (size_t i = 0; i < part->index->count && part->index->parts[i].number <= part->number; i++) {
        const struct spool_part *segment = &part->index->parts[i];
        size_t count =
            segment->number < part->number ? segment->count : places_before(segment, part->back->offset);
        living += segment->count == 0 ? 0 : segment->live * count / segment->count;
    }
    pthread_mutex_unlock(part->lock);
    return living;
}

/* ---- reading it ---- */

static int on_read(void *context, uint64_t offset, void *out, size_t len)
{
    const struct part *part = context;
    return spool_read_fully(part->fd, out, len, offset);
}

static void tell_damage(struct part *part, uint64_t offset, const char *why)
{
    const struct spool_portion *portion = part->portion;
    pthread_mutex_lock(part->lock);
    spool_index_spoil(part->index, part->number);
    pthread_mutex_unlock(part->lock);
    if (portion->damaged != NULL)
        portion->damaged(portion->context, part->name, offset, why);
}

static void on_damage(void *context, uint64_t offset, uint64_t len, const char *why)
{
    char text[128];
    snprintf(text, sizeof text, "%s (%" PRIu64 " bytes passed over)", why, len);
    tell_damage(context, offset, text);
}

static void on_frame(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    struct part *part = context;
    const struct spool_portion *portion = part->portion;
    if (frame->seq <= part->seq || frame->seq >= part->below) {
        tell_damage(part, offset, "a frame stands here whose number is another one's place");
        return;
    }
    if (frame->seq < part->back->below)
        part->back->below = frame->seq;
    part->seq = frame->seq;
    portion->frame(portion->context, frame->seq, record, frame->record_len, frame->base);
}

static void on_place(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    struct part *part = context;
    (void)frame, (void)record;
    if (offset > part->limit)
        part->enough = true;
    else
        part->best = offset;
}

static void pass_over(void *context, uint64_t offset, uint64_t len, const char *why)
{
    (void)context, (void)offset, (void)len, (void)why;
}

static struct scan_settings settings_of(const struct part *part, const struct spool_disk *disk)
{
    return (struct scan_settings){.keys = frame_keys(disk->key, part->number), .from = part->from};
}

/* The last frame that is far enough back, by the headers alone. */
static void shorten(struct part *part, const struct spool_disk *disk)
{
    struct scan_settings settings = settings_of(part, disk);
    struct scan_source source = {.context = part, .read = on_read, .size = part->to};
    struct scan_listener listener = {.context = part, .frame = on_place, .damage = pass_over};
    part->limit = part->to - part->portion->bytes;
    part->best = part->from;
    settings.heads = true;
    settings.enough = &part->enough;
    spool_scan(&settings, &source, &listener);
    part->from = part->best;
}

static bool is_there(struct part *part)
{
    bool there = false;
    pthread_mutex_lock(part->lock);
    for (size_t i = 0; i < part->index->count; i++)
        there = there || part->index->parts[i].number == part->number;
    pthread_mutex_unlock(part->lock);
    return there;
}

static int cannot_open(struct part *part, const struct spool_disk *disk, struct error *error)
{
    if (errno != ENOENT)
        return error_set(error, "spool %s: cannot open %s: %s", disk->path, part->name, strerror(errno));
    if (is_there(part))
        tell_damage(part, 0, "the segment is missing");
    part->from = SEGMENT_HEAD;
    return 0;
}

static int read_part(struct part *part, const struct spool_disk *disk, struct error *error)
{
    part->fd = openat(disk->dir, spool_segment_name(part->number, part->name), O_RDONLY | O_CLOEXEC);
    if (part->fd < 0)
        return cannot_open(part, disk, error);
    if (part->to - part->from > STRETCH * part->portion->bytes)
        shorten(part, disk);
    struct scan_settings settings = settings_of(part, disk);
    struct scan_source source = {.context = part, .read = on_read, .size = part->to};
    struct scan_listener listener = {.context = part, .frame = on_frame, .damage = on_damage};
    spool_scan(&settings, &source, &listener);
    close(part->fd);
    return 0;
}

int spool_back_read(struct spool_back *back, const struct spool_disk *disk, pthread_mutex_t *lock,
    struct spool_index *index, const struct spool_portion *portion, struct error *error)
{
    struct part part = {.back = back, .portion = portion, .lock = lock, .index = index};
    part.below = back->begun ? back->below : UINT64_MAX;
    back->below = part.below;
    if (!next_part(&part)) {
        back->living = 0;
        return 0;
    }
    if (read_part(&part, disk, error) != 0)
        return -1;
    back->begun = true;
    back->number = part.number;
    back->offset = part.from;
    back->living = living_before(&part);
    return 1;
}
