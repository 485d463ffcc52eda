/* gate - may this queue send now: pauses, windows, releases
 *
 * Between a queue with something ready and its lane stands the gate. It is shut while a hold matches the queue
 * (cluster/hold.h), outside the schedule's windows, and when the schedule's release of this interval is used
 * up (cluster/schedule.h). The scheduler asks gate_opens() before a queue takes its turn, is told by
 * queue_gated() when that may have changed, and says gate_passed() when a batch starts.
 *
 * Part of the node's core. */
#ifndef NODE_GATE_H
#define NODE_GATE_H

#include "node/node_state.h"

/* When the queue may send: `now` or earlier = now; USEC_NEVER = not until something changes. */
usec_t gate_opens(struct node *node, struct queue *queue, usec_t now);
/* May this source be used at all, towards this provider? */
bool gate_source_open(struct node *node, size_t source, const struct provider *provider, usec_t now);
/* `count` deliveries of the queue start now. */
void gate_passed(struct node *node, struct queue *queue, uint32_t count, usec_t now);
/* Holds or schedules are others, or one has ended: what was shut is looked at again, a little in each step. */
void gates_changed(struct node *node, usec_t now);
void gate_tick(struct node *node, usec_t now);
usec_t gate_deadline(const struct node *node);

#endif
