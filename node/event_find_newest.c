/* event_find_newest - the newest lines that fit, by reading the log backwards (event_find.h)
 *
 * The files are looked at from the newest on, each in windows from its end on. A window begins anywhere, so
 * its first line may be a part of one: the front of each line tells its own place, and a part has none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "node/event_find_inside.h"

#define WINDOW ((uint64_t)2 << 20)

/* The lines found in one window, in their order. */
struct block {
    struct block *newer;
    struct buffer lines;
    size_t count;
};

struct back {
    struct event_search search;
    struct block *oldest; /* the window read last */
    size_t found, bytes;
};

static void take_line(struct back *back, struct block *block, const char *line, size_t len)
{
    if (!event_search_fits(&back->search, line, len))
        return;
    buffer_add(&block->lines, line, len);
    buffer_add(&block->lines, "\n", 1);
    block->count++;
}

/* The whole lines that begin in [from, end). */
static void read_window(struct back *back, int fd, uint64_t number, uint64_t from, uint64_t end)
{
    struct event_lines lines = {.fd = fd, .next = from};
    struct block *block = xcalloc(1, sizeof *block);
    const char *line;
    size_t len;
    uint64_t offset, last = UINT64_MAX;
    while (event_lines_next(&lines, &line, &len, &offset) && offset < end) {
        if (!event_head_read(line, len, number, offset, NULL))
            continue;
        last = offset;
        take_line(back, block, line, len);
    }
    event_lines_free(&lines);
    if (last != UINT64_MAX && back->search.next_cursor[0] == '\0')
        snprintf(back->search.next_cursor, EVENT_CURSOR_SIZE, "%" PRIu64 ":%" PRIu64, number, last);
    back->search.scanned += end - from;
    back->found += block->count;
    back->bytes += buffer_len(&block->lines);
    block->newer = back->oldest;
    back->oldest = block;
}

static bool enough(const struct back *back)
{
    return back->found >= back->search.limit || back->bytes >= EVENT_READ_OUT ||
           back->search.scanned >= EVENT_NEWEST_SCAN;
}

static void read_file(struct back *back, const struct event_file *file)
{
    int fd = event_search_open(back->search.dir, file->number);
    if (fd < 0)
        return;
    for (uint64_t end = file->size; end > 0 && !enough(back);) {
        uint64_t from = end > WINDOW ? end - WINDOW : 0;
        read_window(back, fd, file->number, from, end);
        end = from;
    }
    close(fd);
}

/* Gives out the newest `limit` lines, and frees the blocks. */
static void give(struct back *back, struct buffer *out)
{
    size_t over = back->found > back->search.limit ? back->found - back->search.limit : 0;
    for (struct block *block; (block = back->oldest) != NULL; free(block)) {
        back->oldest = block->newer;
        for (; over > 0 && block->count > 0; over--, block->count--) {
            const char *text = buffer_bytes(&block->lines);
            const char *stop = memchr(text, '\n', buffer_len(&block->lines));
            buffer_eat(&block->lines, (size_t)(stop - text) + 1);
        }
        buffer_add(out, buffer_bytes(&block->lines), buffer_len(&block->lines));
        buffer_free(&block->lines);
    }
}

int event_read_newest(const char *dir, size_t limit, const struct event_filter *filter, struct buffer *out,
    char next_cursor[EVENT_CURSOR_SIZE], struct error *error)
{
    static const struct event_filter everything;
    struct event_files files;
    struct back back = {.search = {.dir = dir,
                            .filter = filter == NULL ? &everything : filter,
                            .limit = limit,
                            .next_cursor = next_cursor}};
    next_cursor[0] = '\0';
    if (event_files_list(dir, &files, error) != 0)
        return -1;
    event_search_begin(&back.search);
    usec_t since = back.search.filter->since;
    for (size_t i = files.count; i > 0 && !enough(&back); i--) {
        if (since > 0 && next_cursor[0] != '\0' && files.items[i - 1].written < since - EVENT_SLACK)
            break;
        read_file(&back, &files.items[i - 1]);
    }
    give(&back, out);
    event_files_free(&files);
    return 0;
}
