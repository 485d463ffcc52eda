/* event_find - see event_find.h
 *
 * A line is looked at three times at most, the cheap looks first: the file's last change against `since`, the
 * filter's words as plain bytes in the line, and only then the line as JSON (event_find_json.c). */
#include "node/event_find.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/event_find_inside.h"

/* The longest part of the value that JSON writes as it is, whoever writes it. */
static struct needle plain_part(const char *value)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.-_+=";
    struct needle best = {value, 0};
    while (*value != '\0') {
        size_t len = strspn(value, plain);
        if (len > best.len)
            best = (struct needle){value, len};
        value += len;
        value += strcspn(value, plain);
    }
    return best;
}

void event_search_begin(struct event_search *search)
{
    const struct event_filter *f = search->filter;
    const char *const values[] = {f->message_id, f->to, f->tenant, f->event};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct needle needle = values[i] == NULL ? (struct needle){NULL, 0} : plain_part(values[i]);
        if (needle.len > 0)
            search->needles[search->needle_count++] = needle;
    }
    if (f->since > 0)
        clock_rfc3339(f->since, search->since);
}

/* "time" stands near the front in all our lines; where it doesn't, the parser decides. */
static bool surely_older(const struct event_search *search, const char *line, size_t len)
{
    static const char member[] = "\"time\":\"";
    size_t since_len = strlen(search->since);
    const char *at = memmem(line, len < 160 ? len : 160, member, sizeof member - 1);
    if (at == NULL)
        return false;
    at += sizeof member - 1;
    return (size_t)(line + len - at) >= since_len && memcmp(at, search->since, since_len) < 0;
}

bool event_search_fits(const struct event_search *search, const char *line, size_t len)
{
    for (size_t i = 0; i < search->needle_count; i++)
        if (memmem(line, len, search->needles[i].bytes, search->needles[i].len) == NULL)
            return false;
    const struct event_filter *f = search->filter;
    if (f->since > 0 && surely_older(search, line, len))
        return false;
    bool any =
        f->message_id == NULL && f->to == NULL && f->tenant == NULL && f->event == NULL && f->since <= 0;
    return any || event_matches(line, len, f);
}

/* Takes the line in; false when a bound is reached. */
static bool search_line(
    struct event_search *search, uint64_t number, uint64_t offset, const char *line, size_t len)
{
    search->scanned += len + 1;
    if (!event_head_read(line, len, number, offset, NULL))
        return true;
    snprintf(search->next_cursor, EVENT_CURSOR_SIZE, "%" PRIu64 ":%" PRIu64, number, offset);
    if (event_search_fits(search, line, len)) {
        buffer_add(search->out, line, len);
        buffer_add(search->out, "\n", 1);
        search->page->count++;
    }
    return search->page->count < search->limit && search->scanned < EVENT_READ_SCAN &&
           buffer_len(search->out) - search->out_at_start < EVENT_READ_OUT;
}

int event_search_open(const char *dir, uint64_t number)
{
    char path[EVENT_PATH_SIZE];
    return event_file_path(dir, number, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* Reads a file's lines from `offset` on, without the one that stands there if `behind`. False when a bound is
 * reached. */
static bool search_file(struct event_search *search, uint64_t number, uint64_t offset, bool behind)
{
    struct event_lines lines = {.fd = event_search_open(search->dir, number), .next = offset};
    const char *line;
    size_t len;
    bool on = true;
    if (lines.fd < 0)
        return true;
    if (behind)
        event_lines_next(&lines, &line, &len, &offset);
    while (on && event_lines_next(&lines, &line, &len, &offset))
        on = search_line(search, number, offset, line, len);
    event_lines_free(&lines);
    close(lines.fd);
    return on;
}

/* Whether the cursor names a line that is there. */
static bool find_cursor(const char *dir, const char *cursor, uint64_t *number_r, uint64_t *offset_r)
{
    char head[EVENT_HEAD_SIZE], there[EVENT_HEAD_SIZE];
    int used = 0;
    if (strspn(cursor, "0123456789:") != strlen(cursor) ||
        sscanf(cursor, "%18" SCNu64 ":%18" SCNu64 "%n", number_r, offset_r, &used) != 2 ||
        cursor[used] != '\0')
        return false;
    int fd = event_search_open(dir, *number_r);
    if (fd < 0)
        return false;
    size_t len = event_head(head, *number_r, *offset_r);
    ssize_t got = pread(fd, there, len, (off_t)*offset_r);
    close(fd);
    return got == (ssize_t)len && memcmp(head, there, len) == 0;
}

static void search_files(
    struct event_search *search, const struct event_files *files, uint64_t number, uint64_t offset)
{
    bool behind = number > 0;
    for (size_t i = 0; i < files->count; i++) {
        const struct event_file *file = &files->items[i];
        bool first = behind && file->number == number;
        if (file->number < number ||
            (search->filter->since > 0 && file->written < search->filter->since - EVENT_SLACK))
            continue;
        if (!search_file(search, file->number, first ? offset : 0, first)) {
            search->page->more = true;
            return;
        }
    }
}

int event_read(const char *dir, const char *cursor, size_t limit, const struct event_filter *filter,
    struct buffer *out, char next_cursor[EVENT_CURSOR_SIZE], struct event_page *page_r, struct error *error)
{
    static const struct event_filter everything;
    struct event_files files;
    uint64_t number = 0, offset = 0;
    char from[EVENT_CURSOR_SIZE];
    snprintf(from, sizeof from, "%s", cursor == NULL ? "" : cursor);
    *page_r = (struct event_page){0};
    if (event_files_list(dir, &files, error) != 0)
        return -1;
    if (from[0] != '\0' && !find_cursor(dir, from, &number, &offset)) {
        page_r->restarted = true;
        number = offset = 0;
        from[0] = '\0';
    }
    snprintf(next_cursor, EVENT_CURSOR_SIZE, "%s", from);
    struct event_search search = {.dir = dir,
        .filter = filter == NULL ? &everything : filter,
        .limit = limit,
        .out = out,
        .out_at_start = buffer_len(out),
        .next_cursor = next_cursor,
        .page = page_r};
    event_search_begin(&search);
    if (limit > 0)
        search_files(&search, &files, number, offset);
    event_files_free(&files);
    return 0;
}

/* The last whole line of a file; false if it has none. */
static bool last_line(const char *dir, const struct event_file *file, char cursor_r[EVENT_CURSOR_SIZE])
{
    enum { TAIL = 2 * EVENT_MAX_LINE };
    struct event_lines lines = {.fd = event_search_open(dir, file->number)};
    const char *line;
    size_t len;
    uint64_t offset;
    bool found = false;
    if (lines.fd < 0)
        return false;
    /* The first line from there on may be a part of one, which its front shows. */
    lines.next = file->size > TAIL ? file->size - TAIL : 0;
    while (event_lines_next(&lines, &line, &len, &offset)) {
        if (!event_head_read(line, len, file->number, offset, NULL))
            continue;
        snprintf(cursor_r, EVENT_CURSOR_SIZE, "%" PRIu64 ":%" PRIu64, file->number, offset);
        found = true;
    }
    event_lines_free(&lines);
    close(lines.fd);
    return found;
}

int event_last_cursor(const char *dir, char cursor_r[EVENT_CURSOR_SIZE], struct error *error)
{
    struct event_files files;
    cursor_r[0] = '\0';
    if (event_files_list(dir, &files, error) != 0)
        return -1;
    for (size_t i = files.count; i > 0 && !last_line(dir, &files.items[i - 1], cursor_r); i--)
        ;
    event_files_free(&files);
    return 0;
}
