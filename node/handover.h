/* handover - a node hands on what the newest view places elsewhere: its begin and its end, as `node` events
 *
 *     {"time","event":"node","action":"handing_over","role":"node","member","epoch","reason","queued","node"}
 *     {..., "action":"handed_over", ..., "moved","refused","queued","took_ms","node"}
 * The first when the census (census.c) has found something that belongs to another node; none if it finds
 * nothing. The last when it has seen all there is, and as many moves have been answered since as were open
 * then: `moved` is what other nodes have taken in between, `refused` what came back and is sent from here or
 * offered again later, `queued` what the node has at that moment. A view that comes meanwhile makes it longer. */
#ifndef NODE_HANDOVER_H
#define NODE_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "node/ebb.h"

struct node;

struct handover {
    bool on, seen_all;
    usec_t since;
    uint64_t moved, refused; /* so many at its begin */
    struct ebb ebb;          /* of moved, while it goes on */
    uint64_t answers;        /* moved and refused at its end, once all was seen */
};

/* The census has found deliveries that must go. */
void handover_found(struct node *node, usec_t now);
/* The end of each step. */
void handover_step(struct node *node, usec_t now);

#endif
