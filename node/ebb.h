/* ebb - how fast a queue runs empty, and when it will have
 *
 *     ebb_begin(&ebb, now, queued);               from here on it counts
 *     ebb_note(&ebb, now, queued);                at every step; one a second is kept
 *     ebb_rate(&ebb, now, queued)                 so many fewer a second, over the last 30 s
 *
 * What comes in meanwhile counts against what leaves: a queue that grows has the rate 0 and no end.
 *
 * Time: every call takes `now`; a clock that goes back begins anew. Memory: a plain value. Errors: none. */
#ifndef NODE_EBB_H
#define NODE_EBB_H

#include <stdint.h>

#include "base/clock.h"

#define EBB_WINDOW 30 /* seconds */

struct ebb {
    struct {
        usec_t at;
        uint64_t queued;
    } notes[EBB_WINDOW + 1]; /* a ring, the oldest at `first` */
    unsigned first, count;
};

/* What only counts up, as something that runs empty: how fast it does is how fast things go. */
static inline uint64_t ebb_gone(uint64_t gone)
{
    return UINT64_MAX / 2 - gone;
}

void ebb_begin(struct ebb *ebb, usec_t now, uint64_t queued);
void ebb_note(struct ebb *ebb, usec_t now, uint64_t queued);
/* Of the time since the beginning if that is shorter; 0 in its first second. */
double ebb_rate(const struct ebb *ebb, usec_t now, uint64_t queued);
/* How long until it is empty if it goes on like this: 0 if it is, USEC_NEVER if nobody can tell. */
usec_t ebb_left(const struct ebb *ebb, usec_t now, uint64_t queued);

#endif
