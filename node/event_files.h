/* event_files - the event log's folder: its files, their lines, and the front of each line
 *
 * What writer (event_log.c) and readers (event_find.c) share. Memory: a list of the files; a line reader
 * holds at most EVENT_CHUNK bytes. Errors: only for a folder that can't be read. */
#ifndef NODE_EVENT_FILES_H
#define NODE_EVENT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "node/event_log.h"

enum { EVENT_CHUNK = 256 * 1024, EVENT_PATH_SIZE = 4096 };

struct event_file {
    uint64_t number, size;
    usec_t written; /* when last */
};

/* From the oldest to the newest. */
struct event_files {
    struct event_file *items;
    size_t count, size;
};

int event_files_list(const char *dir, struct event_files *files_r, struct error *error);
void event_files_free(struct event_files *files);
void event_files_add(struct event_files *files, const struct event_file *file);
void event_files_drop_oldest(struct event_files *files);
/* False when the path is too long. */
bool event_file_path(const char *dir, uint64_t number, char out[EVENT_PATH_SIZE]);

/* Walks the whole lines of a file: `struct event_lines lines = {.fd = fd, .next = offset};`. */
struct event_lines {
    int fd;
    uint64_t next; /* offset of the next line */
    struct buffer bytes;
    size_t taken; /* of `bytes`, by the line given out last */
    bool skipping;
};
/* The next line, without its newline, valid until the next call; false at the end (of whole lines). Lines
 * longer than EVENT_CHUNK are passed over. */
bool event_lines_next(struct event_lines *lines, const char **line_r, size_t *len_r, uint64_t *offset_r);
void event_lines_free(struct event_lines *lines);

/* `{"cursor":"<number>:<offset>"`; returns its length. */
enum { EVENT_HEAD_SIZE = 64 };
size_t event_head(char out[EVENT_HEAD_SIZE], uint64_t number, uint64_t offset);
/* Whether the line has that front; *seq_r (may be null) is its "seq", or 0. */
bool event_head_read(const char *line, size_t len, uint64_t number, uint64_t offset, uint64_t *seq_r);

#endif
