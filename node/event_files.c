/* event_files - see event_files.h */
#include "node/event_files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

bool event_file_path(const char *dir, uint64_t number, char out[EVENT_PATH_SIZE])
{
    int len = snprintf(out, EVENT_PATH_SIZE, "%s/events-%08" PRIu64 ".log", dir, number);
    return len > 0 && len < EVENT_PATH_SIZE;
}

/* "events-00000012.log" -> 12; false for every other name. */
static bool read_name(const char *name, uint64_t *number_r)
{
    size_t digits;
    if (strncmp(name, "events-", 7) != 0)
        return false;
    digits = strspn(name + 7, "0123456789");
    if (digits == 0 || digits > 18 || strcmp(name + 7 + digits, ".log") != 0)
        return false;
    *number_r = strtoull(name + 7, NULL, 10);
    return *number_r > 0;
}

void event_files_add(struct event_files *files, const struct event_file *file)
{
    if (files->count == files->size) {
        files->size = files->size == 0 ? 16 : 2 * files->size;
        files->items = xrealloc(files->items, files->size * sizeof *files->items);
    }
    files->items[files->count++] = *file;
}

void event_files_drop_oldest(struct event_files *files)
{
    files->count--;
    memmove(files->items, files->items + 1, files->count * sizeof *files->items);
}

void event_files_free(struct event_files *files)
{
    free(files->items);
    *files = (struct event_files){0};
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct event_file *)a)->number, y = ((const struct event_file *)b)->number;
    return x < y ? -1 : x > y;
}

int event_files_list(const char *dir, struct event_files *files_r, struct error *error)
{
    *files_r = (struct event_files){0};
    DIR *handle = opendir(dir);
    if (handle == NULL)
        return error_set(error, "the event log's folder %s can't be read: %s", dir, strerror(errno));
    for (struct dirent *entry; (entry = readdir(handle)) != NULL;) {
        struct event_file file;
        struct stat st;
        if (!read_name(entry->d_name, &file.number) || fstatat(dirfd(handle), entry->d_name, &st, 0) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        file.size = (uint64_t)st.st_size;
        file.written = (usec_t)st.st_mtim.tv_sec * USEC_SEC + st.st_mtim.tv_nsec / 1000;
        event_files_add(files_r, &file);
    }
    closedir(handle);
    if (files_r->count > 0)
        qsort(files_r->items, files_r->count, sizeof *files_r->items, by_number);
    return 0;
}

/* Reads on behind what is held; false at the end of the file. */
static bool read_more(struct event_lines *lines)
{
    size_t held = buffer_len(&lines->bytes);
    char *room = buffer_room(&lines->bytes, EVENT_CHUNK - held);
    ssize_t got;
    do
        got = pread(lines->fd, room, EVENT_CHUNK - held, (off_t)(lines->next + held));
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return false;
    buffer_added(&lines->bytes, (size_t)got);
    return true;
}

static void eat(struct event_lines *lines, size_t len)
{
    buffer_eat(&lines->bytes, len);
    lines->next += len;
}

bool event_lines_next(struct event_lines *lines, const char **line_r, size_t *len_r, uint64_t *offset_r)
{
    eat(lines, lines->taken);
    lines->taken = 0;
    for (;;) {
        size_t held = buffer_len(&lines->bytes);
        const char *bytes = buffer_bytes(&lines->bytes);
        const char *end = memchr(bytes, '\n', held);
        if (end != NULL && lines->skipping) {
            lines->skipping = false;
            eat(lines, (size_t)(end - bytes) + 1);
            continue;
        }
        if (end != NULL) {
            *line_r = bytes;
            *len_r = (size_t)(end - bytes);
            *offset_r = lines->next;
            lines->taken = *len_r + 1;
            return true;
        }
        if (held == EVENT_CHUNK) {
            lines->skipping = true;
            eat(lines, held);
        }
        if (!read_more(lines))
            return false;
    }
}

void event_lines_free(struct event_lines *lines)
{
    buffer_free(&lines->bytes);
}

size_t event_head(char out[EVENT_HEAD_SIZE], uint64_t number, uint64_t offset)
{
    return (size_t)snprintf(out, EVENT_HEAD_SIZE, "{\"cursor\":\"%" PRIu64 ":%" PRIu64 "\"", number, offset);
}

bool event_head_read(const char *line, size_t len, uint64_t number, uint64_t offset, uint64_t *seq_r)
{
    static const char member[] = ",\"seq\":";
    char head[EVENT_HEAD_SIZE];
    size_t at = event_head(head, number, offset);
    if (len < at || memcmp(line, head, at) != 0)
        return false;
    if (seq_r == NULL)
        return true;
    *seq_r = 0;
    if (len - at < sizeof member || memcmp(line + at, member, sizeof member - 1) != 0)
        return true;
    for (at += sizeof member - 1; at < len && line[at] >= '0' && line[at] <= '9'; at++)
        *seq_r = 10 * *seq_r + (uint64_t)(line[at] - '0');
    return true;
}
