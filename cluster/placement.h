/* placement - which node a delivery belongs to
 *
 * A pure function of the view: weighted rendezvous hashing (Thaler & Ravishankar 1998; weights by -w/ln(h),
 * Schindelhauer & Schomaker 2005) of the recipient's domain over the nodes that have a source of the pool. A
 * change of one node moves only that node's share. The logarithm is computed in integers, so that every
 * machine ranks alike.
 *
 * The hash is for locality, never for safety: a node may hold anything. */
#ifndef CLUSTER_PLACEMENT_H
#define CLUSTER_PLACEMENT_H

#include "cluster/view.h"

/* Ranks the candidates for (pool, domain), best first, into `ranked` (pointers into the view); returns how
 * many (at most `max`). `domain` is a lower-case A-label. `provider` may be null when it is not known yet. */
size_t place(const struct view *view, const char *pool, const char *provider, const char *domain,
    const struct view_node **ranked, size_t max);
/* The best one, or null if no node has a source of that pool. */
const struct view_node *place_owner(
    const struct view *view, const char *pool, const char *provider, const char *domain);

#endif
