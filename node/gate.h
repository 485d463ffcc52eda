/* gate - may this queue send now: pauses, windows, releases
 *
 * Between a queue with something ready and its lane stands the gate. It is shut while a hold matches the queue
 * (cluster/hold.h), outside a schedule's windows, and when a schedule's release of this interval is used up
 * (cluster/schedule.h); every schedule that matches counts.
 *
 * How the scheduler uses it:
 *   - before a queue takes its turn, and before it is given a session: gate_opens(). Shut: the queue leaves its
 *     turn; nothing more is to be done, the gate remembers it;
 *   - queue_gated() is called back from the gate's own steps when that may have changed: the queue takes its
 *     turn again if it has something ready and gate_opens() says so;
 *   - a source is used for a queue only if gate_source_open();
 *   - a batch takes no more recipients than gate_room(), and when its first byte is about to be sent (after
 *     fetching, signing, waiting for the lane), gate_starts() has the last word: false = back to its queue;
 *   - a queue that ends says gate_forget(); so does one whose domain leaves its site.
 *
 * A shut queue costs nothing while it is shut: it stands in one list, of those on hold or of those that wait
 * for one schedule. When a rule changes, or a schedule opens, the list is walked a little in each step.
 *
 * Part of the node's core. */
#ifndef NODE_GATE_H
#define NODE_GATE_H

#include "node/node_state.h"

#define GATE_ANY UINT32_MAX

/* When the queue may send: `now` or earlier = now; USEC_NEVER = not until something changes. */
usec_t gate_opens(struct node *node, struct queue *queue, usec_t now);
/* May this source be used for this queue? */
bool gate_source_open(struct node *node, size_t source, const struct queue *queue, usec_t now);
/* How many deliveries of the open queue may start now: GATE_ANY = as many as there are. */
uint32_t gate_room(struct node *node, struct queue *queue, usec_t now);
/* `count` deliveries of the queue, from this source, start now: false = they may not, and nothing was counted. */
bool gate_starts(struct node *node, struct queue *queue, size_t source, uint32_t count, usec_t now);
/* What was known of the queue is not so any more; it may end. */
void gate_forget(struct queue *queue);

/* Why the queue is shut, for people; both null: an act works on it. Changes nothing. */
struct gate_why {
    usec_t opens; /* as gate_opens */
    const struct hold *hold;
    const struct setting_schedule *schedule;
};
void gate_why(struct node *node, struct queue *queue, usec_t now, struct gate_why *why_r);
/* The same of a queue that is not in memory. */
void gate_why_of(struct node *node, struct hold_match *what, usec_t now, struct gate_why *why_r);

/* When the schedules let mail of that kind start (`now` or earlier = now); *which_r: the one that opens last. */
usec_t gate_schedule_opens(
    struct node *node, const struct hold_match *what, usec_t now, const struct setting_schedule **which_r);

/* While an act works (node/act.h), nothing that matches starts. `match` is the act's. */
void gate_order(struct node *node, const struct hold_match *match, usec_t now);
void gate_order_over(struct node *node, const struct hold_match *match, usec_t now);

/* Settings or the view are others: what is shut is looked at again, a little in each step. (Holds: node_set_holds.) */
void gates_set_settings(struct node *node, usec_t now);
void gates_set_view(struct node *node, usec_t now);
void gates_make(struct node *node, const struct zone_face *zones);
void gates_free(struct node *node);
void gate_tick(struct node *node, usec_t now);
usec_t gate_deadline(const struct node *node);

#endif
