/* event_log - see event_log.h
 *
 * A line's place is fixed when it is appended, before it is written: bytes are written at their offset, and
 * what could not be written is tried again at the same place. So a cursor, once given out, stays true. */
#include "node/event_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/event_files.h"

#define FILE_SIZE ((uint64_t)64 << 20)
#define TIDY_EVERY USEC_MIN
enum { PENDING_MAX = 1 << 20, SEQ_FILES = 4 };
enum trouble { WRITING = 1, ROTATING = 2, TIDYING = 4 };

struct event_log {
    char *dir;
    usec_t keep, tidied;
    uint64_t max_size, file_size;
    int fd;
    uint64_t number;          /* of the file being written */
    uint64_t written;         /* bytes of it on the disk */
    struct buffer pending;    /* what follows them */
    uint64_t pending_lines;   /* of which so many end in there */
    struct event_files older; /* without the one being written */
    uint64_t last_seq, lost;
    unsigned troubles;
};

/* Each kind of trouble is told when it comes and when it goes. */
static void complain(struct event_log *log, enum trouble trouble)
{
    static const char *const what[] = {
        [WRITING] = "written", [ROTATING] = "continued in a new file", [TIDYING] = "rid of its oldest file"};
    if ((log->troubles & trouble) == 0)
        log_error(log->dir, "the event log can't be %s: %s; check the disk's space and health", what[trouble],
            strerror(errno));
    log->troubles |= trouble;
}

static void solved(struct event_log *log, enum trouble trouble)
{
    if ((log->troubles & trouble) != 0)
        log_info(log->dir, "the event log works again; %" PRIu64 " events were lost", log->lost);
    log->troubles &= ~(unsigned)trouble;
}

/* The offset behind the last newline of the file's first `size` bytes. */
static int find_whole(int fd, uint64_t size, uint64_t *whole_r)
{
    char chunk[4096];
    while (size > 0) {
        size_t want = size < sizeof chunk ? (size_t)size : sizeof chunk;
        ssize_t got = pread(fd, chunk, want, (off_t)(size - want));
        if (got != (ssize_t)want)
            return -1;
        const char *end = memrchr(chunk, '\n', want);
        if (end != NULL) {
            *whole_r = size - want + (uint64_t)(end - chunk) + 1;
            return 0;
        }
        size -= want;
    }
    *whole_r = 0;
    return 0;
}

static int open_file(const struct event_log *log, uint64_t number, int flags)
{
    char path[EVENT_PATH_SIZE];
    if (event_file_path(log->dir, number, path))
        return open(path, flags | O_CLOEXEC, 0640);
    errno = ENAMETOOLONG;
    return -1;
}

/* Goes on with the newest file, without the line a crash tore. */
static int resume_file(struct event_log *log, const struct event_file *file, struct error *error)
{
    uint64_t whole = 0;
    log->number = file->number;
    log->fd = open_file(log, file->number, O_RDWR);
    if (log->fd < 0 || find_whole(log->fd, file->size, &whole) != 0 ||
        (whole < file->size && ftruncate(log->fd, (off_t)whole) != 0))
        return error_set(error,
            "the event log %s/events-%08" PRIu64 ".log can't be used: %s; move it away or mend it", log->dir,
            file->number, strerror(errno));
    log->written = whole;
    return 0;
}

static uint64_t largest_seq(const struct event_log *log, uint64_t number)
{
    struct event_lines lines = {.fd = open_file(log, number, O_RDONLY)};
    const char *line;
    size_t len;
    uint64_t offset, seq, largest = 0;
    if (lines.fd < 0)
        return 0;
    while (event_lines_next(&lines, &line, &len, &offset))
        if (event_head_read(line, len, number, offset, &seq) && seq > largest)
            largest = seq;
    event_lines_free(&lines);
    close(lines.fd);
    return largest;
}

/* Numbers grow, so the newest file that has any has the largest; a few are looked at for one that has. */
static void find_last_seq(struct event_log *log)
{
    log->last_seq = largest_seq(log, log->number);
    for (size_t i = 1; i < SEQ_FILES && i <= log->older.count && log->last_seq == 0; i++)
        log->last_seq = largest_seq(log, log->older.items[log->older.count - i].number);
}

static int start(struct event_log *log, struct error *error)
{
    if (mkdir(log->dir, 0750) != 0 && errno != EEXIST)
        return error_set(error, "the event log's folder %s can't be made: %s", log->dir, strerror(errno));
    if (event_files_list(log->dir, &log->older, error) != 0)
        return -1;
    if (log->older.count > 0) {
        struct event_file newest = log->older.items[--log->older.count];
        return resume_file(log, &newest, error);
    }
    log->number = 1;
    log->fd = open_file(log, log->number, O_RDWR | O_CREAT | O_EXCL);
    if (log->fd < 0)
        return error_set(error, "no event log can be begun in %s: %s", log->dir, strerror(errno));
    return 0;
}

static void log_free(struct event_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    buffer_free(&log->pending);
    event_files_free(&log->older);
    free(log->dir);
    free(log);
}

