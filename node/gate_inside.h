/* gate_inside - shared by node/gate*.c */
#ifndef NODE_GATE_INSIDE_H
#define NODE_GATE_INSIDE_H

#include "node/gate.h"

/* gate_schedule.c */
/* The settings' schedules anew; what this interval has used is kept for those that stayed. Who waited for one
 * goes among those on hold, to be looked at. */
void schedules_make(struct node *node, usec_t now);
void schedules_free(struct gates *gates);
/* The view is another: shares of releases with it. */
void schedules_share(struct node *node, usec_t now);
/* Those that match, interned; null if none does. */
struct gate_set *schedules_of(struct node *node, const struct hold_match *what);
/* When all of the set let something start, as far as can be known now; `now` or earlier = now. *last_r: the one that
 * opens last. */
usec_t set_opens(struct node *node, const struct gate_set *set, usec_t now, struct gate_schedule **last_r);
uint32_t set_room(struct node *node, const struct gate_set *set, usec_t now);
void set_starts(struct node *node, const struct gate_set *set, uint32_t count, usec_t now);
/* The queue waits for this schedule, which opens then. */
void schedule_wait(struct node *node, struct gate_schedule *schedule, struct queue *queue, usec_t opens);
/* Wakes some of those that wait for schedules that have opened. */
void schedules_tick(struct node *node, usec_t now);

/* gate.c */
void gate_row_put(struct gate_row *row, struct queue *queue);
/* Takes out the next queue that this walk has not seen, or null. */
struct queue *gate_row_next(struct gate_row *row);
bool gate_row_has_unseen(const struct gate_row *row);

#endif
