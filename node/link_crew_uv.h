/* link_crew_uv - the work loops that the node's connections are spread over
 *
 * A lane's connections are all on one loop, which so knows its hosts' TLS sessions: a lane has a seat (some share
 * one), and a seat has a loop as long as it has connections. Belongs to the keeper, on whose loop all is called; starting,
 * running and ending the crew are in keeper_state_uv.h. */
#ifndef NODE_LINK_CREW_UV_H
#define NODE_LINK_CREW_UV_H

#include "base/work_loop_uv.h"
#include "node/keeper_state_uv.h"

/* A work loop and what it needs. */
struct hand {
    struct work_loop *work;
    struct outbox orders; /* the core's */
    struct tls_context *tls;
    size_t links; /* counted by the core */
};

/* What the lanes that share it are served by. */
struct seat {
    uint32_t links;
    struct hand *hand; /* null: there was never a connection */
};

/* For one more connection of this lane (node_lane). */
struct seat *crew_take_seat(struct crew *crew, uint64_t lane);
/* It has ended. */
void crew_leave_seat(struct seat *seat);

#endif
