/* event_find - reads the event log's lines back, from a cursor on, whole or filtered
 *
 *     char next[EVENT_CURSOR_SIZE] = "";
 *     do
 *         event_read(dir, next, 100, &filter, &out, next, &page, &error);
 *     while (page.more);
 * A call reads at most EVENT_READ_SCAN bytes of files and gives at most EVENT_READ_OUT bytes (plus a line),
 * so it may come back with little or nothing and `more` set: ask again from the cursor it gave.
 *
 * Threads: any; it shares nothing with the writer but the files. Memory: half a MiB, and `out`. Errors: only
 * a folder that can't be read; files that go away meanwhile are passed over, damaged lines too. */
#ifndef NODE_EVENT_FIND_H
#define NODE_EVENT_FIND_H

#include <stdbool.h>

#include "base/buffer.h"
#include "node/event_log.h"

#define EVENT_READ_SCAN ((uint64_t)64 << 20)
#define EVENT_READ_OUT ((size_t)4 << 20)
#define EVENT_NEWEST_SCAN ((uint64_t)4 << 30)

/* All that are set must hold; null or 0 = any. */
struct event_filter {
    const char *message_id; /* the message's id, or one delivery's */
    const char *to;         /* the whole address, as it stands in the event */
    const char *tenant;
    const char *event;
    usec_t since;
};

struct event_page {
    size_t count;   /* lines given */
    bool restarted; /* the cursor was unknown or too old: began at the oldest line instead */
    bool more;      /* stopped at a bound, not at the end of the log */
};

/* Appends the lines behind `cursor` ("" or null = from the oldest on) to `out`, each with its newline, at
 * most `limit`. `next_cursor` is the last line looked at, or `cursor` as it was; both may be the same array.
 * `filter` may be null. 0, or -1 with the reason. */
int event_read(const char *dir, const char *cursor, size_t limit, const struct event_filter *filter,
    struct buffer *out, char next_cursor[EVENT_CURSOR_SIZE], struct event_page *page_r, struct error *error);
/* The newest `limit` lines that fit, oldest of them first, and in `next_cursor` the newest line of the log
 * ("" when there is none). The log is read backwards until there are enough, EVENT_NEWEST_SCAN bytes have
 * been read, or EVENT_READ_OUT bytes are found: fewer lines then. 0, or -1 with the reason. */
int event_read_newest(const char *dir, size_t limit, const struct event_filter *filter, struct buffer *out,
    char next_cursor[EVENT_CURSOR_SIZE], struct error *error);
/* The newest line's cursor ("" when there is none), to follow the log from now on. */
int event_last_cursor(const char *dir, char cursor_r[EVENT_CURSOR_SIZE], struct error *error);

/* Whether the line (one JSON object) fits the filter, by parsing it. */
bool event_matches(const char *line, size_t len, const struct event_filter *filter);

#endif
