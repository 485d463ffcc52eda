/* placement_inside - what the files of placement share: the ranking itself */
#ifndef CLUSTER_PLACEMENT_INSIDE_H
#define CLUSTER_PLACEMENT_INSIDE_H

#include "cluster/placement.h"

struct ranked {
    const struct view_node *node;
    uint64_t cost, hash;
};

/* The best of those that were offered, sorted. */
struct ranking {
    uint64_t key; /* of the domain */
    bool weighted;
    size_t count, max;
    struct ranked best[PLACEMENT_MAX_RANKS];
};

/* `weighted`: the candidates' weights differ. Where all weigh the same the hashes alone decide, and decide
 * the same: no logarithm is needed. */
void ranking_start(struct ranking *ranking, const char *domain, bool weighted, size_t max);
/* `id_len`: the length of the node's id. */
void ranking_offer(struct ranking *ranking, const struct view_node *node, size_t id_len);
size_t ranking_end(const struct ranking *ranking, const struct view_node **ranked);
/* Whether the node may get new mail of the pool. */
bool placement_candidate(const struct view_node *node, const char *pool);

#endif
