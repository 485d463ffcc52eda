/* pressure - see pressure.h */
#include "node/pressure.h"

#include <stddef.h>

#define EASY 80  /* per cent of a bound that nobody feels */
#define MARGIN 5 /* per cent of a bound that must be free again before something is taken */
#define ROOMY 4  /* reserves: with so much free the disk is not felt */

/* How much of the way from `easy` to `bound` has been gone, 0 .. 100. */
static unsigned way(uint64_t used, uint64_t easy, uint64_t bound)
{
    if (used <= easy)
        return 0;
    if (used >= bound)
        return PRESSURE_FULL;
    return (unsigned)((double)(used - easy) * PRESSURE_FULL / (double)(bound - easy));
}

static unsigned of_bound(uint64_t used, uint64_t bound, bool was_full)
{
    if (bound == 0)
        return 0;
    uint64_t per_cent = bound / 100;
    if (was_full && used >= bound - MARGIN * per_cent)
        return PRESSURE_FULL;
    return way(used, EASY * per_cent, bound);
}

/* The spool's own word decides when it is full; until then what is free does. */
static unsigned of_disk(const struct pressure_gauges *gauges)
{
    if (gauges->disk_low || gauges->disk_failed || gauges->table_failed)
        return PRESSURE_FULL;
    uint64_t roomy = ROOMY * gauges->disk_reserve;
    if (gauges->disk_free >= roomy)
        return 0;
    unsigned level = way(roomy - gauges->disk_free, 0, roomy - gauges->disk_reserve);
    return level < PRESSURE_FULL ? level : PRESSURE_FULL - 1;
}

struct pressure pressure_of(const struct pressure_gauges *gauges, const struct pressure *was)
{
    static const char *const failed[] = {
        "the node's disk has failed", "replace the disk of node.data_dir, then start the node again"};
    static const char *const torn[] = {"the node's table of messages at rest has failed",
        "look into the node's log, then start the node again"};
    static const char *const texts[][2] = {
        {"the node's disk is nearly full", "free space on the file system of node.data_dir, or add a node"},
        {"the node's disk can't keep up with what comes in",
            "give node.data_dir a faster disk, or add a node"},
        {"the node's memory is nearly used up (node.memory)",
            "raise node.memory if the machine has more, or add a node"},
        {"the node's queue is nearly full (node.max_queued)",
            "see `todoku queues` for what does not move; raise node.max_queued, or add a node"},
    };
    bool full = was->level == PRESSURE_FULL;
    /* A bound holds on to full only if it was the one. */
    unsigned levels[] = {
        of_disk(gauges),
        of_bound(gauges->unwritten, PRESSURE_UNWRITTEN, full && was->reason == texts[1][0]),
        of_bound(gauges->memory, gauges->memory_max, full && was->reason == texts[2][0]),
        of_bound(gauges->queued, gauges->queued_max, full && was->reason == texts[3][0]),
    };
    size_t most = 0;
    for (size_t i = 1; i < sizeof levels / sizeof levels[0]; i++)
        if (levels[i] > levels[most])
            most = i;
    if (levels[most] == 0)
        return (struct pressure){0};
    const char *const *text = gauges->disk_failed ? failed : gauges->table_failed ? torn : texts[most];
    return (struct pressure){.level = levels[most], .reason = text[0], .remedy = text[1]};
}
