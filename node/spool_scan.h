/* spool_scan - finds the frames in a segment's bytes, whatever has happened to them
 *
 * Goes from frame to frame. Where none stands it looks for the next one, 8 bytes at a time, and tells what
 * lies between as damage. In the newest segment what follows the last intact frame is no damage but the end
 * of a write that a crash cut off: it is not told, only its place is returned. Where it is known how far the segment
 * was once whole (`whole`), nothing before that is taken for such an end.
 *
 * Bodies are checked when asked for (`bodies`: the newest segment, where a torn one may stand); otherwise
 * they are stepped over unread. A frame whose record is intact and whose body is not is told as damage, and
 * handed over all the same: its owner still learns whom the mail was from. A frame whose text stands in another one
 * is handed over and not told again. Where a crash may have torn the two apart it counts as intact only if its text
 * is, too.
 *
 * Where only headers are asked for (`heads`), records are stepped over unread too: `record` is null, and what is
 * damaged in them is not seen.
 *
 * Memory: one window, at least 256 KiB, at most as large as the largest record. Time: linear in the bytes.
 * Errors: a source that cannot be read at some place is damage there. */
#ifndef NODE_SPOOL_SCAN_H
#define NODE_SPOOL_SCAN_H

#include "node/spool_frame.h"

/* Where the bytes come from. */
struct scan_source {
    void *context;
    /* Fills `out` with `len` bytes at `offset`, which lie within `size`; 0, or -1. */
    int (*read)(void *context, uint64_t offset, void *out, size_t len);
    uint64_t size;
};

/* Who is told, in the order of the file. The record is lent. */
struct scan_listener {
    void *context;
    void (*frame)(void *context, const struct frame *frame, uint64_t offset, const void *record);
    void (*damage)(void *context, uint64_t offset, uint64_t len, const char *why);
};

struct scan_settings {
    struct frame_keys keys;
    bool bodies;        /* check them */
    bool heads;         /* look at nothing else */
    bool newest;        /* what cannot be read at the end is an unfinished write, */
    uint64_t whole;     /* if it stands at or behind this frame's place; what is before was finished */
    uint64_t from;      /* a frame's place, to begin there; 0: at the beginning */
    const bool *enough; /* ends when that has become true; null: at the end */
};

/* Returns where the last frame ends; beyond it (only if `newest`) lies an unfinished write. */
uint64_t spool_scan(const struct scan_settings *settings, const struct scan_source *source,
    const struct scan_listener *listener);

#endif
