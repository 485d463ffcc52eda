/* mirror_choice - which node should keep the second copy of this node's spool
 *
 * Pure: from a view and a name. Each node decides for itself; nobody has to agree with it, for the register of its spool
 * alone says who its mirror is. But all go by the same ring, so when all choose anew by one view, each node is chosen by
 * exactly one:
 * - The ring has the nodes rack by turns, within a rack by the hash of their ids. The next one of another rack is taken,
 *   or the next one if there is no other rack. Where racks are of different sizes, those of the smaller ones are chosen
 *   by more.
 * - One that is chosen stays so as long as it may be one at all: another choice costs a copy of everything.
 *   So in a cluster that grows by one node after the other some are chosen by two or three. Who has
 *   nothing in its spool may pass "" for the current one and choose anew for nothing. */
#ifndef CLUSTER_MIRROR_CHOICE_H
#define CLUSTER_MIRROR_CHOICE_H

#include "cluster/view.h"

/* For the node `self`, whose mirror is on the node `current` ("" = nowhere): that node as long as it is in the view,
 * serves (an incarnation), and is neither down nor draining; else as above. `avoid` ("" = nobody) is taken only when
 * there is nobody else, current or not: its disk is full, say. Null: nobody is there, or `self` is not in the view. The
 * node is the view's. */
const struct view_node *mirror_choice(
    const struct view *view, const char *self, const char *current, const char *avoid);

#endif
