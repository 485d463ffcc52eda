/* spool_recover - see spool_recover.h */
#include "node/spool_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/spool_frame.h"
#include "node/spool_scan.h"
#include "node/spool_segment.h"

#define PROGRESS_EVERY (500 * USEC_MS)

struct recover {
    const struct spool_disk *disk;
    const struct spool_recovery *recovery;
    struct spool_index *index;
    uint64_t seq;           /* the last frame handed over */
    uint64_t *afters;       /* the last frame before each segment; UINT64_MAX: its head is not intact */
    uint64_t from;          /* frames before are not handed over */
    const uint64_t *living; /* base frames before it that live, rising; the next one of them */
    size_t living_count, living_at;
    uint64_t bytes_all, bytes_before;
    bool old_end; /* the newest segment's version is an older one */
    usec_t told;  /* progress */

    /* The segment that is being read. */
    int fd;
    char name[SEGMENT_NAME_SIZE];
};

static int fail(const struct recover *recover, const char *what, struct error *error)
{
    return error_set(
        error, "spool %s: cannot %s %s: %s", recover->disk->path, what, recover->name, strerror(errno));
}

static void tell_damaged(struct recover *recover, uint64_t offset, const char *why)
{
    const struct spool_recovery *recovery = recover->recovery;
    if (recovery->damaged != NULL)
        recovery->damaged(recovery->context, recover->name, offset, why);
}

static void tell_progress(struct recover *recover, uint64_t done, bool now)
{
    const struct spool_recovery *recovery = recover->recovery;
    usec_t clock = clock_now();
    if (recovery->progress == NULL || (!now && clock - recover->told < PROGRESS_EVERY))
        return;
    recover->told = clock;
    recovery->progress(recovery->context, done, recover->bytes_all);
}

/* What the scan asks and says */

static int on_read(void *context, uint64_t offset, void *out, size_t len)
{
    struct recover *recover = context;
    tell_progress(recover, recover->bytes_before + offset, false);
    return spool_read_fully(recover->fd, out, len, offset);
}

/* Both the log and the list are walked upwards. */
static bool is_living(struct recover *recover, uint64_t seq)
{
    while (recover->living_at < recover->living_count && recover->living[recover->living_at] < seq)
        recover->living_at++;
    return recover->living_at < recover->living_count && recover->living[recover->living_at] == seq;
}

static void on_frame(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    struct recover *recover = context;
    const struct spool_recovery *recovery = recover->recovery;
    if (frame->seq <= recover->seq) {
        char why[96];
        snprintf(why, sizeof why, "frame %" PRIu64 " stands behind frame %" PRIu64, frame->seq, recover->seq);
        spool_index_newest(recover->index)->damaged = true;
        tell_damaged(recover, offset, why);
        return;
    }
    bool old = frame->seq < recover->from;
    recover->seq = spool_index_newest(recover->index)->last = frame->seq;
    if (frame->base && (!old || is_living(recover, frame->seq)))
        spool_index_put(recover->index, frame->seq, offset, frame_size(frame));
    if (old && recovery->passed != NULL)
        recovery->passed(recovery->context, frame->seq);
    if (!old && recovery->record != NULL)
        recovery->record(
            recovery->context, frame->seq, record, frame->record_len, frame->body_len, frame->base);
}

static void on_damage(void *context, uint64_t offset, uint64_t len, const char *why)
{
    struct recover *recover = context;
    char text[128];
    snprintf(text, sizeof text, "%s (%" PRIu64 " bytes passed over)", why, len);
    spool_index_newest(recover->index)->damaged = true;
    tell_damaged(recover, offset, text);
}

/* Opening a segment */

static int open_segment(struct recover *recover, uint64_t number, uint64_t *size_r, struct error *error)
{
    struct stat stat;
    spool_segment_name(number, recover->name);
    recover->fd = openat(recover->disk->dir, recover->name, O_RDWR | O_CLOEXEC);
    if (recover->fd < 0)
        return fail(recover, "open", error);
    if (fstat(recover->fd, &stat) < 0) {
        fail(recover, "look at", error);
        close(recover->fd);
        return -1;
    }
    *size_r = (uint64_t)stat.st_size;
    return 0;
}

