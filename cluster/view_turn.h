/* view_turn - since when, and why, a member stands in the view as it does
 *
 * A member's state changes by turns: it joins, starts again, drains, is declared down, comes back. The head
 * writes the last one of each into the view, so whoever reads a view can tell what happened without having
 * seen the view before: turns outlive their head, and the processes that read of them. A turn is known by its
 * member and the epoch of the view that was the first to have it. */
#ifndef CLUSTER_VIEW_TURN_H
#define CLUSTER_VIEW_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* Numbers are in the store: none is used again for something else. */
enum view_reason {
    VIEW_REASON_UNKNOWN = 0, /* a head of an earlier version saw to it */
    VIEW_REASON_JOINED = 1,
    VIEW_REASON_STARTED = 2, /* another process of it */
    VIEW_REASON_BACK = 3,    /* the same process, after it was declared down */
    VIEW_REASON_DRAIN = 4,
    VIEW_REASON_UNDRAIN = 5,
    VIEW_REASON_LEASE = 6, /* its record in live/ has gone */
    VIEW_REASON_UNREADY = 7,
    VIEW_REASON_MISFIT = 8,
};

struct view_turn {
    uint64_t epoch; /* 0: not known, from before turns were noted */
    usec_t time;    /* by its head's clock */
    uint32_t reason;
};

/* A sentence; never null, also for numbers of later versions. */
const char *view_reason_text(uint32_t reason);
bool view_turn_same(const struct view_turn *a, const struct view_turn *b);

#endif
