/* spool_disk - see spool_disk.h */
#include "node/spool_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/random.h"
#include "node/spool_segment.h"

#define WHOLE_FORMAT "todoku-whole 1\nsegment %016" SCNx64 "\nbytes %" SCNu64 "%c"
#define DISK_FORMAT "todoku-disk 1\nid %32[0-9a-f]\nkey %16" SCNx64

int spool_disk_sync(const struct spool_disk *disk, struct error *error)
{
    if (fsync(disk->dir) < 0)
        return error_set(error, "spool %s: cannot sync the directory: %s", disk->path, strerror(errno));
    return 0;
}

/* An entry of a new directory lasts once its parent is synced. */
static void sync_parent(const char *path)
{
    char *copy = xstrdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}

static int make_directory(const char *path, struct error *error)
{
    char *copy = xstrdup(path);
    int result = 0;
    for (char *at = copy + 1; result == 0 && *at != '\0'; at++) {
        if (at[0] != '/' && at[1] != '\0')
            continue;
        char *end = at[0] == '/' ? at : at + 1, kept = *end;
        *end = '\0';
        if (mkdir(copy, 0700) == 0)
            sync_parent(copy);
        else if (errno != EEXIST)
            result =
                error_set(error, "spool %s: cannot make the directory %s: %s", path, copy, strerror(errno));
        *end = kept;
    }
    free(copy);
    return result;
}

static int take_lock(struct spool_disk *disk, struct error *error)
{
    disk->lock = openat(disk->dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (disk->lock < 0)
        return error_set(error, "spool %s: cannot open its file `lock`: %s", disk->path, strerror(errno));
    if (flock(disk->lock, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return error_set(error,
            "spool %s: another process has it open; stop that one first, or give this one a directory of "
            "its own",
            disk->path);
    return error_set(error, "spool %s: cannot lock it: %s", disk->path, strerror(errno));
}

static int write_file(const struct spool_disk *disk, const char *name, const char *text, struct error *error)
{
    char fresh[32];
    snprintf(fresh, sizeof fresh, "%s.new", name);
    int fd = openat(disk->dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, "spool %s: cannot make its file `%s`: %s", disk->path, name, strerror(errno));
    bool failed = file_write(fd, text, strlen(text)) != 0 || fsync(fd) < 0;
    close(fd);
    if (failed || renameat(disk->dir, fresh, disk->dir, name) < 0)
        return error_set(
            error, "spool %s: cannot write its file `%s`: %s", disk->path, name, strerror(errno));
    return spool_disk_sync(disk, error);
}

int spool_disk_say_whole(const struct spool_disk *disk, uint64_t segment, uint64_t end, struct error *error)
{
    char text[128];
    snprintf(text, sizeof text, "todoku-whole 1\nsegment %016" PRIx64 "\nbytes %" PRIu64 "\n", segment, end);
    return write_file(disk, "whole", text, error);
}

uint64_t spool_disk_whole(const struct spool_disk *disk, uint64_t segment)
{
    char text[128], last;
    uint64_t number, end;
    int fd = openat(disk->dir, "whole", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return 0;
    text[len] = '\0';
    bool known = sscanf(text, WHOLE_FORMAT, &number, &end, &last) == 3 && last == '\n' && number == segment;
    return known ? end : 0;
}

static int write_identity(struct spool_disk *disk, struct error *error)
{
    char text[128];
    snprintf(text, sizeof text, "todoku-disk 1\nid %s\nkey %016" PRIx64 "\n", disk->id_text, disk->key);
    return write_file(disk, "disk", text, error);
}

static void format_id(struct spool_disk *disk)
{
    for (size_t i = 0; i < 16; i++)
        snprintf(disk->id_text + 2 * i, 3, "%02x", disk->id[i]);
}

static int make_identity(struct spool_disk *disk, struct error *error)
{
    struct segment_list list;
    if (spool_segment_list(disk, &list, error) < 0)
        return -1;
    size_t count = list.count;
    free(list.numbers);
    if (count > 0)
        return error_set(error,
            "spool %s: there are %zu segments but no file `disk`, without which they cannot be read; put it "
            "back, or move the segments away",
            disk->path, count);
    random_secret(disk->id, sizeof disk->id);
    random_secret(&disk->key, sizeof disk->key);
    format_id(disk);
    return write_identity(disk, error);
}

static int read_identity(struct spool_disk *disk, struct error *error)
{
    char text[128];
    int fd = openat(disk->dir, "disk", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return make_identity(disk, error);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return error_set(error, "spool %s: cannot read its file `disk`: %s", disk->path, strerror(why));
    text[len] = '\0';
    if (sscanf(text, DISK_FORMAT, disk->id_text, &disk->key) != 2 || strlen(disk->id_text) != 32)
        return error_set(error,
            "spool %s: its file `disk` is not what Todoku wrote; put back the one that was there, or start "
            "with an empty directory",
            disk->path);
    for (size_t i = 0; i < 16; i++) {
        char digits[3] = {disk->id_text[2 * i], disk->id_text[2 * i + 1], '\0'};
        disk->id[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return 0;
}

int spool_disk_open(struct spool_disk *disk, const char *path, struct error *error)
{
    *disk = (struct spool_disk){.path = xstrdup(path), .dir = -1, .lock = -1};
    if (make_directory(path, error) < 0)
        goto fail;
    disk->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk->dir < 0) {
        error_set(error, "spool %s: cannot open the directory: %s", path, strerror(errno));
        goto fail;
    }
    if (take_lock(disk, error) < 0 || read_identity(disk, error) < 0)
        goto fail;
    return 0;
fail:
    spool_disk_close(disk);
    return -1;
}

void spool_disk_close(struct spool_disk *disk)
{
    if (disk->lock >= 0)
        close(disk->lock);
    if (disk->dir >= 0)
        close(disk->dir);
    free(disk->path);
    *disk = (struct spool_disk){.dir = -1, .lock = -1};
}
