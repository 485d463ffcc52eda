/* pressure - how near a node is to what it can take
 *
 * Intake is slowed before it is refused: up to EASY of any bound the pressure is 0; from there it grows with
 * what is left, and at the bound it is 100: nothing new is taken until it has fallen below 100 by a margin. The
 * bound that is nearest counts, and says why. What was accepted keeps flowing whatever the pressure is.
 *
 * A table of messages at rest that has failed (node/park.h) is full at once: it could not be told which mail is
 * known already, and what comes could not rest.
 *
 * The bounds: free space of the spool's disk (from four reserves down to one), bytes appended and not yet on
 * the disk (a slow disk), the process's memory, queued deliveries.
 *
 * Pure. */
#ifndef NODE_PRESSURE_H
#define NODE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#define PRESSURE_FULL 100
#define PRESSURE_WORTH_A_PERSON 50
#define PRESSURE_UNWRITTEN ((uint64_t)256 << 20) /* bytes on their way to the disk at most */

/* As the node's owner sees it; a bound of 0 is none. */
struct pressure_gauges {
    bool disk_low, disk_failed;       /* the spool's own word: counts at once */
    bool table_failed;                /* and that of the table of messages at rest */
    uint64_t disk_free, disk_reserve; /* bytes */
    uint64_t unwritten;               /* bytes */
    uint64_t memory, memory_max;      /* bytes */
    uint64_t queued, queued_max;      /* deliveries */
};

struct pressure {
    unsigned level;     /* 0 .. PRESSURE_FULL */
    const char *reason; /* a sentence for the client; null at 0 */
    const char *remedy; /* what an operator can do; null at 0 */
};

/* `was`: what it was the last time. */
struct pressure pressure_of(const struct pressure_gauges *gauges, const struct pressure *was);

#endif
