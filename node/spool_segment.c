/* spool_segment - see spool_segment.h */
#include "node/spool_segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/spool_frame.h"

char *spool_segment_name(uint64_t number, char out[SEGMENT_NAME_SIZE])
{
    snprintf(out, SEGMENT_NAME_SIZE, "%016" PRIx64 ".seg", number);
    return out;
}

/* 0 when the name is no segment's. */
static uint64_t number_of(const char *name)
{
    char again[SEGMENT_NAME_SIZE];
    uint64_t number = strtoull(name, NULL, 16);
    return strcmp(name, spool_segment_name(number, again)) == 0 ? number : 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int spool_segment_list(const struct spool_disk *disk, struct segment_list *list_r, struct error *error)
{
    int fd = openat(disk->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return error_set(error, "spool %s: cannot list it: %s", disk->path, strerror(errno));
    }
    struct segment_list list = {0};
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        uint64_t number = number_of(entry->d_name);
        if (number == 0)
            continue;
        list.numbers = xrealloc(list.numbers, (list.count + 1) * sizeof *list.numbers);
        list.numbers[list.count++] = number;
    }
    closedir(dir);
    if (list.count > 1)
        qsort(list.numbers, list.count, sizeof *list.numbers, compare_numbers);
    *list_r = list;
    return 0;
}

int spool_segment_create(const struct spool_disk *disk, uint64_t number, uint64_t after, struct error *error)
{
    char name[SEGMENT_NAME_SIZE];
    uint8_t bytes[SEGMENT_HEAD];
    struct segment_head head = {.version = SEGMENT_VERSION, .number = number, .after = after};
    memcpy(head.disk, disk->id, sizeof head.disk);
    segment_head_write(&head, bytes);
    int fd = openat(disk->dir, spool_segment_name(number, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "spool %s: cannot make %s: %s", disk->path, name, strerror(errno));
    ssize_t written = pwrite(fd, bytes, sizeof bytes, 0);
    if (written != (ssize_t)sizeof bytes) {
        error_set(error, "spool %s: cannot write the head of %s: %s", disk->path, name,
            written < 0 ? strerror(errno) : "only a part of it went in");
        close(fd);
        return -1;
    }
    if (spool_disk_sync(disk, error) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int spool_segment_remove(const struct spool_disk *disk, uint64_t number, bool aside, struct error *error)
{
    char name[SEGMENT_NAME_SIZE], other[SEGMENT_NAME_SIZE + 16];
    spool_segment_name(number, name);
    snprintf(other, sizeof other, "%s.damaged", name);
    int result = aside ? renameat(disk->dir, name, disk->dir, other) : unlinkat(disk->dir, name, 0);
    if (result < 0 && errno != ENOENT)
        return error_set(error, "spool %s: cannot %s %s: %s", disk->path, aside ? "rename" : "delete", name,
            strerror(errno));
    return spool_disk_sync(disk, error);
}

int spool_read_fully(int fd, void *out, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)out + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

static const char *read_frame(int fd, const struct frame_keys *keys, uint64_t offset, struct frame *frame_r)
{
    uint8_t header[FRAME_HEADER_MAX];
    if (spool_read_fully(fd, header, FRAME_HEADER, offset) < 0)
        return strerror(errno);
    size_t len = frame_header_wanted(header);
    if (spool_read_fully(fd, header + FRAME_HEADER, len - FRAME_HEADER, offset + FRAME_HEADER) < 0)
        return strerror(errno);
    return frame_open(header, len, keys, frame_r) ? NULL : "the header's checksum is wrong";
}

/* The body's two parts, into `out`: null, or why not. */
static const char *read_parts(
    int fd, const struct frame_keys *keys, const struct frame *frame, uint64_t offset, char *out)
{
    uint64_t text_len = frame->body_len - frame->head_len, body = offset + frame_body_at(frame);
    if (frame->shared && !frame_text_before(frame, offset))
        return "its text is said to stand where none can be";
    if (spool_read_fully(fd, out, frame_body_here(frame), body) < 0)
        return strerror(errno);
    if (frame->shared && spool_read_fully(fd, out + frame->head_len, text_len, frame->text_at) < 0)
        return strerror(errno);
    uint64_t head_check = frame_part_check(keys->frame, out, frame->head_len);
    uint64_t text_check = frame_part_check(keys->text, out + frame->head_len, text_len);
    if (frame->shared && text_check != frame->text_check)
        return "the checksum of its text, which stands in an earlier frame, is wrong";
    return frame_body_intact(frame, keys, head_check, text_check) ? NULL : "the body's checksum is wrong";
}

static const char *read_whole(
    int fd, const struct frame_keys *keys, const struct frame *frame, uint64_t offset, struct blob **body_r)
{
    char *bytes = xmalloc(frame->body_len + 1);
    bytes[frame->body_len] = '\0';
    const char *why = read_parts(fd, keys, frame, offset, bytes);
    if (why == NULL)
        *body_r = blob_take(bytes, frame->body_len);
    else
        free(bytes);
    return why;
}

static const char *read_body(
    int fd, const struct frame_keys *keys, uint64_t offset, uint64_t seq, struct blob **body_r)
{
    struct frame frame = {0};
    const char *why = read_frame(fd, keys, offset, &frame);
    if (why != NULL)
        return why;
    if (frame.seq != seq)
        return "another frame stands there";
    return read_whole(fd, keys, &frame, offset, body_r);
}

struct blob *spool_segment_body(
    int fd, const struct frame_keys *keys, const struct frame *frame, uint64_t offset)
{
    struct blob *body = NULL;
    return read_whole(fd, keys, frame, offset, &body) == NULL ? body : NULL;
}

int spool_segment_read(const struct spool_disk *disk, uint64_t number, uint64_t offset, uint64_t seq,
    struct blob **body_r, struct error *error)
{
    char name[SEGMENT_NAME_SIZE];
    struct frame_keys keys = frame_keys(disk->key, number);
    *body_r = NULL;
    int fd = openat(disk->dir, spool_segment_name(number, name), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "spool %s: cannot open %s: %s", disk->path, name, strerror(errno));
    const char *why = read_body(fd, &keys, offset, seq, body_r);
    close(fd);
    if (why == NULL)
        return 0;
    return error_set(error, "spool %s: cannot read frame %" PRIu64 " back from %s at offset %" PRIu64 ": %s",
        disk->path, seq, name, offset, why);
}
