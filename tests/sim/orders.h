/* orders - what operators say of mail while it flows: pauses, and retry, bounce, delete
 *
 * A pause reaches each node some time after it was said, and a node that starts hears all of them; an act is asked
 * of all nodes that run. The oracle: from the moment a node has heard of a pause it starts nothing that matches
 * (a start is when it says MAIL), and what an act took hold of is started by nobody, unless its node dies first.
 * That nothing ended is attempted, and all ends once, the ledger sees anyway. Schedules are looked at here too: in
 * the profile that has some, a tenant's mail starts inside its windows only, and of a campaign a node starts no more
 * in an interval than its share. */
#ifndef SIM_ORDERS_H
#define SIM_ORDERS_H

#include "tests/sim/ledger.h"
#include "tests/sim/wire.h"

struct orders;

void orders_pause(struct sim *sim);
void orders_act(struct sim *sim);
/* A node's process starts: it hears of all the pauses there are. */
void orders_node_serves(struct member *member);
void orders_node_learns(struct member *member, const struct view *view);
/* Everything is lifted. */
void orders_end(struct sim *sim);
void orders_free(struct sim *sim);
/* A receiver is told of this recipient, the `wire->mail_since` of whose message is the start. */
void orders_attempt(struct sim *sim, const struct wire *wire, struct truth *truth);

#endif
