/* scale_costs - how long things take in a run at scale; see scale.h and costs.h */
#include "proto/bus_msg.h"
#include "tests/sim/costs.h"
#include "tests/sim/scale.h"

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

/* One after the other through its sender's door. */
usec_t scale_bus_takes(struct member *from, const struct bus_msg *msg)
{
    struct sim *sim = from->sim;
    usec_t *sent = &sim->scale->sent_until[from->index];
    *sent = (*sent > sim->now ? *sent : sim->now) + BYTES_TAKE(size_of(msg), COST_BUS_KB_S);
    return *sent - sim->now + around(sim, COST_BUS_US);
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

bool scale_is_busy(struct sim *sim, const struct member *member, usec_t *until_r)
{
    *until_r = sim->scale->busy_until[member->index];
    return *until_r > sim->now;
}

/* All that a message costs is paid when its node gets it. */
void scale_works(struct member *member, const struct bus_msg *msg)
{
    struct sim *sim = member->sim;
    if (sim->options->throughput && member->node != NULL && msg->mail != NULL)
        sim->scale->busy_until[member->index] = sim->now + COST_NODE_US;
}
