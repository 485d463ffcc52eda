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

/* Null with *why_r set. */
static struct blob *read_body(int fd, uint64_t key, uint64_t offset, uint64_t seq, const char **why_r)
{
    uint8_t header[FRAME_HEADER];
    struct frame frame;
    if (spool_read_fully(fd, header, sizeof header, offset) < 0) {
        *why_r = strerror(errno);
        return NULL;
    }
    *why_r = "the header's checksum is wrong";
    if (!frame_open(header, key, &frame) || frame.seq != seq)
        return NULL;
    char *bytes = xmalloc(frame.body_len + 1);
    if (spool_read_fully(fd, bytes, frame.body_len, offset + FRAME_HEADER + frame.record_len) < 0) {
        *why_r = strerror(errno);
        free(bytes);
        return NULL;
    }
    *why_r = "the body's checksum is wrong";
    if (frame_body_check(key, bytes, frame.body_len) != frame.body_check) {
        free(bytes);
        return NULL;
    }
    bytes[frame.body_len] = '\0';
    return blob_take(bytes, frame.body_len);
}

int spool_segment_read(const struct spool_disk *disk, uint64_t number, uint64_t offset, uint64_t seq,
    struct blob **body_r, struct error *error)
{
    char name[SEGMENT_NAME_SIZE];
    const char *why = NULL;
    int fd = openat(disk->dir, spool_segment_name(number, name), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(error, "spool %s: cannot open %s: %s", disk->path, name, strerror(errno));
    *body_r = read_body(fd, frame_key(disk->key, number), offset, seq, &why);
    close(fd);
    if (*body_r == NULL)
        return error_set(error,
            "spool %s: cannot read frame %" PRIu64 " back from %s at offset %" PRIu64 ": %s", disk->path, seq,
            name, offset, why);
    return 0;
}
