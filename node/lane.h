/* lane - one source towards one provider: how many connections, how fast
 *
 * Limits are exact because a lane lives on one node only (promise P6): at most `connections` open at once, at
 * most `messages_per_connection` on each, and message starts never closer than the rate allows (GCRA with a
 * burst of one: ITU-T I.371). A message counts as under way until its outcome is on the disk, and never more
 * than `connections` are: that bounds what a crash can double.
 *
 * Time: `now` comes in. Memory: a plain value. Errors: none. */
#ifndef NODE_LANE_H
#define NODE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "cluster/settings.h"

struct lane_limits {
    uint32_t connections, messages_per_connection; /* messages_per_connection 0 = unlimited */
    struct rate rate;
};

struct lane {
    struct lane_limits limits;
    uint32_t open;      /* connections, from the start of connecting to the end */
    uint32_t unsettled; /* messages started whose outcome is not on the disk yet */
    usec_t next;        /* when the next message may start */
    uint64_t messages, delivered, deferred, bounced;
};

static inline bool lane_may_open(const struct lane *lane)
{
    return lane->open < lane->limits.connections;
}

/* No message may start before an outcome gets to the disk. */
static inline bool lane_full(const struct lane *lane)
{
#ifdef TODOKU_WITHOUT_UNSETTLED
    (void)lane;
    return false;
#endif
    return lane->unsettled >= lane->limits.connections;
}

/* When a message may start: `now` or later. */
static inline usec_t lane_when(const struct lane *lane, usec_t now)
{
    return lane->next > now ? lane->next : now;
}

static inline bool lane_used_up(const struct lane *lane, uint32_t messages_on_connection)
{
    return lane->limits.messages_per_connection > 0 &&
           messages_on_connection >= lane->limits.messages_per_connection;
}

/* No message before one step after `since`. */
static inline void lane_start_later(struct lane *lane, usec_t since)
{
    lane->next = since + (lane->limits.rate.per + lane->limits.rate.count - 1) / lane->limits.rate.count;
}

/* A slower pace than before counts from the next message on, a faster one from now. */
static inline void lane_set_limits(struct lane *lane, const struct lane_limits *limits, usec_t now)
{
    usec_t next = lane->next;
    lane->limits = *limits;
    lane->next = 0;
    if (limits->rate.count > 0)
        lane_start_later(lane, now);
    if (next < lane->next)
        lane->next = next;
}

/* A message starts; only when lane_when() says now. */
static inline void lane_start(struct lane *lane, usec_t now)
{
    lane->messages++;
    lane->unsettled++;
    if (lane->limits.rate.count > 0)
        lane_start_later(lane, now);
}

#endif
