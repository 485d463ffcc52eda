/* scale_costs - how long things take in a run at scale; see scale.h and costs.h */
#include "proto/bus_msg.h"
#include "tests/sim/costs.h"
#include "tests/sim/scale.h"

/* Of the processor time with one copy, in hundredths: `tests/bench/run.py --copies` measures it. Half of the rest is the
 * mirror's; every node is somebody's. */
#define TWO_COPIES 160

#define BYTES_TAKE(bytes, kb_s) ((usec_t)((uint64_t)(bytes)*1000 / (kb_s)))

/* Half of it is sure, the rest is chance: so it is what was measured in the mean. */
static usec_t around(struct sim *sim, usec_t takes)
{
    return sim_between(sim, takes / 2, takes + takes / 2);
}

usec_t scale_sync_takes(struct sim *sim, size_t bytes)
{
    return around(sim, COST_SYNC_US) + BYTES_TAKE(bytes, COST_SYNC_KB_S);
}

static size_t size_of(const struct bus_msg *msg)
{
    return 200 + (msg->body == NULL ? 0 : msg->body->len);
}

/* One after the other: until when. */
static usec_t behind(usec_t *until, usec_t arrives, usec_t takes)
{
    *until = (*until > arrives ? *until : arrives) + takes;
    return *until;
}

/* Through its sender's door, then, with `throughput`, through the receiving node's processor: all that a message will
 * cost there is paid when it comes. */
usec_t scale_bus_takes(struct member *from, struct member *to, const struct bus_msg *msg)
{
    struct sim *sim = from->sim;
    struct scale *scale = sim->scale;
    usec_t at = behind(&scale->sent_until[from->index], sim->now, BYTES_TAKE(size_of(msg), COST_BUS_KB_S)) +
                around(sim, COST_BUS_US);
    usec_t *came = &scale->came[from->index][to->index];
    at = *came = at > *came ? at : *came + 1; /* in order, as ZeroMQ has it */
    if (sim->options->throughput && msg->mail != NULL && member_is_node(to))
        at = behind(
            &scale->busy_until[to->index], at, COST_NODE_US * (sim->copies == 1 ? 100 : TWO_COPIES) / 100);
    return at - sim->now;
}

usec_t scale_store_takes(struct sim *sim, bool keep)
{
    usec_t takes = sim_chance(sim, 10) ? COST_STORE_LATE_US : keep ? COST_STORE_KEEP_US : COST_STORE_US;
    return around(sim, takes / 2);
}

usec_t scale_told_takes(struct sim *sim, size_t bytes)
{
    usec_t *told = &sim->scale->told_until;
    *told = (*told > sim->now ? *told : sim->now) + BYTES_TAKE(bytes, COST_STORE_TOLD_KB_S);
    return *told - sim->now + BYTES_TAKE(bytes, COST_VIEW_READ_KB_S) + scale_store_takes(sim, true);
}
