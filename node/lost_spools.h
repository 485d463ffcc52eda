/* lost_spools - spools that this node is said to empty, and whose copies are not here any more
 *
 * A spool that was taken over lies on one disk. When that disk is lost, too, before the spool is retired, the register and
 * the view go on naming this node. Whoever holds what came from there, and has not heard that this is settled, would ask for
 * ever, or want to give it back for ever (node/heir.h): it would neither be sent nor moved on. So it is told that it is
 * settled, and that nobody is there to take it back (BUS_GONE): nobody is left who could ask for it.
 *
 * What somebody else wants to move there is not answered: the spool may have taken it while its own node lived, and its heir
 * may have passed it on. And nothing is said before the view has named this node for LOST_AFTER of asking: a view may be
 * old, and a disk may come back.
 *
 * How to use: the owner tells each view, and gives it the messages for spools that it has neither a copy nor a heir of.
 * Memory: an entry for each such spool that is asked for. Time comes in. */
#ifndef NODE_LOST_SPOOLS_H
#define NODE_LOST_SPOOLS_H

#include "cluster/view.h"
#include "proto/bus_msg.h"

#define LOST_AFTER USEC_MIN

struct lost_spools;
struct lost_spools *lost_spools_new(const char *member);
void lost_spools_free(struct lost_spools **lost);
void lost_spools_view(struct lost_spools *lost, struct view *view); /* held */
/* The answer to be sent, the caller's; null: none. `first_r`: the first one about that spool. */
struct bus_msg *lost_spools_message(
    struct lost_spools *lost, const struct bus_msg *msg, usec_t now, bool *first_r);

#endif