static uint64_t total_size(const struct event_log *log)
{
    uint64_t total = log->written + buffer_len(&log->pending);
    for (size_t i = 0; i < log->older.count; i++)
        total += log->older.items[i].size;
    return total;
}

/* Deletes the oldest files; the one being written stays. */
static void tidy(struct event_log *log, usec_t now)
{
    char path[EVENT_PATH_SIZE];
    uint64_t total = total_size(log);
    log->tidied = now;
    while (log->older.count > 0) {
        const struct event_file *oldest = &log->older.items[0];
        bool old = log->keep > 0 && oldest->written < now - log->keep;
        bool large = log->max_size > 0 && total > log->max_size;
        if (!old && !large)
            return;
        if (event_file_path(log->dir, oldest->number, path) && unlink(path) != 0 && errno != ENOENT) {
            complain(log, TIDYING);
            return;
        }
        solved(log, TIDYING);
        total -= oldest->size;
        event_files_drop_oldest(&log->older);
    }
}

struct event_log *event_log_open(const struct event_log_settings *settings, usec_t now, struct error *error)
{
    struct event_log *log = xcalloc(1, sizeof *log);
    log->dir = xstrdup(settings->dir);
    log->keep = settings->keep;
    log->max_size = settings->max_size;
    log->file_size = settings->file_size == 0 ? FILE_SIZE : settings->file_size;
    log->fd = -1;
    if (start(log, error) != 0) {
        log_free(log);
        return NULL;
    }
    find_last_seq(log);
    tidy(log, now);
    return log;
}

static void write_pending(struct event_log *log)
{
    while (buffer_len(&log->pending) > 0) {
        ssize_t done =
            pwrite(log->fd, buffer_bytes(&log->pending), buffer_len(&log->pending), (off_t)log->written);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            errno = done == 0 ? ENOSPC : errno;
            complain(log, WRITING);
            return;
        }
        log->written += (uint64_t)done;
        buffer_eat(&log->pending, (size_t)done);
    }
    log->pending_lines = 0;
    solved(log, WRITING);
}

void event_log_close(struct event_log **log)
{
    struct event_log *l = *log;
    *log = NULL;
    if (l == NULL)
        return;
    write_pending(l);
    if (l->pending_lines > 0)
        log_error(l->dir, "%" PRIu64 " events could not be written at the end", l->pending_lines);
    log_free(l);
}

/* Begins the next file; when that is not possible the full one just grows on. */
static void rotate(struct event_log *log)
{
    struct stat st;
    write_pending(log);
    if (buffer_len(&log->pending) > 0)
        return;
    int fd = open_file(log, log->number + 1, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0 || fstat(log->fd, &st) != 0) {
        complain(log, ROTATING);
        if (fd >= 0)
            close(fd);
        return;
    }
    struct event_file full = {
        log->number, log->written, (usec_t)st.st_mtim.tv_sec * USEC_SEC + st.st_mtim.tv_nsec / 1000};
    event_files_add(&log->older, &full);
    close(log->fd);
    log->fd = fd;
    log->number++;
    log->written = 0;
    log->tidied = 0; /* look at the next flush */
    solved(log, ROTATING);
}

static bool full(const struct event_log *log)
{
    return log->written + buffer_len(&log->pending) >= log->file_size;
}

void event_log_append(
    struct event_log *log, uint64_t seq, const char *json, size_t len, char cursor_r[EVENT_CURSOR_SIZE])
{
    must(len >= 2 && json[0] == '{' && json[len - 1] == '}' && memchr(json, '\n', len) == NULL);
    if (cursor_r != NULL)
        cursor_r[0] = '\0';
    if (full(log) && (log->troubles & ROTATING) == 0)
        rotate(log);
    if (buffer_len(&log->pending) >= PENDING_MAX)
        write_pending(log);
    if (len > EVENT_MAX_LINE || buffer_len(&log->pending) >= PENDING_MAX) {
        log->lost++;
        return;
    }
    uint64_t offset = log->written + buffer_len(&log->pending);
    char head[EVENT_HEAD_SIZE];
    buffer_add(&log->pending, head, event_head(head, log->number, offset));
    if (seq > 0)
        buffer_printf(&log->pending, ",\"seq\":%" PRIu64, seq);
    if (len > 2)
        buffer_add(&log->pending, ",", 1);
    buffer_add(&log->pending, json + 1, len - 1);
    buffer_add(&log->pending, "\n", 1);
    log->pending_lines++;
    log->last_seq = seq > log->last_seq ? seq : log->last_seq;
    if (cursor_r != NULL)
        snprintf(cursor_r, EVENT_CURSOR_SIZE, "%" PRIu64 ":%" PRIu64, log->number, offset);
}

void event_log_flush(struct event_log *log, usec_t now)
{
    write_pending(log);
    if (full(log) && (log->troubles & ROTATING) != 0)
        rotate(log);
    if (now - log->tidied >= TIDY_EVERY)
        tidy(log, now);
}

uint64_t event_log_last_seq(const struct event_log *log)
{
    return log->last_seq;
}

uint64_t event_log_lost(const struct event_log *log)
{
    return log->lost;
}
