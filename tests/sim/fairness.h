/* fairness - when mail may start, and when it must have ended, in every seed
 *
 * At each start (a node says MAIL): never before its send-at, never after its max_age, by the node's own clock. And
 * what has passed its max_age is ended SOON after, whatever it waits for: its retry, an operator, a window, a
 * release, a pace, its signature, the disk. Not asked of a node that could not act all that time (it froze, died,
 * its disk was slow, its table of what is at rest fails), nor while a receiver still has to answer, or another spool (a MOVE).
 *
 * Whose turn it is, is measured in worlds made for that: fairness_world.h. */
#ifndef SIM_FAIRNESS_H
#define SIM_FAIRNESS_H

#include "tests/sim/ledger.h"
#include "tests/sim/wire.h"

/* A message is somebody's to end from now on. */
void fairness_taken(struct sim *sim, struct message *message);
/* A receiver is told of this recipient, the `wire->mail_since` of whose message is the start. */
void fairness_attempt(struct sim *sim, const struct wire *wire, struct truth *truth);

#endif