/* The head's state; damaged too when it cannot be read. */
static enum segment_head_state read_head(
    const struct recover *recover, uint64_t size, struct segment_head *head_r)
{
    uint8_t bytes[SEGMENT_HEAD];
    size_t len = size < SEGMENT_HEAD ? (size_t)size : SEGMENT_HEAD;
    if (spool_read_fully(recover->fd, bytes, len, 0) < 0)
        return SEGMENT_DAMAGED;
    return segment_head_read(bytes, len, head_r);
}

/* Is it ours, and can it be read? */
static int check_head(struct recover *recover, uint64_t number, uint64_t *after_r, struct error *error)
{
    struct segment_head head = {0};
    uint64_t size = 0;
    if (open_segment(recover, number, &size, error) < 0)
        return -1;
    enum segment_head_state state = read_head(recover, size, &head);
    close(recover->fd);
    recover->bytes_all += size;
    *after_r = state == SEGMENT_INTACT ? head.after : UINT64_MAX;
    if (state == SEGMENT_OTHER_VERSION)
        return error_set(error,
            "spool %s: %s is of version %" PRIu32
            ", this program knows versions up to %d; start the Todoku that "
            "wrote it, or let that one drain it first",
            recover->disk->path, recover->name, head.version, SEGMENT_VERSION);
    if (state == SEGMENT_INTACT && memcmp(head.disk, recover->disk->id, sizeof head.disk) != 0)
        return error_set(error,
            "spool %s: %s belongs to another disk than the file `disk` names; move it to where it came from",
            recover->disk->path, recover->name);
    if (state == SEGMENT_INTACT && head.number != number)
        return error_set(error, "spool %s: %s is segment %016" PRIx64 " by its head; give it back its name",
            recover->disk->path, recover->name, head.number);
    return 0;
}

/* Reading a segment */

/* What is on the disk, not what the kernel believes to be: after a failed write the two may differ. */
static int settle(const struct recover *recover, struct error *error)
{
    if (fdatasync(recover->fd) < 0)
        return fail(recover, "sync", error);
    posix_fadvise(recover->fd, 0, 0, POSIX_FADV_DONTNEED);
    return 0;
}

static int cut(const struct recover *recover, uint64_t end, uint64_t size, struct error *error)
{
    if (end == size)
        return 0;
    log_info(recover->disk->path, "%s: %" PRIu64 " bytes of an unfinished write cut off at offset %" PRIu64,
        recover->name, size - end, end);
    if (ftruncate(recover->fd, (off_t)end) < 0 || fsync(recover->fd) < 0)
        return fail(recover, "cut", error);
    return 0;
}

/* Made by a crash: a newest file without a whole head has no frame either. */
static bool unborn(uint64_t size, enum segment_head_state state, bool newest)
{
    return newest && state == SEGMENT_DAMAGED && size <= SEGMENT_HEAD;
}

static int read_segment(
    struct recover *recover, uint64_t number, bool newest, bool heads, struct error *error)
{
    struct segment_head head = {0};
    uint64_t size = 0;
    if (open_segment(recover, number, &size, error) < 0)
        return -1;
    enum segment_head_state state = read_head(recover, size, &head);
    int result = newest ? settle(recover, error) : 0;
    if (result == 0 && unborn(size, state, newest)) {
        close(recover->fd);
        return spool_segment_remove(recover->disk, number, false, error);
    }
    struct spool_part *part = spool_index_begin(recover->index, number);
    recover->old_end = state == SEGMENT_INTACT && head.version != SEGMENT_VERSION;
    if (state == SEGMENT_DAMAGED) {
        part->damaged = true;
        tell_damaged(recover, 0, "the segment's head is not intact");
    } else if (head.after > recover->seq) {
        recover->seq = head.after;
    }
    if (result == 0) {
        struct scan_settings settings = {.keys = frame_keys(recover->disk->key, number),
            .bodies = newest,
            .heads = heads,
            .newest = newest,
            .whole = newest ? spool_disk_whole(recover->disk, number) : 0};
        struct scan_source source = {.context = recover, .read = on_read, .size = size};
        struct scan_listener listener = {.context = recover, .frame = on_frame, .damage = on_damage};
        uint64_t end = spool_scan(&settings, &source, &listener);
        result = newest ? cut(recover, end, size, error) : 0;
        if (end > SEGMENT_HEAD)
            spool_index_extend(recover->index, end);
    }
    close(recover->fd);
    recover->bytes_before += size;
    return result;
}

