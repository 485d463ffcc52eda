/* placement - which node a delivery belongs to
 *
 * A pure function of the view: weighted rendezvous hashing (Thaler & Ravishankar 1998; weights by -w/ln(h),
 * Schindelhauer & Schomaker 2005) of the recipient's domain over the nodes that have a source of the pool. A
 * change of one node moves only that node's share. The logarithm is computed in integers, so that every
 * machine ranks alike.
 *
 * A domain that the view calls hot has too much mail for one node. It is split by the id of the message: into
 * parts, each of them placed like a domain of its own; or, the largest, to the last message, and then the nodes'
 * shares count beside their weights, so that what is placed so fills the valleys between all else
 * (cluster/balance.h, which decides both).
 *
 * place() is that function. A thread that places much mail has a `struct placement`, which says the same and
 * remembers: who may take a pool is found once a view, who owns a domain is kept until another view comes.
 *
 * The hash is for locality, never for safety: a node may hold anything. */
#ifndef CLUSTER_PLACEMENT_H
#define CLUSTER_PLACEMENT_H

#include "cluster/view.h"
#include "proto/id.h"

#define PLACEMENT_MAX_RANKS 16

/* Ranks the candidates for (pool, domain), best first, into `ranked` (pointers into the view); returns how
 * many (at most `max`, and PLACEMENT_MAX_RANKS). `domain` is a lower-case A-label. `provider` may be null
 * when it is not known yet. `message`: whose place it is, if the domain is hot; null: as if it were not. */
size_t place(const struct view *view, const char *pool, const char *provider, const char *domain,
    const struct mail_id *message, const struct view_node **ranked, size_t max);
/* The best one, or null if no node has a source of that pool. */
const struct view_node *place_owner(const struct view *view, const char *pool, const char *provider,
    const char *domain, const struct mail_id *message);

/* The same with a memory, for one thread. Memory: 3 MB for up to 65,536 owners and their domains' names
 * (one that is asked for takes the place of another), and 16 bytes for each node that has a source of a
 * pool. */
struct placement;
struct placement *placement_new(void);
void placement_free(struct placement **placement);
/* Holds the view, lets the former one go and forgets what was so there. */
void placement_set_view(struct placement *placement, struct view *view);
/* The view it goes by, or null. */
const struct view *placement_view(const struct placement *placement);
/* As place() and place_owner() say of its view; nobody while there is none. Pointers into the view. */
size_t placement_rank(struct placement *placement, const char *pool, const char *provider, const char *domain,
    const struct mail_id *message, const struct view_node **ranked, size_t max);
const struct view_node *placement_owner(struct placement *placement, const char *pool, const char *provider,
    const char *domain, const struct mail_id *message);
/* Whether mail for the domain may as well stay where it is, at that node: the domain is hot, and the node may get
 * mail of the pool. What is split for evenness is not worth a move once somebody holds it. */
bool placement_may_stay(
    const struct placement *placement, const char *pool, const char *domain, const char *node);

#endif
