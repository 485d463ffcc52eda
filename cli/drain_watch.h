/* drain_watch - what a person is told of a node that is drained, look by look
 *
 *     struct drain_watch watch = {0};
 *     drain_watch_begin(&watch, now);
 *     each second: switch (drain_watch_look(&watch, &sight, now)) ...
 *         drain_line(&line, "n3", &sight);                  "n3: 1234 queued, 410/s, empty in 3 s"
 *         if (drain_watch_wants_why(&watch, now)) ...       it has not become less for a while: ask what keeps it
 *
 * Pure: no clock, nothing is printed. */
#ifndef CLI_DRAIN_WATCH_H
#define CLI_DRAIN_WATCH_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/clock.h"

/* One look: what `todoku nodes` said of the node. */
struct drain_sight {
    char state[16];    /* draining, up, down, silent, missing; "" = nobody could be asked */
    long long queued;  /* -1 = not known: it did not answer */
    double rate;       /* fewer a second */
    long long left_ms; /* until it is empty; -1 = nobody can tell */
};
/* Reads a row (JSON). */
void drain_sight_read(const char *row, struct drain_sight *sight_r);

enum drain_verdict {
    DRAIN_GOES_ON,
    DRAIN_EMPTY,      /* twice in a row */
    DRAIN_TAKEN_BACK, /* it was drained, and is no more */
};

struct drain_watch {
    bool began; /* it was seen draining */
    unsigned empty;
    long long least; /* that was queued; -1 = not known yet */
    usec_t moved_at; /* when it last became less */
    usec_t why_at;   /* when it was last asked why it does not; 0 = not since */
};
void drain_watch_begin(struct drain_watch *watch, usec_t now);
enum drain_verdict drain_watch_look(struct drain_watch *watch, const struct drain_sight *sight, usec_t now);
/* Nothing has left for 5 s: true at once, and then every 30 s. */
bool drain_watch_wants_why(struct drain_watch *watch, usec_t now);

/* Appends, without an end of line. */
void drain_line(struct buffer *out, const char *node, const struct drain_sight *sight);
/* "45 s", "12 min", "3.5 h", "2.0 d" */
void drain_duration(struct buffer *out, long long ms);

#endif
