/* asking_cursor - where a reader of events stands on every node
 *
 *     t1795323852000,n1:3:81920,n2:7:5
 * is the place behind the line 3:81920 of n1's log and 7:5 of n2's, and on every other node the place before
 * the first event from that time on (milliseconds since 1970): so a node that joins later, or could not be
 * asked when the reading began, is read from then on. What stands there of nodes that are not in the view is
 * kept: one that comes back goes on where it was. A node's own place is "3:81920", or "t" and a time.
 *
 * Bytes of strangers: bounded by CURSOR_MAX, and read strictly. Memory: cursor_free(). */
#ifndef COORDINATOR_ASKING_CURSOR_H
#define COORDINATOR_ASKING_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "cluster/view.h"

#define CURSOR_MAX ((size_t)32 << 10)
#define CURSOR_PLACE_SIZE 48

struct cursor_part {
    char node[MEMBER_ID_SIZE], place[CURSOR_PLACE_SIZE];
};

struct cursor {
    int64_t base; /* milliseconds */
    struct cursor_part *parts;
    size_t count, size;
};

/* 0, or -1: it is none. */
int cursor_read(const char *text, struct cursor *cursor_r);
void cursor_write(const struct cursor *cursor, struct buffer *out);
/* Not less than what cursor_write appends, nor much more. */
size_t cursor_room(const struct cursor *cursor);
/* Where to go on at this node; valid until the next change. */
const char *cursor_place(const struct cursor *cursor, const char *node, char room[CURSOR_PLACE_SIZE]);
/* A `place` that is none (also "") changes nothing. */
void cursor_set(struct cursor *cursor, const char *node, const char *place, size_t len);
void cursor_free(struct cursor *cursor);
/* One node's own place: what a log calls a cursor. */
bool cursor_is_place(const char *text);

#endif