static int read_quietly(void *context, uint64_t offset, void *out, size_t len)
{
    const struct recover *recover = context;
    return spool_read_fully(recover->fd, out, len, offset);
}

static void note_last(void *context, const struct frame *frame, uint64_t offset, const void *record)
{
    uint64_t *last = context;
    (void)offset;
    (void)record;
    if (frame->seq > *last)
        *last = frame->seq;
}

static void pass_over(void *context, uint64_t offset, uint64_t len, const char *why)
{
    (void)context;
    (void)offset;
    (void)len;
    (void)why;
}

/* The number of the last frame, at the end of the newest segment or, if that has none, before it. */
static int find_end(
    struct recover *recover, const struct segment_list *list, uint64_t *end_r, struct error *error)
{
    *end_r = 0;
    for (size_t i = 0; i < list->count; i++)
        if (recover->afters[i] != UINT64_MAX && recover->afters[i] > *end_r)
            *end_r = recover->afters[i];
    for (size_t i = list->count; i > 0 && i + 2 > list->count; i--) {
        uint64_t size = 0;
        if (open_segment(recover, list->numbers[i - 1], &size, error) < 0)
            return -1;
        int result = settle(recover, error);
        struct scan_settings settings = {.keys = frame_keys(recover->disk->key, list->numbers[i - 1]),
            .bodies = true,
            .newest = true,
            .whole = spool_disk_whole(recover->disk, list->numbers[i - 1])};
        struct scan_source source = {.context = recover, .read = read_quietly, .size = size};
        struct scan_listener listener = {.context = end_r, .frame = note_last, .damage = pass_over};
        if (result == 0)
            spool_scan(&settings, &source, &listener);
        close(recover->fd);
        if (result < 0 || size > SEGMENT_HEAD)
            return result;
    }
    return 0;
}

static int ask_from(struct recover *recover, const struct segment_list *list, struct error *error)
{
    const struct spool_recovery *recovery = recover->recovery;
    uint64_t end;
    if (recovery->from == NULL)
        return 0;
    if (find_end(recover, list, &end, error) < 0)
        return -1;
    recover->from = recovery->from(
        recovery->context, recover->disk->id_text, end, &recover->living, &recover->living_count);
    recover->index->keep_from = recover->from;
    return 0;
}

static bool wholly_old(const struct recover *recover, const struct segment_list *list, size_t i)
{
    return i + 1 < list->count && recover->afters[i + 1] < recover->from;
}

static int read_all(struct recover *recover, const struct segment_list *list, struct error *error)
{
    for (size_t i = 0; i < list->count; i++)
        if (check_head(recover, list->numbers[i], &recover->afters[i], error) < 0)
            return -1;
    if (ask_from(recover, list, error) < 0)
        return -1;
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0 && list->numbers[i] != list->numbers[i - 1] + 1) {
            spool_segment_name(list->numbers[i - 1] + 1, recover->name);
            tell_damaged(recover, 0, "the segment is missing, and perhaps others after it");
        }
        if (read_segment(
                recover, list->numbers[i], i + 1 == list->count, wholly_old(recover, list, i), error) < 0)
            return -1;
    }
    tell_progress(recover, recover->bytes_all, true);
    return 0;
}

int spool_recover(const struct spool_disk *disk, const struct spool_recovery *recovery,
    struct spool_index *index, struct spool_tail *tail_r, struct error *error)
{
    struct recover recover = {.disk = disk, .recovery = recovery, .index = index, .told = clock_now()};
    struct segment_list list;
    if (spool_segment_list(disk, &list, error) < 0)
        return -1;
    recover.afters = xcalloc(list.count + 1, sizeof *recover.afters);
    int result = read_all(&recover, &list, error);
    free(recover.afters);
    spool_index_found(index);
    *tail_r = (struct spool_tail){.seq = recover.seq};
    const struct spool_part *newest = spool_index_newest(index);
    if (newest != NULL && !newest->damaged && !recover.old_end) {
        tail_r->number = newest->number;
        tail_r->offset = newest->end;
    }
    free(list.numbers);
    return result;
}
