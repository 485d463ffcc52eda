/* event_find_inside - what event_find.c and event_find_newest.c share: one search while it runs */
#ifndef NODE_EVENT_FIND_INSIDE_H
#define NODE_EVENT_FIND_INSIDE_H

#include "node/event_files.h"
#include "node/event_find.h"

/* A file's last change is read from the wall clock, which may be adjusted. */
#define EVENT_SLACK USEC_HOUR

struct event_search {
    const char *dir;
    const struct event_filter *filter;
    char since[32];
    struct needle {
        const char *bytes;
        size_t len;
    } needles[4];
    size_t needle_count;
    size_t limit;
    struct buffer *out;
    size_t out_at_start;
    uint64_t scanned;
    char *next_cursor;
    struct event_page *page;
};

/* Finds the filter's words (filter, page... are set). */
void event_search_begin(struct event_search *search);
bool event_search_fits(const struct event_search *search, const char *line, size_t len);
/* A descriptor, or -1. */
int event_search_open(const char *dir, uint64_t number);

#endif
